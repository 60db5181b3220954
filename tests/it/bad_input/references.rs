//! The area references.

use super::*;

#[track_caller]
fn scene(spec: &str) -> Scene {
    let text = format!("apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n{spec}");
    let other =
        |kind: &str, spec: &str| format!("apiVersion: titan.dev/v1\nkind: {kind}\nspec: {spec}\n");
    Scene::good()
        .file("workspaces/shop/workspace.yaml", other("Workspace", "{}"))
        .file("workspaces/shop/targets/tills.yaml", other("Target", "{selector: {}}"))
        .file("workspaces/shop/templates/till/template.yaml", other("Template", "{}"))
        .file(BAD, text)
}

#[track_caller]
fn check(spec: &str, code: &str, place: &str, fix: &str) {
    scene(spec).expect_bad(code, place);
    let parsed = scene(spec).parse();
    assert_eq!(parsed.diagnostics[0].fix.as_deref(), Some(fix));
}

#[test]
fn unknown_names_get_the_nearest() {
    check("  target: al\n", "ref/unknown-target", "4:11", "write `all`");
    let create = "create `workspaces/iot/targets/nothing-like-it.yaml`";
    check("  target: nothing-like-it\n", "ref/unknown-target", "4:11", create);
    check("  target: all\n  template: wep\n", "ref/unknown-template", "5:13", "write `web`");
    check("  target: all\n  template: iot/web\n", "ref/unknown-template", "5:13", "write `web`");
}

#[test]
fn other_workspaces_are_out_of_reach() {
    let target = "create a target in the own workspace";
    let template = "create a template in the own workspace";
    check("  target: tills\n", "ref/cross-workspace", "4:11", target);
    check("  target: shop/tills\n", "ref/cross-workspace", "4:11", target);
    check("  target: all\n  template: till\n", "ref/cross-workspace", "5:13", template);
    check("  target: all\n  template: shop/till\n", "ref/cross-workspace", "5:13", template);
    scene("  target: iot/all\n  template: web\n").expect(&[]);
}

#[test]
fn folders_without_their_object() {
    let deployment =
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all, template: web}\n";
    let path = "workspaces/iot/workloads/tmp/deployments/x.yaml";
    let parsed = Scene::good().file(path, deployment).expect(&[("ref/unknown-workload", path)]);
    let fix = parsed.diagnostics[0].fix.as_deref();
    assert_eq!(fix, Some("move the deployment to `workspaces/iot/workloads/temp/deployments/`"));
    assert_eq!(parsed.fleet.held.deployments.len(), 1);

    let target = "apiVersion: titan.dev/v1\nkind: Target\nspec: {selector: {}}\n";
    let path = "workspaces/ioot/targets/x.yaml";
    Scene::good().file(path, target).expect(&[("ref/unknown-workspace", path)]);
    // `default` needs no file.
    let parsed = Scene::good().file("workspaces/default/targets/x.yaml", target).expect(&[]);
    assert_eq!(parsed.fleet.targets.len(), 2);
}

fn template(spec: &str) -> String {
    format!("apiVersion: titan.dev/v1\nkind: Template\nspec: {spec}\n")
}

#[test]
fn templates_in_a_circle() {
    let deployment =
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all, template: c}\n";
    let parsed = Scene::good()
        .file("templates/a/template.yaml", template("{extends: b}"))
        .file("templates/b/template.yaml", template("{extends: a}"))
        .file("templates/c/template.yaml", template("{extends: b}"))
        .file("templates/self/template.yaml", template("{extends: self}"))
        .file(BAD, deployment)
        .expect(&[
            ("ref/cycle", "templates/a/template.yaml:3:17"),
            ("ref/cycle", "templates/b/template.yaml:3:17"),
            ("ref/cycle", "templates/self/template.yaml:3:17"),
        ]);
    assert_eq!(parsed.fleet.held.deployments[&deployment_ref()].code, "ref/cycle");
    assert_eq!(parsed.fleet.templates.len(), 1);
}

fn deployment_ref() -> DeploymentRef {
    deployment("bad")
}

