//! What titan owns on a host, and what it has begun to change there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::{Change, Desired};
use crate::model::hex;
use crate::model::id::serde_as_text;
use crate::model::{DeploymentRef, Manifests, Name, RepoPath, Revision, Timestamp, TreeId};

/// SHA-256 of a file's content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// All that an agent owns: the only things that it may replace or remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Format of this file: [`Inventory::VERSION`].
    pub version: u32,
    pub host: Name,
    /// The last desired state that was acted upon: what healing needs while Git is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Desired>,
    #[serde(default)]
    pub assignments: BTreeMap<DeploymentRef, Owned>,
    /// A hook that has still to run, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<PendingHook>,
}

/// What is owned of one assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// The tree that is applied; `None` before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    /// The rendered revision that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
    /// The files of `tree`.
    #[serde(default)]
    pub files: BTreeMap<RepoPath, Digest>,
    /// A change that was begun: after a crash it may or may not have happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// Contents that a change may have put on the host. It is written down before the change, and grows
/// when another begins before the first has ended, so that no crash can make titan forget a file.
/// Contents rather than mere paths: a stranger's file at such a path is still a stranger's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub files: BTreeMap<RepoPath, BTreeSet<Digest>>,
}

/// Changes that the hook has not been told of with success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingHook {
    pub changed: BTreeSet<DeploymentRef>,
    pub removed: BTreeSet<DeploymentRef>,
}

impl Inventory {
    pub const VERSION: u32 = 1;

    /// Owns nothing yet.
    #[must_use]
    pub fn new(host: Name) -> Self {
        Self {
            version: Self::VERSION,
            host,
            desired: None,
            assignments: BTreeMap::new(),
            hook: None,
        }
    }

    /// Notes what a change is about to put on the host.
    pub(super) fn intend(&mut self, change: &Change, files: &BTreeMap<RepoPath, Digest>) {
        let owned = self.assignments.entry(change.deployment().clone()).or_default();
        let pending = owned.pending.get_or_insert_default();
        for (path, digest) in files {
            pending.files.entry(path.clone()).or_default().insert(*digest);
        }
    }

    /// Trees that must stay in the store.
    pub(super) fn trees(&self) -> BTreeSet<TreeId> {
        let desired = self.desired.iter().flat_map(|desired| desired.assignments.values().copied());
        desired.chain(self.assignments.values().filter_map(|owned| owned.tree)).collect()
    }
}

impl Owned {
    /// Whether a file is titan's: by its path where it was applied, by path and content where a change
    /// was begun. `content` is `None` for what is not a regular file.
    pub(super) fn owns(&self, path: &RepoPath, content: impl FnOnce() -> Option<Digest>) -> bool {
        if self.files.contains_key(path) {
            return true;
        }
        let pending = self.pending.as_ref().and_then(|pending| pending.files.get(path));
        pending.is_some_and(|digests| content().is_some_and(|digest| digests.contains(&digest)))
    }

    /// All paths at which something of titan may be.
    pub(super) fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        let pending = self.pending.iter().flat_map(|pending| pending.files.keys());
        self.files.keys().chain(pending)
    }
}

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of all that a reader yields.
    pub(super) fn read(mut reader: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self(hasher.finalize().into())),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest of every file.
    #[must_use]
    pub fn of_all(manifests: &Manifests) -> BTreeMap<RepoPath, Self> {
        manifests.files.iter().map(|(path, bytes)| (path.clone(), Self::of(bytes))).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        hex::decode(text).map(Self).ok_or(DigestError)
    }
}

serde_as_text!(Digest);
