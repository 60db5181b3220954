//! The area Git, as far as it shows in what a file holds.

use super::*;

/// What Git can hold instead of a file.
fn strange() -> [(&'static str, Content); 4] {
    [
        ("git/symlink", Content::Symlink),
        ("git/submodule", Content::Submodule),
        ("git/fsck", Content::Malformed { reason: "`..` is an entry".into() }),
        (
            "git/lfs",
            Content::Bytes(
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..].into(),
            ),
        ),
    ]
}

#[test]
fn in_the_place_of_objects() {
    for (code, content) in strange() {
        let parsed = Scene::good().entry(BAD, content.clone()).expect(&[(code, BAD)]);
        assert_eq!(parsed.fleet.held.deployments[&deployment("bad")].code, code);
        let parsed =
            Scene::good().entry("hosts/b.yaml", content.clone()).expect(&[(code, "hosts/b.yaml")]);
        assert_eq!(parsed.fleet.held.hosts.len(), 1);
        let parsed = Scene::good().entry("titan.yaml", content).problems(&[(code, "titan.yaml")]);
        assert!(parsed.fleet.held.all.is_some());
    }
    let parsed = Scene::good()
        .entry(BAD, Content::TooLarge { bytes: 1 << 30 })
        .expect(&[("object/size", BAD)]);
    assert_eq!(parsed.fleet.held.deployments[&deployment("bad")].code, "object/size");
}

#[test]
fn in_templates() {
    let path = "templates/web/files/b";
    for (code, content) in strange() {
        let parsed = Scene::good().entry(path, content).problems(&[(code, path)]);
        assert_eq!(parsed.fleet.held.deployments[&good()].code, code);
    }
    let large = Content::TooLarge { bytes: 1 << 30 };
    let parsed = Scene::good().entry(path, large).problems(&[("object/size", path)]);
    assert_eq!(parsed.fleet.held.deployments[&good()].code, "object/size");
}

#[test]
fn in_the_place_of_folders_they_hold_what_may_have_been_inside() {
    for (code, content) in strange().into_iter().take(3) {
        for path in ["hosts/eu", "workspaces/shop", "workspaces/iot/workloads/other/deployments"] {
            let parsed = Scene::good().entry(path, content.clone()).problems(&[(code, path)]);
            assert_eq!(parsed.fleet.held.all.as_ref().map(|hold| hold.code.as_str()), Some(code));
        }
        // The shared template of the same name must not step in.
        let path = "workspaces/iot/templates/web";
        let parsed = Scene::good().entry(path, content.clone()).problems(&[(code, path)]);
        assert_eq!(parsed.fleet.held.deployments[&good()].code, code);
        // Where titan reads nothing, anything may be.
        Scene::good().entry("docs/link", content.clone()).entry("tools", content).expect(&[]);
    }
    let parsed = Scene { files: Vec::new() }
        .entry("hosts", Content::Symlink)
        .entry("workspaces", Content::Submodule)
        .problems(&[("git/symlink", "hosts"), ("git/submodule", "workspaces")]);
    assert_eq!(parsed.fleet.held.all.as_ref().map(|hold| hold.code.as_str()), Some("git/symlink"));
}

#[test]
fn addresses() {
    let path = "workspaces/iot/workloads/bad/workload.yaml";
    let check = |url: &str, code: &str| {
        let text = format!("apiVersion: titan.dev/v1\nkind: Workload\nspec:\n  repo: {url}\n");
        let parsed = Scene::good().file(path, text).expect(&[(code, &format!("{path}:4:9"))]);
        assert_eq!(parsed.diagnostics[0].excerpt, None, "the address may hold a secret");
    };
    check("ext::id", "git/url");
    check("'ext::sh -c id'", "git/url");
    check("file:///etc", "git/url");
    check("/etc", "git/url");
    check("ssh://-oProxyCommand=id/x", "git/url");
    check("--upload-pack=id", "git/url");
    check("\"https://example.com/\\nx\"", "git/url");
    check("https://me:hunter2@example.com/x", "git/url");
    check("https://hunter2@example.com/x", "git/url");
    check("https://127.0.0.1/x", "git/url-private");
    check("https://169.254.169.254/x", "git/url-private");
    check("https://localhost/x", "git/url-private");
}
