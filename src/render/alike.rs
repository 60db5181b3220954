//! Siblings of a manifest that was checked: reading one costs ten times its rendering, and on a thousand
//! hosts the same file differs by a host's name.
//!
//! Two texts are alike when they have the same lines but for plain values that cannot mean anything
//! else: words against words, whole numbers against whole numbers, behind the same key. Then they have
//! the same structure, and what is true of the one is true of the other. In doubt they are not alike.

/// Keys whose values decide what a manifest may be: a difference there is always looked at.
const DECISIVE: [&str; 4] = ["kind", "namespace", "apiversion", "sops"];
/// Words that YAML reads as something else than text.
const WORDS: [&str; 11] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// Whether `other` is fine because `checked` is. What is equal is compared as fast as memory goes; only
/// lines that differ are looked into.
pub(super) fn alike(checked: &[u8], other: &[u8]) -> bool {
    let (mut checked, mut other) = (checked, other);
    loop {
        let same = common_prefix(checked, other);
        let start = checked[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (line, after) = first_line(&checked[start..]);
        let (other_line, other_after) = first_line(&other[start..]);
        if line != other_line && !differs_in_text(line, other_line) {
            return false;
        }
        match (after, other_after) {
            (Some(after), Some(other_after)) => (checked, other) = (after, other_after),
            (after, other_after) => return after.is_none() && other_after.is_none(),
        }
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WIDE: usize = 32;
    let (chunks, other) = (a.as_chunks::<WIDE>().0, b.as_chunks::<WIDE>().0);
    let start = WIDE * chunks.iter().zip(other).take_while(|(a, b)| a == b).count();
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}

/// The first line, and what follows if it ends.
fn first_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    }
}

fn differs_in_text(line: &[u8], other: &[u8]) -> bool {
    let texts = (std::str::from_utf8(line), std::str::from_utf8(other));
    matches!(texts, (Ok(line), Ok(other)) if differs_in_value(line, other))
}

/// Whether two lines are the same `key: value`, or list item, with values of one sort.
fn differs_in_value(line: &str, other: &str) -> bool {
    let ((start, value), (other_start, other)) = (split(line), split(other));
    if start != other_start || DECISIVE.contains(&key(start).to_ascii_lowercase().as_str()) {
        return false;
    }
    let plain_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    // A bare value may go on with what a key above it began, `kind:` for one.
    let stands_alone = match key(start) {
        "" => start.ends_with("- "),
        key => start.ends_with(": ") && key.chars().all(plain_key),
    };
    stands_alone && sort(value).is_some_and(|kind| Some(kind) == sort(other))
}

/// What stands before the value, and the value.
fn split(line: &str) -> (&str, &str) {
    let at = match line.find(": ") {
        Some(at) => at + 2,
        None => line.len() - line.trim_start_matches([' ', '-']).len(),
    };
    line.split_at(at)
}

/// The key in the start of a line; empty for a list item.
fn key(start: &str) -> &str {
    start.trim_start_matches([' ', '-']).trim_end_matches([' ', ':'])
}

/// What a plain value is for certain.
#[derive(PartialEq, Eq)]
enum Sort {
    Word,
    Number,
    Quoted,
}

fn sort(value: &str) -> Option<Sort> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    if let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let fine = |c: char| word(c) || matches!(c, ':' | '@' | ' ');
        let edges = inner.starts_with(word) && inner.ends_with(word);
        return (edges && inner.chars().all(fine)).then_some(Sort::Quoted);
    }
    if value.starts_with(|c: char| matches!(c, '1'..='9')) {
        let digits = value.len() <= 9 && value.bytes().all(|byte| byte.is_ascii_digit());
        return digits.then_some(Sort::Number);
    }
    let starts = value.starts_with(|c: char| c.is_ascii_alphabetic());
    let known = WORDS.iter().any(|known| value.eq_ignore_ascii_case(known));
    // A colon belongs to a word where no space follows it.
    let fine = value.chars().all(|c| word(c) || c == ':') && !value.ends_with(':');
    (starts && fine && !known).then_some(Sort::Word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_values_may_differ() {
        let check = |checked: &str, other: &str, expected: bool| {
            assert_eq!(
                alike(checked.as_bytes(), other.as_bytes()),
                expected,
                "{checked:?} {other:?}"
            );
        };
        for (checked, other) in [
            ("a: x\nb: 1\n", "a: w\nb: 1\n"),
            ("  host: store-1", "  host: store-2"),
            ("image: r.example/x:1.4", "image: r.example/x:1.5"),
            ("replicas: 2", "replicas: 12"),
            ("- store-1", "- store-2"),
            ("- name: a", "- name: b"),
            ("a: \"x w\"", "a: \"10:30 z@w\""),
        ] {
            check(checked, other, true);
        }
        for (checked, other) in [
            ("a: x", "a: x\nb: w"),
            ("a: x\n---\nb: w", "a: x\nc: z\nb: w"),
            ("a: x", "b: x"),
            ("a: x", "a: true"),
            ("a: x", "a: No"),
            ("a: x", "a: 1"),
            ("a: 1", "a: 01"),
            ("a: 1", "a: 1.5"),
            ("a: x", "a:"),
            ("a: x", "a: "),
            ("a: x", "a: w: z"),
            ("a: x", "a: w:"),
            ("a: x", "a: w #z"),
            ("a: x", "a: &w"),
            ("a: x", "a: *w"),
            ("a: x", "a: !!int w"),
            ("a: x", "a: [w]"),
            ("a: x", "a: {w: z}"),
            ("a: x", "a: |"),
            ("a: \"x\"", "a: \"\\x\""),
            ("a: \"x\"", "a: \"w\" \""),
            ("a: \"x\"", "a: w"),
            ("- a", "- b: c"),
            ("- a", "  a"),
            ("--- ", "---"),
            ("kind: ConfigMap", "kind: Secret"),
            ("  namespace: a", "  namespace: b"),
            ("- kind: ConfigMap", "- kind: Role"),
            ("\"kind\": ConfigMap", "\"kind\": Secret"),
            ("{kind: ConfigMap", "{kind: Secret"),
            ("a: {kind: ConfigMap", "a: {kind: Secret"),
            ("a: x\r", "a: w\r"),
            ("kind:\n  ConfigMap", "kind:\n  Secret"),
            ("kind: >-\n  ConfigMap", "kind: >-\n  Secret"),
            ("? kind\n: ConfigMap", "? kind\n: Secret"),
            ("kind: &k ConfigMap", "kind: &k Secret"),
            ("name: \"x\"", "name: \"\""),
            ("a: x", "a: y"),
        ] {
            check(checked, other, false);
        }
    }
}
