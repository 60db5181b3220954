//! What a host's agent tells the controller, and the answer (`POST /api/v1/hosts/<host>/reports`).

use serde::{Deserialize, Serialize};

use super::{DeploymentRef, Name, Phase, Revision, Timestamp, TreeId};

/// One report. A report without assignments is a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostReport {
    pub host: Name,
    /// Rises with every report of the host, across restarts of its agent.
    pub sequence: u64,
    /// The agent's version.
    pub agent: String,
    /// Seconds until the next report at the latest; after three of them in silence the host is Offline.
    pub interval: u32,
    /// The rendered revision that the agent has seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Revision>,
    /// `true`: `assignments` are all that the host has; what is not among them is not there.
    #[serde(default)]
    pub full: bool,
    /// What changed since the last report that was accepted (or everything, with `full`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<AssignmentReport>,
    /// What is wrong with the host as a whole, such as a desired state that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How one assignment fares on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignmentReport {
    pub deployment: DeploymentRef,
    /// The rendered revision that it was read from.
    pub rendered: Revision,
    /// The tree id of its manifests; `None` when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    /// Applying, Progressing, Deployed, Degraded, Failed, Removing or Removed.
    pub phase: Phase,
    /// One word in CamelCase, such as `HookFailed`.
    pub reason: String,
    /// For people; at most 1,024 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the host saw the desired state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// When it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    /// When it was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
}

/// The controller's answer to a report that it accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportAnswer {
    /// The sequence number that was accepted.
    pub sequence: u64,
    /// `true`: the controller does not know the host's state (it restarted, say); send a full report.
    #[serde(default)]
    pub resync: bool,
}
