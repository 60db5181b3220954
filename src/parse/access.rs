//! What a JSON Schema cannot say about members, admins and issuers of identity.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Finding, field, member};
use crate::model::url::is_secure_url;

/// Longest name of a person, a group or a claim, in characters.
const LONGEST: usize = 256;

/// Claims that people can change, or that others may be given later: they say nothing for sure.
const UNSURE: [&str; 8] = [
    "preferred_username",
    "upn",
    "unique_name",
    "name",
    "nickname",
    "given_name",
    "family_name",
    "phone_number",
];

/// Claims that say whose CI job it is. The tokens of public CI systems are everybody's.
const OWNERS: [&str; 11] = [
    "sub",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
    "workflow_ref",
    "project_id",
    "project_path",
    "namespace_id",
    "namespace_path",
];

/// The members of a workspace, or the admins of the fleet.
pub(super) fn people(value: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (index, entry) in items(value, pointer).enumerate() {
        let pointer = format!("{pointer}/{index}");
        who(entry, &pointer, findings);
        let told = ["user", "group", "ci", "issuer"].map(|key| entry.get(key));
        if let Some(first) = seen.get(&format!("{told:?}")) {
            let message = format!("{} names whom {} names", field(&pointer), field(first));
            let finding = Finding::value("access/duplicate", &pointer, message);
            findings.push(finding.fix("keep one of them: the highest role counts"));
        } else {
            seen.insert(format!("{told:?}"), pointer);
        }
    }
}

/// Whether an entry says who is meant.
fn who(entry: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    if !entry.is_object() {
        return;
    }
    let given: Vec<&str> =
        ["user", "group", "ci"].into_iter().filter(|key| entry.get(key).is_some()).collect();
    let &[key] = given.as_slice() else {
        let message = format!("{} must have one of `user`, `group` and `ci`", field(pointer));
        let finding = Finding::value("access/who", pointer, message);
        findings.push(finding.fix("write one entry for each of them"));
        return;
    };
    for key in [key, "issuer"] {
        text(entry, &member(pointer, key), key, "access/who", findings);
    }
    if key == "ci" && entry.get("issuer").is_some() {
        let pointer = member(pointer, "issuer");
        let message = format!("{} is given, but a CI job's name tells its issuer", field(&pointer));
        findings.push(Finding::key("access/who", &pointer, message).fix("remove the field"));
    }
}

/// Whether the text at `key` can name somebody or something.
fn text(entry: &Value, pointer: &str, key: &str, code: &'static str, findings: &mut Vec<Finding>) {
    let Some(text) = entry.get(key).and_then(Value::as_str) else { return };
    let problem = if text.is_empty() {
        "is empty"
    } else if text.trim() != text || text.chars().any(char::is_control) {
        "has white space around it, or control characters"
    } else if text.chars().count() > LONGEST {
        "is too long"
    } else {
        return;
    };
    let message = format!("{} {problem}", field(pointer));
    findings.push(Finding::value(code, pointer, message).fix("write it as the provider does"));
}

/// `Fleet.spec.identity`.
pub(super) fn identity(value: &Value, findings: &mut Vec<Finding>) {
    let list = "/spec/identity";
    let mut names = Unique::default();
    let (mut urls, mut jobs) = (Unique::default(), Unique::default());
    for (index, issuer) in items(value, list).enumerate() {
        let pointer = format!("{list}/{index}");
        names.add(issuer, &pointer, "name", findings);
        urls.add(issuer, &pointer, "issuer", findings);
        urls_are_safe(issuer, &pointer, findings);
        claims(issuer, &pointer, findings);
        if issuer.get("algorithms").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            let pointer = member(&pointer, "algorithms");
            let message = format!("{} is empty: no token would be valid", field(&pointer));
            let finding = Finding::value("access/issuer", &pointer, message);
            findings.push(finding.fix("name some, or remove the field"));
        }
        kind(issuer, &pointer, findings);
        let list = member(&pointer, "jobs");
        for (index, job) in items(issuer, "/jobs").enumerate() {
            let pointer = format!("{list}/{index}");
            jobs.add(job, &pointer, "name", findings);
            match_of(job, &pointer, findings);
        }
    }
}

/// Texts that may stand only once, with the place of each.
#[derive(Default)]
struct Unique(BTreeMap<String, String>);

impl Unique {
    fn add(&mut self, entry: &Value, pointer: &str, key: &str, findings: &mut Vec<Finding>) {
        let Some(text) = entry.get(key).and_then(Value::as_str) else { return };
        let pointer = member(pointer, key);
        let first = self.0.entry(text.to_owned()).or_insert_with(|| pointer.clone());
        if *first != pointer {
            let message = format!("{} is the same as {}", field(&pointer), field(first));
            let finding = Finding::value("access/duplicate", &pointer, message);
            findings.push(finding.fix("give each its own"));
        }
    }
}

fn urls_are_safe(issuer: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    for key in ["issuer", "jwksUri"] {
        let url = issuer.get(key).and_then(Value::as_str);
        if url.is_some_and(|url| !is_secure_url(url)) {
            let pointer = member(pointer, key);
            let message = format!("{} is not an address that can be trusted", field(&pointer));
            let finding = Finding::value("access/url", &pointer, message);
            findings.push(finding.fix(
                "write an `https` URL without user, query and fragment (`http` only on loopback)",
            ));
        }
    }
}

fn claims(issuer: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    for key in ["audience", "subjectClaim", "groupsClaim"] {
        text(issuer, &member(pointer, key), key, "access/issuer", findings);
    }
    let claim = issuer.get("subjectClaim").and_then(Value::as_str);
    if claim.is_some_and(|claim| UNSURE.contains(&claim)) {
        let pointer = member(pointer, "subjectClaim");
        let message = format!("{} is a claim that people can change", field(&pointer));
        let finding = Finding::value("access/issuer", &pointer, message);
        findings.push(finding.fix("write `sub`, `oid` or `email`"));
    }
}

/// Jobs stand where they are meant.
fn kind(issuer: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    let is_ci = issuer.get("kind").and_then(Value::as_str) == Some("ci");
    let has_jobs = items(issuer, "/jobs").next().is_some();
    if is_ci == has_jobs {
        return;
    }
    let (message, fix) = if is_ci {
        ("knows no job, so that none is anybody", "add `jobs`")
    } else {
        ("has jobs, but is not of the kind `ci`", "write `kind: ci`")
    };
    let message = format!("{} {message}", field(pointer));
    findings.push(Finding::value("access/issuer", pointer, message).fix(fix));
}

/// A job is known by what only its owner's tokens claim.
fn match_of(job: &Value, pointer: &str, findings: &mut Vec<Finding>) {
    let Some(claims) = job.get("match").and_then(Value::as_object) else { return };
    let pointer = member(pointer, "match");
    for key in claims.keys() {
        let of = job.get("match").unwrap_or(&Value::Null);
        text(of, &member(&pointer, key), key, "access/job", findings);
    }
    if !claims.keys().any(|key| OWNERS.contains(&key.as_str())) {
        let message = format!("{} does not say whose job it is", field(&pointer));
        let finding = Finding::value("access/job", &pointer, message);
        findings.push(finding.fix("add `repository`, `project_path` or `sub`"));
    }
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
