//! What can go wrong on a host.

use std::path::PathBuf;

use crate::model::{Name, Recovery, RepoPath, TreeId};

/// An error of delivery. All but the last four concern one assignment and leave the others alone.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Nothing below the destination is ever reached through a link.
    #[error("`{}` is not a real directory, and links are not followed", .path.display())]
    NotADirectory { path: PathBuf },
    /// Somebody else put something else where a manifest belongs. Nothing was changed.
    #[error("`{}` exists, differs and is not titan's", .path.display())]
    Conflict { path: PathBuf },
    /// The copy of the last good manifests is not what it was.
    #[error("the stored copy of tree {tree} lacks `{path}` or has another content there")]
    Damaged { tree: TreeId, path: RepoPath },
    #[error("there is no stored copy of tree {tree}")]
    Missing { tree: TreeId },
    /// The change has happened, but not what belongs after it: it will be done again.
    #[error("the change could not be ended: {0}")]
    Unfinished(#[source] Box<Self>),
    #[error("the runtime task ended early")]
    Interrupted,
    #[error("`{}` is in use by another agent", .path.display())]
    Locked { path: PathBuf },
    #[error("`{}` belongs to the host `{host}`", .path.display())]
    OtherHost { path: PathBuf, host: Name },
    #[error("`{}` was written by a newer titan (format {version})", .path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("`{}` cannot be understood: {source}", .path.display())]
    State {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl DeliverError {
    /// What a loop does about it.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Io { .. } | Self::Interrupted | Self::Unfinished(_) => Recovery::Retry,
            Self::Damaged { .. } | Self::Missing { .. } => Recovery::Refresh,
            _ => Recovery::Fix,
        }
    }

    /// One word in CamelCase for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::NotADirectory { .. } => "NotADirectory",
            Self::Damaged { .. } | Self::Missing { .. } => "ManifestsMissing",
            _ => "ApplyFailed",
        }
    }

    /// Whether the host is certainly as it was before.
    #[must_use]
    pub fn changed_nothing(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::NotADirectory { .. }
                | Self::Damaged { .. }
                | Self::Missing { .. }
        )
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
