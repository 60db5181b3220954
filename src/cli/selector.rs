//! Label selectors as `kubectl` writes them: `a=b,c!=d,e in (x,y),f notin (x),g,!h`.

use super::exit::Failure;
use crate::model::{Labels, Operator, Requirement, Selector, labels};

/// Reads a selector.
///
/// # Errors
/// When a term is not understood, or names an impossible label.
pub(crate) fn parse(text: &str) -> Result<Selector, Failure> {
    let mut selector = Selector::default();
    for term in terms(text) {
        add(&mut selector, term.trim())?;
    }
    Ok(selector)
}

/// Splits at commas outside of parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let at_comma = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    text.split(at_comma).filter(|term| !term.trim().is_empty()).collect()
}

fn add(selector: &mut Selector, term: &str) -> Result<(), Failure> {
    let mut require = |key: &str, operator, values: Vec<String>| -> Result<(), Failure> {
        check(term, key, &values)?;
        let key = key.trim().to_owned();
        selector.match_expressions.push(Requirement { key, operator, values });
        Ok(())
    };
    for (word, operator) in [(" notin ", Operator::NotIn), (" in ", Operator::In)] {
        if let Some((key, rest)) = term.split_once(word) {
            let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let values = inner.ok_or_else(|| bad(term))?.split(',');
            return require(key, operator, values.map(|value| value.trim().to_owned()).collect());
        }
    }
    if let Some((key, value)) = term.split_once("!=") {
        return require(key, Operator::NotIn, vec![value.trim().to_owned()]);
    }
    if let Some((key, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value).trim().to_owned();
        check(term, key, std::slice::from_ref(&value))?;
        selector.match_labels.insert(key.trim().to_owned(), value);
        return Ok(());
    }
    match term.strip_prefix('!') {
        Some(key) => require(key, Operator::DoesNotExist, Vec::new()),
        None => require(term, Operator::Exists, Vec::new()),
    }
}

fn check(term: &str, key: &str, values: &[String]) -> Result<(), Failure> {
    let problem = labels::check_key(key.trim());
    let problem = problem.or_else(|| values.iter().find_map(|value| labels::check_value(value)));
    match problem {
        Some(problem) => Err(Failure::usage(format!("{}: {problem}", bad(term).message))),
        None => Ok(()),
    }
}

fn bad(term: &str) -> Failure {
    Failure::usage(format!("`{}` is not a label selector", term.escape_default()))
        .hint("write `region=eu`, `ring!=canary`, `region in (eu,us)`, `gpu` or `!gpu`")
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