#[test]
fn templates_on_others() {
    let parsed = Scene::good()
        .file("templates/web/template.yaml", template("{defaults: {a: 1, m: {x: 1}}}"))
        .file("templates/web/files/b.yaml", "b: 1\n")
        .file(
            "workspaces/iot/templates/web/template.yaml",
            template("{extends: web, defaults: {m: {y: 2}}}"),
        )
        .file("workspaces/iot/templates/web/files/a.yaml.tera", "a: 2\n")
        .expect(&[]);
    let id = &parsed.fleet.deployments[&good()].template;
    assert_eq!(id.to_string(), "iot/web");
    let web = &parsed.fleet.templates[id];
    let defaults = serde_json::Value::Object(web.defaults.clone());
    assert_eq!(defaults, serde_json::json!({"a": 1, "m": {"x": 1, "y": 2}}));
    let files: Vec<(&str, &str)> =
        web.files.iter().map(|(path, file)| (path.as_str(), file.path.as_str())).collect();
    assert_eq!(
        files,
        [
            ("a.yaml.tera", "workspaces/iot/templates/web/files/a.yaml.tera"),
            ("b.yaml", "templates/web/files/b.yaml"),
        ]
    );

    let path = "templates/x/template.yaml";
    Scene::good()
        .file(path, template("{extends: wbe}"))
        .expect(&[("ref/unknown-template", &format!("{path}:3:17"))]);
}

#[test]
fn long_chains_end() {
    let mut scene = Scene::good();
    for i in 0..2000 {
        let base = format!("{{extends: t{}}}", i + 1);
        scene = scene.file(&format!("templates/t{i}/template.yaml"), template(&base));
    }
    let parsed = scene.file("templates/t2000/template.yaml", template("{}")).parse();
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].code, "template/depth");
    assert!(parsed.fleet.deployments.contains_key(&good()));
}

#[test]
fn what_is_broken_holds_what_depends_on_it() {
    let broken = "kind: [\n";
    for (path, place) in [
        ("workspaces/iot/workspace.yaml", "1:7"),
        ("workspaces/iot/targets/all.yaml", "1:7"),
        ("workspaces/iot/workloads/temp/workload.yaml", "1:7"),
        ("workspaces/iot/workloads/temp/deployments/good.yaml", "1:7"),
        ("templates/web/template.yaml", "1:7"),
    ] {
        let place = format!("{path}:{place}");
        let parsed = Scene::good().file(path, broken).problems(&[("yaml/syntax", &place)]);
        let hold = parsed.fleet.held.deployments.get(&good()).expect("it is held");
        assert_eq!(hold.code, "yaml/syntax", "{path}");
        assert!(hold.reason.starts_with(&place), "{}", hold.reason);
        assert!(parsed.fleet.deployments.is_empty());
        assert_eq!(parsed.fleet.held.all, None);
    }
    // A workload whose template is unknown holds only those that need it.
    let workload = "apiVersion: titan.dev/v1\nkind: Workload\nspec: {template: gone}\n";
    let own = "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all, template: web}\n";
    let path = "workspaces/iot/workloads/temp/workload.yaml";
    let parsed = Scene::good()
        .file(path, workload)
        .file(BAD, own)
        .problems(&[("ref/unknown-template", &format!("{path}:3:18"))]);
    assert_eq!(parsed.fleet.held.deployments.keys().collect::<Vec<_>>(), [&good()]);
    assert!(parsed.fleet.deployments.contains_key(&deployment("bad")));
    // Nobody names a template.
    let parsed = Scene::good()
        .file(path, "apiVersion: titan.dev/v1\nkind: Workload\nspec: {}\n")
        .problems(&[("field/required", "workspaces/iot/workloads/temp/deployments/good.yaml:3:7")]);
    assert_eq!(parsed.fleet.held.deployments[&good()].code, "field/required");
    // What is gone is gone, not held.
    let parsed =
        Scene::good().without("workspaces/iot/workloads/temp/deployments/good.yaml").parse();
    assert!(parsed.fleet.held.deployments.is_empty() && parsed.fleet.deployments.is_empty());
}
