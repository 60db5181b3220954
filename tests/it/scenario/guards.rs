//! What titan does not do before somebody says so.

use std::process::Command;

use titan::git::{CommitDraft, CommitInfo, Repository, Signature, TreeEdit};
use titan::model::{RepoPath, Revision};

use super::support::ConfigRepo;

/// Ten hosts with one deployment; two of the ten assignments may go at once.
fn ten() -> ConfigRepo {
    let mut repository =
        ConfigRepo::new().guarded().template().workload().deployment("prod", "1", "");
    for n in 0..10 {
        repository.edit_host(&format!("h{n}"), if n < 5 { "half=a" } else { "half=b" });
    }
    repository.commit("the fleet");
    repository
}

fn tip(repository: &ConfigRepo) -> CommitInfo {
    let head = repository.head("titan/rendered").expect("it was rendered");
    repository.git.commit(head).expect("it is readable")
}

/// How many hosts have the file of the deployment on the rendered branch.
fn running(repository: &ConfigRepo, deployment: &str) -> usize {
    let end = format!("/default/web/{deployment}/a.txt");
    repository.tree("titan/rendered").lines().filter(|line| line.ends_with(&end)).count()
}

fn held(repository: &ConfigRepo) -> serde_json::Value {
    let text = repository.titan_ok(&["reconcile", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    value["held"].clone()
}

/// A commit with any parents, and the tree of one of them or one given by edits.
pub(super) fn commit_on(
    git: &Repository,
    parents: &[Revision],
    edits: &[(&str, Option<&str>)],
    message: &str,
) -> Revision {
    let base = git.commit(parents[0]).expect("it is readable");
    let mut tree = TreeEdit::new(git, Some(base.tree));
    for (path, text) in edits {
        let path = RepoPath::new(path).expect("a path");
        match text {
            Some(text) => tree.put(&path, text.as_bytes()).expect("it is put"),
            None => tree.remove(&path).expect("it is removed"),
        }
    }
    let seconds = parents.iter().map(|one| git.commit(*one).expect("read").committer.seconds).max();
    let somebody = Signature {
        name: "mallory".into(),
        email: "mallory@example.com".into(),
        seconds: seconds.expect("there is a parent") + 1,
        offset: 0,
    };
    let draft = CommitDraft {
        tree: tree.write().expect("the tree is written"),
        parents: parents.to_vec(),
        author: somebody.clone(),
        committer: somebody,
        message: message.to_owned(),
    };
    git.write_commit(&draft).expect("the commit is written")
}

/// As `git push --force`.
pub(super) fn force(repository: &ConfigRepo, branch: &str, to: Revision) {
    let status = Command::new("git")
        .args(["update-ref", &format!("refs/heads/{branch}"), &to.to_string()])
        .current_dir(&repository.path)
        .status()
        .expect("git runs");
    assert!(status.success());
}

fn only_half_a(repository: &mut ConfigRepo) -> &mut ConfigRepo {
    repository.edit(
        "workspaces/default/targets/all.yaml",
        "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: {matchLabels: {half: a}}\n",
    )
}

fn all_halves(repository: &mut ConfigRepo) -> &mut ConfigRepo {
    repository.edit(
        "workspaces/default/targets/all.yaml",
        "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: {}\n",
    )
}

#[test]
fn too_many_removals_are_held_and_the_rest_goes_on() {
    let mut repository = ten();
    repository.titan_ok(&["reconcile"]);
    only_half_a(&mut repository).edit_deployment("prod", "2", "");
    let source = repository.commit("half of them");
    let held = held(&repository);
    assert_eq!(
        held["removals"],
        "5 of 10 assignments would be removed, 2 may be; the first is default/web/prod@h5; \
         fix: commit with trailer Titan-Allow-Removals: 5"
    );
    assert_eq!(running(&repository, "prod"), 10);
    let read = |host: &str| {
        repository.read("titan/rendered", &format!("hosts/{host}/default/web/prod/sub/b.txt"))
    };
    assert_eq!(read("h0").as_deref(), Some("2\n"), "what is not removed goes on");
    assert_eq!(read("h5").as_deref(), Some("1\n"), "what is held stays as it is");
    let commit = tip(&repository);
    assert_eq!(commit.trailer("Titan-Held-Removals"), Some("5 of 10"));
    assert!(commit.trailer("Titan-Held").is_some_and(|held| held.starts_with("removals: 5 of 10")));
    let status = repository.read("titan/status", "fleet.yaml").expect("it is written");
    assert!(status.contains("5 of 10 assignments would be removed"), "{status}");
    let trace = repository.titan(&["trace", &source.to_string()]);
    assert!(String::from_utf8_lossy(&trace.stdout).contains("held       removals: 5 of 10"));

    let before = ["titan/rendered", "titan/status"].map(|branch| repository.head(branch));
    repository.titan_ok(&["reconcile"]);
    let after = ["titan/rendered", "titan/status"].map(|branch| repository.head(branch));
    assert_eq!(after, before, "a second pass writes nothing");

    repository.commit("go\n\nTitan-Allow-Removals: 4");
    assert!(self::held(&repository)["removals"].to_string().contains("this commit allows 4"));
    repository.commit("go\n\nTitan-Allow-Removals: 5");
    assert_eq!(self::held(&repository), serde_json::json!({}));
    assert_eq!(running(&repository, "prod"), 5);
    assert_eq!(tip(&repository).trailer("Titan-Held-Removals"), None);
    repository.titan_ok(&["verify", "--all"]);
}

#[test]
fn removals_that_are_held_are_not_let_go_by_a_growing_fleet() {
    let mut repository = ten();
    repository.titan_ok(&["reconcile"]);
    for n in 0..3 {
        repository.remove(&format!("hosts/h{n}.yaml"));
    }
    repository.commit("three hosts less");
    assert!(held(&repository)["removals"].to_string().contains("3 of 10"));
    assert!(repository.read("titan/rendered", "hosts/h0/.titan").is_some(), "the folder stays");
    assert_eq!(tip(&repository).subject, "hold 3 removals", "later commits build on it");
    for n in 10..40 {
        repository.edit_host(&format!("h{n}"), "half=b");
    }
    repository.commit("thirty more");
    assert!(held(&repository)["removals"].to_string().contains("3 of 10"));
    assert_eq!(running(&repository, "prod"), 40);
    // A merge brings the trailer as well as any other commit.
    let head = repository.head("main").expect("there is a head");
    let side = commit_on(&repository.git, &[head], &[("README.md", Some("x"))], "on the side\n");
    let merge =
        commit_on(&repository.git, &[head, side], &[], "merge\n\nTitan-Allow-Removals: all\n");
    force(&repository, "main", merge);
    assert_eq!(held(&repository), serde_json::json!({}));
    assert_eq!(running(&repository, "prod"), 37);
    assert!(repository.read("titan/rendered", "hosts/h0/.titan").is_none());
    repository.titan_ok(&["verify", "--all"]);
}

#[test]
fn a_revert_ends_the_holding() {
    let mut repository = ten();
    repository.titan_ok(&["reconcile"]);
    let rendered = tip(&repository).tree;
    only_half_a(&mut repository).commit("half of them");
    assert!(held(&repository)["removals"].is_string());
    all_halves(&mut repository).commit("all of them again");
    assert_eq!(held(&repository), serde_json::json!({}));
    assert_eq!(tip(&repository).subject, "no removal is held any more");
    let hosts = RepoPath::new("hosts").expect("a path");
    let at = |tree| repository.git.entry(tree, &hosts).expect("readable");
    assert_eq!(at(tip(&repository).tree), at(rendered));
    repository.remove("hosts/h0.yaml").commit("one goes");
    assert_eq!(held(&repository), serde_json::json!({}), "within the budget again");
    assert_eq!(running(&repository, "prod"), 9);
}

#[test]
fn a_moved_host_and_a_renamed_deployment_are_removals() {
    let mut repository = ten();
    repository.titan_ok(&["reconcile"]);
    for n in 0..3 {
        repository.remove(&format!("hosts/h{n}.yaml"));
        repository.edit_host(&format!("eu/h{n}"), "half=a");
    }
    repository.edit_deployment("prod", "2", "").commit("three move, all change");
    assert!(held(&repository)["removals"].to_string().contains("3 of 10"));
    let read = |path: &str| repository.read("titan/rendered", path);
    let old = read("hosts/h0/default/web/prod/sub/b.txt");
    assert_eq!(old.as_deref(), Some("2\n"), "it goes on in its old place");
    assert_eq!(read("hosts/eu/h0/.titan"), None);
    repository.commit("they may move\n\nTitan-Allow-Removals: 3");
    assert_eq!(held(&repository), serde_json::json!({}));
    assert!(repository.read("titan/rendered", "hosts/eu/h0/.titan").is_some());

    repository.remove("workspaces/default/workloads/web/deployments/prod.yaml");
    repository.edit_deployment("live", "2", "").commit("prod is called live now");
    assert!(held(&repository)["removals"].to_string().contains("10 of 10"));
    assert_eq!([running(&repository, "prod"), running(&repository, "live")], [10, 10]);
    repository.titan_ok(&["verify", "--all"]);
}

/// Removals that are held and let go over several commits: whoever looks, and whenever, writes the
/// same history (I3).
#[test]
fn held_removals_do_not_depend_on_when_somebody_looked() {
    let story = |look_each_time: bool| {
        let mut repository = ten();
        let look = |repository: &ConfigRepo, name: &str| {
            let clone = repository.folder.path().join(name);
            let url = format!("file://{}", repository.path.display());
            let mut command = repository.command(&["reconcile", "--fleet", &url]);
            // Each look is that of another machine.
            let output = command.env("TITAN_CACHE", &clone).output().expect("titan runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        repository.titan_ok(&["reconcile"]);
        let mut step = 0;
        let mut commit = |repository: &mut ConfigRepo, message: &str| {
            repository.commit(message);
            step += 1;
            if look_each_time {
                look(repository, &format!("clone-{step}"));
                look(repository, &format!("clone-{step}"));
            }
        };
        repository.remove("hosts/h9.yaml");
        commit(&mut repository, "one goes");
        only_half_a(&mut repository).edit_deployment("prod", "2", "  replicas: 2\n");
        commit(&mut repository, "two of one half");
        repository.edit("README.md", "words\n");
        commit(&mut repository, "nothing that runs");
        for n in 20..50 {
            repository.edit_host(&format!("h{n}"), "half=c");
        }
        commit(&mut repository, "many more hosts");
        repository.edit_deployment("test", "1", "");
        commit(&mut repository, "a second deployment");
        repository.remove("hosts/h0.yaml");
        commit(&mut repository, "one more goes\n\nTitan-Allow-Removals: 1");
        commit(&mut repository, "all may go\n\nTitan-Allow-Removals: all");
        all_halves(&mut repository);
        commit(&mut repository, "everywhere again");
        look(&repository, "last");
        repository.titan_ok(&["verify", "--all"]);
        assert_eq!(running(&repository, "prod"), 2);
        repository.head("titan/rendered").expect("it was rendered")
    };
    assert_eq!(story(true), story(false));
}

#[test]
fn a_rewritten_history_is_held_until_somebody_accepts_it() {
    let mut repository = ten();
    let first = repository.head("main").expect("there is a head");
    repository.titan_ok(&["reconcile"]);
    let second = repository.edit_deployment("prod", "2", "").commit("version 2");
    repository.titan_ok(&["reconcile"]);
    let rendered = repository.head("titan/rendered");
    // Back to an ancestor by force: a rewrite, too.
    force(&repository, "main", first);
    let reason = held(&repository)["history"].to_string();
    assert!(reason.contains(&format!("resume --accept {first}")), "{reason}");
    assert_eq!(repository.head("titan/rendered"), rendered);
    let status = repository.read("titan/status", "fleet.yaml").expect("it is written");
    assert!(status.contains("was rewritten"), "{status}");
    // And to something else entirely.
    let other = commit_on(
        &repository.git,
        &[first],
        &[("workspaces/default/workloads/web/deployments/prod.yaml", None)],
        "no prod\n",
    );
    force(&repository, "main", other);
    assert!(held(&repository)["history"].is_string());
    assert_eq!(repository.head("titan/rendered"), rendered);
    assert_eq!(repository.titan(&["resume"]).status.code(), Some(1));
    let strange = repository.titan(&["resume", "--accept", &second.to_string()]);
    assert_eq!(strange.status.code(), Some(1), "it is not on the branch");

    repository.titan_ok(&[
        "resume",
        "--accept",
        &other.to_string(),
        "-m",
        "INC-42\n\nTitan-Generation: 99",
    ]);
    let resumed = tip(&repository);
    assert_eq!(resumed.trailer("Titan-Resume"), Some(other.to_string().as_str()));
    assert_eq!(resumed.trailer("Titan-Source-Commit"), Some(second.to_string().as_str()));
    assert_eq!(resumed.trailer("Titan-Generation"), Some("3"));
    assert_eq!(repository.titan(&["resume"]).status.code(), Some(0));
    // Guards hold what the new history takes away, as ever.
    let held = held(&repository);
    assert!(held["history"].is_null() && held["removals"].is_string(), "{held}");
    assert_eq!(tip(&repository).trailer("Titan-Generation"), Some("4"));
    assert_eq!(running(&repository, "prod"), 10);
    repository.commit("go\n\nTitan-Allow-Removals: all");
    repository.titan_ok(&["reconcile"]);
    assert_eq!(running(&repository, "prod"), 0);
    repository.titan_ok(&["verify", "--all"]);
    repository.assert_sound();
}

#[test]
fn a_resume_is_a_race_that_one_wins() {
    let mut repository = ten();
    let first = repository.head("main").expect("there is a head");
    repository.edit_deployment("prod", "2", "").commit("version 2");
    repository.titan_ok(&["reconcile"]);
    force(&repository, "main", first);
    let resume = ["resume", "--accept", &first.to_string()];
    let passes: Vec<_> = (0..6)
        .map(|n| {
            let arguments: &[&str] = if n % 2 == 0 { &resume } else { &["reconcile"] };
            repository.command(arguments).spawn().expect("titan starts")
        })
        .collect();
    for mut pass in passes {
        assert!(pass.wait().expect("it ends").success());
    }
    repository.titan_ok(&["reconcile"]);
    let read = repository.read("titan/rendered", "hosts/h0/default/web/prod/sub/b.txt");
    assert_eq!(read.as_deref(), Some("1\n"));
    let head = repository.head("titan/rendered").expect("it was rendered");
    let line = repository.git.first_parents(head, None, 10).expect("readable");
    assert_eq!(line.len(), 4, "the fleet, version 2, one resume, the fleet again");
    repository.titan_ok(&["verify", "--all"]);
}

/// `git pull` on the branch, then push: what was the main line is the merge's second parent now.
#[test]
fn merges_are_no_rewrites() {
    let mut repository = ten();
    let first = repository.head("main").expect("there is a head");
    let main = repository.edit_deployment("prod", "2", "").commit("version 2");
    repository.titan_ok(&["reconcile"]);
    let side = commit_on(&repository.git, &[first], &[("README.md", Some("x"))], "on the side\n");
    let prod = "workspaces/default/workloads/web/deployments/prod.yaml";
    let text = repository.read("main", prod).expect("it is there").replace("\"2\"", "\"3\"");
    let merge = commit_on(&repository.git, &[side, main], &[(prod, Some(&text))], "merge\n");
    force(&repository, "main", merge);
    assert_eq!(held(&repository), serde_json::json!({}));
    let read = repository.read("titan/rendered", "hosts/h0/default/web/prod/sub/b.txt");
    assert_eq!(read.as_deref(), Some("3\n"));
    let merge = merge.to_string();
    assert_eq!(tip(&repository).trailer("Titan-Source-Commit"), Some(merge.as_str()));
    repository.titan_ok(&["verify", "--all"]);
}
