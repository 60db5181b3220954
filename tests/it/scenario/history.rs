//! What the branches say when somebody handles them roughly.

use std::process::Command;

use titan::git::{CommitDraft, Repository, Signature, TreeEdit};
use titan::model::{RepoPath, Revision};

use super::support::{ConfigRepo, eventually};

fn fleet() -> ConfigRepo {
    ConfigRepo::new()
        .host("a", "n=a")
        .host("b", "n=b")
        .host("c", "n=c")
        .template()
        .workload()
        .deployment("prod", "1", "  replicas: 2\n")
}

fn git(repo: &ConfigRepo, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(&repo.path).output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is text").trim().to_owned()
}

/// Commits edits to `branch` as a hand would.
fn by_hand(repo: &ConfigRepo, branch: &str, edits: &[(&str, Option<&str>)]) -> Revision {
    let head = repo.head(branch).expect("the branch exists");
    let mut tree = TreeEdit::new(&repo.git, Some(repo.git.commit(head).expect("it reads").tree));
    for (path, text) in edits {
        let path = RepoPath::new(path).expect("a path");
        match text {
            Some(text) => tree.put(&path, text.as_bytes()).expect("it is put"),
            None => tree.remove(&path).expect("it is removed"),
        }
    }
    let hand = Signature { name: "hand".into(), email: "h@x".into(), seconds: 1, offset: 0 };
    let draft = CommitDraft {
        tree: tree.write().expect("it is written"),
        parents: vec![head],
        author: hand.clone(),
        committer: hand,
        message: "by hand\n".into(),
    };
    let new = repo.git.write_commit(&draft).expect("it is written");
    repo.git.advance(branch, Some(head), new).expect("nobody else pushes");
    new
}

#[test]
fn a_lost_rendered_branch_comes_back_commit_by_commit() {
    let mut repo = fleet();
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    // Who stays is decided step by step: the last source alone would choose others.
    for replicas in [1, 3, 2] {
        repo.edit_deployment("prod", "2", &format!("  replicas: {replicas}\n")).commit("count");
        repo.titan_ok(&["reconcile"]);
    }
    let before = repo.head("titan/rendered");
    git(&repo, &["update-ref", "-d", "refs/heads/titan/rendered"]);
    repo.titan_ok(&["reconcile"]);
    assert_eq!(repo.head("titan/rendered"), before);
}

#[test]
fn generations_go_on_over_a_foreign_rendered_branch() {
    let mut repo = fleet();
    for version in 1..5 {
        repo.edit_deployment("prod", &version.to_string(), "").commit("a change");
        repo.titan_ok(&["reconcile"]);
    }
    let generation = || {
        let head = repo.git.commit(repo.head("titan/rendered").expect("it is there"));
        let text = head.expect("it reads").trailer("Titan-Generation").map(str::to_owned);
        text.expect("it is stated").parse::<u64>().expect("a number")
    };
    let before = generation();
    // Agents refuse a generation below one that they saw.
    git(&repo, &["update-ref", "refs/heads/titan/rendered", "main"]);
    repo.titan_ok(&["reconcile"]);
    assert!(generation() >= before, "{} after {before}", generation());
    assert!(!repo.tree("titan/rendered").contains("hosts/a.yaml"));
}

#[test]
fn a_clone_without_titans_branches_renders_the_same_commits() {
    let mut repo = fleet();
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    repo.edit_deployment("prod", "2", "").commit("second");
    repo.titan_ok(&["reconcile"]);
    let clone = repo.folder.path().join("clone.git");
    let text = clone.to_str().expect("a plain path");
    git(&repo, &["clone", "--quiet", "--bare", "--single-branch", ".", text]);
    repo.titan_ok(&["reconcile", "--fleet", text]);
    let cloned = Repository::open(&clone).expect("it opens");
    assert_eq!(cloned.branch("titan/rendered").expect("it reads"), repo.head("titan/rendered"));
}

