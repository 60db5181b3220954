//! The area YAML.

use super::*;

const HEAD: &str = "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: all\n  values:\n";

/// A deployment whose values are `yaml`; the values begin on line 6.
#[track_caller]
fn check(what: &str, yaml: impl AsRef<[u8]>, code: &str, place: &str) {
    let bytes = [HEAD.as_bytes(), yaml.as_ref()].concat();
    assert!(!what.is_empty());
    Scene::good().file(BAD, bytes).expect_bad(code, place);
}

#[test]
fn budgets() {
    let mut bomb = "    a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        bomb.push_str(&format!("    a{i}: &a{i} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    check("alias bomb", bomb, "yaml/budget", "10:44");

    let anchors: String = (0..200_000).map(|i| format!("&{:x} ,", i % 16)).collect();
    check("200k anchors", format!("    a: [{anchors}]\n"), "yaml/budget", "6:199983");

    let base: String = (0..1000).map(|i| format!("k{i}: {i}, ")).collect();
    let merges = "    - <<: *b\n".repeat(2000);
    let text = format!("    b: &b {{{base}}}\n    m:\n{merges}");
    check("merge 1k × 2k", text, "yaml/budget", "55:11");
    let text = format!("    b: &b {{{base}}}\n    m: {{<<: [{}]}}\n", "*b, ".repeat(2000));
    check("merge of a list 1k × 2k", text, "yaml/budget", "7:202");
}

#[test]
fn depth() {
    check("100k [", format!("    {}", "[".repeat(100_000)), "yaml/depth", "6:70");
    check("20k nested maps", format!("    a: {}", "{a: ".repeat(20_000)), "yaml/depth", "6:252");
    check(
        "3k-deep block",
        format!("    a:\n      {}x\n", "- ".repeat(3000)),
        "yaml/depth",
        "7:129",
    );
    let deep: String = (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    // 4.5 MB: too long as well.
    Scene::good()
        .file(BAD, deep)
        .expect(&[("object/size", BAD), ("yaml/depth", &format!("{BAD}:65:65"))]);
}

#[test]
fn keys() {
    check("duplicate", "    a: 1\n    a: 2\n", "yaml/duplicate-key", "7:5");
    check("duplicate in flow", "    {a: 1, \"a\": 2}\n", "yaml/duplicate-key", "6:12");
    check(
        "duplicate merge",
        "    b: &b {x: 1}\n    m: {<<: *b, x: 2}\n",
        "yaml/duplicate-key",
        "7:9",
    );
    check("merge twice", "    b: &b {x: 1}\n    m: {<<: [*b, *b]}\n", "yaml/duplicate-key", "7:9");
    check("list as key", "    [a]: 1\n", "yaml/key", "6:5");
    check("map as key", "    {a: b}: 1\n", "yaml/key", "6:5");
    check("map as explicit key", "    ? a: b\n    : 1\n", "yaml/key", "6:7");
    check("null as key", "    ~: 1\n", "yaml/key", "6:5");
    check("nothing as key", "    : 1\n", "yaml/key", "6:5");
}

#[test]
fn encodings() {
    check("not UTF-8", b"    a: \xff\n", "yaml/utf8", "6:8");
    check("a surrogate as UTF-8", b"    a: \xed\xa0\x80\n", "yaml/utf8", "6:8");
    check("a lone surrogate", "    a: \"\\ud800\"\n", "yaml/utf8", "6:8");
    check("a lone low surrogate", "    a: \"\\udc00\"\n", "yaml/utf8", "6:8");
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let plain: Vec<u8> = HEAD.encode_utf16().flat_map(order).collect();
        Scene::good().file(BAD, &plain).expect_bad("yaml/utf8", "1:1");
        let marked: Vec<u8> = order(0xfeff).into_iter().chain(plain).collect();
        Scene::good().file(BAD, &marked).expect_bad("yaml/utf8", "1:1");
    }
}

#[test]
fn characters() {
    check("NUL", "    a: x\0y\n", "yaml/char", "6:9");
    check("ANSI escape", "    a: \u{1b}[31mx\n", "yaml/char", "6:8");
    check("ANSI escape, spelled out", "    a: \"\\e[31m\"\n", "yaml/char", "6:8");
    check("bidi override", "    a: \u{202e}x\n", "yaml/char", "6:8");
    check("bidi override in a comment", "    a: x # \u{2066}y\n", "yaml/char", "6:12");
    check("BOM inside", "    a: \u{feff}x\n", "yaml/char", "6:8");
}

#[test]
fn structure() {
    check("tab indent", "\ta: 1\n", "yaml/tab", "6:1");
    check("tab after spaces", "    a:\n    \tb: 1\n", "yaml/tab", "7:5");
    check("several documents", "    a: 1\n---\nb: 2\n", "yaml/multidoc", "7:1");
    check("an empty second document", "    a: 1\n---\n", "yaml/multidoc", "7:1");
    check("text after the end", "    a: 1\n...\nb: 2\n", "yaml/multidoc", "8:1");
    for tag in ["!!str", "!!python/object:os.system", "!x", "!", "!<tag:x>"] {
        check(tag, format!("    a: {tag} 1\n"), "yaml/tag", "6:8");
    }
    check("a tag on a map", "    a: !!map {b: 1}\n", "yaml/tag", "6:8");
    check("a tag on a list", "    a: !!seq [b]\n", "yaml/tag", "6:8");
    check("an undeclared tag", "    a: !e!x 1\n", "yaml/tag", "6:8");
    check("unknown alias", "    a: *b\n", "yaml/alias", "6:8");
    check("alias before its anchor", "    a: *b\n    c: &b 1\n", "yaml/alias", "6:8");
    check("self-referring alias", "    a: &a {b: *a}\n", "yaml/alias", "6:15");
    check("no YAML", "    a: [1, 2\n", "yaml/syntax", "6:8");
    check("no YAML either", "    a: b: c\n", "yaml/syntax", "6:9");
}

#[test]
fn marks_and_line_ends_of_windows_are_fine() {
    let text = format!("\u{feff}{HEAD}    a: no\n").replace('\n', "\r\n");
    let parsed = Scene::good().file(BAD, text).expect(&[]);
    let values = &parsed.fleet.deployments[&deployment("bad")].spec.values;
    assert_eq!(serde_json::Value::Object(values.clone()), serde_json::json!({"a": "no"}));
}
