//! Whether what runs is what was committed, and who is behind it.

use std::process::Command;

use serde_json::Value;
use titan::git::CommitDraft;
use titan::model::Revision;

use super::guards::{commit_on, force};
use super::support::{ConfigRepo, eventually, free_address};

fn shop() -> ConfigRepo {
    let mut repository = ConfigRepo::new()
        .quick()
        .template()
        .workload()
        .host("eu/one", "region=eu")
        .host("two", "region=us")
        .deployment("prod", "1", "");
    repository.commit("the fleet");
    repository.titan_ok(&["reconcile"]);
    repository
}

fn json(repository: &ConfigRepo, arguments: &[&str]) -> Value {
    let output = repository.titan(&[arguments, &["--output", "json"]].concat());
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn rendered(repository: &ConfigRepo) -> Revision {
    repository.head("titan/rendered").expect("it was rendered")
}

const FILE: &str = "hosts/two/default/web/prod/a.txt";

#[test]
fn hand_edits_are_named_taken_back_and_stay_in_history() {
    let mut repository = shop();
    let before = rendered(&repository);
    let edits = [
        (FILE, Some("mine\n")),
        ("hosts/two/default/web/extra/x.txt", Some("more\n")),
        ("hosts/eu/one/default/web/prod/sub/b.txt", None),
        ("NOTES.md", Some("a note\n")),
        ("hydrator.metadata", Some("{}\n")),
    ];
    let by_hand = commit_on(&repository.git, &[before], &edits, "a quick fix\n");
    force(&repository, "titan/rendered", by_hand);

    let output = repository.titan(&["verify"]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [
        "foreign: titan did not write this; mallory <mallory@example.com> did",
        "different   hosts/two/default/web/prod/a.txt",
        "unexpected  hosts/two/default/web/extra/x.txt",
        "missing     hosts/eu/one/default/web/prod/sub/b.txt",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }

    let pass = json(&repository, &["reconcile"]);
    assert_eq!(pass["healed"], serde_json::json!([by_hand]));
    let healed = repository.git.commit(rendered(&repository)).expect("readable");
    assert_eq!(healed.subject, "take back a commit of somebody else");
    assert_eq!(healed.trailer("Titan-Healed"), Some(by_hand.to_string().as_str()));
    let tree = repository.git.commit(before).expect("readable").tree;
    let differ = repository.git.changed_paths(Some(tree), Some(healed.tree)).expect("readable");
    let differ: Vec<_> = differ.iter().map(ToString::to_string).collect();
    assert_eq!(differ, ["NOTES.md"], "what others keep beside titan's files is theirs");
    assert_eq!(healed.parents, [by_hand], "nothing is forced");
    let after = rendered(&repository);
    repository.titan_ok(&["reconcile"]);
    assert_eq!(rendered(&repository), after);

    // The bad commit stays bad, what was made of it is fine.
    let all = json(&repository, &["verify", "--all"]);
    let bad: Vec<_> = all["commits"].as_array().expect("a list").iter().collect();
    assert_eq!((all["verified"].as_u64(), all["differ"].as_u64()), (Some(3), Some(1)));
    assert_eq!(bad[1]["revision"], by_hand.to_string());
    assert_eq!(bad[1]["kind"], "foreign");
    repository.titan_ok(&["verify", &format!("{by_hand}..{after}")]);
    let history = repository.titan_ok(&["history", "default/web/prod@two"]);
    let notes =
        commit_on(&repository.git, &[after], &[("NOTES.md", Some("another\n"))], "a note\n");
    force(&repository, "titan/rendered", notes);
    repository.titan_ok(&["reconcile"]);
    repository.titan_ok(&["verify"]);
    assert_eq!(rendered(&repository), notes);
    assert!(history.contains("by hand") && history.contains("mallory"), "{history}");
    // Held removals and a change together with a hand edit: both at once.
    let by_hand = commit_on(&repository.git, &[notes], &[(FILE, None)], "again\n");
    force(&repository, "titan/rendered", by_hand);
    repository.edit_deployment("prod", "2", "").commit("version 2");
    repository.titan_ok(&["reconcile"]);
    assert_eq!(repository.read("titan/rendered", FILE).as_deref(), Some("prod 2 on two\n"));
    repository.titan_ok(&["verify"]);
}

/// Commits that look like titan's, and are not.
#[test]
fn forgeries_are_found() {
    let mut repository = shop();
    let first = rendered(&repository);
    repository.edit_deployment("prod", "2", "").commit("version 2");
    repository.titan_ok(&["reconcile"]);
    let real = repository.git.commit(rendered(&repository)).expect("readable");
    let forge = |change: &dyn Fn(&mut CommitDraft)| {
        let message = format!("{}\n\n{}\n", real.subject, real.body);
        let mut draft = CommitDraft {
            tree: real.tree,
            parents: vec![first],
            author: real.author.clone(),
            committer: real.committer.clone(),
            message,
        };
        change(&mut draft);
        repository.git.write_commit(&draft).expect("written")
    };
    assert_eq!(forge(&|_| {}), real.id, "otherwise the forgeries below prove nothing");
    let check = |what: &str, change: &dyn Fn(&mut CommitDraft)| {
        let forged = forge(change).to_string();
        let output = repository.titan(&["verify", &forged, "--output", "json"]);
        assert_eq!(output.status.code(), Some(1), "{what}");
        let value: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let findings = value["commits"][0]["findings"].as_array().expect("a list").clone();
        assert!(findings.iter().any(|finding| finding["what"] == what), "{what}: {findings:?}");
        value["commits"][0]["paths"].clone()
    };
    let swapped = |from: &'static str, to: &'static str| {
        move |draft: &mut CommitDraft| draft.message = draft.message.replace(from, to)
    };
    check("message", &swapped("Titan-Generation: 2", "Titan-Generation: 7"));
    check("message", &swapped("render default/web/prod", "render something"));
    check("author", &|draft| draft.author.seconds += 1);
    check("committer", &|draft| draft.committer.offset = 3600);
    check("foreign", &|draft| draft.committer.email = "mallory@example.com".into());
    check("source", &swapped("Titan-Source-Commit: ", "Titan-Source-Commit: 0000"));
    let tree = commit_on(&repository.git, &[real.id], &[(FILE, Some("mine\n"))], "x");
    let tree = repository.git.commit(tree).expect("readable").tree;
    let paths = check("tree", &|draft| draft.tree = tree);
    assert_eq!(paths, serde_json::json!([{"path": FILE, "state": "different"}]));
    // A source that nobody reviewed, beside the config branch.
    let main = repository.head("main").expect("there is a head");
    let beside = commit_on(&repository.git, &[main], &[], "beside\n").to_string();
    check("history", &|draft| {
        let line = format!("Titan-Source-Commit: {beside}");
        let own = draft.message.lines().find(|line| line.starts_with("Titan-Source")).expect("one");
        draft.message = draft.message.clone().replace(own, &line);
    });
    assert_eq!(repository.titan(&["verify", "HEAD..nothing"]).status.code(), Some(1));
}

/// An auditor needs a clone and nothing else.
#[test]
fn a_plain_clone_is_enough() {
    let mut repository = shop();
    for version in ["2", "3"] {
        repository.edit_deployment("prod", version, "  replicas: 1\n").commit(version);
    }
    repository.titan_ok(&["reconcile"]);
    let clone = repository.folder.path().join("clone");
    let output = Command::new("git")
        .args(["clone", "--quiet"])
        .args([&repository.path, &clone])
        .output()
        .expect("git runs");
    assert!(output.status.success());
    let clone = clone.to_str().expect("it is text");
    let ok = |arguments: &[&str]| repository.titan_ok(&[arguments, &["--fleet", clone]].concat());
    assert!(ok(&["verify", "--all"]).contains("3 commits: all is as titan renders it"));
    ok(&["verify", "origin/titan/rendered~1..origin/titan/rendered"]);
    assert!(ok(&["history", "two"]).contains("the fleet"));
}

#[test]
fn history_tells_what_ran_where_and_who_let_it_in() {
    let mut repository = shop();
    let fleet = repository.head("main").expect("there is a head");
    let first = rendered(&repository);
    let reviewed = "version 2\n\nReviewed-by: ann\nTitan-Actor: oidc:bob\nSigned-off-by: x";
    repository.edit_deployment("prod", "2", "").commit(reviewed);
    // The host moves, which changes nothing that runs on it.
    repository.remove("hosts/eu/one.yaml").edit_host("us/one", "region=us").commit("one moves");
    let main = repository.head("main").expect("there is a head");
    let prod = "workspaces/default/workloads/web/deployments/prod.yaml";
    let text = repository.read("main", prod).expect("it is there").replace("\"2\"", "\"3\"");
    let side = commit_on(
        &repository.git,
        &[main],
        &[(prod, Some(&text))],
        "version 3\n\nApproved-by: eve\n",
    );
    let merge = commit_on(&repository.git, &[main, side], &[(prod, Some(&text))], "merge #7\n");
    force(&repository, "main", merge);
    repository.titan_ok(&["reconcile"]);
    repository.remove(prod).commit("prod goes\n\nTitan-Allow-Removals: 2");
    repository.titan_ok(&["reconcile"]);

    let turns = |arguments: &[&str]| {
        let value = json(&repository, &[&["history"], arguments].concat());
        value["history"].as_array().expect("a list").clone()
    };
    let one = turns(&["default/web/prod@one"]);
    let subjects: Vec<_> = one.iter().map(|turn| turn["source"]["subject"].clone()).collect();
    assert_eq!(subjects, ["prod goes", "merge #7", "version 2", "the fleet"]);
    assert_eq!(one[0]["tree"], Value::Null);
    assert_eq!(one[0]["folder"], "hosts/us/one");
    assert_eq!(one[3]["folder"], "hosts/eu/one");
    assert_eq!(one[3]["source"]["revision"], fleet.to_string());
    assert_eq!(one[3]["rendered"], first.to_string());
    assert_eq!(one[2]["by"], "somebody <somebody@example.com>");
    let approvals = |turn: &Value| {
        let all = turn["source"]["approvals"].as_array().expect("a list").iter();
        let text = |one: &Value| format!("{}: {}", one["how"], one["by"]).replace('"', "");
        all.map(text).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(approvals(&one[2]), "Reviewed-by: ann; Titan-Actor: oidc:bob");
    assert_eq!(approvals(&one[1]), "Approved-by: eve; Merged-by: mallory <mallory@example.com>");
    assert_eq!(one[1]["source"]["merged"][0]["subject"], "version 3");
    assert_eq!(approvals(&one[0]), "Titan-Allow-Removals: 2");

    assert_eq!(turns(&["one"]), one, "nothing else ran on it");
    assert_eq!(turns(&["default/web/prod"]).len(), 8);
    assert_eq!(turns(&["one", "--limit", "2"]), one[..2]);
    let at = |point: &str| turns(&["one", "--at", point]);
    assert_eq!(at(&fleet.to_string()), one[3..]);
    assert_eq!(at(&main.to_string()), one[2..3], "since before it moved");
    let time = one[2]["since"].as_str().expect("a time").to_owned();
    assert_eq!(at(&time), one[2..3]);
    assert_eq!(turns(&["default/web/prod", "--at", &time]).len(), 2);
    assert_eq!(at("2020-01-01"), [Value::Null; 0]);
    assert_eq!(at(&rendered(&repository).to_string()), [Value::Null; 0]);

    assert_eq!(at(time.trim_end_matches('Z')), one[2..3]);
    for (wrong, code) in [("nobody", 1), ("a/b", 2), ("default/web/prod@x", 1), ("../x", 2)] {
        assert_eq!(repository.titan(&["history", wrong]).status.code(), Some(code), "{wrong}");
    }
    let table = repository.titan_ok(&["history", "default/web/prod@one"]);
    assert!(table.starts_with("SINCE"), "{table}");
}

#[test]
fn history_knows_when_it_was_deployed() {
    let mut repository = shop();
    let address = free_address();
    let token = repository.token("two");
    let _controller = repository.controller(&address);
    let _agent = repository.agent("two", &address, &token);
    let deployed = || repository.phase("default/web/prod@two").as_deref() == Some("Deployed");
    eventually("two is deployed", deployed);
    repository.edit_deployment("prod", "2", "").commit("version 2");
    eventually("both are deployed", || {
        let value = json(&repository, &["history", "default/web/prod@two"]);
        let turns = value["history"].as_array().expect("a list").clone();
        turns.len() == 2 && turns.iter().all(|turn| turn["deployed"].is_string())
    });
}
