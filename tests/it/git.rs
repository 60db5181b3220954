//! Git: real repositories in temporary folders.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use titan::git::{
    CommitDraft, FleetRepository, GitError, HostSource, HostView, Location, RefUpdate, Repository,
    Signature, TreeEdit, directory_files, empty_tree, valid_branch_name, watch,
};
use titan::model::url::UrlError;
use titan::model::{Content, Limits, Name, Recovery, RepoPath, Revision, Size, SourceFile, TreeId};

/// Runs the stock `git` without any configuration of this machine; returns what it prints.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn bare() -> (TempDir, Repository) {
    let dir = tempfile::tempdir().expect("a folder");
    git(dir.path(), &["init", "-q", "--bare", "."]);
    let repository = Repository::open(dir.path()).expect("a repository");
    (dir, repository)
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a path")
}

fn signature(seconds: i64) -> Signature {
    Signature { name: "titan".into(), email: "titan@titan.dev".into(), seconds, offset: 3600 }
}

/// Commits `files` on top of `parent`, without moving a branch.
fn commit(repository: &Repository, parent: Option<Revision>, files: &[(&str, &str)]) -> Revision {
    let base = parent.map(|parent| repository.commit(parent).expect("a commit").tree);
    let mut edit = TreeEdit::new(repository, base);
    for (name, text) in files {
        edit.put(&path(name), text.as_bytes()).expect("a blob");
    }
    let draft = CommitDraft {
        tree: edit.write().expect("a tree"),
        parents: parent.into_iter().collect(),
        author: signature(1_000_000_000),
        committer: signature(1_000_000_000),
        message: "add files\n\nbody\n\nKey: value\n".into(),
    };
    repository.write_commit(&draft).expect("a commit")
}

#[test]
fn written_objects_are_gits() {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("a.txt", "1"), ("a/b", "2"), ("a-b", "3")]);
    repository.advance("main", None, first).expect("moved");
    git(dir.path(), &["fsck", "--strict"]);
    assert_eq!(git(dir.path(), &["ls-tree", "-r", "--name-only", "main"]), "a-b\na.txt\na/b");
    assert_eq!(repository.branch("main").expect("read"), Some(first));
    let info = repository.commit(first).expect("read");
    assert_eq!(info.trailer("key"), Some("value"));
    assert_eq!(git(dir.path(), &["log", "-1", "--format=%aI"]), "2001-09-09T02:46:40+01:00");
    let second = commit(&repository, Some(first), &[("a/c", "4")]);
    let error = repository.advance("main", None, second).expect_err("it exists");
    assert!(matches!(error, GitError::Conflict { actual, .. } if actual == Some(first)));
    repository.advance("main", Some(first), second).expect("moved");
    let files = repository.source_files(second, |_| Limits::default()).expect("read");
    assert!(files.is_empty(), "{files:?}");
}

fn head(dir: &Path, branch: &str) -> String {
    git(dir, &["rev-parse", &format!("refs/heads/{branch}")])
}

fn open_remote(remote: &Path, cache: &Path) -> FleetRepository {
    let url = format!("file://{}", remote.display());
    let location: Location = url.parse().expect("a location");
    FleetRepository::open(&location, None, cache, &Limits::default()).expect("opened")
}

/// A bare repository with one commit on `main`, and a folder for clones.
fn remote() -> (TempDir, Repository, Revision, TempDir) {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("titan.yaml", "1")]);
    repository.advance("main", None, first).expect("moved");
    (dir, repository, first, tempfile::tempdir().expect("a folder"))
}

fn update(branch: &str, expected: Option<Revision>, new: Revision) -> RefUpdate {
    RefUpdate { branch: branch.into(), expected, new }
}

#[test]
fn a_remote_is_cloned_fetched_and_pushed_to() {
    let (dir, origin, first, cache) = remote();
    git(dir.path(), &["branch", "trunk", "main"]);
    git(dir.path(), &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let fleet = open_remote(dir.path(), cache.path());
    assert_eq!(fleet.branch, "trunk");
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(first));

    let ours = commit(&fleet.repository, Some(first), &[("a", "ours")]);
    let rendered = commit(&fleet.repository, None, &[("hosts/a/.titan", "host: a\n")]);
    let both = [update("main", Some(first), ours), update("titan/rendered", None, rendered)];
    fleet.publish(&both).expect("pushed");
    assert_eq!(head(dir.path(), "main"), ours.to_string());
    assert_eq!(head(dir.path(), "titan/rendered"), rendered.to_string());
    assert_eq!(fleet.repository.branch("titan/rendered").expect("read"), Some(rendered));
    fleet.publish(&both).expect("what is done is fine");

    let theirs = commit(&origin, Some(ours), &[("a", "theirs")]);
    origin.advance("main", Some(ours), theirs).expect("moved");
    let late = commit(&fleet.repository, Some(ours), &[("a", "late")]);
    let next = commit(&fleet.repository, Some(rendered), &[("b", "x")]);
    let both = [update("titan/rendered", Some(rendered), next), update("main", Some(ours), late)];
    let error = fleet.publish(&both).expect_err("somebody was faster");
    assert!(
        matches!(&error, GitError::Conflict { branch, expected, actual }
            if branch == "main" && *expected == Some(ours) && *actual == Some(theirs)),
        "{error:?}"
    );
    assert_eq!(head(dir.path(), "titan/rendered"), rendered.to_string(), "all or nothing");
    fleet.refresh().expect("fetched");
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(theirs));
    let error = fleet.publish(&[update("main", Some(theirs), late)]).expect_err("no descendant");
    assert!(matches!(error, GitError::NotForward { .. }), "{error:?}");
}

