//! Rendered files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RepoPath;

/// The rendered files of one assignment, by their path below the assignment's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifests {
    pub files: BTreeMap<RepoPath, Arc<[u8]>>,
}

impl Manifests {
    /// Bytes of all files together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.files.values().map(|bytes| bytes.len()).sum()
    }
}
