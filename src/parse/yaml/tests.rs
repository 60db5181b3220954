use serde_json::{Value, json};

use super::*;

fn bounds() -> Bounds {
    Bounds::new(&Limits::default())
}

fn value(text: &str) -> Value {
    let text = decode(text.as_bytes()).expect("the text is UTF-8");
    let node = read(text, bounds()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    node.map(Node::into_value).unwrap_or_default()
}

fn codes(text: &str) -> Vec<(&'static str, u32, u32)> {
    let problems = read(text, bounds()).expect_err("the text is wrong");
    problems.iter().map(|problem| (problem.code, problem.span.line, problem.span.column)).collect()
}

#[test]
fn documents_become_json() {
    let check = |text: &str, expected: Value| assert_eq!(value(text), expected, "{text:?}");
    check("", json!(null));
    check("# nothing\n", json!(null));
    check("---\n", json!(null));
    check("a: 1\nb: [x, 'y', \"z\\n\"]\n", json!({"a": 1, "b": ["x", "y", "z\n"]}));
    check("\u{feff}a: no\r\nb: 012\r\n", json!({"a": "no", "b": "012"}));
    check("---\na: 1\n...\n", json!({"a": 1}));
    check("a:\nb: ~\nc: null\nd: ''\n", json!({"a": null, "b": null, "c": null, "d": ""}));
    check("1: x\ntrue: y\n", json!({"1": "x", "true": "y"}));
    check("a: |\n  one\n  two\nb: >-\n  one\n  two\n", json!({"a": "one\ntwo\n", "b": "one two"}));
    check(
        "base: &b {x: 1}\nown: {<<: *b, y: 2}\n",
        json!({"base": {"x": 1}, "own": {"x": 1, "y": 2}}),
    );
    check("a: &a k\nm: {*a : 1}\n", json!({"a": "k", "m": {"k": 1}}));
    check("'<<': 1\n", json!({"<<": 1}));
    check("a: \"\\u00e4\\ud83d\\ude00\"\n", json!({"a": "ä😀"}));
}

#[test]
fn each_problem_has_its_code_and_place() {
    let check = |text: &str, expected: &[(&str, u32, u32)]| {
        assert_eq!(codes(text), expected, "{text:?}");
    };
    check("a: 1\na: 2\n", &[("yaml/duplicate-key", 2, 1)]);
    check("a: {b: 1, b: 2, c: !x 3}\n", &[("yaml/tag", 1, 20), ("yaml/duplicate-key", 1, 11)]);
    check("b: &b {x: 1}\nc: {x: 2, <<: *b}\n", &[("yaml/duplicate-key", 2, 11)]);
    check("a: &a [*a]\n", &[("yaml/alias", 1, 8)]);
    check("a: *b\n", &[("yaml/alias", 1, 4)]);
    check("[a]: 1\n", &[("yaml/key", 1, 1)]);
    check("{a: 1}: 1\nb: 2\n", &[("yaml/key", 1, 1)]);
    check("~: 1\n", &[("yaml/key", 1, 1)]);
    check("? [a, b]\n: {c: 1}\nd: 2\nd: 3\n", &[("yaml/key", 1, 3), ("yaml/duplicate-key", 4, 1)]);
    check("a: 1\n---\nb: 2\n", &[("yaml/multidoc", 2, 1)]);
    check("a: 1\n...\nb: 2\n", &[("yaml/multidoc", 3, 1)]);
    check("a:\n\tb: 1\n", &[("yaml/tab", 2, 1)]);
    check("a: x\u{202e}y\n", &[("yaml/char", 1, 5)]);
    check("a: \"\\e[31m\"\n", &[("yaml/char", 1, 4)]);
    check("a: \"\\ud800\"\n", &[("yaml/utf8", 1, 4)]);
    check("a: 123456789012345678901234567890\n", &[("field/type", 1, 4)]);
    check("a: [1\n", &[("yaml/syntax", 1, 4)]);
}

#[test]
fn many_keys_of_one_map_are_compared() {
    let mut text: String = (0..40).map(|i| format!("k{i}: {i}\n")).collect();
    assert_eq!(value(&text).as_object().map(serde_json::Map::len), Some(40));
    text.push_str("k3: 0\nk39: 0\n");
    assert_eq!(codes(&text), [("yaml/duplicate-key", 41, 1), ("yaml/duplicate-key", 42, 1)]);
}

#[test]
fn bounds_hold() {
    let first = |text: &str| codes(text)[0].0;
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let alias = format!("*a{}", i - 1);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    assert_eq!(first(&bomb), "yaml/budget");
    // One long text, many times.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), "*a, ".repeat(20_000));
    assert_eq!(first(&long), "yaml/budget");
    // Anchors around anchors: each would keep a copy of all that is inside.
    let nested = format!("{}{}{}\n", "&a [".repeat(60), "x, ".repeat(40_000), "]".repeat(60));
    assert_eq!(first(&nested), "yaml/budget");
    // A deep alias inside deep lists.
    let deep = format!(
        "a: &a {}{}\nb: {}*a{}\n",
        "[".repeat(40),
        "]".repeat(40),
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(first(&deep), "yaml/depth");
    assert_eq!(first(&"[".repeat(100_000)), "yaml/depth");
    assert_eq!(
        value(&format!("{}{}", "[".repeat(64), "]".repeat(64))).as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn other_encodings_are_told_apart() {
    let code = |bytes: &[u8]| {
        decode(bytes)
            .map(str::to_owned)
            .map_err(|problem| (problem.code, problem.span.line, problem.span.column))
    };
    let utf16: Vec<u8> = "kind: Host".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(code(&utf16), Err(("yaml/utf8", 1, 1)));
    assert_eq!(code(b"\xff\xfea\0"), Err(("yaml/utf8", 1, 1)));
    assert_eq!(code(b"a: 1\nb: \xc3\x28\n"), Err(("yaml/utf8", 2, 4)));
    assert_eq!(code(b"a: \xed\xa0\x80\n"), Err(("yaml/utf8", 1, 4)));
    assert_eq!(code(b"\0: NUL"), Ok("\0: NUL".to_owned()));
}

#[test]
fn pointers_lead_to_places() {
    let text = "spec:\n  list: [a, b/c]\n  \"x/y\": {z: 1}\n";
    let node = read(text, bounds()).expect("the text is fine").expect("it is not empty");
    let check = |pointer: &str, expected: Option<(u32, u32, u32)>| {
        let place = node.find(pointer).map(|p| (p.value.line, p.value.column, p.value.length));
        assert_eq!(place, expected, "{pointer}");
    };
    check("", Some((1, 1, 1)));
    check("/spec/list/1", Some((2, 13, 3)));
    check("/spec/x~1y/z", Some((3, 14, 1)));
    check("/spec/none", None);
    check("/spec/list/7", None);
    assert_eq!(node.find("/spec/x~1y").and_then(|p| p.key).map(|key| key.column), Some(3));
}

#[test]
fn later_stages_can_ask_for_places() {
    let text = "\u{feff}spec:\n  values: {image: x}\n";
    let span = crate::parse::locate(text, "/spec/values/image").expect("it is there");
    assert_eq!((span.line, span.column, span.length), (2, 19, 1));
    assert_eq!(crate::parse::locate(text, "/spec/none"), None);
    assert_eq!(crate::parse::locate("a: [", "/a"), None);
}
