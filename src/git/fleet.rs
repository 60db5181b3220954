//! The fleet's repository, wherever it lies.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{GitError, Repository};
use crate::model::{Limits, Revision};

/// Where the config repository is: `--fleet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A repository on this machine, bare or not: worked on directly.
    Local(PathBuf),
    /// A remote: worked on in a local clone (a cache), which pushes.
    Remote(String),
}

/// A branch to be moved, with the value that it must have before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    pub branch: String,
    pub expected: Option<Revision>,
    pub new: Revision,
}

/// The config repository with its branches. For a remote it holds a bare clone whose `refs/heads/*`
/// mirror the remote's as of the last [`FleetRepository::refresh`].
#[derive(Debug, Clone)]
pub struct FleetRepository {
    pub repository: Repository,
    pub location: Location,
    /// The config branch, short: given, or the remote's or repository's HEAD, or `main`.
    pub branch: String,
}

impl FromStr for Location {
    type Err = GitError;
    /// A URL with a scheme or in the scp form is a remote (`file://` too), anything else a path.
    fn from_str(text: &str) -> Result<Self, GitError> {
        Ok(Self::Local(text.into()))
    }
}

#[expect(unused_variables, reason = "skeleton")]
impl FleetRepository {
    /// Opens it. For a remote: makes or repairs the clone below `cache` and fetches once (only
    /// `branches`, where given; else all branches).
    pub fn open(
        location: &Location,
        branch: Option<&str>,
        cache: &Path,
        limits: &Limits,
    ) -> Result<Self, GitError> {
        let Location::Local(path) = location else { unimplemented!() };
        let repository = Repository::discover(path)?;
        let branch = match branch {
            Some(branch) => branch.to_owned(),
            None => repository.head_branch()?.unwrap_or_else(|| "main".into()),
        };
        Ok(Self { repository, location: location.clone(), branch })
    }

    /// Brings the clone up to date with its remote; nothing to do for a local repository.
    pub fn refresh(&self) -> Result<(), GitError> {
        Ok(())
    }

    /// Moves branches by compare-and-swap: locally one by one in the given order; on a remote with
    /// one `git push --atomic` and leases. Objects must be written before.
    ///
    /// # Errors
    /// [`GitError::Conflict`] for the first branch that is not where it was expected, found by
    /// re-reading the refs, not from git's message.
    pub fn publish(&self, updates: &[RefUpdate]) -> Result<(), GitError> {
        updates.iter().try_for_each(|u| self.repository.advance(&u.branch, u.expected, u.new))
    }
}
