//! What a JSON Schema cannot say about one object: names, labels, selectors, addresses, branch names.

use serde_json::Value;

use super::access;
use super::check::{Finding, field, member};
use crate::model::labels::{check_key, check_value};
use crate::model::url::{UrlRules, check_repository_url};
use crate::model::{Name, ObjectKind, ObjectRef, Requirement, Timestamp};

/// Adds what is wrong with `value`, whose fields may have wrong types (that is reported elsewhere).
pub(crate) fn check(id: &ObjectRef, value: &Value, findings: &mut Vec<Finding>) {
    metadata(id, value, findings);
    match id.kind() {
        ObjectKind::Fleet => settings(value, findings),
        ObjectKind::Workspace => {
            selector(value, "/spec/hosts", findings);
            access::people(value, "/spec/members", findings);
        }
        ObjectKind::Target => selector(value, "/spec/selector", findings),
        ObjectKind::Template => parameters(value, findings),
        ObjectKind::Workload => address(value, "/spec/repo", UrlRules::default(), findings),
        ObjectKind::Deployment => deployment(value, findings),
        ObjectKind::Host => enrollment(value, findings),
    }
}

fn metadata(id: &ObjectRef, value: &Value, findings: &mut Vec<Finding>) {
    let name = id.name().map(Name::as_str);
    agrees(value, "/metadata/name", name, findings);
    let workspace = id.workspace().map(Name::as_str);
    agrees(value, "/metadata/workspace", workspace, findings);
    labels(value, "/metadata/labels", findings);
}

/// What the file repeats of its path must agree with it.
fn agrees(value: &Value, pointer: &str, expected: Option<&str>, findings: &mut Vec<Finding>) {
    let Some(Value::String(written)) = value.pointer(pointer) else { return };
    if Some(written.as_str()) == expected {
        return;
    }
    let finding = match (Name::new(written), expected) {
        // The settings have no name of their own, so that any will do.
        (_, None) if pointer == "/metadata/name" => return,
        (_, None) => Finding::value(
            "name/mismatch",
            pointer,
            format!("{} is given, but the path is in no workspace", field(pointer)),
        )
        .fix("remove the field"),
        (Err(error), Some(expected)) => {
            Finding::value("name/syntax", pointer, format!("{}: {error}", field(pointer)))
                .fix(format!("write `{expected}`, or remove the field"))
        }
        (Ok(written), Some(expected)) => Finding::value(
            "name/mismatch",
            pointer,
            format!("{} is `{written}`, but the path says `{expected}`", field(pointer)),
        )
        .fix(format!("write `{expected}`, or move the file")),
    };
    findings.push(finding);
}

fn labels(value: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    let Some(Value::Object(labels)) = value.pointer(pointer) else { return };
    for (key, label) in labels {
        if let Some(problem) = check_key(key) {
            findings.push(
                Finding::key(
                    "label/syntax",
                    &member(pointer, key),
                    format!("a label key: {problem}"),
                )
                .fix("rename the label"),
            );
        }
        if let Some(problem) = label.as_str().and_then(check_value) {
            let pointer = member(pointer, key);
            findings.push(
                Finding::value("label/syntax", &pointer, format!("a label value: {problem}"))
                    .fix("change the value"),
            );
        }
    }
}

fn selector(value: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    labels(value, &format!("{pointer}/matchLabels"), findings);
    let pointer = format!("{pointer}/matchExpressions");
    let Some(Value::Array(terms)) = value.pointer(&pointer) else { return };
    for (index, term) in terms.iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        if let Some(problem) = term["key"].as_str().and_then(check_key) {
            let finding = Finding::value("label/syntax", &format!("{pointer}/key"), problem);
            findings.push(finding.fix("write the key of a label"));
        }
        for (index, label) in term["values"].as_array().into_iter().flatten().enumerate() {
            if let Some(problem) = label.as_str().and_then(check_value) {
                let pointer = format!("{pointer}/values/{index}");
                let finding = Finding::value("label/syntax", &pointer, problem);
                findings.push(finding.fix("write the value of a label"));
            }
        }
        let requirement: Option<Requirement> = serde_json::from_value(term.clone()).ok();
        if let Some((requirement, problem)) =
            requirement.and_then(|r| Some((r.operator, r.problem()?)))
        {
            let message = format!("operator `{requirement:?}` {problem}");
            let finding = Finding::value("field/value", &format!("{pointer}/operator"), message);
            findings.push(finding.fix("change the operator or `values`"));
        }
    }
}

/// What looks like a time may still be none.
fn enrollment(value: &Value, findings: &mut Vec<Finding>) {
    const EXPIRES: &str = "/spec/enrollment/expires";
    let Some(written) = value.pointer(EXPIRES).and_then(Value::as_str) else { return };
    let known = findings.iter().any(|found| found.pointer == EXPIRES);
    if !known && written.parse::<Timestamp>().is_err() {
        let finding =
            Finding::value("field/value", EXPIRES, format!("{} is no time", field(EXPIRES)));
        findings.push(finding.fix("write a time such as `2026-11-27T14:05:11Z`"));
    }
}

