//! Values as YAML text.

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::document::plain;

/// Columns that a nested block moves to the right.
pub(super) const STEP: usize = 2;

/// A value on one line; `like` is the quoting that a text should have where it is possible.
pub(super) fn inline(value: &Value, like: ScalarStyle) -> String {
    match value {
        Value::String(text) => scalar(text, like),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(item, like)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, value)| format!("{}: {}", key(name), inline(value, like)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// The lines `name: value`, each moved `indent` columns to the right and ended by a line feed.
pub(in crate::change) fn entry(name: &str, value: &Value, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let head = format!("{margin}{}:", key(name));
    if is_nested(value) {
        format!("{head}\n{}", block(value, indent + STEP))
    } else {
        format!("{head} {}\n", inline(value, ScalarStyle::Plain))
    }
}

/// A collection that is not empty, as lines; anything else as one line.
pub(super) fn block(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            entries.iter().map(|(name, value)| entry(name, value, indent)).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|value| item(value, indent)).collect()
        }
        other => format!("{}{}\n", " ".repeat(indent), inline(other, ScalarStyle::Plain)),
    }
}

/// One item of a block list with its dash.
pub(super) fn item(value: &Value, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let lines = block(value, indent + STEP);
    format!("{margin}- {}", lines.trim_start())
}

pub(super) fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

pub(super) fn key(name: &str) -> String {
    scalar(name, ScalarStyle::Plain)
}

fn scalar(text: &str, like: ScalarStyle) -> String {
    let printable = !text.chars().any(|c| c.is_control() || c == '\u{feff}');
    match like {
        ScalarStyle::SingleQuoted if printable => format!("'{}'", text.replace('\'', "''")),
        ScalarStyle::DoubleQuoted => quoted(text),
        _ if is_safe_plain(text) => text.to_owned(),
        _ => quoted(text),
    }
}

/// JSON's form of a text is valid YAML; what JSON leaves as it is but YAML does not print is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in Value::String(text.to_owned()).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether a text needs no quotes, in any context and for readers of YAML 1.1 too, to whom `no` is
/// a truth value, `012` and `1:30` are numbers and `2026-11-20` is a date.
fn is_safe_plain(text: &str) -> bool {
    let safe =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@' | ':' | ' ');
    let starts_well = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '_'));
    let word = text.to_ascii_lowercase();
    let truth = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    starts_well
        && text.chars().all(safe)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !truth.contains(&word.as_str())
        && plain(text).is_string()
        && !looks_numeric(&word)
}

fn looks_numeric(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_hexdigit() || "xo_.:+- tz".contains(c))
}
