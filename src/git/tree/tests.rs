use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

const NAMES: [&str; 8] = ["a", "a.b", "a-b", "a0", "ab", "b", "B", "z"];

fn bare() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().expect("a folder");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(dir.path()).status();
    assert!(made.expect("git runs").success());
    let repository = Repository::open(dir.path()).expect("it opens");
    (dir, repository)
}

fn git(repository: &Repository, args: &[&str], input: &str) -> String {
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
    stdin.write_all(input.as_bytes()).expect("git reads");
    drop(stdin);
    let output = child.wait_with_output().expect("git ends");
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The tree that Git itself makes of a flat list.
fn oracle(repository: &Repository, files: &BTreeMap<String, TreeId>) -> String {
    git(repository, &["read-tree", "--empty"], "");
    let lines: String = files.iter().map(|(path, id)| format!("100644 {id}\t{path}\n")).collect();
    git(repository, &["update-index", "--add", "--index-info"], &lines);
    git(repository, &["write-tree", "--missing-ok"], "")
}

/// Removes what is at a path or below, and what stands in the way of it.
fn clear(files: &mut BTreeMap<String, TreeId>, path: &str, way: bool) {
    files.retain(|other, _| {
        let below = other == path || other.starts_with(&format!("{path}/"));
        !(below || way && path.starts_with(&format!("{other}/")))
    });
}

#[test]
fn random_edits_make_the_trees_of_git() {
    let (_dir, repository) = bare();
    let mut seed = 3u64;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).expect("31 bits") % bound
    };
    let (mut files, mut base) = (BTreeMap::new(), None);
    let mut before: Vec<(TreeId, BTreeMap<String, TreeId>)> = Vec::new();
    for round in 0..80 {
        let mut edit = TreeEdit::new(&repository, base);
        let standing: BTreeMap<String, TreeId> = files.clone();
        for _ in 0..=random(if round % 10 == 0 { 40 } else { 4 }) {
            let depth = 1 + random(3);
            let path: Vec<&str> = (0..depth).map(|_| NAMES[random(NAMES.len())]).collect();
            let text = path.join("/");
            let path = RepoPath::new(&text).expect("a path");
            // What is put below a file and removed again, in one edit, leaves the file.
            let below_file = standing.keys().any(|file| text.starts_with(&format!("{file}/")));
            match random(6) {
                0..=2 if below_file => {}
                0 | 1 => {
                    edit.remove(&path).expect("removed");
                    clear(&mut files, &text, false);
                }
                2 if !before.is_empty() => {
                    let (tree, inside) = &before[random(before.len())];
                    edit.put_tree(&path, *tree).expect("put");
                    clear(&mut files, &text, *tree != empty_tree());
                    files.extend(inside.iter().map(|(name, id)| (format!("{text}/{name}"), *id)));
                }
                _ => {
                    let content = format!("{}", random(9));
                    edit.put(&path, content.as_bytes()).expect("put");
                    clear(&mut files, &text, true);
                    files.insert(text, blob_id(content.as_bytes()));
                }
            }
        }
        let tree = edit.write().expect("written");
        assert_eq!(tree.to_string(), oracle(&repository, &files), "round {round}");
        before.retain(|_| random(3) > 0);
        if files.keys().all(|path| path.len() < 40) {
            before.push((tree, files.clone()));
        } else {
            files.clear();
        }
        base = (!files.is_empty()).then_some(tree);
    }
}

#[test]
fn a_wide_tree_changes_where_it_is_edited() {
    let (_dir, repository) = bare();
    let path = |n: usize| RepoPath::new(&format!("host-{n:05}/x")).expect("a path");
    let mut files = BTreeMap::new();
    let mut edit = TreeEdit::new(&repository, None);
    for n in (0..3000).filter(|n| n % 3 > 0) {
        edit.put(&path(n), b"x").expect("put");
        files.insert(path(n).to_string(), blob_id(b"x"));
    }
    let base = edit.write().expect("written");
    assert_eq!(base.to_string(), oracle(&repository, &files));
    for change in [vec![1, 2998], vec![0, 2999], vec![1500, 1501, 1502], (0..3000).collect()] {
        let (mut edit, mut files) = (TreeEdit::new(&repository, Some(base)), files.clone());
        for n in change {
            if n % 2 == 0 {
                edit.put(&path(n), b"other").expect("put");
                files.insert(path(n).to_string(), blob_id(b"other"));
            } else {
                edit.remove(&path(n)).expect("removed");
                files.remove(path(n).as_str());
            }
        }
        assert_eq!(edit.write().expect("written").to_string(), oracle(&repository, &files));
    }
}

#[test]
fn what_is_known_is_not_read_and_what_is_wrong_changes_nothing() {
    let texts = ["a/b/one", "a/b/two", "a/b-c/one", "b/b/one"];
    let path = |text: &str| RepoPath::new(text).expect("a path");
    let write = |repository: &Repository, base, known: &[&str], content: &str| {
        let mut edit = TreeEdit::new(repository, base);
        let leaves = known.iter().map(|text| (*text, EntryKind::File, blob_id(text.as_bytes())));
        edit.know(&leaves.collect::<Vec<_>>()).expect("known");
        edit.put(&path("a/b/one"), content.as_bytes()).expect("put");
        edit.remove(&path("b/b/one")).expect("removed");
        edit.write()
    };
    let (_dir, repository) = bare();
    let mut edit = TreeEdit::new(&repository, None);
    texts.iter().for_each(|text| edit.put(&path(text), text.as_bytes()).expect("put"));
    let base = Some(edit.write().expect("written"));
    let read = write(&repository, base, &[], "1").expect("written");
    let (twice, less) = (["a/b/one", "a/b/one"], ["a/b/two", "a/b/one", "c"]);
    for wrong in [&texts[..2], &["a/b/one/x"], &twice, &less] {
        assert_eq!(write(&repository, base, wrong, "1").expect("written"), read, "{wrong:?}");
    }
    let (_other, elsewhere) = bare();
    assert!(write(&elsewhere, base, &texts[..3], "1").is_err(), "the base is not there");
    assert_eq!(write(&elsewhere, base, &texts, "1").expect("nothing is read"), read);
}

