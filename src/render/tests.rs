//! Tables: a template and values → the manifests, or the diagnostics.

use serde_json::{Value, json};

use super::*;
use crate::model::fixture::FleetBuilder;
use crate::model::{Workload, Workspace};

/// A fleet with host `h` (`region=eu`), deployment `default/app/d` and this template.
fn fleet(files: &[(&str, &str)], deployment: Value, runtime: &str) -> FleetBuilder {
    FleetBuilder::new()
        .host_with("h", "region=eu", json!({"runtime": runtime, "values": {"zone": "z1"}}))
        .template("app", json!({}), files)
        .deployment("default/app/d", deployment)
}

fn render(fleet: &Fleet) -> Result<Arc<Manifests>, Vec<Diagnostic>> {
    let deployment = fleet.deployments.values().next().expect("there is a deployment");
    let host = fleet.hosts.values().next().expect("there is a host");
    Renderer::new(fleet).render(deployment, host).map_err(|RenderError(problems)| problems)
}

/// The only output file, as text.
fn text(fleet: &Fleet) -> String {
    let manifests = render(fleet).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(manifests.files.len(), 1);
    let bytes = manifests.files.values().next().expect("there is one");
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

/// `code place: message`, without the parts that every message has.
fn problems(fleet: &Fleet) -> Vec<String> {
    let Err(problems) = render(fleet) else { return vec!["fine".to_owned()] };
    let short = |problem: &Diagnostic| {
        assert!(problem.is_error());
        let place = problem.place();
        let place = place.rsplit_once("/files/").map_or(place.as_str(), |(_, below)| below);
        format!("{} {place}: {}", problem.code, problem.message).replace("default/app/d@h", "D@h")
    };
    problems.iter().map(short).collect()
}

fn values() -> Value {
    json!({"values": {
        "image": "x:1", "n": 3, "list": [1, 2, 3], "map": {"z": 1, "a": 2, "m": 3}, "text": "abc",
        "no": false, "zero": 0, "empty": "", "nothing": [], "null": null
    }})
}

/// An empty manifest is no object, and Flux and Argo CD would stumble over it.
#[test]
fn a_manifest_that_renders_to_nothing_is_left_out() {
    let files = [
        ("a.yaml.tera", "# why\n{% if values.no %}\nkind: X\n{% endif %}\n---\n"),
        ("b.txt.tera", "{% if values.no %}x{% endif %}"),
        ("c.yaml", "# copied as it is\n"),
    ];
    let fleet = fleet(&files, values(), "directory").fleet;
    let manifests = render(&fleet).expect("it renders");
    let paths: Vec<_> = manifests.files.keys().map(RepoPath::as_str).collect();
    assert_eq!(paths, ["b.txt", "c.yaml"]);
}

#[test]
fn templates_print_what_they_should() {
    let check = |template: &str, expected: &str| {
        let fleet = fleet(&[("a.txt.tera", template)], values(), "directory").fleet;
        assert_eq!(text(&fleet), expected, "{template}");
    };
    check("{{ values.image }}", "x:1\n");
    check(
        "{{ values.no }} {{ values.zero }} [{{ values.empty }}] {{ values.nothing }}",
        "false 0 [] []\n",
    );
    check("{{ values.zero | default(value=7) }} {{ values.gone | default(value=7) }}", "0 7\n");
    check("{% if values.gone %}a{% else %}b{% endif %}", "b\n");
    check("{% for k, v in values.map %}{{ k }}={{ v }} {% endfor %}", "a=2 m=3 z=1 \n");
    check(
        "{{ values.map }}{{ values.map | keys }}",
        "{\"a\": 2, \"m\": 3, \"z\": 1}[\"a\", \"m\", \"z\"]\n",
    );
    check("{{ values.map | json_encode }}", "{\"a\":2,\"m\":3,\"z\":1}\n");
    check("{{ [1] | json_encode(pretty=true) }}", "[\n  1\n]\n");
    check("{{ \"<&>\" }}{{ values.text | safe }}", "<&>abc\n");
    check("{{ host.name }} {{ host.labels.region }} {{ host.values.zone }}", "h eu z1\n");
    check(
        "{{ workspace.name }} {{ workload.name }} {{ workload.labels.tier }}",
        "default app edge\n",
    );
    check("{{ deployment.name }} {{ deployment.labels.stage }}", "d prod\n");
    check("a\r\nb\r\n", "a\nb\n");
    check("a\rb", "a\rb\n");
    check("", "");
}

/// What the scanner writes into a text must not show.
#[test]
fn meters_print_nothing_and_change_nothing() {
    let context = json!({"values": values()["values"]});
    let context = tera::Context::from_serialize(&context).expect("it is a map");
    for template in [
        "{% for x in values.list -%}  \n {{ x }} {%- endfor %}!",
        "{% for k, v in values.map %} {{ loop.index }}{{ k }} {% else %}none{% endfor -%} \n x",
        "{{ [x * 2 for x in values.list if x > 1] }} {{ [v for k, v in values.map] }}",
        "{{ [f for f in [[1, 2], values.list][1] if f in values.list] }}",
        "{% for x in values.nothing %}a{% else %}b{% endfor %}",
        "{% for x in values.list %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
        "{% raw %}{{ x }}{% for a in b %}{% endraw %} {# {% for #} ok",
        "{%-- raw %}{# {% endraw %}{% for x in values.list %}{{ x }}{% endfor %}",
        "{#- {{ -#}  {% for x in \"%} for x in y\" %}{{ x }}{% endfor %}",
        "{% component f(a) -%}  <{{ a }}>  {%- endcomponent f %}{{ <f a={values.n} /> }}",
        "{% component f(for) %}{{ for }}{% endcomponent f %}{{ <f for=\"in\" /> ~ values.n }}",
        "a {% block b -%}  b {%- endblock b %} c",
        "{{ values.text ~ \"-\" ~ values.n ~ values.list[1] ~ (1 + 2) }}",
        "{{ values.text ~ values.gone | default(value=\"d\") ~ `x` }}",
        "{{ 1 if values.text ~ values.n == 'abc3' else 2 }}{{ {'a': values.n ~ 'x'} }}",
        "{% for c in values.text ~ values.image %}{{ c }},{% endfor %}",
        "{{ values.n is defined and values.text ~ 'x' is defined }}",
        "{% set x = values.text ~ values.n %}{{ x }}{% filter upper %}{{ x ~ x }}{% endfilter %}",
    ] {
        let mut plain = tera::Tera::new();
        plain.autoescape_on(Vec::<&str>::new());
        plain.add_raw_template("a.tera", template).expect(template);
        let expected = plain.render("a.tera", &context).expect(template);
        let fleet = fleet(&[("a.tera", template)], values(), "directory").fleet;
        assert_eq!(
            text(&fleet).trim_end_matches('\n'),
            expected.trim_end_matches('\n'),
            "{template}"
        );
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_where_it_stands() {
    let check = |template: &str, expected: &str| {
        let fleet = fleet(&[("a.txt.tera", template)], values(), "directory").fleet;
        assert_eq!(problems(&fleet), [expected], "{template}");
    };
    let undefined = |template: &str, place: &str, name: &str| {
        let expected =
            format!("render/undefined a.txt.tera:{place}: `{name}` is not defined for D@h");
        check(template, &expected);
    };
    undefined("{{ values.imag }}", "1:4", "values.imag");
    undefined("a: 1\nb: {{ values.map.q }}", "2:7", "values.map.q");
    undefined("{{ values.gone.x.y }}", "1:4", "values.gone");
    undefined("{{ gone }}", "1:4", "gone");
    undefined("{{ values.gone | upper }}", "1:4", "values.gone");
    undefined("{{ values.gone | json_encode }}", "1:4", "values.gone");
    undefined("{{ values.list[9] }}", "1:4", "values.list[9]");
    undefined("{{ values['gone'] }}", "1:4", "values['gone']");
    undefined("{% for x in values.gone %}{% endfor %}", "1:13", "values.gone");
    undefined("{% for x in values.list %}{{ x ~ values.gone }}{% endfor %}", "1:34", "values.gone");
    undefined("{{ values.gone ~ \"x\" }}", "1:4", "values.gone");
    undefined("é {{ \"ü\" }} {{ workload.repo }}", "1:16", "workload.repo");
    undefined("{{ loop.index }}", "1:4", "loop");
    check(
        "{{ {\"a\": values.gone} | json_encode }}",
        "render/undefined a.txt.tera:1:4: a value is not defined for D@h",
    );
    check(
        "{{ values.n | upper }}",
        "render/type a.txt.tera:1:4: invalid type for the value, expected `string` but got `u64` (D@h)",
    );
    check("{{ 1 / 0 }}", "render/type a.txt.tera:1:8: cannot divide by 0 (D@h)");
    check(
        "{% for x in values.n %}{% endfor %}",
        "render/type a.txt.tera:1:13: invalid type for the value, expected `array, map or string` but got `u64` (D@h)",
    );
    // A value may be a secret, so it is not quoted.
    check(
        "{{ values.text | int }}",
        "render/type a.txt.tera:1:18: the string `…` cannot be converted to an int in base 10 (D@h)",
    );
    check(
        "{{ throw(message=\"set a port\") }}",
        "render/throw a.txt.tera:1:4: the template refuses: set a port (D@h)",
    );
}

#[test]
fn diagnostics_show_the_line_and_the_way_out() {
    let check = |template: &str, excerpt: &str, fix: &str| {
        let fleet = fleet(&[("a.txt.tera", template)], values(), "directory").fleet;
        let problems = render(&fleet).expect_err("it is wrong");
        assert_eq!(problems[0].excerpt.as_deref(), Some(excerpt));
        assert_eq!(problems[0].fix.as_deref(), Some(fix));
    };
    check("a\n  {{ values.imag }}", "  {{ values.imag }}", "did you mean `image`?");
    let fix = "give it in the deployment's `values`, or in the template's `defaults`";
    check("{{ values.colour }}", "{{ values.colour }}", fix);
    let fix = "pass it in as a value: templates know no environment, clock, chance or files";
    check("{{ now() }}", "{{ now() }}", fix);
}

#[test]
fn all_files_problems_come_at_once() {
    let files = [("a.tera", "{{ values.a1 }}"), ("b.tera", "fine"), ("c.tera", "{{ 1 / 0 }}")];
    let found = problems(&fleet(&files, values(), "directory").fleet);
    assert_eq!(
        found,
        [
            "render/undefined a.tera:1:4: `values.a1` is not defined for D@h",
            "render/type c.tera:1:8: cannot divide by 0 (D@h)",
        ]
    );
}

#[test]
fn templates_are_checked_whatever_the_values_are() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let fleet = fleet(files, values(), "directory").fleet;
        assert_eq!(problems(&fleet), expected, "{files:?}");
        let template = fleet.templates.values().next().expect("there is one");
        assert_eq!(check_template(template, &Limits::default()).len(), expected.len());
    };
    check(&[("a.tera", "x\n{{ ")], &["template/syntax a.tera:2:1: unexpected end of input"]);
    check(
        &[("a.tera", "{% endfor %}"), ("b.tera", "{{ 1"), ("c.tera", "{{ nope() }}")],
        &[
            "template/syntax a.tera:1:4: unknown tag",
            "template/syntax b.tera:1:4: unexpected end of input",
        ],
    );
    check(
        &[("a.tera", "é {{ get_env(name=\"HOME\") }}{% for x in [1] %}{{ x | nope }}{% endfor %}")],
        &[
            "template/unknown a.tera:1:6: unknown function `get_env`",
            "template/unknown a.tera:1:54: unknown filter `nope`",
        ],
    );
    check(
        &[("a.tera", "{{ <Nope /> }}")],
        &["template/unknown a.tera:1:4: unknown component `Nope`"],
    );
    check(
        &[("a.tera", "{{ __tera_context }}")],
        &[
            "template/unknown a.tera:1:4: `__tera_context` does not exist here: its order would change from run to run",
        ],
    );
    for outside in ["../b/files/a.tera", "/etc/passwd", "b.tera"] {
        check(
            &[("a.tera", &format!("{{% include \"{outside}\" %}}"))],
            &[&format!("template/unknown a.tera:1:12: `{outside}` is not a file of this template")],
        );
    }
    check(
        &[("a.tera", "{% extends \"b.tera\" %}")],
        &["template/unknown a.tera:1:12: `b.tera` is not a file of this template"],
    );
    check(
        &[("a.tera", "x {% include \"a.tera\" %}")],
        &["template/cycle a.tera:1:14: the template uses itself: `a.tera` → `a.tera`"],
    );
    check(
        &[("a.tera", "{% include '_b' %}"), ("_b", "{% include \"a.tera\" %}")],
        &["template/cycle a.tera:1:12: the template uses itself: `_b` → `a.tera` → `_b`"],
    );
    check(
        &[("a.tera", "{% extends \"a.tera\" %}")],
        &["template/cycle a.tera:1:12: the template uses itself: `a.tera` → `a.tera`"],
    );
    let many = "{% elif values.n == 1 %}".repeat(10_000);
    check(
        &[("a.tera", &format!("{{% if values.n == 0 %}}{many}{{% endif %}}"))],
        &["template/syntax a.tera:1:2426: too many `elif` in one file"],
    );
    let many = "{% elif values.n == 1 %}".repeat(100);
    let fine = format!("{{% if values.n == 0 %}}{many}{{% endif %}}");
    assert_eq!(problems(&fleet(&[("a.tera", &fine)], values(), "directory").fleet), ["fine"]);
}

#[test]
fn hostile_syntax_is_refused_not_followed() {
    let deep = |open: &str, close: &str| {
        format!("{{{{ {}1{} }}}}", open.repeat(50_000), close.repeat(50_000))
    };
    for template in [
        deep("(", ")"),
        deep("[", "]"),
        deep("not ", ""),
        deep("1 + ", ""),
        deep("1 ~ ", ""),
        deep("{\"a\": ", "}"),
        "{% if true %}".repeat(50_000),
        "{% for x in [1] %}".repeat(50_000),
        format!("{{{{ values{} }}}}", "[0]".repeat(50_000)),
        format!("{{{{ 1{} }}}}", " | abs".repeat(50_000)),
        "{{ '".to_owned(),
        "{# ".to_owned(),
        "{% raw %} {% endra".to_owned(),
    ] {
        let fleet = fleet(&[("a.tera", &template)], values(), "directory").fleet;
        let found = problems(&fleet);
        let shown: String = template.chars().take(40).collect();
        assert!(found[0].starts_with("template/syntax a.tera:1:"), "{shown}: {found:?}");
    }
}

#[test]
fn loops_and_sizes_are_bounded() {
    let check = |template: &str, limits: Value, code: &str| {
        let mut fleet = fleet(&[("a.tera", template), ("_b", "x")], values(), "directory").fleet;
        fleet.settings.limits = serde_json::from_value(limits).expect("the limits are valid");
        let found = problems(&fleet);
        assert!(found.iter().any(|problem| problem.starts_with(code)), "{template}: {found:?}");
    };
    let short = json!({"renderTime": "20ms"});
    for endless in [
        "{% for x in range(end=100000) %}{% for y in range(end=100000) %}{% endfor %}{% endfor %}",
        "{% for x in range(end=99999) %}{% set z = [y for y in range(end=99999)] %}{% endfor %}",
        "{{ [[1 for y in range(end=99999)] for x in range(end=99999)] | length }}",
        "{{ [1 for x in range(end=99999) if [y for y in range(end=99999) if false]] | length }}",
        "{% for x in range(end=99999) %}{% include '_b' %}{% endfor %}",
        "{% component f() %}{% for x in range(end=99999) %}{% endfor %}{% endcomponent f %}{{ <f /> }}",
        "{% set r = range(end=999) %}{% for x in r %}{% for y in r %}{% for z in r %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(end=9999) -%} {% for b in range(end=9999) -%} {%- endfor -%} {%- endfor %}",
    ] {
        check(endless, short.clone(), "render/timeout a.tera:1:");
    }
    check("{% for x in range(end=1000) %}{{ x }}{% endfor %}", json!({}), "fine");
    check("{{ values.text }}", json!({"manifestSize": "2"}), "render/size a.tera:");
    check("{{ values.text }}", json!({"manifestSize": "3"}), "fine");
    check("{{ values.text }}", json!({"assignmentSize": "3"}), "render/size :");
    check("{{ values.text }}", json!({"assignmentFiles": 0}), "render/files ");
}

#[test]
fn components_and_includes_cannot_overflow_the_stack() {
    let run = |files: &[(String, String)], main: &str| {
        let mut all = vec![("a.tera", main)];
        all.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        problems(&fleet(&all, values(), "directory").fleet)
    };
    let chain = |depth: usize, last: &str| {
        let link = |i| (format!("_{i:02}"), format!("{{% include \"_{:02}\" %}}", i + 1));
        let mut files: Vec<_> = (0..depth).map(link).collect();
        files.push((format!("_{depth:02}"), last.to_owned()));
        files
    };
    let uses = |what: &str| format!("template/cycle a.tera:1:24: the template uses itself: {what}");
    let endless = "{% component f() %}{{ <f /> }}{{ <f /> }}{% endcomponent f %}{{ <f /> }}";
    assert_eq!(run(&[], endless), [uses("`f` → `f`")]);
    let dotted = "{% component a.b() -%} {{<a.c/>}}{% endcomponent a.b %}{% component a.c() %}{% <a.b> %}x{% </a.b> %}{% endcomponent a.c %}";
    assert_eq!(
        run(&[], dotted),
        ["template/cycle a.tera:1:81: the template uses itself: `a.b` → `a.c` → `a.b`"]
    );
    // A component that is called where it is not defined, and used with a body.
    let fine = "{% component f() %}[{{ body }}]{% endcomponent f %}{% <f> %}{% include \"_00\" %}{% </f> %}";
    assert_eq!(run(&chain(2, "{{ values.n < values.n }}"), fine), ["fine"]);

    let main = "{% include \"_00\" %}";
    assert_eq!(run(&chain(30, "x"), main), ["fine"]);
    let deep = "files, components and blocks are nested more than 32 deep";
    for depth in [31, 40, 5000] {
        let found = run(&chain(depth, "x"), main);
        assert!(found[0].starts_with("template/cycle ") && found[0].ends_with(deep), "{found:?}");
    }
    // Includes that call components that include; and blocks in each file.
    let main = "{% component f() %}{% include \"_00\" %}{% endcomponent f %}{{ <f /> }}";
    let found = run(&chain(14, "{{ <f /> }}"), main);
    assert!(found[0].contains("the template uses itself: `_00` → `_01`"), "{found:?}");
    let open: String = (0..14).map(|i| format!("{{% block b{i} %}}")).collect();
    let nested = format!("{open}x{}", "{% endblock %}".repeat(14));
    assert_eq!(run(&[], &nested), ["fine"]);
    let files = [("_b".to_owned(), nested.clone())];
    let found = run(&files, &format!("{nested}{{% include '_b' %}}"));
    assert!(found[0].ends_with(deep), "{found:?}");
}

#[test]
fn files_are_rendered_copied_or_only_included() {
    let files = [
        ("deep/a.yaml.tera", "{% include \"_partials/_x.tera\" %}{% include \"_partials/_y\" %}"),
        ("_partials/_x.tera", "x: {{ values.n }}\n"),
        ("_partials/_y", "y: {{ values.n }}"),
        ("_partials/z.bin", "\u{feff}raw {{ values.n }}\r\n"),
        ("base.tera", "[{% block b %}base{% endblock b %}]"),
        ("child.tera", "{% extends \"base.tera\" %}{% block b %}{{ super() }}+{% endblock b %}"),
    ];
    let manifests = render(&fleet(&files, values(), "directory").fleet).expect("it is fine");
    let drawn: Vec<_> = manifests
        .files
        .iter()
        .map(|(path, bytes)| format!("{path}: {:?}", String::from_utf8_lossy(bytes)))
        .collect();
    assert_eq!(
        drawn,
        [
            "_partials/z.bin: \"\u{feff}raw {{ values.n }}\\r\\n\"",
            "base: \"[base]\\n\"",
            "child: \"[base+]\\n\"",
            "deep/a.yaml: \"x: 3\\ny: 3\\n\"",
        ]
        .map(|line| line.replace('\u{feff}', "\\u{feff}"))
    );
}

#[test]
fn paths_that_cannot_be_written_are_refused() {
    let check = |files: &[&str], expected: &[&str]| {
        let files: Vec<_> = files.iter().map(|path| (*path, "x")).collect();
        assert_eq!(problems(&fleet(&files, values(), "directory").fleet), expected, "{files:?}");
    };
    let path = |path: &str, why: &str| {
        format!("render/path {path}.tera: `{path}` is no path for a manifest: {why}")
    };
    check(&[".git.tera"], &[&path(".git", "`.git` belongs to Git itself")]);
    check(&["a/.GIT.tera"], &[&path("a/.GIT", "`.GIT` belongs to Git itself")]);
    let escape = "a path must be relative and without empty, `.` or `..` parts";
    check(&["...tera"], &[&path("..", escape)]);
    check(&["a/..tera"], &[&path("a/.", escape)]);
    let other = |target: &str, other: &str| {
        format!("it would be written to `{target}`, as `templates/app/files/{other}` is")
    };
    let collision = format!("render/collision a.yaml.tera: {}", other("a.yaml", "a.yaml"));
    check(&["a.yaml", "a.yaml.tera"], &[&collision]);
    let collision = format!("render/collision a/b: {}", other("a/b", "a.tera"));
    check(&["a.tera", "a/b"], &[&collision]);
    let collision = format!("render/collision d/b/c.tera: {}", other("d/b/c", "d"));
    check(&["d", "d/b/c.tera"], &[&collision]);
}

#[test]
fn values_merge_in_order() {
    let base = |deployment: Value| {
        FleetBuilder::new()
            .host("h", "region=eu,ring=one")
            .workspace("iot", json!({"values": {"b": "workspace", "c": "workspace", "map": {"y": 2}}}))
            .workload("iot/app", json!({"template": "app", "values": {"c": "workload", "d": "workload"}}))
            .template(
                "app",
                json!({"defaults": {"a": "default", "b": "default", "map": {"x": 1, "y": 1}, "list": [1, 2]}}),
                &[("a.txt.tera", "{{ values }}")],
            )
            .deployment("iot/app/d", deployment)
            .fleet
    };
    let check = |deployment: Value, expected: &str| {
        assert_eq!(text(&base(deployment.clone())).trim_end(), expected, "{deployment}");
    };
    check(
        json!({"values": {"d": "deployment", "map": {"z": 3}}}),
        r#"{"a": "default", "b": "workspace", "c": "workload", "d": "deployment", "list": [1, 2], "map": {"x": 1, "y": 2, "z": 3}}"#,
    );
    check(
        json!({"values": {"a": 0, "b": "", "c": false, "d": [], "list": [3], "map": {"x": {}}},
               "overrides": [
                   {"selector": {"matchLabels": {"region": "eu"}}, "values": {"d": 1, "map": {"y": 0}}},
                   {"selector": {"matchLabels": {"region": "us"}}, "values": {"d": 2}},
                   {"selector": {"matchLabels": {"ring": "one"}}, "values": {"d": 3}}]}),
        r#"{"a": 0, "b": "", "c": false, "d": 3, "list": [3], "map": {"x": {}, "y": 0}}"#,
    );
}

#[test]
fn values_must_fit_the_parameters() {
    let parameters = json!({
        "type": "object",
        "properties": {
            "port": {"type": "integer", "maximum": 65535},
            "name": {"type": "string", "pattern": "^[a-z]+$"}
        },
        "required": ["port"]
    });
    let fleet = |parameters: &Value, values: Value| {
        let over =
            json!([{"selector": {"matchLabels": {"region": "us"}}, "values": {"port": "x"}}]);
        FleetBuilder::new()
            .host("h", "region=eu")
            .host("us", "region=us")
            .template(
                "app",
                json!({"parameters": parameters}),
                &[("a.txt.tera", "{{ values.port }}")],
            )
            .deployment("default/app/d", json!({"values": values, "overrides": over}))
            .fleet
    };
    let check = |values: Value, expected: &[&str]| {
        assert_eq!(problems(&fleet(&parameters, values)), expected);
    };
    let file = "values/schema workspaces/default/workloads/app/deployments/d.yaml:";
    check(json!({"port": 80}), &["fine"]);
    check(
        json!({"port": 99999, "name": "hunter2"}),
        &[
            &format!("{file} `values.name`: value does not match \"^[a-z]+$\" (default/app/d)"),
            &format!(
                "{file} `values.port`: value is greater than the maximum of 65535 (default/app/d)"
            ),
        ],
    );
    check(
        json!({}),
        &[&format!("{file} `values`: \"port\" is a required property (default/app/d)")],
    );
    // Each host has its own merged values.
    let fleet_ = fleet(&parameters, json!({"port": 80}));
    let mut renderer = Renderer::new(&fleet_);
    let deployment = fleet_.deployments.values().next().expect("there is one");
    let answers: Vec<_> =
        fleet_.hosts.values().map(|host| renderer.render(deployment, host).is_ok()).collect();
    assert_eq!(answers, [true, false]);
    for schema in [json!({"type": "nonsense"}), json!({"$ref": "https://example.com/schema.json"})]
    {
        let found = problems(&fleet(&schema, json!({"port": 80})));
        assert!(
            found[0].starts_with("values/schema templates/app/template.yaml: `parameters"),
            "{found:?}"
        );
    }
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn manifests_are_what_the_runtime_takes() {
    let check = |file: &str, content: &str, runtime: &str, expected: &str| {
        let fleet = fleet(&[(file, content)], values(), runtime).fleet;
        let found = problems(&fleet);
        assert!(found[0].starts_with(expected), "{content:?} on {runtime}: {found:?}");
    };
    for runtime in ["kubernetes", "external"] {
        check("a.yaml", CONFIG_MAP, runtime, "fine");
        check(
            "a.yml",
            &format!("---\n{CONFIG_MAP}---\n# nothing\n---\n{CONFIG_MAP}"),
            runtime,
            "fine",
        );
        check("a.yaml", "", runtime, "fine");
        check(
            "a.json",
            r#"{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}"#,
            runtime,
            "fine",
        );
        check("a.txt", ": : :", runtime, "fine");
        check(
            "kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization",
            runtime,
            "fine",
        );
        let object = "render/yaml a.yaml:1:1: not a Kubernetes object: ";
        check(
            "a.yaml",
            "services: {}",
            runtime,
            &format!("{object}`apiVersion` is missing (`a.yaml`, line 1, D@h)"),
        );
        check("a.yaml", "- 1", runtime, &format!("{object}the document is not a map"));
        check(
            "a.yaml",
            "apiVersion: v1\nkind: A",
            runtime,
            &format!("{object}`metadata.name` is missing"),
        );
        check(
            "a.yaml",
            "apiVersion: v1\nkind: A\nmetadata: {name: 1}",
            runtime,
            &format!("{object}`metadata.name` is not a string"),
        );
        check("a.json", "{}", runtime, "render/yaml a.json:1:1:");
        check("Kustomization", "resources: []", runtime, "render/yaml Kustomization:1:1:");
        let list = "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n";
        check("a.yaml", list, runtime, &format!("{object}`apiVersion` is missing"));
    }
    check("a.yaml", "services: {}", "docker", "fine");
    check("a.yaml", "- 1\n- .nan\n- !x y", "directory", "fine");
    check("a.json", "{", "directory", "fine");
    for runtime in ["kubernetes", "docker"] {
        let twice =
            "render/yaml a.yaml:2:1: a key stands twice in the same map (`a.yaml`, line 2, D@h)";
        check("a.yaml", "a: 1\na: 2\n", runtime, twice);
        check(
            "a.yaml.tera",
            "a: {{ values.n }}\na: 2\n",
            runtime,
            "render/yaml a.yaml.tera:2:1: a key stands twice",
        );
        check("a.yaml", "a: 1\n  b: [\n", runtime, "render/yaml a.yaml:2:");
        check("a.yaml", "a: [\n", runtime, "render/yaml a.yaml:");
        check("a.yaml", &"[".repeat(1000), runtime, "render/yaml a.yaml:");
        let bomb: String = (1..9)
            .map(|i| format!("a{i}: &a{i} [{}]\n", format!("*a{},", i - 1).repeat(10)))
            .collect();
        check("a.yaml", &format!("a0: &a0 x\n{bomb}"), runtime, "render/yaml a.yaml:");
    }
}

#[test]
fn findings_point_into_the_template() {
    let template = "# head\n{% for x in values.list -%}\n---\napiVersion: v1\nkind: {{ values.text }}\nmetadata:\n  name: n{{ x }}\n{% endfor %}";
    let found = problems(
        &fleet(&[("a.yaml.tera", template)], values(), "kubernetes")
            .workspace("default", json!({"policy": {"kinds": ["Pod"]}}))
            .fleet,
    );
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0],
        "policy/kind a.yaml.tera:5:1: the workspace may not have a `abc` (`a.yaml`, line 4, D@h)"
    );
}

