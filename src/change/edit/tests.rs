use super::*;

const FILE: &str = r#"# yaml-language-server: $schema=https://titan.dev/schemas/v1/deployment.schema.json
apiVersion: titan.dev/v1
kind: Deployment

metadata:
  labels: {team: "iot", tier: 'edge'}  # who

# What is wanted.
spec:
  target: all   # everywhere

  # Two are enough.
  replicas: 2  # for now
  values:
    image: "ghcr.io/x/y:1.0"
    # how loud
    log:
      level: info
    text: |
      one
      two

    empty:
    none: {}   # nothing yet
    ports:
      # the web
      - 80
      - 443   # tls
  overrides:
  - selector: {}
    values:
      a: 1
      b: 2
# the end
"#;

/// Applies `edit` to [`FILE`] and compares the lines that went (`-`) and came (`+`).
#[track_caller]
fn check(edit: &str, expected: &str) {
    check_edit(FILE, &edit.parse().unwrap(), expected);
}

#[track_caller]
fn check_edit(file: &str, edit: &FieldEdit, expected: &str) {
    let after = apply(file, edit).unwrap();
    assert_eq!(difference(file, &after), expected, "{edit:?}\n{after}");
}

/// The changed lines between the common start and the common end.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let start = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = before[..before.len() - end].iter().map(|line| format!("-{line}\n"));
    let plus = after[..after.len() - end].iter().map(|line| format!("+{line}\n"));
    minus.chain(plus).collect()
}

#[test]
fn scalars_are_replaced_in_their_own_form() {
    check("spec.replicas=3", "-  replicas: 2  # for now\n+  replicas: 3  # for now\n");
    check("spec.target=eu", "-  target: all   # everywhere\n+  target: eu   # everywhere\n");
    check(
        "spec.values.image=ghcr.io/x/y:1.1",
        "-    image: \"ghcr.io/x/y:1.0\"\n+    image: \"ghcr.io/x/y:1.1\"\n",
    );
    check(
        "metadata.labels.tier=it's",
        "-  labels: {team: \"iot\", tier: 'edge'}  # who\n+  labels: {team: \"iot\", tier: 'it''s'}  # who\n",
    );
    check("spec.values.text=short", "-    text: |\n-      one\n-      two\n+    text: short\n");
    check("spec.values.empty=0", "-    empty:\n+    empty: 0\n");
    check("spec.values.log=off", "-    log:\n-      level: info\n+    log: \"off\"\n");
    check("spec.values.ports.1=8443", "-      - 443   # tls\n+      - 8443   # tls\n");
    check("spec.overrides.0.values.b=null", "-      b: 2\n+      b: null\n");
}

#[test]
fn new_fields_stand_where_they_belong() {
    check("spec.suspend=true", "+  suspend: true\n");
    check("spec.values.log.format=json", "+      format: json\n");
    check(
        "spec.values.none.a.b=x",
        "-    none: {}   # nothing yet\n+    none:   # nothing yet\n+      a:\n+        b: x\n",
    );
    check("spec.values.empty.a=[1,\"b\"]", "+      a:\n+        - 1\n+        - b\n");
    check(
        "metadata.labels.ring=1",
        "-  labels: {team: \"iot\", tier: 'edge'}  # who\n+  labels: {team: \"iot\", tier: 'edge', ring: \"1\"}  # who\n",
    );
    check("metadata.annotations.\"a.b/c\"=d", "+  annotations:\n+    a.b/c: d\n");
    check("spec.overrides.0.values.c={\"d\":1}", "+      c:\n+        d: 1\n");
    let append = FieldEdit::Append(FieldPath::of(&["spec", "values", "ports"]), 8080.into());
    check_edit(FILE, &append, "+      - 8080\n");
    let append = FieldEdit::Append(FieldPath::of(&["spec", "tokens"]), "sha256:00".into());
    check_edit(FILE, &append, "+  tokens:\n+    - sha256:00\n");
}

