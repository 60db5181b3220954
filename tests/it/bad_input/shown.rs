//! Samples of each area through the real program: exit 1 with the exact code and no secret, nothing
//! written; `titan reconcile` renders the good deployment beside it.

use std::process::Output;

use serde_json::Value;

use crate::git::{git, raw, raw_tree};
use crate::scenario::support::ConfigRepo;

/// The bad file stands beside the good deployment `default/web/good`.
const BAD: &str = "workspaces/default/workloads/web/deployments/bad.yaml";
const HEAD: &str = "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: all\n";
const HOST: &str = "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n";
/// In samples; never in any output.
const SECRET: &str = "hunter2";

/// Paths and texts.
type Files = Vec<(&'static str, String)>;
/// Modes and names in a tree.
type Entries = &'static [(&'static str, &'static [u8])];

fn fleet() -> ConfigRepo {
    let mut repository =
        ConfigRepo::new().host("pi", "").template().workload().deployment("good", "1", "");
    repository.commit("a fleet in which all is well");
    repository.titan_ok(&["reconcile"]);
    repository
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// What `titan validate` says about the head, as codes. It must be quick and write nothing.
fn codes(repository: &ConfigRepo, what: &str) -> Vec<String> {
    let refs = git(&repository.path, &["show-ref"]);
    let output = repository.titan(&["validate", "--output", "json"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{what}: {told}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["valid"], false, "{what}");
    // People see the same, with a place and the line where it is safe to show.
    let shown = text(&repository.titan(&["validate"]));
    for told in [&told, &shown] {
        assert!(!told.contains(SECRET) && !told.contains("panicked"), "{what}: {told}");
        assert!(!told.contains('\u{1b}'), "{what}: {told:?}");
    }
    let found = value["diagnostics"].as_array().expect("a list").iter();
    let found: Vec<String> = found
        .map(|found| found["code"].as_str().expect("a code").to_owned())
        .inspect(|code| assert!(shown.contains(&format!("[{code}]")), "{what}: {shown}"))
        .collect();
    assert_eq!(git(&repository.path, &["show-ref"]), refs, "{what}: nothing is written");
    found
}

/// A pass leaves the config branch alone and renders what does not depend on the bad thing: version 2
/// of the good deployment, which came with it.
fn the_good_one_goes_on(repository: &ConfigRepo, what: &str) {
    let head = repository.head("main");
    let output = repository.titan(&["reconcile"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{what}: {told}");
    assert!(!told.contains(SECRET), "{what}: {told}");
    assert_eq!(repository.head("main"), head, "{what}");
    let refs = git(&repository.path, &["for-each-ref", "--format=%(refname:short)"]);
    assert_eq!(refs, "main\ntitan/rendered\ntitan/status", "{what}");
    let good = repository.read("titan/rendered", "hosts/pi/default/web/good/a.txt");
    assert_eq!(good.as_deref(), Some("good 2 on pi\n"), "{what}");
    repository.assert_sound();
}

#[test]
fn files() {
    let nested = format!("{HEAD}  values: {{secret: {SECRET}, a: {}", "[".repeat(100_000));
    let anchors: String = (0..200_000).map(|i| format!("&{:x} ,", i % 16)).collect();
    let anchors = format!("{HEAD}  values:\n    a: [{anchors}]\n");
    let values = |yaml: &str| format!("{HEAD}  values:\n    secret: {SECRET}\n    {yaml}\n");
    let spec = |yaml: &str| format!("{HEAD}  {yaml}\n");
    let samples: Vec<(&str, Vec<u8>)> = vec![
        ("yaml/budget", anchors.into()),
        ("yaml/depth", nested.into()),
        ("yaml/duplicate-key", values("a: 1\n    a: 2").into()),
        ("yaml/utf8", [HEAD.as_bytes(), b"  values: {a: \xff}\n"].concat()),
        ("yaml/char", values("a: \u{1b}[31m").into()),
        ("yaml/char", values("a: \u{202e}x").into()),
        ("yaml/tab", values("a:\n    \tb: 1").into()),
        ("yaml/multidoc", values("a: 1\n---\nb: 1").into()),
        ("yaml/tag", values("a: !!python/object:os.system x").into()),
        ("yaml/alias", values("a: *b").into()),
        ("yaml/key", values("[a]: 1").into()),
        ("field/unknown", spec("replcas: 2").into()),
        ("field/required", "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {}\n".into()),
        ("field/type", spec("replicas: 123456789012345678901234567890").into()),
        ("field/range", spec("replicas: -1").into()),
        ("object/empty", "# nothing\n".into()),
        ("object/kind", HEAD.replace("Deployment", "Target").into()),
        ("object/size", format!("{HEAD}# {}\n", "x".repeat(1 << 20)).into()),
        ("name/mismatch", format!("{HEAD}metadata: {{name: other}}\n").into()),
        ("name/syntax", HEAD.replace("all", "'../x'").into()),
        ("ref/unknown-target", HEAD.replace("all", "nobody").into()),
        ("ref/unknown-template", spec("template: nobody").into()),
        ("ref/cross-workspace", HEAD.replace("all", "shop/tills").into()),
        ("git/lfs", format!("version https://git-lfs.github.com/spec/v1\n# {SECRET}\n").into()),
    ];
    let mut repository = fleet();
    let mut good = String::from("1");
    for (code, bytes) in samples {
        repository.edit(BAD, &bytes).commit("a mistake");
        assert_eq!(codes(&repository, code), [code]);
        // Once is enough for all: a pass is the same whatever holds the deployment.
        if good == "1" || code == "git/lfs" {
            good = "2".into();
            repository.edit_deployment("good", &good, "").commit("a change beside it");
            the_good_one_goes_on(&repository, code);
        }
    }
}

#[test]
fn paths() {
    let template = |extends: &str| {
        format!("apiVersion: titan.dev/v1\nkind: Template\nspec: {{extends: {extends}}}\n")
    };
    let samples: Vec<(&[&str], Files)> = vec![
        (&["name/syntax"], vec![("hosts/CON.yaml", HOST.into())]),
        (&["name/syntax"], vec![("hosts/%2e%2e.yaml", HOST.into())]),
        (&["name/syntax"], vec![("hosts/-rf.yaml", HOST.into())]),
        (&["name/syntax"], vec![("hosts/pаypal.yaml", HOST.into())]),
        (
            &["object/duplicate", "object/duplicate"],
            vec![("hosts/a/x.yaml", HOST.into()), ("hosts/b/x.yaml", HOST.into())],
        ),
        (
            &["ref/unknown-workload"],
            vec![("workspaces/default/workloads/wep/deployments/x.yaml", HEAD.into())],
        ),
        (
            &["ref/cycle", "ref/cycle"],
            vec![
                ("templates/a/template.yaml", template("b")),
                ("templates/b/template.yaml", template("a")),
            ],
        ),
    ];
    for (expected, files) in samples {
        let mut repository = fleet();
        for (path, text) in &files {
            repository.edit(path, text);
        }
        repository.edit_deployment("good", "2", "").commit("a mistake");
        assert_eq!(codes(&repository, files[0].0), expected);
        the_good_one_goes_on(&repository, files[0].0);
    }
}

/// A template that nobody deploys is checked all the same.
#[test]
fn templates_that_nobody_deploys() {
    let mut repository = fleet();
    let template = "apiVersion: titan.dev/v1\nkind: Template\nspec: {}\n";
    repository
        .edit("templates/idle/template.yaml", template)
        .edit("templates/idle/files/a.txt.tera", "{{ values.a \n")
        .edit_deployment("good", "2", "")
        .commit("a mistake");
    assert_eq!(codes(&repository, "idle"), ["template/syntax"]);
    the_good_one_goes_on(&repository, "idle");
    // One that others build on may need their files.
    repository
        .edit("templates/idle/files/a.txt.tera", "{% include \"_theirs.tera\" %}\n")
        .edit("templates/more/template.yaml", template.replace("{}", "{extends: idle}"))
        .edit("templates/more/files/_theirs.tera", "fine\n")
        .commit("a base");
    repository.titan_ok(&["validate"]);
}

/// The settings' own limits hold for what is read beside them.
#[test]
fn limits_of_the_settings() {
    let settings = |limits: &str| {
        format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec: {{limits: {{{limits}}}}}\n")
    };
    let mut repository = fleet();
    let large = "x".repeat(5000);
    repository
        .edit(
            "templates/idle/template.yaml",
            "apiVersion: titan.dev/v1\nkind: Template\nspec: {}\n",
        )
        .edit("templates/idle/files/a.txt", &large)
        .edit("titan.yaml", settings("blobSize: 4KiB"))
        .commit("a large file");
    assert_eq!(codes(&repository, "blobSize"), ["object/size"]);
    for (limits, code) in [
        ("yamlSize: '64'", "object/size"),
        ("yamlDepth: 1", "yaml/depth"),
        ("yamlNodes: 3", "yaml/budget"),
        ("hosts: 1", "object/limit"),
        ("objects: 1", "object/limit"),
        ("assignmentFiles: 1", "render/files"),
        ("manifestSize: '4'", "render/size"),
        ("assignmentSize: '4'", "render/size"),
    ] {
        let mut repository = fleet();
        repository.edit_host("second", "").edit("titan.yaml", settings(limits)).commit(limits);
        let found = codes(&repository, limits);
        assert!(
            !found.is_empty() && found.iter().all(|found| found == code),
            "{limits}: {found:?}"
        );
    }
}

/// Trees that hold more than files: Git's own entries, and what no Git would write.
#[test]
fn trees() {
    const GONE: &str = "7777777777777777777777777777777777777777";
    let samples: [(&str, Entries); 8] = [
        ("git/symlink", &[("120000", b"bad.yaml")]),
        ("git/submodule", &[("160000", b"bad.yaml")]),
        ("git/fsck", &[("100644", b"..")]),
        ("git/fsck", &[("100644", b".git")]),
        ("git/fsck", &[("100644", b".GIT")]),
        ("git/fsck", &[("100644", b"git~1")]),
        ("git/fsck", &[("100644", b"a/b")]),
        ("git/fsck", &[("100644", b"bad.yaml"), ("100644", b"bad.yaml")]),
    ];
    for (code, entries) in samples {
        let mut repository = fleet();
        let dir = repository.path.clone();
        repository.edit_deployment("good", "2", "").commit("a change");
        let blob = raw(&dir, "blob", format!("{HOST}# {SECRET}\n").as_bytes());
        let id = |mode: &str| if mode == "160000" { GONE } else { blob.as_str() };
        let entries: Vec<_> = entries.iter().map(|(mode, name)| (*mode, *name, id(mode))).collect();
        // A folder of hosts that is of no importance to the good deployment.
        let odd = raw_tree(&dir, &entries);
        let old = |path: &str| git(&dir, &["rev-parse", &format!("main:{path}")]);
        let (pi, templates, workspaces) =
            (old("hosts/pi.yaml"), old("templates"), old("workspaces"));
        let hosts = raw_tree(&dir, &[("40000", b"odd", &odd), ("100644", b"pi.yaml", &pi)]);
        let root = raw_tree(
            &dir,
            &[
                ("40000", b"hosts", &hosts),
                ("40000", b"templates", &templates),
                ("40000", b"workspaces", &workspaces),
            ],
        );
        let head = git(&dir, &["commit-tree", "-m", "odd", "-p", "main", &root]);
        git(&dir, &["update-ref", "refs/heads/main", &head]);
        let what = format!("{code} {entries:?}");
        assert_eq!(codes(&repository, &what), [code], "{what}");
        let output = repository.titan(&["reconcile"]);
        assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output));
        // The change before it was rendered; what may have stood there is not taken for deleted.
        let good = repository.read("titan/rendered", "hosts/pi/default/web/good/a.txt");
        assert_eq!(good.as_deref(), Some("good 2 on pi\n"), "{what}");
    }
}

/// `--fleet` and `--branch`, through every command that opens the repository.
#[test]
fn addresses_and_branches() {
    let repository = fleet();
    let refs = git(&repository.path, &["show-ref"]);
    let check = |arguments: &[&str], code: &str| {
        let output = repository.titan(arguments);
        let told = text(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains(&format!("[{code}]")), "{arguments:?}: {told}");
        assert!(!told.contains(SECRET) && !told.contains("panicked"), "{told}");
    };
    let touched = repository.folder.path().join("touched");
    let run = format!("ext::sh -c 'touch {}'", touched.display());
    for url in [
        "ext::id",
        run.as_str(),
        "fd::7",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "--upload-pack=id",
        "https://example.com/\nx",
        "https://me:hunter2@example.com/x",
        "https://hunter2@example.com/x",
    ] {
        let fleet = format!("--fleet={url}");
        for command in ["validate", "reconcile", "status"] {
            check(&[command, &fleet], "git/url");
        }
        check(&["create", "host", "a", &fleet], "git/url");
    }
    for branch in
        ["-x", "a..b", "a b", "x.lock", "@{", "a~1", "a^", "a:b", "/a", "a/", ".a", "\u{7f}"]
    {
        let branch = format!("--branch={branch}");
        for command in ["validate", "reconcile"] {
            check(&[command, &branch], "git/ref");
        }
    }
    assert!(!touched.exists(), "nothing ran");
    assert_eq!(git(&repository.path, &["show-ref"]), refs, "nothing is written");
}

/// Bad names of branches in the settings hold everything, and no such branch comes into being.
#[test]
fn branches_in_the_settings() {
    for name in ["-x", "a..b", "x.lock", "@{", "a b", "refs//x"] {
        let mut repository = fleet();
        let settings = format!(
            "apiVersion: titan.dev/v1\nkind: Fleet\nspec: {{branches: {{rendered: '{name}'}}}}\n"
        );
        let rendered = repository.head("titan/rendered");
        repository.edit("titan.yaml", settings).commit("a mistake");
        assert_eq!(codes(&repository, name), ["git/ref"]);
        repository.titan_ok(&["reconcile"]);
        assert_eq!(repository.head("titan/rendered"), rendered, "{name}: all is held");
        let refs = git(&repository.path, &["for-each-ref", "--format=%(refname:short)"]);
        assert_eq!(refs, "main\ntitan/rendered\ntitan/status", "{name}");
    }
}
