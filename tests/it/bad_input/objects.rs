//! The area objects.

use super::*;

#[track_caller]
fn check(text: &str, code: &str, place: &str) {
    let place = format!("{BAD}{place}");
    let parsed = Scene::good().file(BAD, text).expect(&[(code, &place)]);
    assert_eq!(parsed.fleet.held.deployments[&deployment("bad")].code, code);
}

#[test]
fn one_file_is_one_object_of_its_kind() {
    for empty in ["", "# nothing\n", "---\n", "\n\n", "null\n"] {
        check(empty, "object/empty", "");
    }
    check("apiVersion: titan.dev/v1\nkind: Target\nspec: {selector: {}}\n", "object/kind", ":2:7");
    check(
        "apiVersion: titan.dev/v2\nkind: Deployment\nspec: {target: all}\n",
        "object/kind",
        ":1:13",
    );
    check("kind: Deployment\nspec: {target: all}\n", "field/required", ":1:1");
    check("[a, b]\n", "field/type", ":1:1");
    check("text\n", "field/type", ":1:1");
}

#[test]
fn names_agree_with_the_path() {
    let text = |metadata: &str| {
        format!(
            "apiVersion: titan.dev/v1\nkind: Deployment\nmetadata: {{{metadata}}}\nspec: {{target: all}}\n"
        )
    };
    check(&text("name: other"), "name/mismatch", ":3:18");
    check(&text("workspace: other"), "name/mismatch", ":3:23");
    check(&text("name: ../x"), "name/syntax", ":3:18");
    Scene::good().file(BAD, text("name: bad, workspace: iot")).expect(&[]);
    let host = "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {workspace: iot}\nspec: {}\n";
    Scene::good().file("hosts/b.yaml", host).expect(&[("name/mismatch", "hosts/b.yaml:3:23")]);
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let large = format!("apiVersion: titan.dev/v1\n# {}\n", "x".repeat(1 << 20));
    check(&large, "object/size", "");
    let limits = "apiVersion: titan.dev/v1\nkind: Fleet\nspec: {limits: {objects: 3}}\n";
    let parsed = Scene::good().file("titan.yaml", limits).problems(&[("object/limit", "")]);
    assert_eq!(parsed.fleet.held.all.as_ref().map(|hold| hold.code.as_str()), Some("object/limit"));
    let limits = "apiVersion: titan.dev/v1\nkind: Fleet\nspec: {limits: {hosts: 1}}\n";
    let host = "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n";
    Scene::good()
        .file("titan.yaml", limits)
        .file("hosts/b.yaml", host)
        .problems(&[("object/limit", "")]);
}

#[test]
fn a_host_is_defined_once() {
    let host = "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n";
    let parsed =
        Scene::good().file("hosts/eu/a.yaml", host).file("hosts/us/a.yaml", host).expect(&[
            ("object/duplicate", "hosts/eu/a.yaml"),
            ("object/duplicate", "hosts/us/a.yaml"),
        ]);
    assert_eq!(parsed.fleet.held.hosts.len(), 1);
    assert_eq!(parsed.fleet.hosts.len(), 1);
    let parsed =
        Scene::good().file("hosts/eu.yaml", host).file("hosts/eu/west/a.yaml", host).expect(&[
            ("object/duplicate", "hosts/eu.yaml"),
            ("object/duplicate", "hosts/eu/west/a.yaml"),
        ]);
    assert_eq!(parsed.fleet.held.hosts.len(), 2);
}

#[test]
fn files_that_belong_nowhere_are_warned_about() {
    for (path, nearest) in [
        ("hosts/b.yml", "hosts/b.yaml"),
        ("titan.yml", "titan.yaml"),
        ("host/b.yaml", "hosts/b.yaml"),
        ("workspaces/iot/target/all.yaml", "workspaces/iot/targets/all.yaml"),
    ] {
        let parsed = Scene::good().file(path, "x").expect(&[("layout/unknown-path", path)]);
        let found = &parsed.diagnostics[0];
        assert!(!found.is_error());
        assert!(found.fix.as_deref().is_some_and(|fix| fix.contains(nearest)), "{found:?}");
    }
    for path in
        ["README.md", "CODEOWNERS", ".github/workflows/ci.yaml", "hosts/.gitkeep", "docs/a.yaml"]
    {
        Scene::good().file(path, "x").expect(&[]);
    }
    Scene::good()
        .file("templates/other/files/a.yaml", "a: 1\n")
        .expect(&[("layout/unknown-path", "templates/other/files/a.yaml")]);
}
