mod chunks;

use std::process::{Command, Stdio};

use super::*;
use crate::git::{CommitDraft, Signature, TreeEdit};
use crate::model::RepoPath;

fn git(repository: &Repository, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(repository.git_dir())
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feed = std::thread::spawn(move || io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().expect("git ends");
    feed.join().expect("no panic").expect("git reads");
    assert!(output.status.success(), "git {args:?}");
    output.stdout
}

fn bare() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().expect("a folder");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(dir.path()).status();
    assert!(made.expect("git runs").success());
    let repository = Repository::open(dir.path()).expect("it opens");
    (dir, repository)
}

/// The files of `objects/pack`, by ending.
fn files(repository: &Repository, ending: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(repository.git_dir().join("objects/pack")).expect("a folder");
    let paths = folder.map(|file| file.expect("a file").path());
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Blobs of all kinds: empty, tiny, huge, random, siblings, duplicates.
fn blobs() -> Vec<(Vec<u8>, Option<Sibling>)> {
    let noise: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    let mut blobs = vec![
        (Vec::new(), None),
        (b"a".to_vec(), None),
        (vec![b'x'; 20_000_000], None),
        (noise.clone(), Some(Sibling::of(&"noise"))),
        ([&noise[..], b"more"].concat(), Some(Sibling::of(&"noise"))),
        ([&noise[9..], b"else"].concat(), Some(Sibling::of(&"noise"))),
    ];
    for host in 0..200 {
        let lines: String =
            (0..40).map(|n| format!("  line-{n}: the same on all hosts\n")).collect();
        let text =
            format!("host: store-{host}\n{lines}name: store-{host}.example\nring: {}\n", host % 3);
        blobs.push((text.clone().into_bytes(), Some(Sibling::of(&"app"))));
        blobs.push((text.into_bytes(), None));
        blobs.push((Vec::new(), Some(Sibling::of(&"app"))));
    }
    blobs
}

#[test]
fn git_reads_what_is_written() {
    let (_dir, repository) = bare();
    let reader = repository.clone();
    let before = reader.branches().expect("an open handle");
    assert!(before.is_empty());
    let objects = repository.begin();
    let mut ids = Vec::new();
    for (bytes, sibling) in blobs() {
        let id = objects.blob(&bytes, sibling).expect("written");
        assert_eq!(&*objects.repository().blob(id).expect("staged"), &bytes[..]);
        ids.push((id, bytes));
    }
    assert!(reader.blob(ids[0].0).is_err() || ids[0].1.is_empty(), "nobody else sees it");
    assert!(reader.blob(ids[2].0).is_err(), "nobody else sees it");
    objects.finish().expect("finished");

    for (id, bytes) in &ids {
        assert_eq!(&*reader.blob(*id).expect("in place"), &bytes[..]);
    }
    let packs = files(&repository, ".pack");
    assert_eq!(packs.len(), 1);
    assert_eq!(files(&repository, "").len(), 2, "no temporary file is left");
    let pack = packs[0].to_str().expect("text");
    git(&repository, &["index-pack", "--strict", "-o", &format!("{pack}.again"), pack], b"");
    let (ours, gits) = (packs[0].with_extension("idx"), format!("{pack}.again"));
    assert_eq!(std::fs::read(ours).expect("ours"), std::fs::read(gits).expect("git's"));
    let verified = git(&repository, &["verify-pack", "-v", pack], b"");
    let verified = String::from_utf8(verified).expect("text");
    assert!(verified.contains("chain length = 1:"), "{verified}");
    assert!(!verified.contains("chain length = 2:"), "{verified}");

    let input: String = ids.iter().map(|(id, _)| format!("{id}\n")).collect();
    let mut expected = Vec::new();
    for (id, bytes) in &ids {
        expected.extend(format!("{id} blob {}\n", bytes.len()).into_bytes());
        expected.extend(bytes);
        expected.push(b'\n');
    }
    assert!(git(&repository, &["cat-file", "--batch"], input.as_bytes()) == expected);
}

#[test]
fn siblings_take_little_room() {
    let (_dir, repository) = bare();
    let objects = repository.begin();
    let mut total = 0;
    for host in 0..500 {
        let body = "      - name: LOG_LEVEL\n        value: info\n".repeat(20);
        let text = format!(
            "metadata:\n  name: a\n  host: store-{host:05}\nspec:\n{body}  at: store-{host:05}\n"
        );
        total += text.len();
        objects.blob(text.as_bytes(), Some(Sibling::of(&"a"))).expect("written");
    }
    objects.finish().expect("finished");
    let size = std::fs::metadata(&files(&repository, ".pack")[0]).expect("a pack").len();
    assert!(size * 10 < total as u64, "{size} of {total}");
}

fn draft(tree: TreeId) -> CommitDraft {
    let titan = Signature { name: "t".into(), email: "t@t".into(), seconds: 1, offset: 0 };
    let (author, committer) = (titan.clone(), titan);
    CommitDraft { tree, parents: Vec::new(), author, committer, message: "m\n".into() }
}

#[test]
fn trees_and_commits_are_read_before_they_are_in_place() {
    let (_dir, repository) = bare();
    let path = |text: &str| RepoPath::new(text).expect("a path");
    let objects = repository.begin();
    let staged = objects.repository();
    let mut edit = TreeEdit::new(staged, None);
    edit.put(&path("a/b"), b"1").expect("put");
    edit.put(&path("a/c"), b"2").expect("put");
    let first = edit.write().expect("written");
    let mut edit = TreeEdit::new(staged, Some(first));
    edit.put(&path("a/b"), b"3").expect("put");
    let second = edit.write().expect("written");
    let commit = staged.write_commit(&draft(second)).expect("written");
    assert_eq!(staged.commit(commit).expect("staged").tree, second);
    assert_eq!(staged.walk(second).expect("staged").len(), 2);
    assert!(repository.commit(commit).is_err());
    assert!(repository.advance("main", None, commit).is_err(), "it is not in place");
    let view = staged.clone();
    objects.finish().expect("finished");
    repository.advance("main", None, commit).expect("moved");
    assert!(TreeEdit::new(&view, None).put(&path("x"), b"late").is_err(), "too late");
    git(&repository, &["fsck", "--full", "--strict"], b"");

    // The same again writes nothing, and what is dropped leaves nothing.
    let objects = repository.begin();
    assert_eq!(objects.repository().write_commit(&draft(second)).expect("there"), commit);
    objects.finish().expect("finished");
    let dropped = repository.begin();
    dropped.blob(b"new", None).expect("written");
    drop(dropped);
    assert_eq!(files(&repository, "").len(), 2);
}

#[test]
fn writers_beside_each_other_do_not_meet() {
    let (_dir, repository) = bare();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let repository = repository.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    let objects = repository.begin();
                    // Every other pack is the same for all of them.
                    let text = if n % 2 == 0 { format!("{n}") } else { format!("{writer} {n}") };
                    let id = objects.blob(text.as_bytes(), None).expect("written");
                    objects.finish().expect("finished");
                    assert_eq!(&*repository.blob(id).expect("in place"), text.as_bytes());
                }
            });
        }
    });
    git(&repository, &["fsck", "--full", "--strict"], b"");
}