#[test]
fn a_damaged_clone_is_made_again() {
    let (dir, origin, first, cache) = remote();
    let clone = open_remote(dir.path(), cache.path()).repository.git_dir().to_owned();
    let damages: [(&str, &dyn Fn()); 5] = [
        ("no HEAD", &|| std::fs::remove_file(clone.join("HEAD")).expect("removed")),
        ("empty HEAD", &|| std::fs::write(clone.join("HEAD"), "").expect("written")),
        ("no objects", &|| std::fs::remove_dir_all(clone.join("objects")).expect("removed")),
        ("bad config", &|| std::fs::write(clone.join("config"), "[core\n").expect("written")),
        ("empty ref", &|| std::fs::write(clone.join("refs/heads/main"), "").expect("written")),
    ];
    for (what, damage) in damages {
        damage();
        let fleet = open_remote(dir.path(), cache.path());
        assert_eq!(fleet.repository.branch("main").expect("read"), Some(first), "{what}");
        assert_eq!(fleet.repository.commit(first).expect("read").id, first, "{what}");
    }
    let fleet = open_remote(dir.path(), cache.path());
    for file in ["HEAD", "packed-refs"] {
        let _ = std::fs::remove_file(clone.join(file));
    }
    std::fs::remove_dir_all(clone.join("refs")).expect("removed");
    let second = commit(&origin, Some(first), &[("a", "2")]);
    origin.advance("main", Some(first), second).expect("moved");
    fleet.refresh().expect("repaired");
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(second));
    assert_eq!(fleet.repository.commit(second).expect("read").id, second);
}

