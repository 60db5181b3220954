//! What a stage reads: files of one Git tree, or of one directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RepoPath;

/// One entry of the config branch's tree, in the order of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    pub path: RepoPath,
    pub content: Content,
}

/// What an entry holds. What titan refuses to read is named here, so that the parser can say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    Bytes(Arc<[u8]>),
    /// A symbolic link; never followed.
    Symlink,
    /// A submodule; never fetched.
    Submodule,
    /// A file over `limits.blobSize`; never read.
    TooLarge { bytes: u64 },
    /// A tree that Git itself would refuse: this entry's parent holds a name that no checkout may have.
    Malformed { reason: String },
}

/// What became of the files since they were last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChanges {
    /// Nobody knows what differs: these are all files, in the order of paths.
    All(Vec<SourceFile>),
    /// Only these may differ; `None`: the file is gone.
    Some(BTreeMap<RepoPath, Option<Content>>),
}

impl SourceFile {
    /// A regular file; for tests and for files made in memory.
    #[must_use]
    pub fn regular(path: RepoPath, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { path, content: Content::Bytes(bytes.into()) }
    }
}
