//! Label selectors as `kubectl` writes them: `a=b,c!=d,e in (x,y),f notin (x),g,!h`.

use std::fmt;
use std::str::FromStr;

use super::{Operator, Requirement, Selector, labels};

/// A term that is no part of a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SelectorError {
    /// As it was given.
    pub term: String,
    /// What is wrong with its key or a value, where it has the form of a term.
    pub problem: Option<&'static str>,
}

impl SelectorError {
    /// How selectors are written.
    pub const FIX: &'static str =
        "write `region=eu`, `ring!=canary`, `region in (eu,us)`, `gpu` or `!gpu`";

    fn new(term: &str, problem: Option<&'static str>) -> Self {
        Self { term: term.escape_default().to_string(), problem }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a label selector", self.term)?;
        self.problem.map_or(Ok(()), |problem| write!(f, ": {problem}"))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut selector = Self::default();
        for term in terms(text) {
            add(&mut selector, term.trim())?;
        }
        Ok(selector)
    }
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

fn add(selector: &mut Selector, term: &str) -> Result<(), SelectorError> {
    let mut require = |key: &str, operator, values: Vec<String>| {
        check(term, key, &values)?;
        let key = key.trim().to_owned();
        selector.match_expressions.push(Requirement { key, operator, values });
        Ok(())
    };
    for (word, operator) in [(" notin ", Operator::NotIn), (" in ", Operator::In)] {
        if let Some((key, rest)) = term.split_once(word) {
            let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let values = inner.ok_or_else(|| SelectorError::new(term, None))?.split(',');
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

fn check(term: &str, key: &str, values: &[String]) -> Result<(), SelectorError> {
    let problem = labels::check_key(key.trim());
    let problem = problem.or_else(|| values.iter().find_map(|value| labels::check_value(value)));
    problem.map_or(Ok(()), |problem| Err(SelectorError::new(term, Some(problem))))
}