#[test]
fn processes_share_one_clone() {
    let (dir, _, first, cache) = remote();
    let contenders = 4;
    let rounds = 5;
    std::thread::scope(|scope| {
        for contender in 0..contenders {
            let (dir, cache) = (dir.path(), cache.path());
            scope.spawn(move || {
                let fleet = open_remote(dir, cache);
                for round in 0..rounds {
                    let file = format!("{contender}-{round}");
                    loop {
                        let tip = fleet.repository.branch("main").expect("read");
                        let new = commit(&fleet.repository, tip, &[(&file, "x")]);
                        match fleet.publish(&[update("main", tip, new)]) {
                            Ok(()) => break,
                            Err(GitError::Conflict { .. }) => fleet.refresh().expect("fetched"),
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            });
        }
    });
    let count = git(dir.path(), &["rev-list", "--count", "main"]);
    assert_eq!(count, (contenders * rounds + 1).to_string());
    let files = git(dir.path(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files.lines().count(), contenders * rounds + 1, "{files}");
    git(dir.path(), &["fsck", "--strict"]);
    assert!(git(dir.path(), &["rev-list", "main"]).ends_with(&first.to_string()));
}

#[test]
fn unreachable_remotes_are_named_without_secrets() {
    let cache = tempfile::tempdir().expect("a folder");
    let open = |url: &str| {
        let location: Location = url.parse()?;
        FleetRepository::open(&location, None, cache.path(), &Limits::default()).map(drop)
    };
    let error = open("file:///nonexistent/x.git").expect_err("not there");
    assert_eq!(error.recovery(), Recovery::Fix, "{error}");
    let error = open("http://127.0.0.1:1/x.git").expect_err("nobody listens");
    assert_eq!(error.recovery(), Recovery::Retry, "{error}");
    for (url, expected) in [
        ("https://user:hunter2@example.com/x", UrlError::Credentials),
        ("ext::sh -c touch% /tmp/x", UrlError::Character),
        ("ext::id", UrlError::Scheme),
        ("fd::7", UrlError::Scheme),
        ("ssh://-oProxyCommand=id/x", UrlError::Option),
        ("--upload-pack=id", UrlError::Option),
        ("https://example.com/\nx", UrlError::Character),
    ] {
        let error = open(url).expect_err("refused");
        assert!(matches!(&error, GitError::Url(found) if *found == expected), "{url}: {error:?}");
        assert_eq!(error.code(), Some("git/url"), "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// Writes an object as it is, without git's checks.
pub(crate) fn raw(dir: &Path, kind: &str, bytes: &[u8]) -> String {
    let file = dir.join("raw-object");
    std::fs::write(&file, bytes).expect("written");
    let file = file.to_str().expect("UTF-8");
    git(dir, &["hash-object", "--literally", "-w", "-t", kind, file])
}

/// A tree object from `(mode, name, id)`, in the given order and whatever the names are.
pub(crate) fn raw_tree(dir: &Path, entries: &[(&str, &[u8], &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} ").as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        let digit = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).expect("an id");
        bytes.extend((0..40).step_by(2).map(digit));
    }
    raw(dir, "tree", &bytes)
}

/// What titan sees of a commit with this root tree: `path: what`.
fn seen(dir: &Path, repository: &Repository, root: &str, limits: &Limits) -> String {
    let id = git(dir, &["commit-tree", "-m", "x", root]);
    let files =
        repository.source_files(id.parse().expect("an id"), |_| limits.clone()).expect("read");
    drawn(&files)
}

fn drawn(files: &[SourceFile]) -> String {
    let line = |file: &SourceFile| match &file.content {
        Content::Bytes(bytes) => format!("{}: {}", file.path, String::from_utf8_lossy(bytes)),
        other => format!("{}: {other:?}", file.path),
    };
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn links_submodules_and_large_files_are_named_not_read() {
    let (dir, repository) = bare();
    let dir = dir.path();
    let blob = raw(dir, "blob", b"x");
    let link = raw(dir, "blob", b"/etc/passwd");
    let large = raw(dir, "blob", &[b'y'; 2000]);
    let hosts = raw_tree(
        dir,
        &[
            ("120000", b"link.yaml", &link),
            ("100644", b"big.yaml", &large),
            ("160000", b"sub", "7777777777777777777777777777777777777777"),
            ("100755", b"exec.yaml", &blob),
        ],
    );
    let many = raw_tree(dir, &[("100644", b"a.yaml", &blob), ("100644", b"b.yaml", &blob)]);
    let root = raw_tree(
        dir,
        &[
            ("100644", b".gitattributes", &blob),
            ("100644", b"README.md", &blob),
            ("40000", b"hosts", &hosts),
            ("40000", b"hosts-old", &many),
            ("40000", b"src", &many),
            ("120000", b"templates", &link),
            ("100644", b"titan.yaml", &blob),
            ("100644", b"titan.yml", &blob),
        ],
    );
    let limits = Limits { blob_size: Size::kib(1), ..Limits::default() };
    insta::assert_snapshot!(seen(dir, &repository, &root, &limits), @r"
    hosts-old/a.yaml: x
    hosts/big.yaml: TooLarge { bytes: 2000 }
    hosts/exec.yaml: x
    hosts/link.yaml: Symlink
    hosts/sub: Submodule
    templates: Symlink
    titan.yaml: x
    titan.yml: x
    ");
}

#[test]
fn malformed_trees_are_told_at_their_folder() {
    let (dir, repository) = bare();
    let dir = dir.path();
    let blob = raw(dir, "blob", b"x");
    let inner = raw_tree(dir, &[("100644", b"evil.yaml", &blob)]);
    let limits = Limits::default();
    let names: [&[u8]; 12] = [
        b"..",
        b".",
        b".git",
        b".GIT",
        b"git~1",
        b".git. ",
        b"a/b",
        b"",
        b"x\ny",
        b"caf\xe9",
        b"a\\b",
        ".g\u{200c}it".as_bytes(),
    ];
    for name in names {
        for (mode, id) in [("100644", &blob), ("40000", &inner)] {
            let hosts = raw_tree(dir, &[(mode, name, id), ("100644", b"ok.yaml", &blob)]);
            let root = raw_tree(dir, &[("40000", b"hosts", &hosts)]);
            let seen = seen(dir, &repository, &root, &limits);
            let lines: Vec<&str> = seen.lines().collect();
            assert_eq!(lines.len(), 2, "{seen}");
            assert!(lines[0].starts_with("hosts: Malformed"), "{seen}");
            assert!(!lines[0].chars().any(char::is_control), "{seen}");
            assert_eq!(lines[1], "hosts/ok.yaml: x");
        }
    }
    let twice = raw_tree(dir, &[("100644", b"a.yaml", &blob), ("40000", b"a.yaml", &inner)]);
    let root = raw_tree(
        dir,
        &[
            ("40000", b".git", &inner),
            ("100644", b"caf\xe9", &blob),
            ("40000", b"hosts", &twice),
            ("100644", b"titan.yaml", &blob),
        ],
    );
    insta::assert_snapshot!(seen(dir, &repository, &root, &limits), @r#"
    hosts: Malformed { reason: "the name `a.yaml` stands there twice" }
    hosts/a.yaml: x
    titan.yaml: Malformed { reason: "the name `.git` is not allowed: `.git` belongs to Git itself" }
    "#);
}

#[test]
fn trees_that_contain_each_other_are_bounded() {
    let (dir, repository) = bare();
    let dir = dir.path();
    let blob = raw(dir, "blob", b"x");
    let mut tree = raw_tree(dir, &[("100644", b"a.yaml", &blob), ("100644", b"b.yaml", &blob)]);
    for _ in 0..40 {
        tree = raw_tree(dir, &[("40000", b"a", &tree), ("40000", b"b", &tree)]);
    }
    let root = raw_tree(dir, &[("40000", b"hosts", &tree)]);
    let limits = Limits { objects: 10, hosts: 10, ..Limits::default() };
    let seen = seen(dir, &repository, &root, &limits);
    assert!(seen.contains("there are more than 80 files"), "{seen}");
    assert!(seen.lines().count() < 200, "{}", seen.lines().count());
    // A path deeper than any that titan takes.
    for _ in 0..600 {
        tree = raw_tree(dir, &[("40000", b"deep", &tree)]);
    }
    let root = raw_tree(dir, &[("40000", b"hosts", &tree)]);
    let id = git(dir, &["commit-tree", "-m", "x", &root]).parse().expect("an id");
    let files = repository.source_files(id, |_| limits).expect("read");
    assert_eq!(files.len(), 1);
    assert!(matches!(&files[0].content, Content::Malformed { reason } if reason.contains("1024")));
}

#[test]
fn missing_objects_are_errors_not_deletions() {
    let (dir, repository) = bare();
    let dir = dir.path();
    let missing = "7777777777777777777777777777777777777777";
    for (mode, name) in [("40000", "hosts"), ("100644", "titan.yaml")] {
        let root = raw_tree(dir, &[(mode, name.as_bytes(), missing)]);
        let id = git(dir, &["commit-tree", "-m", "x", &root]).parse().expect("an id");
        let error = repository.source_files(id, |_| Limits::default()).expect_err("missing");
        assert!(matches!(&error, GitError::Object { id, .. } if id == missing), "{error:?}");
    }
}

#[test]
fn a_directory_reads_like_its_commit() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    git(dir, &["init", "-q", "."]);
    for (name, text) in [
        ("titan.yaml", "x"),
        ("hosts/eu/a.yaml", "x"),
        ("hosts/eu-west.yaml", "x"),
        ("hostz/a.yaml", "x"),
        ("hostz/b.yaml", "x"),
        ("src/main.rs", "x"),
        ("templates/t/files/_p.tera", "x"),
    ] {
        let file = dir.join(name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        std::fs::write(file, text).expect("written");
    }
    std::os::unix::fs::symlink("/etc", dir.join("workspaces")).expect("linked");
    std::os::unix::fs::symlink("a.yaml", dir.join("hosts/eu/b.yaml")).expect("linked");
    git(dir, &["add", "."]);
    git(dir, &["commit", "-q", "-m", "x"]);
    let limits = Limits::default();
    let repository = Repository::open(dir).expect("a repository");
    let head = repository.resolve("HEAD").expect("a commit");
    let committed = repository.source_files(head, |_| limits.clone()).expect("read");
    assert_eq!(directory_files(dir, |_| limits).expect("read"), committed);
    insta::assert_snapshot!(drawn(&committed), @r"
    hosts/eu-west.yaml: x
    hosts/eu/a.yaml: x
    hosts/eu/b.yaml: Symlink
    hostz/a.yaml: x
    templates/t/files/_p.tera: x
    titan.yaml: x
    workspaces: Symlink
    ");
    let inside = Repository::discover(&dir.join("hosts/eu")).expect("found");
    assert_eq!(inside.worktree(), Some(dir));
    assert_eq!(inside.head_branch().expect("read").as_deref(), Some("main"));
    git(dir, &["worktree", "add", "-q", "-b", "other", "linked"]);
    let linked = Repository::open(&dir.join("linked")).expect("opened");
    assert_eq!(linked.git_dir(), repository.git_dir());
    assert_eq!(linked.head_branch().expect("read").as_deref(), Some("other"));
}

#[test]
fn hooks_filters_and_replacements_have_no_power() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    git(dir, &["init", "-q", "."]);
    let trap = dir.join("trap");
    let script = format!("#!/bin/sh\ntouch {}\ncat\n", trap.display());
    for hook in ["reference-transaction", "pre-push", "post-update", "update", "pre-receive"] {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::create_dir_all(dir.join(".git/hooks")).expect("made");
        let file = dir.join(".git/hooks").join(hook);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).write(true).mode(0o755).open(file).expect("made");
        std::io::Write::write_all(&mut file, script.as_bytes()).expect("written");
    }
    let touch = format!("touch {}", trap.display());
    for key in ["filter.evil.smudge", "filter.evil.clean", "core.fsmonitor", "core.sshCommand"] {
        git(dir, &["config", key, &touch]);
    }
    let repository = Repository::open(dir).expect("opened");
    let files = [(".gitattributes", "* filter=evil\n"), ("titan.yaml", "true")];
    let first = commit(&repository, None, &files);
    repository.advance("main", None, first).expect("moved");
    let blob = |text: &[u8]| raw(&repository.git_dir().join("objects"), "blob", text);
    let (old, new) = (blob(b"true"), blob(b"false"));
    // git's own write above ran nothing, as hash-object takes no filter without a path.
    std::fs::create_dir_all(repository.git_dir().join("refs/replace")).expect("made");
    let replacement = repository.git_dir().join("refs/replace").join(&old);
    std::fs::write(replacement, format!("{new}\n")).expect("written");
    let again = Repository::open(dir).expect("opened");
    let files = again.source_files(first, |_| Limits::default()).expect("read");
    assert_eq!(drawn(&files), "titan.yaml: true");
    let cache = tempfile::tempdir().expect("a folder");
    let fleet = open_remote(dir, cache.path());
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(first));
    assert!(!trap.exists(), "something of the repository ran");
}

#[test]
fn kinds_of_repository_that_cannot_be_read_are_refused() {
    let (dir, _) = bare();
    git(dir.path(), &["config", "core.repositoryFormatVersion", "1"]);
    git(dir.path(), &["config", "extensions.refStorage", "reftable"]);
    let error = Repository::open(dir.path()).expect_err("refused");
    assert!(matches!(&error, GitError::RefFormat { format, .. } if format == "reftable"));
    assert_eq!(error.recovery(), Recovery::Fix);

    let dir = tempfile::tempdir().expect("a folder");
    git(dir.path(), &["init", "-q", "--bare", "--object-format=sha256", "."]);
    let error = Repository::open(dir.path()).expect_err("refused");
    assert!(matches!(&error, GitError::ObjectFormat { format, .. } if format == "sha256"));

    let dir = tempfile::tempdir().expect("a folder");
    for error in [
        Repository::open(dir.path()).expect_err("none"),
        Repository::discover(&dir.path().join("missing")).expect_err("none"),
    ] {
        assert!(matches!(error, GitError::NotARepository { .. }), "{error:?}");
    }
}

#[test]
fn branch_names_follow_gits_rules() {
    for good in ["main", "titan/rendered", "v1.2", "ä"] {
        assert!(valid_branch_name(good), "{good}");
    }
    let (_dir, repository) = bare();
    for bad in [
        "", "-rf", "--force", "HEAD", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b",
        "/a", "a/", "a//b", "a.lock", "a/.b", "a.", "@{", "a@{b", "a\nb", "x.lock/y",
    ] {
        assert!(!valid_branch_name(bad), "{bad}");
        let error = repository.branch(bad).expect_err("refused");
        assert!(matches!(error, GitError::BranchName { .. }), "{bad}: {error:?}");
        assert_eq!(error.code(), Some("git/ref"), "{bad}");
    }
}

#[test]
fn of_many_writers_each_wins_once() {
    let (dir, repository) = bare();
    let writers = 8;
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let path = dir.path();
            scope.spawn(move || {
                let repository = Repository::open(path).expect("opened");
                let file = writer.to_string();
                loop {
                    let tip = repository.branch("titan/status").expect("read");
                    let new = commit(&repository, tip, &[(&file, "x")]);
                    match repository.advance("titan/status", tip, new) {
                        Ok(()) => break,
                        Err(GitError::Conflict { expected, actual, .. }) => {
                            assert_eq!(expected, tip);
                            assert_ne!(actual, tip);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    let tip = repository.branch("titan/status").expect("read").expect("there");
    let all = repository.first_parents(tip, None, 100).expect("read");
    assert_eq!(all.len(), writers);
    assert!(repository.is_ancestor(all[7], tip).expect("read"));
    assert!(!repository.is_ancestor(tip, all[7]).expect("read"));
    assert_eq!(repository.first_parents(tip, Some(all[2]), 100).expect("read"), all[..2]);
}

#[test]
fn packed_refs_move_like_loose_ones() {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("a", "1")]);
    repository.advance("titan/rendered", None, first).expect("moved");
    git(dir.path(), &["pack-refs", "--all", "--prune"]);
    assert!(!dir.path().join("refs/heads/titan/rendered").exists());
    assert_eq!(repository.branch("titan/rendered").expect("read"), Some(first));
    let second = commit(&repository, Some(first), &[("a", "2")]);
    let error = repository.advance("titan/rendered", None, second).expect_err("it exists");
    assert!(matches!(error, GitError::Conflict { .. }), "{error:?}");
    repository.advance("titan/rendered", Some(first), second).expect("moved");
    assert_eq!(head(dir.path(), "titan/rendered"), second.to_string());
    repository.advance("titan/rendered", Some(first), second).expect("it is there already");
}

#[test]
fn branches_that_exclude_each_other_are_named() {
    for packed in [false, true] {
        let (dir, repository) = bare();
        let first = commit(&repository, None, &[("a", "1")]);
        repository.advance("titan", None, first).expect("moved");
        repository.advance("x/y", None, first).expect("moved");
        if packed {
            git(dir.path(), &["pack-refs", "--all", "--prune"]);
        }
        for (branch, expected) in [("titan/rendered", "titan"), ("x", "x/y")] {
            let error = repository.advance(branch, None, first).expect_err("in the way");
            assert!(
                matches!(&error, GitError::BranchClash { other, .. } if other == expected),
                "{error:?}"
            );
        }
    }
}

fn modified(file: &std::fs::File) -> SystemTime {
    file.metadata().and_then(|metadata| metadata.modified()).expect("a time")
}

fn lock_of_the_dead(file: &Path, age: Duration) {
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    let lock = std::fs::File::create(file).expect("made");
    lock.set_modified(modified(&lock) - age).expect("aged");
}

#[test]
fn locks_of_dead_processes_are_cleared() {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("a", "1")]);
    let minute = Duration::from_secs(60);
    lock_of_the_dead(&dir.path().join("refs/heads/main.lock"), minute);
    repository.advance("main", None, first).expect("moved");
    git(dir.path(), &["pack-refs", "--all", "--prune"]);
    lock_of_the_dead(&dir.path().join("packed-refs.lock"), minute);
    let second = commit(&repository, Some(first), &[("a", "2")]);
    repository.advance("main", Some(first), second).expect("moved");
    // A young one is waited for.
    lock_of_the_dead(&dir.path().join("refs/heads/main.lock"), Duration::from_secs(1));
    let third = commit(&repository, Some(second), &[("a", "3")]);
    repository.advance("main", Some(second), third).expect("moved");
    // One from the future as well: clocks may be wrong.
    let lock = std::fs::File::create(dir.path().join("refs/heads/main.lock")).expect("made");
    lock.set_modified(modified(&lock) + minute).expect("aged");
    drop(lock);
    let fourth = commit(&repository, Some(third), &[("a", "4")]);
    repository.advance("main", Some(third), fourth).expect("moved");
    assert_eq!(head(dir.path(), "main"), fourth.to_string());
}

#[test]
fn locks_of_the_living_are_respected() {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("a", "1")]);
    repository.advance("main", None, first).expect("moved");
    let second = commit(&repository, Some(first), &[("a", "2")]);
    let path = dir.path().join("refs/heads/main.lock");
    lock_of_the_dead(&path, Duration::from_secs(60));
    let open = std::fs::File::open(&path).expect("opened");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let repository = &repository;
        scope.spawn(move || sender.send(repository.advance("main", Some(first), second)));
        let early = receiver.recv_timeout(Duration::from_secs(1));
        assert!(early.is_err(), "the lock has an owner: {early:?}");
        assert!(path.exists());
        drop(open);
        receiver.recv().expect("an answer").expect("moved");
    });
}

#[test]
fn what_killed_writers_leave_is_removed() {
    let (dir, _) = bare();
    let files = ["objects/.tmpAb12Cd", "objects/.tmpYoung1", "objects/keep"];
    for file in files {
        lock_of_the_dead(&dir.path().join(file), Duration::from_secs(3600));
    }
    lock_of_the_dead(&dir.path().join(files[1]), Duration::ZERO);
    let location = Location::Local(dir.path().to_owned());
    let cache = dir.path().join("cache");
    FleetRepository::open(&location, None, &cache, &Limits::default()).expect("opened");
    let left = files.map(|file| dir.path().join(file).exists());
    assert_eq!(left, [false, true, true]);
}

#[test]
fn a_clone_is_fetched_into_past_stale_locks() {
    let (dir, origin, first, cache) = remote();
    let fleet = open_remote(dir.path(), cache.path());
    let second = commit(&origin, Some(first), &[("a", "2")]);
    origin.advance("main", Some(first), second).expect("moved");
    let lock = fleet.repository.git_dir().join("refs/heads/main.lock");
    lock_of_the_dead(&lock, Duration::from_secs(60));
    fleet.refresh().expect("fetched");
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(second));
}

#[test]
fn edits_touch_only_what_they_name() {
    let (dir, repository) = bare();
    let dir = dir.path();
    let missing = "7777777777777777777777777777777777777777";
    let blob = raw(dir, "blob", b"x");
    let sub = raw_tree(dir, &[("100755", b"run", &blob)]);
    let base = raw_tree(
        dir,
        &[
            ("100644", b"file", &blob),
            ("40000", b"old", &sub),
            ("40000", b"sub", &sub),
            ("40000", b"untouched", missing),
        ],
    );
    let base = base.parse().expect("an id");
    let mut edit = TreeEdit::new(&repository, Some(base));
    edit.remove(&path("file/below")).expect("nothing there");
    edit.remove(&path("nothing/at/all")).expect("nothing there");
    edit.remove(&path("old/run")).expect("removed");
    assert_eq!(draw(dir, edit), "100644 file\n100755 sub/run\nuntouched");

    let mut edit = TreeEdit::new(&repository, Some(base));
    edit.put(&path("file/now/folder"), b"1").expect("put");
    edit.put(&path("sub"), b"2").expect("put");
    edit.put_tree(&path("copy/of"), sub.parse().expect("an id")).expect("put");
    edit.put(&path("copy/of/new"), b"3").expect("put");
    edit.remove(&path("old")).expect("removed");
    edit.put(&path("old/new"), b"4").expect("put");
    edit.put(&path("sub.d"), b"5").expect("put");
    insta::assert_snapshot!(draw(dir, edit), @r"
    100644 copy/of/new
    100755 copy/of/run
    100644 file/now/folder
    100644 old/new
    100644 sub
    100644 sub.d
    untouched
    ");
    let mut edit = TreeEdit::new(&repository, Some(sub.parse().expect("an id")));
    edit.remove(&path("run")).expect("removed");
    assert_eq!(edit.write().expect("written"), empty_tree());
    let same = TreeEdit::new(&repository, Some(sub.parse().expect("an id")));
    assert_eq!(same.write().expect("written").to_string(), sub);
}

/// Modes and paths of the new tree; the folder `untouched` is missing and shown by name.
fn draw(dir: &Path, edit: TreeEdit<'_>) -> String {
    let tree = edit.write().expect("written").to_string();
    let top = git(dir, &["ls-tree", "--format=%(objecttype) %(objectmode) %(path)", &tree]);
    let mut lines = Vec::new();
    for line in top.lines() {
        let (kind, rest) = line.split_once(' ').expect("two words");
        let (_, name) = rest.split_once(' ').expect("two words");
        match kind {
            "blob" => lines.push(rest.to_owned()),
            _ if name == "untouched" => lines.push(name.to_owned()),
            _ => {
                let format = format!("--format=%(objectmode) {name}/%(path)");
                let below = git(dir, &["ls-tree", "-r", &format, &format!("{tree}:{name}")]);
                lines.extend(below.lines().map(str::to_owned));
            }
        }
    }
    lines.join("\n")
}

#[test]
fn changed_paths_are_those_of_git() {
    let (dir, repository) = bare();
    let first = commit(&repository, None, &[("a", "1"), ("b/c", "1"), ("b/d", "1"), ("e", "1")]);
    let second = commit(&repository, Some(first), &[("a", "2"), ("b/e/f", "1"), ("e/x", "1")]);
    let tree = |id| repository.commit(id).expect("read").tree;
    let (before, after) = (tree(first), tree(second));
    let changed = repository.changed_paths(Some(before), Some(after)).expect("read");
    let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["a", "b/e/f", "e", "e/x"]);
    let range = [first.to_string(), second.to_string()];
    let theirs = git(dir.path(), &["diff", "--no-renames", "--name-only", &range[0], &range[1]]);
    assert_eq!(changed.join("\n"), theirs);
    assert_eq!(repository.changed_paths(Some(after), Some(after)).expect("read"), []);
    assert_eq!(repository.changed_paths(None, Some(before)).expect("read").len(), 4);
}

#[test]
fn moved_branches_are_noticed() {
    let (dir, repository) = bare();
    let (sender, receiver) = std::sync::mpsc::channel();
    let _watch = watch(&repository, move || sender.send(()).unwrap_or_default()).expect("watched");
    let patience = Duration::from_secs(10);
    let first = commit(&repository, None, &[("a", "1")]);
    while receiver.try_recv().is_ok() {}
    repository.advance("titan/rendered", None, first).expect("moved");
    receiver.recv_timeout(patience).expect("a new branch is noticed");
    git(dir.path(), &["pack-refs", "--all", "--prune"]);
    while receiver.recv_timeout(Duration::from_millis(300)).is_ok() {}
    let second = commit(&repository, Some(first), &[("a", "2")]);
    repository.advance("titan/rendered", Some(first), second).expect("moved");
    receiver.recv_timeout(patience).expect("a branch that was packed is noticed");
}

/// Which objects of a rendered branch with two hosts and much else an agent's clone brings.
fn host_clone(filters: bool) -> (TempDir, Repository, Revision, TempDir, HostSource) {
    let (dir, origin) = bare();
    git(dir.path(), &["config", "uploadpack.allowFilter", &filters.to_string()]);
    let files = [
        ("hosts/eu/a/.titan", "host: a\n"),
        ("hosts/eu/a/iot/sensor/prod/x.yaml", "for a"),
        ("hosts/us/b/.titan", "host: b\n"),
        ("hosts/us/b/iot/sensor/prod/x.yaml", "for b"),
        ("assignments/iot/sensor/prod.yaml", "secret of others"),
    ];
    let first = commit(&origin, None, &files);
    origin.advance("titan/rendered", None, first).expect("moved");
    let cache = tempfile::tempdir().expect("a folder");
    let location = format!("file://{}", dir.path().display()).parse().expect("a location");
    let host = Name::new("a").expect("a name");
    let source =
        HostSource::new(&location, "titan/rendered", &host, cache.path(), &Limits::default());
    (dir, origin, first, cache, source.expect("prepared"))
}

fn text_of(view: &HostView, file: &str) -> Option<String> {
    let (_, tree) = view.folder.as_ref().expect("a folder");
    let bytes = view.repository.file(*tree, &path(file)).expect("read")?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn an_agent_brings_its_own_folder_alone() {
    for filters in [true, false] {
        let (_dir, origin, first, _cache, mut source) = host_clone(filters);
        let view = source.read().expect("read").expect("there");
        assert_eq!((view.revision, view.generation), (first, None));
        assert_eq!(view.folder.as_ref().expect("there").0.as_str(), "hosts/eu/a");
        assert_eq!(text_of(&view, "iot/sensor/prod/x.yaml").as_deref(), Some("for a"));
        let clone = view.repository.git_dir();
        let there = |text: &[u8]| {
            let file = clone.with_extension("text");
            std::fs::write(&file, text).expect("written");
            let id = git(clone, &["hash-object", file.to_str().expect("UTF-8")]);
            view.repository.blob(id.parse().expect("an id")).is_ok()
        };
        assert!(there(b"for a"));
        assert_eq!(there(b"for b"), !filters, "another host's manifest");
        assert_eq!(there(b"secret of others"), !filters);

        let second = commit(&origin, Some(first), &[("hosts/us/b/new", "1")]);
        origin.advance("titan/rendered", Some(first), second).expect("moved");
        let next = source.read().expect("read").expect("there");
        assert_eq!((next.revision, &next.folder), (second, &view.folder));

        let tree = origin.commit(second).expect("read").tree;
        let mut edit = TreeEdit::new(&origin, Some(tree));
        edit.remove(&path("hosts/eu")).expect("removed");
        edit.put(&path("hosts/deep/er/a/.titan"), b"host: a\n").expect("put");
        edit.put(&path("hosts/deep/er/a/iot/sensor/prod/x.yaml"), b"moved").expect("put");
        let moved = edit.write().expect("written");
        let third = commit_tree(&origin, second, moved);
        origin.advance("titan/rendered", Some(second), third).expect("moved");
        let next = source.read().expect("read").expect("there");
        assert_eq!(next.folder.as_ref().expect("there").0.as_str(), "hosts/deep/er/a");
        assert_eq!(text_of(&next, "iot/sensor/prod/x.yaml").as_deref(), Some("moved"));

        let mut edit = TreeEdit::new(&origin, Some(moved));
        edit.remove(&path("hosts/deep")).expect("removed");
        let fourth = commit_tree(&origin, third, edit.write().expect("written"));
        origin.advance("titan/rendered", Some(third), fourth).expect("moved");
        let gone = source.read().expect("read").expect("there");
        assert_eq!((gone.revision, gone.folder), (fourth, None));
    }
}

fn commit_tree(repository: &Repository, parent: Revision, tree: TreeId) -> Revision {
    let (author, committer) = (signature(1), signature(1));
    let (parents, message) = (vec![parent], "x".to_owned());
    let draft = CommitDraft { tree, parents, author, committer, message };
    repository.write_commit(&draft).expect("written")
}

#[test]
fn a_damaged_clone_of_an_agent_is_made_again() {
    let (_dir, origin, first, _cache, mut source) = host_clone(true);
    let view = source.read().expect("read").expect("there");
    let clone = view.repository.git_dir().to_owned();
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::remove_dir_all(clone.join("objects/pack")).expect("removed"),
        &|| std::fs::remove_file(clone.join("HEAD")).expect("removed"),
        &|| std::fs::write(clone.join("shallow"), "nonsense\n").expect("written"),
    ];
    let mut tip = first;
    for (round, damage) in damages.into_iter().enumerate() {
        damage();
        let text = format!("round {round}");
        let next = commit(&origin, Some(tip), &[("hosts/eu/a/iot/sensor/prod/x.yaml", &text)]);
        origin.advance("titan/rendered", Some(tip), next).expect("moved");
        let view = source.read().expect("read").expect("there");
        assert_eq!(text_of(&view, "iot/sensor/prod/x.yaml"), Some(text));
        tip = next;
    }
}

#[test]
fn a_local_agent_reads_in_place() {
    let (dir, repository) = bare();
    let location = Location::Local(dir.path().to_owned());
    let host = Name::new("a").expect("a name");
    let source =
        HostSource::new(&location, "titan/rendered", &host, dir.path(), &Limits::default());
    let mut source = source.expect("prepared");
    assert!(source.read().expect("read").is_none());
    let first = commit(&repository, None, &[("hosts/a/.titan", "host: a\n")]);
    repository.advance("titan/rendered", None, first).expect("moved");
    let view = source.read().expect("read").expect("there");
    assert_eq!(view.folder.expect("there").0.as_str(), "hosts/a");
    assert_eq!(view.repository.git_dir(), repository.git_dir());
}

#[test]
fn malformed_objects_of_a_remote_are_not_taken_over() {
    let (dir, _, first, cache) = remote();
    let fleet = open_remote(dir.path(), cache.path());
    let blob = raw(dir.path(), "blob", b"x");
    let evil = raw_tree(dir.path(), &[("100644", b"..", &blob), ("100644", b".git", &blob)]);
    let evil = git(dir.path(), &["commit-tree", "-m", "x", "-p", &first.to_string(), &evil]);
    git(dir.path(), &["update-ref", "refs/heads/main", &evil]);
    let error = fleet.refresh().expect_err("refused");
    assert_eq!(error.recovery(), Recovery::Fix, "{error}");
    assert_eq!(fleet.repository.branch("main").expect("read"), Some(first));
    assert_eq!(fleet.repository.commit(first).expect("read").id, first);
}

#[test]
fn a_remote_without_atomic_pushes_gets_them_one_by_one() {
    let (dir, _, first, cache) = remote();
    git(dir.path(), &["config", "receive.advertiseAtomic", "false"]);
    let fleet = open_remote(dir.path(), cache.path());
    let next = commit(&fleet.repository, Some(first), &[("a", "1")]);
    let other = commit(&fleet.repository, None, &[("b", "1")]);
    let both = [update("main", Some(first), next), update("titan/status", None, other)];
    fleet.publish(&both).expect("pushed");
    assert_eq!(head(dir.path(), "main"), next.to_string());
    assert_eq!(head(dir.path(), "titan/status"), other.to_string());
}

#[test]
fn a_refused_push_is_the_operators_to_fix() {
    let (dir, _, first, cache) = remote();
    let fleet = open_remote(dir.path(), cache.path());
    let next = commit(&fleet.repository, Some(first), &[("a", "1")]);
    git(dir.path(), &["config", "receive.denyCurrentBranch", "refuse"]);
    let hook = dir.path().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().expect("a parent")).expect("made");
    std::fs::write(&hook, "#!/bin/sh\necho protected branch >&2\nexit 1\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).expect("set");
    let error = fleet.publish(&[update("main", Some(first), next)]).expect_err("refused");
    assert_eq!(error.recovery(), Recovery::Fix, "{error}");
    assert!(error.to_string().contains("protected branch"), "{error}");
    assert_eq!(head(dir.path(), "main"), first.to_string());
}

#[test]
fn a_checkout_stays_clean_when_its_branch_moves() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    git(dir, &["init", "-q", "."]);
    for name in ["old.yaml", "changed.yaml"] {
        std::fs::write(dir.join(name), "1").expect("written");
    }
    git(dir, &["add", "."]);
    git(dir, &["commit", "-q", "-m", "x"]);
    let repository = Repository::open(dir).expect("opened");
    let first = repository.resolve("main").expect("a commit");
    let base = repository.commit(first).expect("read").tree;
    let mut edit = TreeEdit::new(&repository, Some(base));
    edit.remove(&path("old.yaml")).expect("removed");
    edit.put(&path("changed.yaml"), b"2").expect("put");
    edit.put(&path("-new/file.yaml"), b"3").expect("put");
    let tree = edit.write().expect("written");
    let second = commit_tree(&repository, first, tree);
    repository.advance("main", Some(first), second).expect("moved");
    let changed = ["old.yaml", "changed.yaml", "-new/file.yaml"].map(path);
    repository.check_out(second, &changed).expect("checked out");
    assert_eq!(git(dir, &["status", "--porcelain"]), "");
    assert_eq!(std::fs::read_to_string(dir.join("-new/file.yaml")).expect("read"), "3");
    assert!(!dir.join("old.yaml").exists());
    // People find the move in the reflog, too.
    assert_eq!(git(dir, &["reflog", "-1", "--format=%H %gs", "main"]), format!("{second} x"));
}