#[test]
fn workspaces_have_what_their_policy_allows() {
    let policy =
        json!({"kinds": ["ConfigMap", "Secret", "Service"], "namespaces": ["iot", "edge"]});
    let check = |content: &str, runtime: &str, expected: &[&str]| {
        let object = json!({"values": {"inject": "a\n---\napiVersion: v1\nkind: ClusterRole\nmetadata: {name: x, namespace: iot}"}});
        let fleet = fleet(&[("a.yaml.tera", content)], object, runtime)
            .workspace("default", json!({"policy": policy}))
            .fleet;
        assert_eq!(problems(&fleet), expected, "{content}");
    };
    let object = |kind: &str, meta: &str| {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a{meta}}}\n")
    };
    check(&object("ConfigMap", ", namespace: iot"), "kubernetes", &["fine"]);
    let kind = |kind: &str, line: u32, out: u32| {
        format!(
            "policy/kind a.yaml.tera:{line}:1: the workspace may not have a `{kind}` (`a.yaml`, line {out}, D@h)"
        )
    };
    check(&object("Pod", ", namespace: edge"), "external", &[&kind("Pod", 2, 2)]);
    let namespace = "policy/namespace a.yaml.tera:1:1: a `Service` of this workspace may not be without a namespace (`a.yaml`, line 1, D@h)";
    check(&object("Service", ""), "kubernetes", &[namespace]);
    let namespace = "policy/namespace a.yaml.tera:1:1: a `Service` of this workspace may not be in namespace `kube-system` (`a.yaml`, line 1, D@h)";
    check(&object("Service", ", namespace: kube-system"), "kubernetes", &[namespace]);
    // Smuggled in: by a value with `---`, and in a list.
    let smuggled =
        format!("{}data:\n  a: {{{{ values.inject }}}}\n", object("ConfigMap", ", namespace: iot"));
    check(&smuggled, "kubernetes", &[&kind("ClusterRole", 2, 8).replace("tera:2:1", "tera")]);
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a, namespace: iot}\n";
    check(list, "kubernetes", &[&kind("Pod", 2, 2)]);
    // A Compose file has no kind; an object does, wherever it lies.
    check("services: {}\n", "docker", &["fine"]);
    check(&object("Pod", ", namespace: iot"), "directory", &[&kind("Pod", 2, 2)]);
}

