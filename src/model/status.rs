//! What is known about hosts and assignments: the files of the status branch.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AssignmentRef, Diagnostic, Name, Revision, Timestamp, TreeId};

/// Where an assignment stands.
///
/// ```text
///  Pending → Applying → Progressing → Deployed        Removing → Removed
///      └────────┴────────────┴──▶ Stalled (deadline)      Degraded, Failed: the host says so
///                                                         Unknown: the host is silent or external
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// In Git; the host has not answered yet.
    Pending,
    /// The host is writing it.
    Applying,
    /// Written, not healthy yet.
    Progressing,
    /// Written and healthy.
    Deployed,
    /// Was healthy, is not now.
    Degraded,
    /// The host could not do it.
    Failed,
    /// Not done within its deadline.
    Stalled,
    /// To be removed from the host.
    Removing,
    /// Gone from the host.
    Removed,
    /// Nobody knows: the host is silent, or reports to nobody.
    Unknown,
}

impl Phase {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Applying,
        Self::Progressing,
        Self::Deployed,
        Self::Degraded,
        Self::Failed,
        Self::Stalled,
        Self::Removing,
        Self::Removed,
        Self::Unknown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Applying => "Applying",
            Self::Progressing => "Progressing",
            Self::Deployed => "Deployed",
            Self::Degraded => "Degraded",
            Self::Failed => "Failed",
            Self::Stalled => "Stalled",
            Self::Removing => "Removing",
            Self::Removed => "Removed",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether it is waiting for something, and therefore has a deadline.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Applying | Self::Progressing | Self::Removing)
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Degraded | Self::Failed | Self::Stalled)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `hosts/[folder/…]<host>/<ws>/<workload>/<deployment>.yaml` on the status branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentStatus {
    pub api_version: String,
    pub kind: String,
    pub assignment: AssignmentRef,
    /// What the host must run.
    pub desired: Desired,
    /// What the host said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    pub phase: Phase,
    /// One word in CamelCase.
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when the phase holds.
    pub since: Timestamp,
    /// What it was before it became Unknown or Stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Phase>,
    pub trail: Trail,
}

/// The desired state, by the commits that last changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    pub source: Revision,
    pub rendered: Revision,
    /// `None`: nothing; it is to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
}

/// What the host said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    pub rendered: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    pub sequence: u64,
}

/// Commit to deploy, one time for each stage. A new desired state starts a new trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// The source commit's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Timestamp>,
    /// When the change is a new image of a build: when that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Timestamp>,
    /// titan committed the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Timestamp>,
    /// An event was sent, where a message stream is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Timestamp>,
    /// The host saw the desired state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// The host applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    /// It was healthy on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
}

impl Trail {
    /// The stages in the order of time, by their names in the file.
    #[must_use]
    pub fn stages(&self) -> [(&'static str, Option<Timestamp>); 7] {
        [
            ("committed", self.committed),
            ("built", self.built),
            ("rendered", self.rendered),
            ("announced", self.announced),
            ("received", self.received),
            ("applied", self.applied),
            ("deployed", self.deployed),
        ]
    }
}

/// Whether a host reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Connection {
    /// It reports in time.
    Online,
    /// It was silent for three intervals.
    Offline,
    /// It has never reported.
    Never,
    /// Flux or Argo CD deliver there; no agent reports.
    External,
}

impl Connection {
    pub const ALL: [Self; 4] = [Self::Online, Self::Offline, Self::Never, Self::External];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "Online",
            Self::Offline => "Offline",
            Self::Never => "Never",
            Self::External => "External",
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `hosts/[folder/…]<host>.yaml` on the status branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    pub api_version: String,
    pub kind: String,
    pub host: Name,
    pub connection: Connection,
    /// Since when the connection is as it is.
    pub since: Timestamp,
    /// Number of the last report that was written down; the host's next one is higher.
    #[serde(default)]
    pub sequence: u64,
    /// The rendered revision that it saw last, and that commit's generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What is wrong with the host as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `fleet.yaml` on the status branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    pub api_version: String,
    pub kind: String,
    /// The last source revision that was taken into account, whether it changed anything or not.
    pub source: Revision,
    /// The head of the rendered branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Revision>,
    pub hosts: u64,
    pub assignments: u64,
    /// Exact counts of assignments by phase.
    pub phases: BTreeMap<Phase, u64>,
    /// What is held back → why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, String>,
    /// Deployments that got fewer hosts than they want → why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unplaced: BTreeMap<String, String>,
}

/// `diagnostics.yaml` on the status branch: what is wrong at the head of the config branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosticsFile {
    pub api_version: String,
    pub kind: String,
    /// The source revision that they are about.
    pub source: Revision,
    pub errors: u64,
    pub warnings: u64,
    /// At most 1,000 of them; the counts are exact.
    pub diagnostics: Vec<Diagnostic>,
}
