//! The difference of two files, line by line.

use std::hash::{DefaultHasher, Hasher};

use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

/// Lines around a change that are shown.
const CONTEXT: u32 = 3;

/// Most bytes of a difference that are kept.
const LONGEST: usize = 64 * 1024;

/// Two files that differ.
pub(super) enum Difference<'a> {
    Text { input: InternedInput<&'a str>, diff: Diff },
    Binary { before: &'a [u8], after: &'a [u8] },
}

impl<'a> Difference<'a> {
    pub(super) fn between(before: &'a [u8], after: &'a [u8]) -> Self {
        let (Ok(old), Ok(new)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
            return Self::Binary { before, after };
        };
        let input = InternedInput::new(old, new);
        let mut diff = Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_lines(&input);
        Self::Text { input, diff }
    }

    /// Lines that go and come.
    pub(super) fn counts(&self) -> (usize, usize) {
        match self {
            Self::Text { diff, .. } => {
                (diff.count_removals() as usize, diff.count_additions() as usize)
            }
            Self::Binary { .. } => (0, 0),
        }
    }

    /// The lines that go and come alone, with a blank line between places: two differences with the
    /// same of these are the same change.
    pub(super) fn changed(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Text { input, diff } => {
                for hunk in diff.hunks() {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    self::lines(input, &hunk, &mut text);
                }
            }
            Self::Binary { before, after } => {
                let digests = [before, after].map(|bytes| digest(bytes));
                text = format!("binary {digests:x?}");
            }
        }
        bounded(text, |rest| format!("\n{:x}\n", digest(rest.as_bytes())))
    }

    /// The difference as `diff -u` shows it, without the names of the files.
    pub(super) fn unified(&self) -> String {
        let text = match self {
            Self::Text { input, diff } => unified(input, &diff.hunks().collect::<Vec<_>>()),
            Self::Binary { before, after } => {
                format!("binary: {} bytes, then {} bytes\n", before.len(), after.len())
            }
        };
        bounded(text, |rest| format!("\n… {} more lines\n", rest.lines().count()))
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Cuts a text that is too long at the end of a line; `rest` tells what is missing.
fn bounded(mut text: String, rest: impl Fn(&str) -> String) -> String {
    if text.len() > LONGEST {
        let end = text.floor_char_boundary(LONGEST);
        let end = text[..end].rfind('\n').unwrap_or(end);
        let rest = rest(&text[end..]);
        text.truncate(end);
        text.push_str(&rest);
    }
    text
}

fn push(text: &mut String, sign: char, line: &str) {
    text.push(sign);
    text.push_str(line);
    if !line.ends_with('\n') {
        text.push_str("\n\\ No newline at end of file\n");
    }
}

/// What goes, then what comes, in one place.
fn lines(input: &InternedInput<&str>, hunk: &Hunk, text: &mut String) {
    for token in &input.before[range(&hunk.before)] {
        push(text, '-', input.interner[*token]);
    }
    for token in &input.after[range(&hunk.after)] {
        push(text, '+', input.interner[*token]);
    }
}

fn range(range: &std::ops::Range<u32>) -> std::ops::Range<usize> {
    range.start as usize..range.end as usize
}

fn unified(input: &InternedInput<&str>, hunks: &[Hunk]) -> String {
    let mut text = String::new();
    // Changes whose context would touch are shown together.
    for near in hunks.chunk_by(|a, b| b.before.start - a.before.end <= 2 * CONTEXT) {
        let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
        let lead = first.before.start.min(CONTEXT);
        let all = u32::try_from(input.before.len()).unwrap_or(u32::MAX);
        let trail = (all - last.before.end).min(CONTEXT);
        let old = first.before.start - lead..last.before.end + trail;
        let new = first.after.start - lead..last.after.end + trail;
        text += &format!("@@ -{} +{} @@\n", place(&old), place(&new));
        let mut at = old.start;
        let context = |text: &mut String, from: u32, to: u32| {
            for token in &input.before[range(&(from..to))] {
                push(text, ' ', input.interner[*token]);
            }
        };
        for hunk in near {
            context(&mut text, at, hunk.before.start);
            lines(input, hunk, &mut text);
            at = hunk.before.end;
        }
        context(&mut text, at, old.end);
    }
    text
}

/// As `diff -u` counts: an empty range lies behind the line that it names.
fn place(range: &std::ops::Range<u32>) -> String {
    let length = range.end - range.start;
    let start = if length == 0 { range.start } else { range.start + 1 };
    if length == 1 { start.to_string() } else { format!("{start},{length}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, after: &str) -> (String, String) {
        let difference = Difference::between(before.as_bytes(), after.as_bytes());
        (difference.changed(), difference.unified())
    }

    #[test]
    fn places_far_apart_are_shown_apart() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("3\n4\n", "3\nfour\n").replace("15\n", "").replace("17\n", "x\n");
        let (changed, unified) = diff(&old, &new);
        assert_eq!(changed, "-4\n+four\n\n-15\n\n-17\n+x\n");
        insta::assert_snapshot!(unified, @r"
        @@ -1,7 +1,7 @@
         1
         2
         3
        -4
        +four
         5
         6
         7
        @@ -12,9 +12,8 @@
         12
         13
         14
        -15
         16
        -17
        +x
         18
         19
         20
        ");
    }

    #[test]
    fn new_gone_and_unended_files() {
        assert_eq!(diff("", "a\nb\n").1, "@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(diff("a\n", "").1, "@@ -1 +0,0 @@\n-a\n");
        let end = "\n\\ No newline at end of file\n";
        assert_eq!(diff("a", "a\n").1, format!("@@ -1 +1 @@\n-a{end}+a\n"));
        let binary = Difference::between(b"\xff", b"\xfe\x00");
        assert_eq!(binary.unified(), "binary: 1 bytes, then 2 bytes\n");
        assert_ne!(binary.changed(), Difference::between(b"\xff", b"\xfe\x01").changed());
    }

    #[test]
    fn a_long_difference_is_cut_and_still_told_apart() {
        let long = |last: &str| "some line\n".repeat(20_000) + last;
        let (one, shown) = diff("", &long("a\n"));
        let (two, _) = diff("", &long("b\n"));
        assert!(one.len() < 2 * LONGEST && one != two);
        assert!(shown.ends_with("more lines\n"), "{}", &shown[shown.len() - 40..]);
    }
}
