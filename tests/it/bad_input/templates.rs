//! The row of templates, through worker processes: each gets its code, its deployment the error, and
//! the good deployment beside it exactly what it gets alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use titan::controller::workers::{Outcomes, Workers};
use titan::model::{Assignments, DeploymentRef, Diagnostic, Name, Pairs, TreeId};
use titan::schedule::schedule;

use super::{BAD, Scene, check_message, deployment, good};

type Outcome = Result<TreeId, Vec<Diagnostic>>;

/// One pool for all cases, as in a controller.
static WORKERS: LazyLock<Workers> =
    LazyLock::new(|| Workers::processes_of(PathBuf::from(env!("CARGO_BIN_EXE_titan"))));

/// The good deployment on two hosts, with short limits, and beside it one with these files.
fn scene(limits: &str, values: &str, files: &[(&str, &str)]) -> Scene {
    let host = |name: &str| {
        format!(
            "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {{labels: {{name: {name}}}}}\nspec: {{runtime: directory}}\n"
        )
    };
    let settings =
        format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec: {{limits: {{{limits}}}}}\n");
    let bad = format!(
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {{target: all, template: bad, values: {{{values}}}}}\n"
    );
    let mut scene = Scene::good()
        .file("titan.yaml", settings)
        .file("hosts/pi.yaml", host("pi"))
        .file("hosts/po.yaml", host("po"))
        .file("templates/web/files/b.txt.tera", "{{ host.name }} {{ deployment.name }}\n")
        .file(
            "templates/bad/template.yaml",
            "apiVersion: titan.dev/v1\nkind: Template\nspec: {parameters: {properties: {port: {type: integer}}}}\n",
        )
        .file(BAD, bad);
    for (path, text) in files {
        scene = scene.file(&format!("templates/bad/files/{path}"), text);
    }
    scene
}

fn render(workers: &Workers, scene: &Scene) -> Outcomes {
    let parsed = scene.parse();
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let mut pairs = Pairs::default();
    for (deployment, host) in schedule(&parsed.fleet, &Assignments::default()).assignments.iter() {
        pairs.insert(deployment, host);
    }
    workers.render(&parsed.fleet, &pairs, None).expect("workers can be started")
}

/// What a deployment came to on each host.
fn of(outcomes: &Outcomes, wanted: &DeploymentRef) -> BTreeMap<Name, Outcome> {
    let made = outcomes.made.iter().filter(|(deployment, _, _)| *deployment == wanted);
    let made = made.map(|(_, host, tree)| (host.clone(), Ok(tree)));
    let failed = outcomes.failed.iter().filter(|(pair, _)| pair.deployment == *wanted);
    made.chain(failed.map(|(pair, found)| (pair.host.clone(), Err(found.clone())))).collect()
}

/// Asserts that the bad deployment gets `code` on both hosts, and the good one what it gets alone.
#[track_caller]
fn check(limits: &str, values: &str, files: &[(&str, &str)], code: &str) -> Vec<Diagnostic> {
    let outcomes = render(&WORKERS, &scene(limits, values, files));
    let alone = render(&Workers::threads(), &scene(limits, values, files).without(BAD));
    assert_eq!(of(&outcomes, &good()), of(&alone, &good()));
    assert!(of(&alone, &good()).values().all(Result::is_ok));
    let bad = of(&outcomes, &deployment("bad"));
    assert_eq!(bad.len(), 2);
    let mut all = Vec::new();
    for (host, outcome) in bad {
        let problems = outcome.expect_err("it is bad");
        assert!(problems.iter().all(|found| found.code == code), "{host}: {problems:?}");
        // What is wrong with a template's own words needs no fix beside the place.
        problems.iter().filter(|found| found.fix.is_some()).for_each(check_message);
        all.extend(problems);
    }
    all
}

const SHORT: &str = "renderTime: 50ms";

#[test]
fn undefined_variables_and_types() {
    check("", "", &[("a.tera", "{{ values.nope }}")], "render/undefined");
    check("", "", &[("a.tera", "{{ nope }}")], "render/undefined");
    check("", "", &[("a.tera", "{{ host.name + 1 }}")], "render/type");
}

#[test]
fn loops_that_go_on_and_on() {
    let nested =
        "{% for x in range(end=99999) %}{% for y in range(end=99999) %}{% endfor %}{% endfor %}";
    check(SHORT, "", &[("a.tera", nested)], "render/timeout");
    let comprehension = "{{ [[1 for y in range(end=99999)] for x in range(end=99999)] | length }}";
    check(SHORT, "", &[("a.tera", comprehension)], "render/timeout");
}

/// Few steps, each of which takes long: no counting helps, so the worker is killed.
#[test]
fn steps_that_take_too_long() {
    let text = format!("text: {}", "a".repeat(1 << 19));
    let slow = "{% for x in range(end=9999) %}{% set y = values.text | replace(from=\"a\", to=\"b\") | title | upper %}{% endfor %}";
    let found = check("renderTime: 200ms", &text, &[("a.tera", slow)], "render/timeout");
    assert!(found[0].message.contains("too long to render"), "{found:?}");
}

#[test]
fn doubling() {
    let mut doubling = String::from("{% set a = \"0123456789abcdef\" %}");
    (0..40).for_each(|_| doubling.push_str("{% set a = a ~ a %}"));
    check("", "", &[("a.tera", &doubling)], "render/memory");
    let doubling = "{% set_global a = \"0123456789abcdef\" %}{% for x in range(end=40) %}{% set_global a = a ~ a %}{% endfor %}";
    check("", "", &[("a.tera", doubling)], "render/memory");
}

#[test]
fn output_that_is_too_large() {
    let large = "{% for x in range(end=99999) %}0123456789{% endfor %}";
    check("manifestSize: 64KiB", "", &[("a.tera", large)], "render/size");
    let half = "0123456789".repeat(4);
    check("assignmentSize: 64", "", &[("a.tera", &half), ("b.tera", &half)], "render/size");
}

#[test]
fn templates_that_use_themselves() {
    check("", "", &[("a.tera", "{% include \"a.tera\" %}")], "template/cycle");
    let two = [("a.tera", "{% include \"_b\" %}"), ("_b", "{% include \"a.tera\" %}")];
    check("", "", &two, "template/cycle");
    let component = "{% component f() %}{{ <f /> }}{% endcomponent f %}{{ <f /> }}";
    check("", "", &[("a.tera", component)], "template/cycle");
}

#[test]
fn what_a_template_cannot_reach() {
    for name in ["../web/files/a.yaml", "/etc/passwd", "nope.tera"] {
        let include = format!("{{% include \"{name}\" %}}");
        check("", "", &[("a.tera", &include)], "template/unknown");
    }
    for call in
        ["get_env(name=\"HOME\")", "now()", "get_random(end=9)", "load_file(path=\"/etc/passwd\")"]
    {
        let call = format!("{{{{ {call} }}}}");
        let found = check("", "", &[("a.tera", &call)], "template/unknown");
        assert!(found[0].fix.as_deref().unwrap_or_default().starts_with("pass it in"), "{found:?}");
    }
}

#[test]
fn syntax_and_parameters() {
    let found = check("", "", &[("a.tera", "fine\n{% if %}")], "template/syntax");
    assert_eq!(found[0].span.map(|span| span.line), Some(2));
    check("", "port: http", &[("a.tera", "{{ values.port }}")], "values/schema");
}
