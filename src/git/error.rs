//! What can go wrong with Git.

use std::path::{Path, PathBuf};

use crate::model::{Recovery, Revision, url::UrlError};

/// An error of Git, its object database, its refs or a remote. No variant carries a credential.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("`{path}` is not a Git repository")]
    NotARepository { path: PathBuf },
    #[error(
        "the repository `{path}` keeps its refs as `{format}`; titan reads the `files` format only"
    )]
    RefFormat { path: PathBuf, format: String },
    #[error("the repository `{path}` names its objects by `{format}`; titan reads `sha1` only")]
    ObjectFormat { path: PathBuf, format: String },
    /// What was rendered follows from the whole history.
    #[error("the repository `{path}` is a shallow clone: `git fetch --unshallow` completes it")]
    Shallow { path: PathBuf },
    #[error("the address of the repository is refused: {0}")]
    Url(#[from] UrlError),
    #[error("`{name}` is not a valid branch name")]
    BranchName { name: String },
    #[error("`{name}` names no commit in the repository")]
    UnknownRevision { name: String },
    #[error("object {id} is missing or damaged")]
    Object {
        id: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// See [`super::Chunk`].
    #[error("what a worker made is refused: {why}")]
    Chunk { why: &'static str },
    /// Git keeps branches as files and folders: `a` and `a/b` exclude each other.
    #[error("branch `{branch}` cannot exist beside branch `{other}`")]
    BranchClash { branch: String, other: String },
    #[error("branch `{branch}` moves forward only, and {new} does not build on {expected}")]
    NotForward { branch: String, expected: Revision, new: Revision },
    /// Somebody else moved the branch: read it again and redo the work on top.
    #[error("branch `{branch}` was moved by somebody else")]
    Conflict { branch: String, expected: Option<Revision>, actual: Option<Revision> },
    #[error("`{path}` is locked by a running process")]
    Locked { path: PathBuf },
    #[error("`git {command}` failed: {detail}")]
    Command { command: String, detail: String, recovery: Recovery },
    #[error("`git {command}` did not end within {seconds} s")]
    Timeout { command: String, seconds: u64 },
    #[error("cannot {action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {action}")]
    Gix {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl GitError {
    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The diagnostic's code, where the error is a mistake in what somebody wrote.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Url(error) => Some(error.code()),
            Self::BranchName { .. } | Self::BranchClash { .. } => Some("git/ref"),
            Self::UnknownRevision { .. } => Some("git/revision"),
            Self::NotARepository { .. }
            | Self::RefFormat { .. }
            | Self::ObjectFormat { .. }
            | Self::Shallow { .. } => Some("git/repository"),
            _ => None,
        }
    }

    /// What a loop does about it.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Conflict { .. } => Recovery::Refresh,
            Self::Locked { .. } | Self::Timeout { .. } | Self::Io { .. } | Self::Chunk { .. } => {
                Recovery::Retry
            }
            Self::Command { recovery, .. } => *recovery,
            Self::Gix { .. } | Self::Object { .. } => Recovery::Refresh,
            Self::NotARepository { .. }
            | Self::RefFormat { .. }
            | Self::ObjectFormat { .. }
            | Self::Shallow { .. }
            | Self::Url(_)
            | Self::BranchClash { .. }
            | Self::NotForward { .. }
            | Self::BranchName { .. }
            | Self::UnknownRevision { .. } => Recovery::Fix,
        }
    }
}

/// Wraps an error of gix: `cannot <action>`.
pub(super) fn gix_error(action: &'static str) -> impl FnOnce(gix::Error) -> GitError {
    move |error| GitError::Gix { action, source: Box::new(error) }
}

/// An object that is not there, or not what it should be.
pub(super) fn damaged(id: gix::ObjectId) -> impl FnOnce(gix::Error) -> GitError {
    move |error| GitError::Object { id: id.to_string(), source: Box::new(error) }
}
