//! Bytes → text that shows what it says.

use super::{PROBLEMS, Problem};
use crate::model::Span;

/// The text of a file, without the byte order mark that may stand at its start.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = Span { line: 1, column: 1, length: 1 };
    if is_utf16(bytes) {
        return Err(Problem::new("yaml/utf8", first, "the file is UTF-16").fix(FIX));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let span = place_behind(valid);
        Problem::new("yaml/utf8", span, "the file is not UTF-8 from here on").fix(FIX)
    })
}

const FIX: &str = "save the file as UTF-8";

/// Whether the text looks like UTF-16 without a mark, which is valid UTF-8 full of NUL: ASCII with
/// every other byte zero.
fn is_utf16(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return true;
    }
    let start = &bytes[..bytes.len().min(64) & !1];
    let zero = |offset: usize| start.iter().skip(offset).step_by(2).all(|byte| *byte == 0);
    start.len() >= 4 && zero(0) != zero(1)
}

fn place_behind(text: &str) -> Span {
    let line = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Span { line: to_u32(line), column: to_u32(column), length: 1 }
}

pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Characters that no file may hold: they hide or reorder what a reader of a diff or of a terminal sees.
pub(super) fn check_characters(text: &str) -> Vec<Problem> {
    let plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
    if text.bytes().all(plain) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        for (column, c) in line.chars().enumerate().filter(|(_, c)| is_forbidden(*c)) {
            let span = Span { line: to_u32(number + 1), column: to_u32(column + 1), length: 1 };
            problems.push(forbidden(c, span));
            if problems.len() == PROBLEMS {
                return problems;
            }
        }
    }
    problems
}

pub(super) fn forbidden(c: char, span: Span) -> Problem {
    let message = format!("the character {} may not stand in a file", name(c));
    Problem::new("yaml/char", span, message).fix("remove the character")
}

fn name(c: char) -> String {
    let what = match c {
        '\0' => " (NUL)",
        '\u{1b}' => " (escape)",
        '\u{feff}' => " (byte order mark)",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => " (bidirectional control)",
        _ => "",
    };
    format!("U+{:04X}{what}", u32::from(c))
}

/// Control characters but tab and line breaks, bidirectional controls, byte order marks, and code
/// points that are no characters.
pub(super) fn is_forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => c.is_control(),
    }
}