#[test]
fn secrets_must_be_encrypted() {
    let check = |data: &str, expected: &str| {
        let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{data}");
        for runtime in ["kubernetes", "directory"] {
            let found = problems(&fleet(&[("a.yaml", &secret)], values(), runtime).fleet);
            assert_eq!(found, [expected], "{data}");
            assert!(!found[0].contains("hunter2"));
        }
    };
    check("", "fine");
    check("data: {}", "fine");
    check("data: {a: ''}", "fine");
    check("data: {a: 'ENC[AES256,data:x]'}\nsops: {mac: 'ENC[AES256,data:y]'}", "fine");
    let plain = |field: &str| {
        format!(
            "policy/secret a.yaml:4:1: a Secret's `{field}` is not encrypted (`a.yaml`, line 4, D@h)"
        )
    };
    check("data: {a: aHVudGVyMg==}", &plain("data"));
    check("stringData:\n  password: hunter2", &plain("stringData"));
    check("data: {a: hunter2}\nsops: {mac: 'ENC[AES256,data:y]'}", &plain("data"));
    check("data: {a: 'ENC[hunter2]'}\nsops: {}", &plain("data"));
}

#[test]
fn the_same_fleet_gives_the_same_bytes() {
    let files = [
        (
            "a.txt.tera",
            "{{ values }} {{ values.map | values }} {% for k, v in host.labels %}{{ k }}{% endfor %}",
        ),
        (
            "b.txt.tera",
            "{{ {'z': 1, 'b': 2, ...values.map} }} {{ [{'g': 1}, {'g': 0}] | group_by(attribute='g') }} {{ [{'a': 'x'}, {'a': 'w'}, {'a': 'v'}, {'a': 'x'}] | group_by(attribute='a') | keys }}",
        ),
        ("c.txt.tera", "{{ host.name }}"),
    ];
    let build = || {
        (0..20).fold(fleet(&files, values(), "directory"), |fleet, i| {
            fleet.host_with(
                &format!("h{i:02}"),
                "a=1,b=2,c=3,region=eu",
                json!({"runtime": "directory"}),
            )
        })
    };
    let all = |reverse: bool| {
        let fleet = build().fleet;
        let mut renderer = Renderer::new(&fleet);
        let mut hosts: Vec<_> = fleet.hosts.values().collect();
        if reverse {
            hosts.reverse();
        }
        let deployment = fleet.deployments.values().next().expect("there is one");
        let mut manifests = BTreeMap::new();
        for host in hosts {
            let rendered = renderer.render(deployment, host).expect("it is fine");
            manifests.insert(host.name.clone(), rendered);
        }
        manifests
    };
    let (first, second) = (all(false), all(true));
    assert_eq!(first, second);
    assert_eq!(first.len(), 21);
    let host = first.values().next().expect("there is one");
    let drawn = host.files.values().map(|bytes| String::from_utf8_lossy(bytes)).collect::<String>();
    assert!(drawn.contains("[\"x\", \"w\", \"v\"]"), "{drawn}");
    // What does not depend on the host is shared between hosts, not copied.
    let bytes = |host: usize, file: &str| {
        let manifests = first.values().nth(host).expect("there is such a host");
        Arc::clone(&manifests.files[&RepoPath::new(file).expect("a path")])
    };
    assert!(Arc::ptr_eq(&bytes(1, "b.txt"), &bytes(20, "b.txt")));
    assert!(!Arc::ptr_eq(&bytes(1, "c.txt"), &bytes(20, "c.txt")));
}

