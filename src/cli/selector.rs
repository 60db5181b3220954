//! Label selectors as `kubectl` writes them: `a=b,c!=d,e in (x,y),f notin (x),g,!h`.

use super::exit::Failure;
use crate::model::{Labels, Operator, Selector, SelectorError, labels};

/// Reads a selector.
///
/// # Errors
/// When a term is not understood, or names an impossible label.
pub(crate) fn parse(text: &str) -> Result<Selector, Failure> {
    text.parse().map_err(|error: SelectorError| {
        let failure = Failure::usage(error.to_string());
        if error.problem.is_none() { failure.hint(SelectorError::FIX) } else { failure }
    })
}

/// Reads `--labels k=v,k=v`.
///
/// # Errors
/// When a part is not `key=value`, or no valid label.
pub(crate) fn labels(pairs: &[String]) -> Result<Labels, Failure> {
    let mut found = Labels::new();
    for pair in pairs {
        let error = |why: &str| {
            Failure::usage(format!("`{}` is not a label: {why}", pair.escape_default()))
                .hint("write `--labels region=eu,ring=canary`")
        };
        let (key, value) = pair.split_once('=').ok_or_else(|| error("`=` is missing"))?;
        let problem = labels::check_key(key).or_else(|| labels::check_value(value));
        if let Some(problem) = problem {
            return Err(error(problem));
        }
        if found.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(error("the key is there already"));
        }
    }
    Ok(found)
}

/// A selector in the form that [`parse`] reads.
#[must_use]
pub(crate) fn show(selector: &Selector) -> String {
    let equal = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let terms = selector.match_expressions.iter().map(|term| {
        let values = term.values.join(",");
        match term.operator {
            Operator::In => format!("{} in ({values})", term.key),
            Operator::NotIn if term.values.len() == 1 => format!("{}!={values}", term.key),
            Operator::NotIn => format!("{} notin ({values})", term.key),
            Operator::Exists => term.key.clone(),
            Operator::DoesNotExist => format!("!{}", term.key),
        }
    });
    let terms: Vec<String> = equal.chain(terms).collect();
    if terms.is_empty() { "<all>".into() } else { terms.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_they_are_shown() {
        for text in
            ["a=b", "a=b,c!=d", "e in (x,y)", "f notin (x,y)", "g", "!h", "a=b,e in (x,y),!h"]
        {
            assert_eq!(show(&parse(text).unwrap()), text);
        }
        assert_eq!(show(&parse("a==b, c").unwrap()), "a=b,c");
        assert_eq!(show(&parse("").unwrap()), "<all>");
        for bad in ["a in x", "a=b=c", "-a", "a b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