#[test]
fn a_shallow_clone_is_refused_by_name() {
    let mut repo = fleet();
    repo.commit("first");
    repo.edit_deployment("prod", "2", "").commit("second");
    let clone = repo.folder.path().join("clone");
    let text = clone.to_str().expect("a plain path");
    let url = format!("file://{}", repo.path.display());
    git(&repo, &["clone", "--quiet", "--depth", "1", &url, text]);
    let output = repo.titan(&["reconcile", "--fleet", text]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("shallow") && error.contains("--unshallow"), "{error}");
}

#[test]
fn what_a_hand_did_to_the_rendered_branch_is_undone() {
    let mut repo = fleet();
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    let before = repo.head("titan/rendered").expect("it is rendered");
    let tree = |revision| repo.git.commit(revision).expect("it reads").tree;
    for edits in [
        &[("hosts/a/stray.yaml", Some("x"))][..],
        &[("hosts/a/default/stray.yaml", Some("x")), ("hosts/a/default/web/x", Some("x"))],
        &[("hosts/ghost/x.yaml", Some("x")), ("hosts/ghost/default/web/prod/x", Some("x"))],
        &[("hosts/eu/a/.titan", Some("host: a\n")), ("hosts/eu/a/default/web/prod/x", Some("x"))],
        &[("hosts/a/.titan", Some("host: b\n"))],
        &[("hosts/a/.titan", None)],
        &[("hosts/c/.titan", None)],
        &[("hosts", Some("x"))],
        &[("assignments/stray.yaml", Some("x"))],
        &[("assignments/default/web/prod.yaml", Some("x"))],
        &[("hydrator.metadata", Some("x"))],
        &[("hydrator.metadata", None)],
    ] {
        by_hand(&repo, "titan/rendered", edits);
        repo.titan_ok(&["reconcile"]);
        let healed = repo.head("titan/rendered").expect("it is there");
        assert_eq!(tree(healed), tree(before), "{edits:?}");
        repo.titan_ok(&["reconcile"]);
        assert_eq!(repo.head("titan/rendered"), Some(healed), "{edits:?}");
    }
    // What others keep beside titan's folders is theirs.
    by_hand(&repo, "titan/rendered", &[("README.md", Some("x"))]);
    let kept = repo.head("titan/rendered");
    repo.titan_ok(&["reconcile"]);
    assert_eq!(repo.head("titan/rendered"), kept);
}

#[test]
fn unreadable_settings_do_not_move_titans_branches() {
    const SETTINGS: &str = "apiVersion: titan.dev/v1\nkind: Fleet\nspec:\n  branches: {rendered: out/r, status: out/s}\n";
    let mut repo = fleet().file("titan.yaml", SETTINGS);
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    let rendered = repo.head("out/r");
    assert!(rendered.is_some());
    repo.edit("titan.yaml", "kind: [").edit_deployment("prod", "2", "").commit("broken");
    repo.titan_ok(&["reconcile"]);
    repo.edit_deployment("prod", "3", "").commit("still broken");
    repo.titan_ok(&["reconcile"]);
    assert_eq!((repo.head("out/r"), repo.head("titan/rendered")), (rendered, None));
    assert_eq!(repo.head("titan/status"), None);
    assert!(repo.read("out/s", "fleet.yaml").expect("it is there").contains("held:"));
    assert!(repo.titan_ok(&["get", "fleet"]).contains("out/s"));
    repo.edit("titan.yaml", SETTINGS).commit("fixed");
    repo.titan_ok(&["reconcile"]);
    assert_ne!(repo.head("out/r"), rendered);
}