#[test]
fn places_in_the_metered_text_map_back() {
    let path = RepoPath::new("a.tera").expect("a path");
    let text =
        "{% for x in xs %}é{{ x ~ y }}{% endfor %}\n{{ [a for a in b if c] }}{% include 'q' %}z";
    let source = source::Source::new(&path, text);
    let metered = source.metered();
    assert_eq!(
        metered,
        "{% for x in ( xs ) | __each %}é{{ x  | __some ~ y  | __some }}{% endfor %}\n\
         {{ [a for a in ( b ) | __each if c] }}{% include 'q' %}{{__tick()}}z"
    );
    let file = source::Node::File("q".to_owned());
    assert_eq!(source.uses.iter().map(|used| &used.of).collect::<Vec<_>>(), [&file]);
    for word in ["xs", "é", "~ y", "endfor", "c]", "'q'", "z"] {
        let (there, here) = (metered.find(word), text.find(word));
        assert_eq!(there.map(|there| source.original(there)), here, "{word}");
    }
    let span = source.span(text.find("b if").expect("it is there")..text.len());
    assert_eq!((span.line, span.column, span.length), (2, 16, 28));
}

/// Which hosts share one result, by the template's files.
fn shared(files: &[(&str, &str)]) -> Vec<bool> {
    let spec = json!({"overrides": [
        {"selector": {"matchLabels": {"ring": "1"}}, "values": {"ring": 1}},
    ], "values": {"ring": 0}});
    let fleet = fleet(files, spec, "directory")
        .host_with("i", "ring=0", json!({"runtime": "directory"}))
        .host_with("j", "ring=1", json!({"runtime": "directory"}))
        .host_with("k", "ring=0", json!({"runtime": "docker"}))
        .fleet;
    let deployment = fleet.deployments.values().next().expect("there is one");
    let mut renderer = Renderer::new(&fleet);
    let mut render = |name: &str| {
        let host = fleet.hosts.values().find(|host| host.name.as_str() == name).expect("a host");
        let manifests = renderer.render(deployment, host).expect("it is fine");
        let alone = Renderer::new(&fleet).render(deployment, host).expect("it is fine");
        assert_eq!(manifests, alone);
        manifests
    };
    let first = render("h");
    ["i", "j", "k"].map(|name| Arc::ptr_eq(&first, &render(name))).to_vec()
}

