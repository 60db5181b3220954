//! Git: real repositories in temporary folders.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use titan::git::{CommitDraft, GitError, Repository, Signature, TreeEdit};
use titan::model::{Limits, RepoPath, Revision};

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