#[test]
fn a_misspelled_path_deletes_nothing() {
    let host = "apiVersion: titan.dev/v1\nkind: Host\nspec:\n  runtime: directory\n";
    let deployments = "workspaces/default/workloads/web/deployments";
    let deployment = "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: all\n";
    let other = format!("{deployments}/prod.yaml");
    for (old, new, text) in [
        ("hosts/a.yaml", "hosts/a.yml".to_owned(), host),
        ("hosts/a.yaml", "hosts/A.yaml".to_owned(), host),
        (&*other, format!("{deployments}/prod.yml"), deployment),
        (&other, "workspaces/default/workloads/web/deployment/prod.yaml".to_owned(), deployment),
        (&other, "workspaces/Default/workloads/web/deployments/prod.yaml".to_owned(), deployment),
    ] {
        let mut repo = fleet().deployment("prod", "1", "");
        repo.commit("first");
        repo.titan_ok(&["reconcile"]);
        let before = repo.tree("titan/rendered");
        repo.remove(old).edit(&new, text).commit("misspelled");
        assert!(repo.titan_ok(&["reconcile"]).contains("held"), "{new}");
        assert_eq!(repo.tree("titan/rendered"), before, "{new}");
        // A copy beside the right file changes nothing.
        repo.edit(old, text).commit("and the right one");
        assert!(!repo.titan_ok(&["reconcile"]).contains("held"), "{new}");
    }
}

#[test]
fn a_commit_by_nobody_stops_none_after_it() {
    let mut repo = fleet();
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    repo.edit_deployment("prod", "2", "").commit("second");
    let head = repo.head("main").expect("it is there");
    let text = git(&repo, &["cat-file", "commit", &head.to_string()]);
    let broken: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("committer") { "committer x" } else { line })
        .collect();
    let file = repo.folder.path().join("commit");
    std::fs::write(&file, broken.join("\n") + "\n").expect("it is written");
    let file = file.to_str().expect("a plain path");
    let id = git(&repo, &["hash-object", "-t", "commit", "-w", "--literally", file]);
    git(&repo, &["update-ref", "refs/heads/main", &id]);
    repo.titan_ok(&["reconcile"]);
    let text = repo.read("titan/rendered", "hydrator.metadata").expect("it is there");
    assert!(text.contains(&id), "{text}");
    repo.edit_deployment("prod", "3", "").commit("third");
    repo.titan_ok(&["reconcile"]);
    let host = if repo.tree("titan/rendered").contains("hosts/a/default") { "a" } else { "b" };
    let file = repo.read("titan/rendered", &format!("hosts/{host}/default/web/prod/sub/b.txt"));
    assert_eq!(file.as_deref(), Some("3\n"));
}

#[test]
fn several_changes_at_once_leave_a_clean_checkout() {
    let mut repo = fleet();
    repo.commit("first");
    let checkout = repo.folder.path().join("checkout");
    let text = checkout.to_str().expect("a plain path");
    git(&repo, &["clone", "--quiet", ".", text]);
    // Of a git that died.
    let lock = std::fs::File::create(checkout.join(".git/index.lock")).expect("it is made");
    let made = lock.metadata().and_then(|data| data.modified()).expect("a new file has a time");
    lock.set_modified(made - std::time::Duration::from_secs(3)).expect("its time is set");
    drop(lock);
    for round in 0..3 {
        let fields: Vec<String> = (0..4).map(|n| format!("spec.values.k{n}={round}")).collect();
        let all: Vec<_> = fields
            .iter()
            .map(|field| {
                let mut set = repo.command(&["set", "deployment", "web/prod", field]);
                set.args(["--fleet", text]).spawn().expect("titan starts")
            })
            .collect();
        for mut set in all {
            assert!(set.wait().expect("it ends").success());
        }
    }
    let at = |arguments: &[&str]| git(&repo, &[&["-C", text], arguments].concat());
    assert_eq!(at(&["status", "--porcelain"]), "");
    assert_eq!(at(&["rev-list", "--count", "origin/main..main"]), "12");
}

#[test]
fn a_second_agent_in_one_folder_is_told_so() {
    let mut repo = fleet().deployment("prod", "1", "");
    repo.commit("first");
    repo.titan_ok(&["reconcile"]);
    let folder = repo.destination("a");
    let folder = folder.to_str().expect("a plain path");
    let arguments = ["agent", "--host", "a", "--runtime", "directory", "--dest", folder];
    let _first = repo.spawn("first", &arguments);
    eventually("the first has the folder", || {
        std::path::Path::new(folder).join("default/web/prod/a.txt").exists()
    });
    let output = repo.titan(&[&arguments[..], &["--once"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another agent"));
}