#[test]
fn what_reads_no_host_is_rendered_once_for_the_same_values() {
    let check = |files: &[(&str, &str)], expected: bool| {
        assert_eq!(shared(files), [expected, false, expected], "{files:?}");
    };
    check(&[("a.txt.tera", "ring {{ values.ring }} of {{ deployment.name }}")], true);
    check(&[("a.txt.tera", "{{ values.ring }}"), ("b.txt", "host")], true);
    check(&[("a.txt.tera", "{{ host.name }}")], false);
    check(&[("a.txt.tera", "{% include '_b' %}"), ("_b", "{{ host.name }}")], false);
    check(&[("a.txt.tera", "{% set a = {...host} %}{{ a.name }}")], false);
    check(&[("a.txt.tera", "{{ host['name'] }}{{ values.ring }}")], false);
    check(&[("a.txt.tera", "{% for x in [host] %}{{ x.name }}{% endfor %}")], false);
    check(&[("a.txt.tera", "{% block b %}{{ host.name }}{% endblock %}")], false);
}

/// What a worker prepared is used for the next fleet, but for what is another there.
#[test]
fn what_was_prepared_is_used_only_where_nothing_differs() {
    let of = |template: &str, more: Value| {
        let files = [("a.txt.tera", template)];
        fleet(&files, json!({"values": more}), "directory").fleet
    };
    let shown = |renderer: &mut Renderer<'_>, fleet: &Fleet| {
        // The deployment of the renderer's fleet, wherever it is.
        let (deployment, host) = (&fleet.deployments, &fleet.hosts);
        let facts = HostFacts::new(host.values().next().expect("a host"));
        let id = deployment.keys().next().expect("a deployment");
        let manifests = renderer.render_with(&renderer.fleet.deployments[id], &facts);
        let files = manifests.expect("it renders").files.clone();
        String::from_utf8(files.into_values().next().expect("a file").to_vec()).expect("text")
    };
    let first = of("{{ values.a }}", json!({"a": 1}));
    let mut renderer = Renderer::new(&first);
    assert_eq!(shown(&mut renderer, &first), "1\n");
    let changes: [fn(&mut Fleet, &Fleet); 4] = [
        |next, other| next.deployments.clone_from(&other.deployments),
        |next, other| next.templates.clone_from(&other.templates),
        |next, _| {
            let workspace = next.workspaces.values_mut().next().expect("a workspace");
            let mut changed = Workspace::clone(workspace);
            changed.spec.values.insert("a".to_owned(), 5.into());
            *workspace = Arc::new(changed);
        },
        |next, _| {
            let workload = next.workloads.values_mut().next().expect("a workload");
            let mut changed = Workload::clone(workload);
            changed.spec.values.insert("a".to_owned(), 6.into());
            *workload = Arc::new(changed);
        },
    ];
    let other = of("{{ values.a }}!", json!({"a": 2}));
    let silent = of("{{ values.a }}", json!({}));
    for (base, change, expected) in [
        (&first, changes[0], "2\n"),
        (&first, changes[1], "1!\n"),
        (&silent, changes[2], "5\n"),
        (&silent, changes[3], "6\n"),
    ] {
        let mut before = Fleet::clone(base);
        before.workspaces.values_mut().for_each(|one| {
            let mut changed = Workspace::clone(one);
            changed.spec.values.insert("a".to_owned(), 0.into());
            *one = Arc::new(changed);
        });
        let mut renderer = Renderer::new(&before);
        shown(&mut renderer, &before);
        let kept = renderer.keep();
        let mut next = before.clone();
        change(&mut next, &other);
        let mut renderer = Renderer::resume(&next, kept);
        assert_eq!(shown(&mut renderer, &next), expected);
    }
}
