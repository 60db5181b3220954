//! Siblings of a manifest that was checked: reading one costs ten times its rendering, and on a thousand
//! hosts the same file differs by a host's name.
//!
//! Two texts are alike when they have the same lines but for scalars that cannot mean anything else: words
//! against words, whole numbers against whole numbers, plain text in double quotes against the same; behind
//! the same key, or as items of a list. Then they have the same structure, and what is true of the one is
//! true of the other. In doubt they are not alike.

/// Keys whose values decide what a manifest may be: a difference there is always looked at.
const DECISIVE: [&str; 4] = ["kind", "namespace", "apiversion", "sops"];
/// Words that YAML reads as something else than text.
const WORDS: [&str; 11] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// Whether `other` is fine because `checked` is.
pub(super) fn alike(checked: &[u8], other: &[u8]) -> bool {
    let (mut rest, mut others) = (checked, other);
    loop {
        let same = common_prefix(rest, others);
        if same == rest.len() && same == others.len() {
            return true;
        }
        let start = rest[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (line, other_line) = (first_line(&rest[start..]), first_line(&others[start..]));
        if !differs_in_values(line, other_line) {
            return false;
        }
        (rest, others) = (&rest[start + line.len()..], &others[start + other_line.len()..]);
        if rest.is_empty() != others.is_empty() {
            return false;
        }
    }
}

fn first_line(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == b'\n').map_or(text, |end| &text[..end])
}

/// How many bytes two texts begin with alike.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WIDE: usize = 64;
    let wide = a.chunks_exact(WIDE).zip(b.chunks_exact(WIDE)).take_while(|(a, b)| a == b).count();
    let start = wide * WIDE;
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}

/// Whether two lines are the same but for scalars, each against one of its sort.
fn differs_in_values(line: &[u8], other: &[u8]) -> bool {
    let (mut at, mut other_at) = (0, 0);
    loop {
        let same = common_prefix(&line[at..], &other[other_at..]);
        if at + same == line.len() && other_at + same == other.len() {
            return true;
        }
        let Some(scalar) = Scalar::around(line, at + same).filter(|scalar| scalar.start >= at)
        else {
            return false;
        };
        let other_start = other_at + scalar.start - at;
        let ends = (scalar.end(line, scalar.start), scalar.end(other, other_start));
        let (Some(end), Some(other_end)) = ends else { return false };
        let sorts = [sort(&line[scalar.start..end]), sort(&other[other_start..other_end])];
        if sorts[0].is_none() || sorts[0] != sorts[1] {
            return false;
        }
        (at, other_at) = (end, other_end);
    }
}

/// A scalar that may be another one without a change of structure.
struct Scalar {
    start: usize,
    quoted: bool,
    /// Between brackets, where commas and brackets end it.
    flow: bool,
}

impl Scalar {
    /// The one that `at` lies in, or behind whose end it is.
    fn around(line: &[u8], at: usize) -> Option<Self> {
        let (mut brackets, mut quote) = (Vec::new(), None);
        for (place, byte) in line[..at].iter().enumerate() {
            match (quote, byte) {
                (Some(_), b'\\') => return None,
                (Some(_), b'"') => quote = None,
                (Some(_), _) => {}
                (None, b'"') => quote = Some(place),
                (None, b'[' | b'{') => brackets.push(*byte),
                (None, b']' | b'}') => drop(brackets.pop()),
                (None, b'\'' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'%' | b'`' | b'?') => {
                    return None;
                }
                _ => {}
            }
        }
        let flow = !brackets.is_empty();
        let plain = || {
            let before = line[..at].iter().rposition(|byte| !is_plain(*byte, flow));
            before.map_or(0, |before| before + 1)
        };
        let start = quote.unwrap_or_else(plain);
        let item = brackets.last() == Some(&b'[');
        may_differ_behind(&line[..start], item).then_some(Self {
            start,
            quoted: quote.is_some(),
            flow,
        })
    }

    /// Where the scalar ends that begins at `start`, if what follows leaves no doubt.
    fn end(&self, line: &[u8], start: usize) -> Option<usize> {
        let text = line.get(start..)?;
        let length = if self.quoted {
            let inside = text.strip_prefix(b"\"")?;
            inside.iter().position(|byte| *byte == b'"')? + 2
        } else {
            text.iter().position(|byte| !is_plain(*byte, self.flow)).unwrap_or(text.len())
        };
        let ends = match text[length..].iter().find(|byte| **byte != b' ') {
            None => true,
            Some(next) => self.flow && matches!(next, b',' | b']' | b'}'),
        };
        ends.then_some(start + length)
    }
}

/// Between brackets a colon may have a meaning of its own.
fn is_plain(byte: u8, flow: bool) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'/' | b'-')
        || byte == b':' && !flow
}

