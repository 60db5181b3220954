//! The files that titan itself writes on the rendered branch, and their paths.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::git::{CommitInfo, Signature};
use crate::model::{API_VERSION, DeploymentRef, Name, RepoPath};

pub(super) const HOSTS: &str = "hosts";
/// Marks a host's folder, and keeps it when nothing is assigned.
pub(super) const MARKER: &str = ".titan";
/// How the trailers begin that Argo CD reads to show the commit of the application's own source.
pub(super) const REFERENCE: &str = "Argocd-reference-commit-";

fn plain(path: &str) -> RepoPath {
    RepoPath::new(path).expect("because it is made of names")
}

pub(super) fn hosts_path() -> RepoPath {
    plain(HOSTS)
}

pub(super) fn assignments_path() -> RepoPath {
    plain("assignments")
}

pub(super) fn hydrator_path() -> RepoPath {
    plain("hydrator.metadata")
}

pub(super) fn marker_path(folder: &RepoPath) -> RepoPath {
    plain(&format!("{folder}/{MARKER}"))
}

pub(super) fn marker(host: &Name) -> String {
    format!("host: {host}\n")
}

/// The folder of an assignment on a host whose own folder is `folder`.
#[must_use]
pub fn assignment_path(folder: &RepoPath, deployment: &DeploymentRef) -> RepoPath {
    plain(&format!("{folder}/{deployment}"))
}

/// Where the choice of hosts for a deployment is recorded.
pub(super) fn recorded_path(deployment: &DeploymentRef) -> RepoPath {
    plain(&format!("assignments/{deployment}.yaml"))
}

/// The deployment whose choice is recorded at `path` below `assignments/`.
pub(super) fn recorded_name(path: &RepoPath) -> Option<DeploymentRef> {
    path.as_str().strip_suffix(".yaml")?.parse().ok()
}

/// The recorded choice, as YAML.
pub(super) fn write_assignment(deployment: &DeploymentRef, hosts: &BTreeSet<Name>) -> String {
    let name = scalar(&deployment.name);
    let mut text =
        format!("apiVersion: {API_VERSION}\nkind: Assignment\nmetadata:\n  name: {name}\n");
    text.push_str(&format!("spec:\n  deployment: {deployment}\n"));
    if hosts.is_empty() {
        text.push_str("  hosts: []\n");
    } else {
        text.push_str("  hosts:\n");
        hosts.iter().for_each(|host| text.push_str(&format!("    - {}\n", scalar(host))));
    }
    text
}

/// A name as a YAML scalar that every reader takes for a string.
fn scalar(name: &Name) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let text = name.as_str();
    if text.starts_with(|c: char| c.is_ascii_digit()) || WORDS.contains(&text) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    }
}

/// Reads what [`write_assignment`] writes, and nothing else.
pub(super) fn read_assignment(bytes: &[u8]) -> Option<BTreeSet<Name>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, list) = text.split_once("\n  hosts:")?;
    if list.trim() == "[]" {
        return Some(BTreeSet::new());
    }
    let items = list.lines().filter(|line| !line.trim().is_empty());
    items.map(|line| Name::new(line.trim().strip_prefix("- ")?.trim_matches('"')).ok()).collect()
}

/// `hydrator.metadata` as Argo CD's source hydrator writes and its user interface reads it.
#[derive(Debug, Serialize)]
struct Metadata<'a> {
    #[serde(rename = "repoURL", skip_serializing_if = "Option::is_none")]
    repo_url: Option<&'a str>,
    #[serde(rename = "drySha")]
    dry_sha: String,
    author: String,
    date: String,
    subject: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    body: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

#[derive(Debug, Serialize)]
struct Reference {
    commit: ReferenceCommit,
}

/// The commit of the application's source that led to the source commit.
#[derive(Debug, Default, PartialEq, Serialize)]
struct ReferenceCommit {
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<String>,
    #[serde(rename = "repoURL", skip_serializing_if = "Option::is_none")]
    repo_url: Option<String>,
}

pub(super) fn hydrator_metadata(repo_url: Option<&str>, source: &CommitInfo) -> String {
    let metadata = Metadata {
        repo_url,
        dry_sha: source.id.to_string(),
        author: person(&source.author),
        date: source.author.time().to_string(),
        subject: &source.subject,
        body: without_references(&source.body),
        references: reference(source).into_iter().collect(),
    };
    let mut text =
        serde_json::to_string_pretty(&metadata).expect("because texts and lists are valid JSON");
    text.push('\n');
    text
}

fn person(who: &Signature) -> String {
    format!("{} <{}>", who.name, who.email)
}

fn reference(source: &CommitInfo) -> Option<Reference> {
    let get = |key: &str| source.trailer(&format!("{REFERENCE}{key}")).map(str::to_owned);
    let commit = ReferenceCommit {
        author: get("author"),
        date: get("date"),
        subject: get("subject"),
        // Argo CD writes the body as a JSON string, so that it fits on one line.
        body: get("body").map(|body| serde_json::from_str(&body).unwrap_or(body)),
        sha: get("sha"),
        repo_url: get("repourl"),
    };
    (commit != ReferenceCommit::default()).then_some(Reference { commit })
}

fn without_references(body: &str) -> String {
    let reference = |line: &str| {
        line.get(..REFERENCE.len()).is_some_and(|start| start.eq_ignore_ascii_case(REFERENCE))
    };
    let lines: Vec<&str> = body.lines().filter(|line| !reference(line)).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_choices_are_read_as_written() {
        let deployment: DeploymentRef = "iot/sensor/no".parse().expect("a name");
        for hosts in [&[][..], &["a"], &["0x1f", "no", "tim-pi"]] {
            let hosts: BTreeSet<Name> =
                hosts.iter().map(|name| Name::new(name).expect("a name")).collect();
            let text = write_assignment(&deployment, &hosts);
            assert_eq!(read_assignment(text.as_bytes()), Some(hosts), "{text}");
        }
        let one = BTreeSet::from([Name::new("no").expect("a name")]);
        assert_eq!(
            write_assignment(&deployment, &one),
            "apiVersion: titan.dev/v1\nkind: Assignment\nmetadata:\n  name: \"no\"\nspec:\n  \
             deployment: iot/sensor/no\n  hosts:\n    - \"no\"\n"
        );
        for bad in ["", "spec:\n  hosts:\n    a: b\n", "spec:\n  hosts:\n    - ../x\n"] {
            assert_eq!(read_assignment(bad.as_bytes()), None, "{bad}");
        }
    }
}
