//! `titan plan` says what a pass will do: with the choices, the leftovers and the guards of the
//! rendered branch.

use std::collections::BTreeSet;

use serde_json::Value;
use titan::model::Revision;

use super::support::{ConfigRepo, Random};

/// Eight hosts of two halves, and a deployment that wants three of them.
fn eight() -> ConfigRepo {
    let mut repository = ConfigRepo::new().template().workload();
    repository.edit_deployment("prod", "1", "  replicas: 3\n");
    for n in 0..8 {
        repository.edit_host(&format!("h{n}"), if n < 4 { "half=a" } else { "half=b" });
    }
    repository.commit("the fleet");
    repository.titan_ok(&["reconcile"]);
    repository
}

fn plan(repository: &ConfigRepo, range: &str) -> Value {
    let text = repository.titan_ok(&["plan", range, "--output", "json"]);
    serde_json::from_str(&text).expect("it is JSON")
}

/// The files of the rendered branch: assignment, file, text. Where a host's folder lies does not
/// matter.
fn contents(repository: &ConfigRepo) -> BTreeSet<(String, String, String)> {
    let tree = repository.tree("titan/rendered");
    let hosts = tree.lines().filter(|line| line.starts_with("hosts/"));
    let file = |line: &str| {
        let parts: Vec<&str> = line.split('/').collect();
        let at = parts.iter().position(|part| *part == "default")?;
        let pair = format!("{}@{}", parts.get(at..at + 3)?.join("/"), parts[at - 1]);
        let text = repository.read("titan/rendered", line).expect("it is there");
        Some((pair, parts[at + 3..].join("/"), text))
    };
    hosts.filter_map(file).collect()
}

/// All assignments with a folder on the rendered branch.
fn running(repository: &ConfigRepo) -> BTreeSet<String> {
    contents(repository).into_iter().map(|(pair, ..)| pair).collect()
}