#[test]
fn malformed_trees_are_put_right_where_they_are_changed() {
    let (_dir, repository) = bare();
    let objects = repository.begin();
    let blob = objects.blob(b"x", None).expect("written");
    let other = objects.blob(b"y", None).expect("written");
    let sub = {
        let mut edit = TreeEdit::new(objects.repository(), None);
        edit.put(&RepoPath::new("f").expect("a path"), b"x").expect("put");
        edit.write().expect("written")
    };
    let entry = |mode: &str, name: &str, id: TreeId| {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", id.as_bytes()].concat()
    };
    let malformed = [
        // Out of order; twice side by side; twice apart; a mode that Git no longer writes.
        [entry("100644", "b", blob), entry("100644", "a", blob)].concat(),
        [entry("100644", "a", other), entry("100644", "a", blob)].concat(),
        [entry("100644", "a", other), entry("100644", "a.b", blob), entry("40000", "a", sub)]
            .concat(),
        [entry("100664", "a", blob)].concat(),
    ];
    for (at, bytes) in malformed.iter().enumerate() {
        assert!(Tree::parse(bytes.clone()).is_err(), "{at}");
        let store = objects.repository().store();
        let base = store.write(Kind::Tree, bytes, None).expect("written");
        let mut edit = TreeEdit::new(objects.repository(), Some(tree_id(base)));
        edit.put(&RepoPath::new("new").expect("a path"), b"x").expect("put");
        let tree = edit.write().expect("written");
        let bytes = store.data(object(tree), Kind::Tree).expect("staged");
        let tree = Tree::parse(bytes).expect("it is as it should be");
        let names: Vec<_> = tree.slots().map(|slot| (slot.name.to_vec(), slot.mode)).collect();
        let expected: &[(&[u8], Mode)] = match at {
            0 => &[(b"a", Mode::Blob), (b"b", Mode::Blob), (b"new", Mode::Blob)],
            2 => &[(b"a.b", Mode::Blob), (b"a", Mode::Tree), (b"new", Mode::Blob)],
            _ => &[(b"a", Mode::Blob), (b"new", Mode::Blob)],
        };
        let expected: Vec<_> = expected.iter().map(|(name, mode)| (name.to_vec(), *mode)).collect();
        assert_eq!(names, expected);
        let a = tree.find(b"a", 0).map(|(_, slot)| slot.id);
        assert_eq!(a, Some(object(if at == 2 { sub } else { blob })), "{at}: the last one counts");
    }
}

#[test]
fn many_folders_together_are_changed_as_one_by_one() {
    let (_dir, repository) = bare();
    let path = |text: &str| RepoPath::new(text).expect("a path");
    let name = |text: &str| Name::new(text).expect("a name");
    let mut edit = TreeEdit::new(&repository, None);
    let mut tree = TreeEdit::new(&repository, None);
    tree.put(&path("f"), b"new").expect("put");
    let tree = tree.write().expect("written");
    for host in 0..1200 {
        edit.put(&path(&format!("hosts/h{host}/w/l/a/f")), b"old").expect("put");
    }
    edit.put(&path("hosts/h7/inner/w/l/a/f"), b"old").expect("put");
    let base = edit.write().expect("written");
    // New, known and nested folders, after other changes of some of them; in no order of paths.
    let folders: Vec<RepoPath> = (0..1300)
        .map(|host| path(&format!("hosts/h{host}")))
        .chain([path("hosts/h7/inner"), path("other/x"), path("top")])
        .collect();
    let before = |edit: &mut TreeEdit<'_>| {
        edit.remove(&path("hosts/h3/w/l/a")).expect("removed");
        edit.remove(&path("hosts/h4")).expect("removed");
        edit.put_tree(&path("hosts/h5"), tree).expect("put");
        edit.put(&path("hosts/h9/w/l"), b"a file").expect("put");
    };
    let mut together = TreeEdit::new(&repository, Some(base));
    before(&mut together);
    let (w, l, b) = (name("w"), name("l"), name("b"));
    together.put_in_folders(folders.iter().map(|folder| (folder, tree)).collect(), |tree, edit| {
        edit.put_tree(&[&w, &l], &b, tree);
    });
    let mut one_by_one = TreeEdit::new(&repository, Some(base));
    before(&mut one_by_one);
    for folder in &folders {
        one_by_one.put_tree(&folder.join("w/l/b").expect("a path"), tree).expect("put");
    }
    let expected = one_by_one.write().expect("written");
    assert_eq!(together.write().expect("written"), expected);
    let left = repository.entry(expected, &path("hosts/h3/w/l/a")).expect("read");
    assert!(left.is_none(), "{left:?}");
    // Of the 1201 old files four are gone; `h5` has one from its tree, and each folder a new one.
    assert_eq!(repository.walk(expected).expect("read").len(), 1201 - 4 + 1 + 1303);
}
