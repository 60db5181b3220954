//! The area names.

use super::*;

/// What nobody may call an object.
fn bad_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "../x",
        "/abs",
        "a\0b",
        ".git",
        ".GIT",
        "git~1",
        "CON",
        "con",
        "nul",
        "com1",
        "trailing.",
        "trailing ",
        "x.lock",
        "-rf",
        "@{",
        "~^:",
        "new\nline",
        "%2e%2e",
        "",
        "pаypal",
        "ﬀ",
        "ä",
        "x\u{200b}",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(300));
    names
}

#[test]
fn in_paths() {
    let host = "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n";
    let mut refused = 0;
    for name in bad_names() {
        let paths = [
            format!("hosts/{name}.yaml"),
            format!("hosts/{name}/a.yaml"),
            format!("workspaces/iot/targets/{name}.yaml"),
            format!("workspaces/{name}/workspace.yaml"),
            format!("workspaces/iot/workloads/temp/deployments/{name}.yaml"),
            format!("workspaces/iot/workloads/{name}/workload.yaml"),
            format!("templates/{name}/template.yaml"),
        ];
        for path in paths {
            // Such a path never gets here: a tree that holds it is `git/fsck`.
            if RepoPath::new(&path).is_err() || name.contains('/') {
                continue;
            }
            refused += 1;
            let parsed = Scene::good().file(&path, host).expect(&[("name/syntax", &path)]);
            assert!(parsed.diagnostics[0].is_error());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn in_files() {
    for name in bad_names() {
        let quoted = serde_json::to_string(&name).expect("a text is JSON");
        if name.contains('\0') {
            continue;
        }
        let text = |field: &str| {
            format!("apiVersion: titan.dev/v1\nkind: Deployment\n{field}: {quoted}\n")
        };
        Scene::good()
            .file(BAD, text("spec: {target: all}\nmetadata:\n  name"))
            .expect_bad("name/syntax", "5:9");
        Scene::good().file(BAD, text("spec:\n  target")).expect_bad("name/syntax", "4:11");
        Scene::good()
            .file(BAD, text("spec:\n  target: all\n  template"))
            .expect_bad("name/syntax", "5:13");
    }
}

#[test]
fn a_bad_folder_is_named_once() {
    let text = "apiVersion: titan.dev/v1\nkind: Target\nspec: {selector: {}}\n";
    Scene::good()
        .file("workspaces/IOT/targets/a.yaml", text)
        .file("workspaces/IOT/targets/b.yaml", text)
        .expect(&[("name/syntax", "workspaces/IOT/targets/a.yaml")]);
}