#[test]
fn fields_go_with_their_own_comment() {
    check("spec.replicas-", "-  # Two are enough.\n-  replicas: 2  # for now\n");
    check("spec.values.log-", "-    # how loud\n-    log:\n-      level: info\n");
    check("spec.values.log.level-", "-    log:\n-      level: info\n+    log: {}\n");
    check(
        "metadata.labels.team-",
        "-  labels: {team: \"iot\", tier: 'edge'}  # who\n+  labels: {tier: 'edge'}  # who\n",
    );
    check(
        "metadata.labels.tier-",
        "-  labels: {team: \"iot\", tier: 'edge'}  # who\n+  labels: {team: \"iot\"}  # who\n",
    );
    check("spec.overrides.0.selector-", "-  - selector: {}\n-    values:\n+  - values:\n");
    check("spec.absent.field-", "");
    let bare = "# about the file\na: 1\nb: 2\n";
    check_edit(bare, &"a-".parse().unwrap(), "-a: 1\n");
}

#[test]
fn maps_are_replaced_key_by_key() {
    let edit =
        r#"spec.values={"image":"ghcr.io/x/y:1.0","log":{"level":"debug"},"ports":[80,443]}"#;
    let after = apply(FILE, &edit.parse().unwrap()).unwrap();
    assert!(after.contains("    # how loud\n    log:\n      level: debug\n"), "{after}");
    assert!(after.contains("      - 443   # tls\n"), "{after}");
    assert!(!after.contains("text:") && !after.contains("none:"), "{after}");
}

#[test]
fn nothing_changes_when_nothing_differs() {
    for edit in ["spec.replicas=2", "spec.values.none={}", "spec.nothing-"] {
        assert_eq!(apply(FILE, &edit.parse().unwrap()).unwrap(), FILE, "{edit}");
    }
}

#[test]
fn line_ends_and_missing_line_ends_are_kept() {
    let set = |text: &str, edit: &str| apply(text, &edit.parse().unwrap()).unwrap();
    assert_eq!(set("a: 1\r\nb: 2\r\n", "c.d=3"), "a: 1\r\nb: 2\r\nc:\r\n  d: 3\r\n");
    assert_eq!(set("a: 1", "b=2"), "a: 1\nb: 2");
    assert_eq!(set("a:", "a.b=2"), "a:\n  b: 2");
    assert_eq!(set("\u{feff}a: 1\n", "a=2"), "\u{feff}a: 2\n");
    assert_eq!(set("a: {}\n", "a.b=2"), "a:\n  b: 2\n");
    assert_eq!(set("a: {b: {}}\n", "a.b.c=2"), "a: {b: {c: 2}}\n");
    assert_eq!(set("a:\n  - b: 1\n", "a.0.b-"), "a:\n  - {}\n");
}

#[test]
fn what_cannot_be_done_safely_is_refused() {
    let check = |text: &str, edit: &str, expected: &str| {
        let error = apply(text, &edit.parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("a: &x 1\nb: *x\n", "a=2", "anchor");
    check("a: &x {c: 1}\nb: *x\n", "b.c=2", "anchor");
    check("a: 1\n", "a.b=2", "`a` has no fields");
    check("a: [1]\n", "a.b=2", "`a` has no fields");
    check("a: !t 1\n", "a=2", "tag");
    check("a: 1\n---\nb: 1\n", "a=2", "more than one document");
    check("a: [\n", "a=2", "cannot be read");
    check("", "a=2", "empty");
    for bad in ["a", "=1", "a..b=1", "\"a=1", ""] {
        assert!(bad.parse::<FieldEdit>().is_err(), "{bad}");
    }
}

#[test]
fn texts_that_look_like_something_else_are_quoted() {
    for (value, expected) in [
        ("\"3\"", "\"3\""),
        ("1.10", "\"1.10\""),
        ("012", "\"012\""),
        ("no", "\"no\""),
        ("2026-11-20", "\"2026-11-20\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("- a", "\"- a\""),
        ("", "\"\""),
        ("*", "\"*\""),
        ("two words", "two words"),
        ("https://x.example/a", "https://x.example/a"),
        ("1.4.2-rc1", "1.4.2-rc1"),
        ("-1", "-1"),
        ("2.5", "2.5"),
        ("a\u{85}\u{7}b", "\"a\\u0085\\u0007b\""),
        ("ü", "ü"),
    ] {
        let after = apply("a: x\n", &format!("a={value}").parse().unwrap()).unwrap();
        assert_eq!(after, format!("a: {expected}\n"));
    }
}
