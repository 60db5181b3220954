//! The area fields.

use super::*;

#[track_caller]
fn check(spec: &str, code: &str, place: &str) {
    let text = format!("apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n{spec}");
    Scene::good().file(BAD, text).expect_bad(code, place);
}

#[test]
fn deployments() {
    check("  target: all\n  replcas: 2\n", "field/unknown", "5:3");
    check(
        "  target: all\n  overrides:\n    - selecter: {}\n      selector: {}\n      values: {}\n",
        "field/unknown",
        "6:7",
    );
    check("  values: {}\n", "field/required", "3:1");
    check("  target: [all]\n", "field/type", "4:11");
    check("  target: 7\n", "field/type", "4:11");
    check("  target:\n", "field/type", "4:3");
    check("  target: all\n  values: x\n", "field/type", "5:11");
    check("  target: all\n  replicas: 123456789012345678901234567890\n", "field/type", "5:13");
    check("  target: all\n  replicas: .nan\n", "field/type", "5:13");
    check("  target: all\n  replicas: 012\n", "field/type", "5:13");
    check("  target: all\n  replicas: 0o14\n", "field/type", "5:13");
    check("  target: all\n  suspend: on\n", "field/type", "5:12");
    check("  target: all\n  suspend: yes\n", "field/type", "5:12");
    check("  target: all\n  replicas: -1\n", "field/range", "5:13");
    check("  target: all\n  replicas: 1.5\n", "field/range", "5:13");
    check("  target: all\n  replicas: 1.0\n", "field/range", "4:3");
    check("  target: all\n  replicas: 100001\n", "field/range", "5:13");
    check("  target: all\n  spread: 'a b'\n", "label/syntax", "5:11");
}

#[test]
fn unknown_fields_name_the_nearest() {
    let text = "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all, replcas: 2}\n";
    let parsed = Scene::good().file(BAD, text).parse();
    assert_eq!(parsed.diagnostics[0].fix.as_deref(), Some("write `replicas`"));
}

#[test]
fn strings_stay_strings() {
    let text = "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all, values: {a: no, b: on, c: 012, d: 0o14}}\n";
    let parsed = Scene::good().file(BAD, text).expect(&[]);
    let values = serde_json::to_string(&parsed.fleet.deployments[&deployment("bad")].spec.values);
    assert_eq!(values.expect("values are JSON"), r#"{"a":"no","b":"on","c":"012","d":"0o14"}"#);
}

#[test]
fn all_problems_of_a_file_come_at_once() {
    let text = "apiVersion: titan.dev/v1\nkind: Host\nmetadata:\n  labels: {-a: 'x y', ring: 1}\nspec:\n  runtime: kubernets\n  cordonned: true\n  tokens: [hunter2]\n";
    let host = |place: &str| format!("hosts/bad.yaml:{place}");
    let parsed = Scene::good().file("hosts/bad.yaml", text).expect(&[
        ("label/syntax", &host("4:12")),
        ("label/syntax", &host("4:16")),
        ("field/type", &host("4:29")),
        ("field/value", &host("6:12")),
        ("field/unknown", &host("7:3")),
        ("field/value", &host("8:12")),
    ]);
    assert_eq!(parsed.diagnostics[3].fix.as_deref(), Some("write `kubernetes`"));
    let held: Vec<_> = parsed.fleet.held.hosts.iter().collect();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].0.as_str(), held[0].1.code.as_str()), ("bad", "label/syntax"));
}

#[test]
fn selectors_follow_kubernetes() {
    let check = |selector: &str, code: &str, place: &str| {
        let path = "workspaces/iot/targets/bad.yaml";
        let text =
            format!("apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector:{selector}\n");
        Scene::good().file(path, text).expect(&[(code, &format!("{path}:{place}"))]);
    };
    check("", "field/type", "4:3");
    check(" {matchLabels: {'a b': c}}", "label/syntax", "4:28");
    check(" {matchExpressions: [{key: a, operator: in, values: [b]}]}", "field/value", "4:52");
    check(" {matchExpressions: [{key: a, operator: In}]}", "field/value", "4:52");
    check(" {matchExpressions: [{key: a, operator: Exists, values: [b]}]}", "field/value", "4:52");
    check(" {matchExpressions: [{operator: Exists}]}", "field/required", "4:33");
    let path = "workspaces/iot/targets/bad.yaml";
    Scene::good()
        .file(path, "apiVersion: titan.dev/v1\nkind: Target\nspec: {}\n")
        .expect(&[("field/required", &format!("{path}:3:1"))]);
}