fn moves(plan: &Value, deployment: usize) -> Vec<(String, String)> {
    let moved = plan["deployments"][deployment]["moved"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    moved.iter().map(|one| (text(&one["from"]), text(&one["to"]))).collect()
}

#[test]
fn the_choice_of_hosts_is_the_recorded_one() {
    let mut repository = eight();
    let before = running(&repository);
    let first = before.first().expect("three run").split('@').nth(1).expect("on a host").to_owned();
    // A new host may be better than the chosen ones, and takes nothing from them.
    for n in 10..30 {
        repository.edit_host(&format!("h{n}"), "half=a");
    }
    repository.commit("more hosts");
    assert_eq!(plan(&repository, "main")["counts"]["added"], 0);
    repository.titan_ok(&["reconcile"]);
    repository.remove(&format!("hosts/{first}.yaml"));
    repository.commit_on("main", "a host goes\n");
    let found = plan(&repository, "main");
    repository.titan_ok(&["reconcile"]);
    let after = running(&repository);
    let host = |pair: &String| pair.split('@').nth(1).expect("on a host").to_owned();
    let gone: Vec<String> = before.difference(&after).map(host).collect();
    let come: Vec<String> = after.difference(&before).map(host).collect();
    assert_eq!(gone, [first]);
    assert_eq!(moves(&found, 0), [(gone[0].clone(), come[0].clone())]);
    // Asked later, it tells the same: what was current then counts.
    assert_eq!(plan(&repository, "main~1..main")["deployments"], found["deployments"]);
    assert_eq!(plan(&repository, "main~2..main~1")["counts"]["added"], 0);
}

#[test]
fn cordoned_hosts_and_suspended_deployments_keep_what_they_have() {
    let mut repository = eight();
    repository.edit_deployment("all", "1", "").commit("everywhere");
    repository.titan_ok(&["reconcile"]);
    let host = "apiVersion: titan.dev/v1\nkind: Host\nspec: {runtime: directory, cordoned: true}\n";
    repository.edit("hosts/h0.yaml", host).edit("hosts/new.yaml", host).commit("cordoned");
    let found = plan(&repository, "main");
    assert_eq!(found["hosts"]["cordoned"], serde_json::json!(["h0"]));
    assert_eq!((&found["counts"]["removed"], &found["counts"]["added"]), (&0.into(), &0.into()));
    repository.titan_ok(&["reconcile"]);
    repository.edit_deployment("all", "2", "  suspend: true\n").commit("not now");
    let found = plan(&repository, "main");
    assert_eq!(found["deployments"][0]["transition"], "suspended");
    assert_eq!(
        (&found["counts"]["changed"], &found["deployments"][0]["after"]),
        (&0.into(), &8.into())
    );
    repository.titan_ok(&["reconcile"]);
    repository.edit_deployment("all", "2", "").commit("now");
    let found = plan(&repository, "main");
    assert_eq!(found["deployments"][0]["transition"], "resumed");
    assert_eq!(found["counts"]["changed"], 8, "compared with what lies there: {found:#}");
    repository.edit_deployment("all", "1", "").commit("as it was");
    let found = plan(&repository, "main~2..main");
    assert_eq!(found["groups"], serde_json::json!([]), "what lies there is what would be made");
}

#[test]
fn the_guard_says_the_same_as_in_a_pass() {
    let mut repository = ConfigRepo::new().guarded().template().workload();
    repository.edit_deployment("prod", "1", "");
    for n in 0..10 {
        repository.edit_host(&format!("h{n}"), if n < 5 { "half=a" } else { "half=b" });
    }
    repository.commit("the fleet");
    repository.titan_ok(&["reconcile"]);
    let half =
        "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: {matchLabels: {half: a}}\n";
    repository.edit("workspaces/default/targets/all.yaml", half);
    let source = repository.commit("half of them");
    let reason = |repository: &ConfigRepo| {
        let text = repository.titan_ok(&["reconcile", "--output", "json"]);
        let pass: Value = serde_json::from_str(&text).expect("it is JSON");
        pass["held"]["removals"].clone()
    };
    let found = plan(&repository, "main");
    assert_eq!(found["removals"]["ruling"], "held");
    assert_eq!(found["removals"]["reason"], reason(&repository));
    let text = repository.titan_ok(&["plan", "main"]);
    assert!(text.contains("! guard: 5 removals would be held: 5 of 10 assignments"), "{text}");
    assert!(text.contains("fix: commit with trailer Titan-Allow-Removals: 5"), "{text}");
    let markdown = repository.titan_ok(&["plan", "main", "--output", "markdown"]);
    assert!(markdown.contains("with the trailer `Titan-Allow-Removals: 5`"), "{markdown}");
    // They are held already: what is pending goes on counting, and they still run.
    repository.remove("hosts/h0.yaml").commit("one more goes");
    let found = plan(&repository, "main");
    assert_eq!(
        (&found["removals"]["removals"], &found["removals"]["already"]),
        (&6.into(), &true.into())
    );
    assert_eq!(found["removals"]["reason"], reason(&repository));
    repository.edit_deployment("prod", "2", "").commit("a version\n\nTitan-Allow-Removals: 6");
    let found = plan(&repository, "main");
    assert_eq!(found["removals"]["ruling"], "allowed");
    assert_eq!(found["counts"]["removed"], 6);
    assert_eq!(reason(&repository), Value::Null);
    // Asked about the past, it says what it said then.
    let past = plan(&repository, &source.to_string());
    assert_eq!(
        (&past["removals"]["ruling"], &past["removals"]["removals"]),
        (&"held".into(), &5.into())
    );
}

#[test]
fn what_was_held_by_a_mistake_is_compared_with_what_is_there() {
    let mut repository = eight();
    repository.edit("templates/app/files/a.txt.tera", "{{ values.nowhere }}\n").commit("a mistake");
    let found = plan(&repository, "main");
    assert_eq!(
        (&found["held"][0]["known"], &found["held"][0]["assignments"]),
        (&false.into(), &3.into())
    );
    assert_eq!(found["diagnostics"][0]["code"], "render/undefined");
    repository.titan_ok(&["reconcile"]);
    repository
        .edit(
            "templates/app/files/a.txt.tera",
            "{{ deployment.name }} {{ values.version }} on {{ host.name }}\n",
        )
        .edit("templates/app/files/sub/b.txt.tera", "b {{ values.version }}\n")
        .commit("put right, and more");
    let found = plan(&repository, "main");
    let groups = found["groups"].as_array().expect("a list");
    assert_eq!(groups.len(), 1, "{groups:#?}");
    assert_eq!(
        (&groups[0]["file"], &groups[0]["summary"]),
        (&"sub/b.txt".into(), &"1 → b 1".into())
    );
}

#[test]
fn in_a_clone_the_branches_of_the_origin_count() {
    let mut repository = eight();
    repository.edit_deployment("prod", "2", "  replicas: 3\n").commit("two");
    let clone = repository.folder.path().join("clone");
    let url = format!("file://{}", repository.path.display());
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", repository.folder.path())
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["clone", "--quiet", &url, &clone.display().to_string()]);
    let titan = |arguments: &[&str]| {
        let mut command = repository.command(arguments);
        command.current_dir(&clone).env_remove("TITAN_FLEET").output().expect("titan runs")
    };
    let output = titan(&["plan", "HEAD", "--output", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(found["counts"]["changed"], 3);
    let rendered = repository.head("titan/rendered").map(|head| head.to_string());
    assert_eq!(found["rendered"].as_str(), rendered.as_deref());
    let output = titan(&["plan", "titan/rendered", "--exit-code"]);
    assert_eq!(output.status.code(), Some(0), "a branch of the origin; it holds no fleet");
    let shallow = repository.folder.path().join("shallow");
    git(&["clone", "--quiet", "--depth", "1", &url, &shallow.display().to_string()]);
    let mut command = repository.command(&["plan", "HEAD"]);
    let output = command.current_dir(&shallow).env_remove("TITAN_FLEET").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("git fetch --unshallow"));
}

/// Random changes: what the plan says is what the pass then does, assignment by assignment.
#[test]
fn a_pass_does_what_the_plan_said() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut repository = eight();
        repository.edit_deployment("all", "1", "").commit("everywhere");
        repository.titan_ok(&["reconcile"]);
        for step in 0..12 {
            for _ in 0..=random.below(2) {
                change(&mut repository, &mut random);
            }
            let head: Revision = repository.commit(&format!("step {step}"));
            let found = plan(&repository, "main");
            let was = contents(&repository);
            repository.titan_ok(&["reconcile"]);
            let is = contents(&repository);
            let pairs = |files: &BTreeSet<(String, String, String)>| -> BTreeSet<String> {
                files.iter().map(|(pair, ..)| pair.clone()).collect()
            };
            let (before, after) = (pairs(&was), pairs(&is));
            let count = |name: &str| found["counts"][name].as_u64().expect("a number");
            let at = format!("seed {seed}, step {step}, {head}: {:#}", found["deployments"]);
            assert_eq!(count("removed"), before.difference(&after).count() as u64, "{at}");
            assert_eq!(count("added"), after.difference(&before).count() as u64, "{at}");
            let differ: BTreeSet<String> =
                was.symmetric_difference(&is).map(|(pair, ..)| pair.clone()).collect();
            let stay: BTreeSet<String> = before.intersection(&after).cloned().collect();
            assert_eq!(count("changed"), differ.intersection(&stay).count() as u64, "{at}");
        }
    }
}

fn change(repository: &mut ConfigRepo, random: &mut Random) {
    let host = format!("h{}", random.below(12));
    let version = random.below(4).to_string();
    let cordoned =
        "apiVersion: titan.dev/v1\nkind: Host\nspec: {runtime: directory, cordoned: true}\n";
    let broken = "apiVersion: titan.dev/v1\nkind: Host\nspec: {runtime: tractor}\n";
    let file = format!("hosts/{host}.yaml");
    match random.below(10) {
        0 => repository.remove(&file),
        1 => repository.edit(&file, cordoned),
        2 => repository.edit(&file, broken),
        3 => repository.edit_deployment("prod", &version, "  replicas: 3\n"),
        4 => repository.edit_deployment("prod", &version, "  replicas: 5\n"),
        5 => repository.edit_deployment("all", &version, "  suspend: true\n"),
        6 => repository.edit_deployment("all", &version, ""),
        7 => repository.edit("workspaces/default/workloads/web/deployments/all.yaml", "broken"),
        8 => repository.remove(&file).edit_host(&format!("eu/{host}"), "half=b"),
        _ => repository.edit_host(&host, "half=a"),
    };
}
