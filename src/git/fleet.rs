//! The fleet's repository, wherever it lies.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::remote::Remote;
use super::{GitError, Repository, valid_branch_name};
use crate::model::url::{UrlError, UrlRules, check_repository_url};
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
    remote: Option<Arc<Remote>>,
}

impl FromStr for Location {
    type Err = GitError;
    /// A URL with a scheme or in the scp form is a remote (`file://` too), anything else a path.
    /// The operator chose it, so private networks and files are fine; options and credentials are
    /// not.
    fn from_str(text: &str) -> Result<Self, GitError> {
        let scp = text.split('/').next().is_some_and(|start| start.contains(':'));
        if text.contains("://") || scp {
            check_repository_url(text, UrlRules { files: true, private: true })?;
            return Ok(Self::Remote(text.to_owned()));
        }
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(UrlError::Character.into());
        }
        if text.starts_with('-') {
            return Err(UrlError::Option.into());
        }
        Ok(Self::Local(text.into()))
    }
}

impl FleetRepository {
    /// Opens it. For a local repository `location` may be a folder inside of its worktree. For a
    /// remote: makes or repairs the clone below `cache` and fetches all branches once.
    ///
    /// # Errors
    /// [`GitError::BranchName`]; what [`Repository::open`] says; failures of `git` for a remote.
    pub fn open(
        location: &Location,
        branch: Option<&str>,
        cache: &Path,
        limits: &Limits,
    ) -> Result<Self, GitError> {
        if let Some(name) = branch.filter(|name| !valid_branch_name(name)) {
            return Err(GitError::BranchName { name: name.escape_default().to_string() });
        }
        let (repository, remote) = match location {
            Location::Local(path) => (Repository::discover(path)?, None),
            Location::Remote(url) => {
                let remote = Remote::new(url, cache, limits)?;
                (remote.open()?, Some(Arc::new(remote)))
            }
        };
        super::lock::clear_temporary_files(&repository);
        super::upkeep::clear_leftovers(&repository);
        let branch = match (branch, &remote) {
            (Some(branch), _) => Some(branch.to_owned()),
            (None, None) => repository.head_branch()?,
            (None, Some(remote)) => remote.head_branch()?,
        };
        let branch = branch.unwrap_or_else(|| "main".to_owned());
        Ok(Self { repository, location: location.clone(), branch, remote })
    }

    /// The same, with its repository opened anew: see [`Repository::apart`].
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn apart(&self) -> Result<Self, GitError> {
        Ok(Self { repository: self.repository.apart()?, ..self.clone() })
    }

    /// Brings the clone up to date with its remote; nothing to do for a local repository. A clone
    /// that turns out to be damaged is made again.
    ///
    /// # Errors
    /// Failures of `git`.
    pub fn refresh(&self) -> Result<(), GitError> {
        self.remote.as_ref().map_or(Ok(()), |remote| remote.refresh())
    }

    /// Takes over how long a remote is waited for and how often a push is tried; until then the limits
    /// hold that it was opened with, as the fleet's own can only be read from the clone.
    pub fn adopt(&self, limits: &Limits) {
        if let Some(remote) = &self.remote {
            remote.adopt(limits);
        }
    }

    /// Throws the clone of a remote away and makes it again: after [`GitError::Object`], which says
    /// that an object is missing or damaged. A local repository is never touched.
    ///
    /// # Errors
    /// Failures of `git`.
    pub fn repair(&self) -> Result<(), GitError> {
        self.remote.as_ref().map_or(Ok(()), |remote| remote.repair())
    }

    /// Moves branches by compare-and-swap: locally one by one in the given order; on a remote with
    /// one `git push --atomic` and leases. Objects must be written before. A branch that is at its
    /// new value already is fine.
    ///
    /// # Errors
    /// [`GitError::Conflict`] for the first branch that is not where it was expected, found by
    /// re-reading the refs, not from git's message; [`GitError::NotForward`].
    pub fn publish(&self, updates: &[RefUpdate]) -> Result<(), GitError> {
        for RefUpdate { branch, expected, new } in updates {
            if !valid_branch_name(branch) {
                return Err(GitError::BranchName { name: branch.escape_default().to_string() });
            }
            if let Some(expected) = *expected
                && !self.repository.is_ancestor(expected, *new)?
            {
                return Err(GitError::NotForward { branch: branch.clone(), expected, new: *new });
            }
        }
        match &self.remote {
            Some(remote) => remote.publish(&self.repository, updates),
            None => updates.iter().try_for_each(|update| {
                self.repository.advance(&update.branch, update.expected, update.new)
            }),
        }
    }
}
