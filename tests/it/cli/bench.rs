//! `titan bench`: the same options give the same commits, and what is made is a fleet.

use std::path::Path;
use std::process::Command;

fn titan(fleet: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
    let output = command.args(arguments).env("TITAN_FLEET", fleet).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "titan {arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A fleet of a dozen hosts with these options, and its commit.
fn fleet(folder: &Path, name: &str, options: &[&str]) -> (std::path::PathBuf, String) {
    let path = folder.join(name);
    let text = path.to_str().expect("a text");
    let made = titan(&path, &[&["bench", "fleet", text, "--hosts", "12"], options].concat());
    assert!(titan(&path, &["validate"]).contains(": fine (12 hosts"), "{options:?}");
    (path, made)
}

#[test]
fn the_same_options_give_the_same_fleet() {
    let folder = tempfile::tempdir().expect("a folder");
    let retail = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/retail");
    let varied = [
        "--host-dependent",
        "0.5",
        "--replicas",
        "0.5",
        "--folders",
        "region,ring",
        "--files",
        "3",
    ];
    for (number, options) in
        [&["--seed", "7"][..], &varied, &["--from", retail]].into_iter().enumerate()
    {
        let (one, made) = fleet(folder.path(), &format!("one-{number}"), options);
        let (_, again) = fleet(folder.path(), &format!("two-{number}"), options);
        assert_eq!(made, again, "{options:?}");
        let rendered = titan(&one, &["reconcile", "--strict"]);
        assert!(rendered.contains("(generation 1)"), "{options:?}: {rendered}");
    }
    let (_, one) = fleet(folder.path(), "seed-1", &[]);
    let (_, two) = fleet(folder.path(), "seed-2", &["--seed", "2"]);
    assert_ne!(one, two);
}

#[test]
fn every_kind_of_change_is_rendered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fleet, _) = fleet(folder.path(), "fleet.git", &["--deployments", "10"]);
    titan(&fleet, &["reconcile"]);
    for (kind, expected) in [
        ("value", ": 1 assignment on 1 host\n"),
        ("host", ": 10 assignments on 1 host\n"),
        ("move", ": 4 assignments on 1 host\n"),
        ("add", ": 10 assignments on 1 host\n"),
        ("remove", ": 10 assignments on 1 host\n"),
        ("deployment", ": 12 assignments on 12 hosts\n"),
        ("nothing", ": nothing to render\n"),
    ] {
        titan(&fleet, &["bench", "change", kind]);
        let told = titan(&fleet, &["reconcile", "--strict"]);
        assert!(told.contains(expected), "{kind}: {told}");
    }
    titan(&fleet, &["bench", "change", "mixed", "--commits", "10"]);
    assert_eq!(titan(&fleet, &["reconcile"]).matches("(generation ").count(), 10);
}

#[test]
fn a_checkout_follows_the_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fleet, _) = fleet(folder.path(), "fleet", &["--worktree", "--deployments", "2"]);
    titan(&fleet, &["bench", "change", "mixed", "--commits", "5"]);
    let status = Command::new("git").arg("-C").arg(&fleet).args(["status", "--porcelain"]).output();
    assert_eq!(String::from_utf8_lossy(&status.expect("git runs").stdout), "");
}