/// Whether a scalar behind this text is the value of a key that decides nothing, or an `item` of a list.
/// A bare one may go on with what a key above it began, `kind:` for one.
fn may_differ_behind(before: &[u8], item: bool) -> bool {
    let text = before.trim_ascii_end();
    let spaced = text.len() < before.len();
    let Some((last, front)) = text.split_last() else { return false };
    match last {
        b':' if spaced => key(front).is_some_and(|key| {
            !DECISIVE.iter().any(|decisive| key.eq_ignore_ascii_case(decisive.as_bytes()))
        }),
        b'-' if spaced => front.iter().all(|byte| matches!(byte, b' ' | b'-')),
        b'[' | b',' => item,
        _ => false,
    }
}

/// The key at the end of a text: in quotes, or of plain letters behind nothing that could belong to it.
fn key(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    let start = text.iter().rposition(|byte| !is_plain(*byte, true)).map_or(0, |at| at + 1);
    let (front, key) = text.split_at(start);
    let clear = matches!(front.last(), None | Some(b' ' | b'{' | b',' | b'"'));
    (clear && !key.is_empty()).then_some(key)
}

/// What a scalar is for certain.
#[derive(PartialEq, Eq)]
enum Sort {
    Word,
    Number,
    Quoted,
}

fn sort(value: &[u8]) -> Option<Sort> {
    let (first, last) = (value.first()?, value.last()?);
    if let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        let fine = |byte: &u8| is_plain(*byte, false) || matches!(byte, b'@' | b' ' | b'+' | b'=');
        let edges = [inner.first()?, inner.last()?].into_iter().all(|byte| is_plain(*byte, true));
        let colon = inner.windows(2).any(|two| two == b": ");
        return (edges && !colon && inner.iter().all(fine)).then_some(Sort::Quoted);
    }
    if first.is_ascii_digit() {
        // An address is no number: `10.0.0.1`, `10.0.0.0/24`.
        let dots = value.iter().filter(|byte| **byte == b'.').count();
        let digits = |extra: &[u8]| value.iter().all(|b| b.is_ascii_digit() || extra.contains(b));
        return match dots {
            0 => (value.len() <= 9 && *first != b'0' && digits(b"")).then_some(Sort::Number),
            1 => None,
            _ => (digits(b"./") && last.is_ascii_digit()).then_some(Sort::Word),
        };
    }
    let known = WORDS.iter().any(|known| value.eq_ignore_ascii_case(known.as_bytes()));
    // A colon belongs to a word where no space follows it.
    (first.is_ascii_alphabetic() && *last != b':' && !known).then_some(Sort::Word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(checked: &str, other: &str, expected: bool) {
        assert_eq!(alike(checked.as_bytes(), other.as_bytes()), expected, "{checked:?} {other:?}");
    }

    #[test]
    fn plain_values_may_differ() {
        for (checked, other) in [
            ("a: x\nb: 1\n", "a: w\nb: 1\n"),
            ("  host: store-1", "  host: store-2"),
            ("image: r.example/x:1.4", "image: r.example/x:1.5"),
            ("replicas: 2", "replicas: 12"),
            ("- store-1", "- store-2"),
            ("- name: a", "- name: b"),
            ("a: \"x w\"", "a: \"10:30 z@w\""),
            ("- {name: HOST, value: \"h-1\"}", "- {name: HOST, value: \"h-2\"}"),
            ("a: {b: h-1, c: \"x\", d: [u, 3]}", "a: {b: h-2, c: \"y z\", d: [w, 44]}"),
            ("a: [\"x\", \"-v=1\"]", "a: [\"yy\", \"-v=1\"]"),
            ("\"a\": \"x\"", "\"a\": \"z\""),
            ("a: 10.0.0.1", "a: 10.0.12.1"),
            ("a: 10.0.0.0/24", "a: 10.1.0.0/16"),
            ("a: x\nb: é\nc: z\n", "a: w\nb: é\nc: w\n"),
        ] {
            check(checked, other, true);
        }
    }

    #[test]
    fn nothing_else_may() {
        for (checked, other) in [
            ("a: {x, b: c}", "a: {w, b: c}"),
            ("a: {x: c}", "a: {w: c}"),
            ("a: {\"x\": c}", "a: {\"w\": c}"),
            ("a: {kind: x}", "a: {kind: w}"),
            ("a: {\"kind\": x}", "a: {\"kind\": w}"),
            ("a: {b: x}", "a: {b: x:w}"),
            ("a: {b: x}", "a: {b: x w}"),
            ("a: {b: x}", "a: {b: yes}"),
            ("a: \"x\"", "a: \"x\\\"w\""),
            ("a: \"x\"", "a: \"x: w\""),
            ("a: \"x\"", "a: \"x\" w"),
            ("a: \"x\"", "a: x"),
            ("\"x\": a", "\"w\": a"),
            ("a: 'x'", "a: 'w'"),
            ("a: *x", "a: *w"),
            ("a: &x b", "a: &w b"),
            ("a: !x b", "a: !w b"),
            ("a: |x", "a: |w"),
            ("a: 1.2", "a: 1.3"),
            ("a: 10.0.0.1", "a: 10.0"),
            ("a: 10.0.0.1", "a: 10.0.0."),
            ("a b: x", "a b: w # z"),
            ("a: é", "a: è"),
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