fn deployment(value: &Value, findings: &mut Vec<Finding>) {
    if let Some(problem) = value.pointer("/spec/spread").and_then(Value::as_str).and_then(check_key)
    {
        findings.push(
            Finding::value("label/syntax", "/spec/spread", format!("a label key: {problem}"))
                .fix("write the key of a label"),
        );
    }
    let overrides = value.pointer("/spec/overrides").and_then(Value::as_array);
    for index in 0..overrides.map_or(0, Vec::len) {
        selector(value, &format!("/spec/overrides/{index}/selector"), findings);
    }
}

fn parameters(value: &Value, findings: &mut Vec<Finding>) {
    let Some(parameters) = value.pointer("/spec/parameters") else { return };
    if let Err(problem) = check_parameters(parameters) {
        let finding = Finding::key("field/value", "/spec/parameters", problem);
        findings.push(
            finding.fix("write a JSON Schema (2020-12) that refers to nothing outside itself"),
        );
    }
}

/// Whether `parameters` is a JSON Schema that values can be checked against.
pub(crate) fn check_parameters(parameters: &Value) -> Result<(), &'static str> {
    if !parameters.is_object() {
        return Ok(());
    }
    jsonschema::validator_for(parameters)
        .map(drop)
        .map_err(|_| "`spec.parameters` is not a JSON Schema")
}

fn address(value: &Value, pointer: &str, rules: UrlRules, findings: &mut Vec<Finding>) {
    let Some(Value::String(url)) = value.pointer(pointer) else { return };
    if let Err(error) = check_repository_url(url, rules) {
        let message = format!("{}: {error}", field(pointer));
        let finding = Finding::value(error.code(), pointer, message);
        findings.push(finding.fix("write `https://host/path` or `ssh://git@host/path`"));
    }
}

fn settings(value: &Value, findings: &mut Vec<Finding>) {
    // It names the place for people and is never opened, so that any network will do.
    address(value, "/spec/repoUrl", UrlRules { files: true, private: true }, findings);
    limits(value, findings);
    branches(value, findings);
    access::people(value, "/spec/admins", findings);
    access::identity(value, findings);
}

fn limits(value: &Value, findings: &mut Vec<Finding>) {
    let Some(Value::Object(limits)) = value.pointer("/spec/limits") else { return };
    for (name, limit) in limits {
        let zero = match limit {
            Value::Number(number) => number.as_u64() == Some(0),
            Value::String(text) => {
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                // Status may be written at once.
                name != "statusFlush" && !digits.is_empty() && digits.bytes().all(|b| b == b'0')
            }
            _ => false,
        };
        if zero {
            let pointer = member("/spec/limits", name);
            let message = format!("{} must be more than 0", field(&pointer));
            let finding = Finding::value("field/range", &pointer, message);
            findings.push(finding.fix("write a larger limit, or remove it"));
        }
    }
}

fn branches(value: &Value, findings: &mut Vec<Finding>) {
    let default = crate::model::Branches::default();
    let named = |field: &str| value.pointer("/spec/branches").and_then(|b| b.get(field)?.as_str());
    for field in ["rendered", "status"] {
        if let Some(problem) = named(field).and_then(check_branch) {
            let pointer = format!("/spec/branches/{field}");
            let finding = Finding::value("git/ref", &pointer, format!("a branch name {problem}"));
            findings.push(finding.fix(format!("write a name such as `titan/{field}`")));
        }
    }
    let rendered = named("rendered").unwrap_or(&default.rendered);
    let status = named("status").unwrap_or(&default.status);
    let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    if rendered == status || inside(rendered, status) || inside(status, rendered) {
        let message = "the two branches cannot exist beside each other";
        let finding = Finding::value("git/ref", "/spec/branches", message);
        findings.push(finding.fix("give them names of which neither begins the other"));
    }
}

/// Why `name` cannot name a branch, if it cannot: the rules of `git check-ref-format --branch`.
fn check_branch(name: &str) -> Option<&'static str> {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    if name.is_empty() || name.len() > 200 {
        return Some("has 1 to 200 characters");
    }
    if name.starts_with('-') || name == "@" || name == "HEAD" {
        return Some("may not be `@` or `HEAD`, nor start with `-`");
    }
    if name.starts_with("refs/") {
        return Some("is written without `refs/heads/`");
    }
    if name.chars().any(bad) || name.contains("..") || name.contains("@{") || name.ends_with('.') {
        return Some("has characters that Git does not allow");
    }
    let segment = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.to_ascii_lowercase().ends_with(".lock")
    };
    if name.split('/').any(segment) {
        return Some("has a part that is empty, starts with `.` or ends with `.lock`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_follow_git() {
        for good in ["titan/rendered", "x", "a-b/c.d", "grün"] {
            assert_eq!(check_branch(good), None, "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "@",
            "HEAD",
            "a@{1}",
            "a.",
            "a.lock",
            "a.lock/b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a\nb",
            "refs/heads/x",
        ] {
            assert!(check_branch(bad).is_some(), "{bad:?}");
        }
    }
}
