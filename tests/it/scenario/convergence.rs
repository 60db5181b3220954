//! From a commit to a host, and what must not move on the way.

use super::support::{ConfigRepo, drawn, eventually, free_address};

fn shop() -> ConfigRepo {
    let mut repository = ConfigRepo::new()
        .quick()
        .template()
        .workload()
        .host("eu/one", "region=eu")
        .host("eu/two", "region=eu")
        .host("three", "region=us")
        .deployment("prod", "1", "");
    repository.commit("the fleet");
    repository
}

#[test]
fn a_commit_reaches_its_host_and_only_its_folder_differs() {
    let mut repository = ConfigRepo::new()
        .quick()
        .template()
        .workload()
        .host("one", "ring=a")
        .host("two", "ring=b")
        .deployment("prod", "1", "");
    repository.commit("the fleet");
    let address = free_address();
    let token = repository.token("one");
    let _controller = repository.controller(&address);
    let _agent = repository.agent("one", &address, &token);
    let phase = |repository: &ConfigRepo| repository.phase("default/web/prod@one");
    eventually("one is deployed", || phase(&repository).as_deref() == Some("Deployed"));
    let before = repository.head("titan/rendered").expect("it was rendered");

    let over =
        "  overrides:\n    - selector: {matchLabels: {ring: a}}\n      values: {version: \"2\"}\n";
    let source = repository.edit_deployment("prod", "1", over).commit("one gets version 2");
    let destination = repository.destination("one");
    eventually("the file is there", || drawn(&destination).contains("prod 2 on one"));
    let trace = ["trace", &source.to_string(), "--wait", "--timeout", "30s"];
    // Host two has no agent; host one alone was changed, so all of this commit is deployed.
    repository.titan_ok(&trace);

    let after = repository.head("titan/rendered").expect("it was rendered");
    let tree = |revision| repository.git.commit(revision).expect("it is readable").tree;
    let changed = repository.git.changed_paths(Some(tree(before)), Some(tree(after)));
    let changed: Vec<String> =
        changed.expect("trees are readable").iter().map(ToString::to_string).collect();
    assert_eq!(
        changed,
        [
            "hosts/one/default/web/prod/a.txt",
            "hosts/one/default/web/prod/sub/b.txt",
            "hydrator.metadata"
        ]
    );
}

#[test]
fn a_second_pass_writes_nothing() {
    let repository = shop();
    repository.titan_ok(&["reconcile"]);
    let heads = || ["main", "titan/rendered", "titan/status"].map(|branch| repository.head(branch));
    let before = heads();
    assert!(before.iter().all(Option::is_some));
    repository.titan_ok(&["reconcile"]);
    repository.titan_ok(&["reconcile"]);
    assert_eq!(heads(), before);
}

#[test]
fn two_clones_render_the_same_commit() {
    let mut repository = shop();
    repository.edit_deployment("prod", "2", "  replicas: 2\n").commit("two replicas");
    let clone = repository.folder.path().join("clone.git");
    let output = std::process::Command::new("git")
        .args(["clone", "--quiet", "--bare"])
        .args([&repository.path, &clone])
        .output()
        .expect("git runs");
    assert!(output.status.success());
    repository.titan_ok(&["reconcile"]);
    let clone = clone.to_str().expect("the path is text").to_owned();
    repository.titan_ok(&["reconcile", "--fleet", &clone]);
    let other = titan::git::Repository::open(clone.as_ref()).expect("it opens");
    assert_eq!(
        other.branch("titan/rendered").expect("readable"),
        repository.head("titan/rendered")
    );
}

/// Whoever looks at every commit and whoever looks at the last only write the same history (I3).
#[test]
fn history_does_not_depend_on_when_somebody_looked() {
    let story = |look_each_time: bool| {
        let mut repository = shop();
        repository.titan_ok(&["reconcile"]);
        for (version, replicas) in [("2", 1), ("3", 3), ("4", 2), ("5", 1), ("6", 2)] {
            repository
                .edit_deployment("prod", version, &format!("  replicas: {replicas}\n"))
                .commit(version);
            if look_each_time {
                repository.titan_ok(&["reconcile"]);
            }
        }
        repository.titan_ok(&["reconcile"]);
        repository.head("titan/rendered").expect("it was rendered")
    };
    assert_eq!(story(true), story(false));
}

