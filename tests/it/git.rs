//! Git: real repositories in temporary folders.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use titan::git::{
    CommitDraft, FleetRepository, GitError, Location, RefUpdate, Repository, Signature, TreeEdit,
};
use titan::model::url::UrlError;
use titan::model::{Limits, Recovery, RepoPath, Revision};

/// Runs the stock `git` without any configuration of this machine; returns what it prints.
fn git(dir: &Path, args: &[&str]) -> String {
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
    let files = repository.source_files(second, &Limits::default()).expect("read");
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
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
