//! What the controller answers a host that asks what it is to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DeploymentRef, Manifests, Name, Revision, TreeId, base64};

/// All that a host is to run, or what changed since a rendered revision that it named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostDeployments {
    pub host: Name,
    /// The head of the rendered branch.
    pub rendered: Revision,
    /// `Titan-Generation` of that commit: a host goes forward only.
    pub generation: u64,
    /// The tree id of the host's folder: of `.titan`, which holds `host: <host>`, of the folders of all
    /// its assignments, and of `nested`. Whoever knows them can compute it, and so knows to have all.
    pub tree: TreeId,
    /// `true`: `deployments` are all; what is not among them is to go.
    pub full: bool,
    /// Assignments that are new or different, or all.
    pub deployments: Vec<HostDeployment>,
    /// Assignments that are gone; none in a full answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<DeploymentRef>,
    /// Folders of other hosts that lie in this one's (`hosts/a.yaml` and `hosts/a/b.yaml`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nested: BTreeMap<Name, TreeId>,
}

/// One assignment of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostDeployment {
    pub deployment: DeploymentRef,
    /// The tree id of its files.
    pub tree: TreeId,
    /// Its files; `None`: they are asked for one by one, as all together are too much for one answer, or
    /// there is a `problem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<HostFile>>,
    /// Why its files cannot be had: what runs stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<HostProblem>,
}

/// A rendered file: as text, or as base64 where text would change it or be longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFile {
    /// Below the assignment's folder. Not checked: whoever writes it somewhere does.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Why the files of an assignment are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostProblem {
    /// One word in CamelCase, such as `TooLarge`.
    pub reason: String,
    pub message: String,
}

impl HostFile {
    #[must_use]
    pub fn new(path: &str, bytes: &[u8]) -> Self {
        let path = path.to_owned();
        // JSON writes most control characters with six characters each.
        let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(plain) => {
                Self { path, content: Some(text.to_owned()), base64: None }
            }
            _ => Self { path, content: None, base64: Some(base64::encode(bytes)) },
        }
    }

    /// What it holds; `None` when it is not said, twice, or not base64.
    #[must_use]
    pub fn bytes(&self) -> Option<Arc<[u8]>> {
        match (&self.content, &self.base64) {
            (Some(text), None) => Some(text.as_bytes().into()),
            (None, Some(text)) => base64::decode(text).map(Into::into),
            _ => None,
        }
    }
}

impl From<&Manifests> for Vec<HostFile> {
    fn from(manifests: &Manifests) -> Self {
        let file =
            |(path, bytes): (&super::RepoPath, &Arc<[u8]>)| HostFile::new(path.as_str(), bytes);
        manifests.files.iter().map(file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_travel_as_text_where_that_is_the_same() {
        let check = |bytes: &[u8], json: &str| {
            let file = HostFile::new("a.yaml", bytes);
            assert_eq!(serde_json::to_string(&file).expect("JSON"), json);
            let read: HostFile = serde_json::from_str(json).expect("a file");
            assert_eq!(read.bytes().as_deref(), Some(bytes));
        };
        check(b"a: \"x\"\n", r#"{"path":"a.yaml","content":"a: \"x\"\n"}"#);
        check(b"", r#"{"path":"a.yaml","content":""}"#);
        check(b"\0", r#"{"path":"a.yaml","base64":"AA=="}"#);
        check(b"\xff\xfe", r#"{"path":"a.yaml","base64":"//4="}"#);
        for bad in [
            r#"{"path":"a"}"#,
            r#"{"path":"a","base64":"?"}"#,
            r#"{"path":"a","content":"","base64":""}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<HostFile>(bad).expect("a file").bytes(),
                None,
                "{bad}"
            );
        }
    }
}