#[test]
fn a_broken_object_holds_back_only_what_depends_on_it() {
    let mut repository = shop();
    repository.edit_deployment("test", "1", "").commit("a second deployment");
    repository.titan_ok(&["reconcile"]);
    let path = "workspaces/default/workloads/web/deployments/test.yaml";
    repository.edit_deployment("prod", "2", "");
    repository.edit(path, "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {targit: all}\n");
    repository.commit("prod moves on, test breaks");
    repository.titan_ok(&["reconcile"]);
    let read = |path: &str| repository.read("titan/rendered", path);
    assert_eq!(read("hosts/three/default/web/prod/sub/b.txt").as_deref(), Some("2\n"));
    assert_eq!(read("hosts/three/default/web/test/sub/b.txt").as_deref(), Some("1\n"));
    let head = repository.head("titan/rendered").expect("it was rendered");
    let commit = repository.git.commit(head).expect("it is readable");
    let held = commit.trailer("Titan-Held").expect("it says what is held");
    assert!(held.starts_with("deployment default/web/test: "), "{held}");
    let diagnostics = repository.read("titan/status", "diagnostics.yaml").expect("it is written");
    assert!(diagnostics.contains("field/unknown"), "{diagnostics}");
}

/// Many passes at once on one repository: no commit twice, none lost, no error (I2).
#[test]
fn several_controllers_get_along() {
    let mut repository = shop();
    for round in 0..10 {
        repository.edit_deployment("prod", &format!("v{round}"), "").commit("a change");
        let passes: Vec<_> = (0..4)
            .map(|_| {
                repository
                    .command(&["reconcile"])
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .expect("titan starts")
            })
            .collect();
        for mut pass in passes {
            assert!(pass.wait().expect("it ends").success());
        }
    }
    let head = repository.head("titan/rendered").expect("it was rendered");
    let commits = repository.git.first_parents(head, None, 100).expect("history is readable");
    assert_eq!(commits.len(), 11, "one commit for each change, the shop's own included");
    repository.assert_sound();
}

#[test]
fn a_stale_lock_of_a_dead_process_is_no_obstacle() {
    let repository = shop();
    repository.titan_ok(&["reconcile"]);
    for lock in
        ["refs/heads/titan/rendered.lock", "refs/heads/titan/status.lock", "packed-refs.lock"]
    {
        let path = repository.path.join(lock);
        let file = std::fs::File::create(&path).expect("the lock is made");
        let now = file.metadata().and_then(|data| data.modified()).expect("a new file has a time");
        let old = now - std::time::Duration::from_secs(3);
        file.set_modified(old).expect("its time is set");
    }
    let mut repository = repository;
    repository.edit_deployment("prod", "2", "").commit("a change behind locks");
    repository.titan_ok(&["reconcile"]);
    let text = repository.read("titan/rendered", "hosts/three/default/web/prod/sub/b.txt");
    assert_eq!(text.as_deref(), Some("2\n"));
}

/// A remote is cloned, rendered in the clone and pushed; a wiped clone is made again.
#[test]
fn a_remote_fleet_is_served_from_a_disposable_clone() {
    let repository = shop();
    let url = format!("file://{}", repository.path.display());
    repository.titan_ok(&["reconcile", "--fleet", &url]);
    let first = repository.head("titan/rendered").expect("it was pushed");
    let cache = repository.folder.path().join("cache");
    let clones: Vec<_> = std::fs::read_dir(&cache).expect("the cache exists").flatten().collect();
    assert!(!clones.is_empty());
    std::fs::remove_dir_all(&cache).expect("the cache may be deleted");
    repository.titan_ok(&["reconcile", "--fleet", &url]);
    assert_eq!(repository.head("titan/rendered"), Some(first));
}
