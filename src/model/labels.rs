//! Labels and label selectors, with the rules of Kubernetes
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Key → value. Keys and values are checked by the parser ([`check_key`], [`check_value`]).
pub type Labels = BTreeMap<String, String>;

/// Selects objects by their labels. All terms must hold; a selector without terms selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Each of these labels must be present with exactly this value
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub match_labels: Labels,
    /// Each of these requirements must hold
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One term of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key
    pub key: String,
    /// How `values` relates to the label
    pub operator: Operator,
    /// For `In` and `NotIn`: one or more values. For `Exists` and `DoesNotExist`: none
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// The operators of Kubernetes' `matchExpressions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label is present, with one of the values
    In,
    /// The label is absent, or has none of the values
    NotIn,
    /// The label is present
    Exists,
    /// The label is absent
    DoesNotExist,
}

impl Selector {
    /// A selector that wants exactly these labels.
    #[must_use]
    pub fn from_labels(labels: Labels) -> Self {
        Self { match_labels: labels, match_expressions: Vec::new() }
    }

    /// Whether all terms hold for `labels`.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    /// Why the values do not fit the operator, if they do not.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        match (self.operator, self.values.is_empty()) {
            (Operator::In | Operator::NotIn, true) => Some("needs at least one value"),
            (Operator::Exists | Operator::DoesNotExist, false) => Some("takes no values"),
            _ => None,
        }
    }
}

/// Why `key` is not a label key (`[prefix/]name`), if it is not.
#[must_use]
pub fn check_key(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        let domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if prefix.is_empty() || prefix.len() > 253 || !prefix.chars().all(domain) {
            return Some("the part before `/` must be a DNS name");
        }
    }
    if name.is_empty() {
        return Some("a label key may not be empty");
    }
    check_value(name)
}

/// Why `value` is not a label value, if it is not: at most 63 of letters, digits, `-`, `_` and `.`,
/// with a letter or digit at both ends; empty is fine.
#[must_use]
pub fn check_value(value: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.len() > 63 {
        return Some("at most 63 characters");
    }
    if !value.chars().all(allowed) {
        return Some("only letters, digits, `-`, `_` and `.`");
    }
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    if !edge(value.chars().next()) || !edge(value.chars().next_back()) {
        return Some("must start and end with a letter or a digit");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: serde_json::Value) -> Selector {
        serde_json::from_value(json).expect("the selector is well-formed")
    }

    #[test]
    fn operators_follow_kubernetes() {
        let labels = Labels::from([("region".into(), "eu".into()), ("ring".into(), "1".into())]);
        let check = |json, expected: bool| assert_eq!(selector(json).matches(&labels), expected);
        check(serde_json::json!({}), true);
        check(serde_json::json!({"matchLabels": {"region": "eu"}}), true);
        check(serde_json::json!({"matchLabels": {"region": "us"}}), false);
        let term = |key: &str, operator: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(term("region", "In", &["us", "eu"]), true);
        check(term("zone", "In", &["a"]), false);
        check(term("region", "NotIn", &["eu"]), false);
        check(term("zone", "NotIn", &["a"]), true);
        check(term("ring", "Exists", &[]), true);
        check(term("zone", "Exists", &[]), false);
        check(term("zone", "DoesNotExist", &[]), true);
        check(term("ring", "DoesNotExist", &[]), false);
    }

    #[test]
    fn keys_and_values_are_checked() {
        for good in ["a", "app.kubernetes.io/name", "A_b-c.9"] {
            assert_eq!(check_key(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "a b", "UP/x", &"x".repeat(64)] {
            assert!(check_key(bad).is_some(), "{bad}");
        }
        assert_eq!(check_value(""), None);
        assert!(check_value("ä").is_some());
        assert!(check_value("a-").is_some());
    }
}