#[test]
fn template_parameters_are_a_schema() {
    let path = "templates/bad/template.yaml";
    for parameters in
        ["{type: nonsense}", "{$ref: 'https://example.com/x'}", "{$ref: 'file:///etc/passwd'}"]
    {
        let text = format!(
            "apiVersion: titan.dev/v1\nkind: Template\nspec:\n  parameters: {parameters}\n"
        );
        Scene::good().file(path, text).expect(&[("field/value", &format!("{path}:4:3"))]);
    }
}

#[test]
fn settings_hold_everything() {
    let check = |spec: &str, code: &str, place: &str| {
        let text = format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec:\n  {spec}\n");
        let parsed = Scene::good()
            .file("titan.yaml", text)
            .problems(&[(code, &format!("titan.yaml:{place}"))]);
        assert_eq!(parsed.fleet.held.all.as_ref().map(|hold| hold.code.as_str()), Some(code));
        assert!(parsed.fleet.deployments.contains_key(&good()));
    };
    check("guards: {maxRemovals: 120%}", "field/value", "4:25");
    check("guards: {maxRemovals: -1}", "field/range", "4:25");
    check("guards: {maxRemovals: [1]}", "field/type", "4:25");
    check("limits: {yamlSize: 1mb}", "field/value", "4:22");
    check("limits: {queue: 0}", "field/range", "4:19");
    check("limits: {poll: 0s}", "field/range", "4:18");
    check("limits: {yamlDepth: 5000000000}", "field/range", "4:23");
    check("branches: {rendered: -x}", "git/ref", "4:24");
    check("branches: {rendered: 'a..b'}", "git/ref", "4:24");
    check("branches: {status: titan/rendered}", "git/ref", "4:13");
    check("branches: {status: titan/rendered/x}", "git/ref", "4:13");
    check("repoUrl: 'https://me:hunter2@example.com/x'", "git/url", "4:12");
}

#[test]
fn keys_of_hosts() {
    let check = |spec: &str, code: &str, place: &str| {
        let text = format!("apiVersion: titan.dev/v1\nkind: Host\nspec:\n  {spec}\n");
        let place = format!("hosts/b.yaml:{place}");
        let expected: &[(&str, &str)] = if code.is_empty() { &[] } else { &[(code, &place)] };
        Scene::good().file("hosts/b.yaml", &text).problems(expected);
    };
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    let digest = format!("sha256:{}", "0a".repeat(32));
    check(&format!("keys: [{key}]"), "", "");
    check(&format!("keys: [{key} me@here]"), "field/value", "4:10");
    check(&format!("keys: [{}]", key.replace("ed25519 ", "rsa ")), "field/value", "4:10");
    check(&format!("keys: [{}]", &key[..70]), "field/value", "4:10");
    check("keys: [7]", "field/type", "4:10");
    check(&format!("keys: [{}]", [key; 9].join(", ")), "field/range", "4:9");
    check(&format!("key: {key}"), "field/unknown", "4:3");
    let open = |digest: &str, expires: &str| {
        format!("enrollment: {{digest: '{digest}', expires: {expires}}}")
    };
    check(&open(&digest, "2026-11-27T14:05:11Z"), "", "");
    check(&open(&digest, "'2026-11-27T15:05:11+01:00'"), "", "");
    check(&open("secret", "2026-11-27T14:05:11Z"), "field/value", "4:24");
    check(&open(&digest, "tomorrow"), "field/value", "4:108");
    check(&open(&digest, "2026-13-27T14:05:11Z"), "field/value", "4:108");
    check(&format!("enrollment: {{digest: '{digest}'}}"), "field/required", "4:3");
}
