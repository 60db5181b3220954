//! What a plain scalar means: JSON's literals, and strings for all the rest.

use serde_json::{Number, Value};

/// A number that JSON can write and 64 bits cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Resolves a plain (unquoted) scalar. `no`, `on`, `012`, `0o14` and `.nan` are strings: what they
/// would mean elsewhere depends on the YAML version, so that no two readers agree on them.
pub(super) fn resolve(text: &str) -> Result<Value, TooLarge> {
    Ok(match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if is_json_number(text) => Value::Number(number(text)?),
        _ => Value::String(text.to_owned()),
    })
}

/// The grammar of RFC 8259, section 6.
fn is_json_number(text: &str) -> bool {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

fn number(text: &str) -> Result<Number, TooLarge> {
    if text.contains(['.', 'e', 'E']) {
        let float: f64 = text.parse().map_err(|_| TooLarge)?;
        return Number::from_f64(float).ok_or(TooLarge);
    }
    if let Ok(signed) = text.parse::<i64>() {
        return Ok(signed.into());
    }
    text.parse::<u64>().map(Number::from).map_err(|_| TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_json_literals_are_more_than_strings() {
        let check = |text: &str, expected: Value| assert_eq!(resolve(text), Ok(expected), "{text}");
        check("", Value::Null);
        check("~", Value::Null);
        check("null", Value::Null);
        check("true", json!(true));
        check("0", json!(0));
        check("-7", json!(-7));
        check("18446744073709551615", json!(u64::MAX));
        check("1.5", json!(1.5));
        check("2e3", json!(2000.0));
        for text in [
            "no", "on", "yes", "True", "NULL", "012", "0o14", "0x1f", ".nan", ".inf", "1_000",
            "+1", ".5", "1.", "1e", "-", "1.2.3", "12:30", "<<", "٣",
        ] {
            check(text, json!(text));
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        for text in ["123456789012345678901234567890", "-9223372036854775809", "1e999"] {
            assert_eq!(resolve(text), Err(TooLarge), "{text}");
        }
    }
}
