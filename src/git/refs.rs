//! Moving branches, by compare-and-swap.

use std::fs::File;
use std::io::ErrorKind;
use std::time::Instant;

use gix::refs::transaction::{LogChange, PreviousValue, RefEdit};
use gix::refs::{FullName, Target};

use super::error::gix_error;
use super::lock::{self, Lock};
use super::read::commit_object;
use super::{GitError, Repository};
use crate::model::Revision;

/// How often a failure that no lock explains is tried again.
const TRIES: u32 = 3;

/// Whether `branch` may be the short name of a branch: Git's rules for refs
/// (git-check-ref-format(1)), and no leading `-`, which programs take for an option.
#[must_use]
pub fn valid_branch_name(branch: &str) -> bool {
    full_name(branch).is_ok()
}

/// `refs/heads/<branch>`.
pub(super) fn full_name(branch: &str) -> Result<FullName, GitError> {
    let error = || GitError::BranchName { name: branch.escape_default().to_string() };
    if branch.is_empty() || branch.starts_with('-') || branch == "HEAD" {
        return Err(error());
    }
    FullName::try_from(format!("refs/heads/{branch}")).map_err(|_| error())
}

impl Repository {
    /// Moves `refs/heads/<branch>` from `expected` (`None`: it must not exist) to `new`. Clears stale
    /// locks of dead processes on the way. It is fine if the branch is at `new` already.
    ///
    /// # Errors
    /// [`GitError::Conflict`] when the branch is elsewhere; [`GitError::BranchClash`] when another
    /// branch is in the way of its name; [`GitError::Locked`].
    pub fn advance(
        &self,
        branch: &str,
        expected: Option<Revision>,
        new: Revision,
    ) -> Result<(), GitError> {
        let name = full_name(branch)?;
        let previous = match expected {
            Some(id) => PreviousValue::MustExistAndMatch(Target::Object(commit_object(id))),
            None => {
                self.refuse_clash(branch)?;
                PreviousValue::MustNotExist
            }
        };
        let start = Instant::now();
        let mut locks = [
            Lock::new(self.git_dir().join(format!("refs/heads/{branch}.lock"))),
            Lock::new(self.git_dir().join("packed-refs.lock")),
        ];
        let mut tries = 0;
        loop {
            let Err(error) = self.swap(&name, previous.clone(), new) else {
                return self.make_durable(branch);
            };
            // What went wrong shows in the ref and in the locks; messages differ by cause and version.
            let actual = self.branch(branch)?;
            if actual == Some(new) {
                return Ok(());
            }
            if actual != expected {
                return Err(GitError::Conflict { branch: branch.to_owned(), expected, actual });
            }
            match lock::clear(self, &mut locks)? {
                lock::State::Free => {
                    tries += 1;
                    if tries >= TRIES {
                        return Err(error);
                    }
                }
                lock::State::Held(path) if start.elapsed() > lock::PATIENCE => {
                    return Err(GitError::Locked { path });
                }
                lock::State::Held(_) => std::thread::sleep(lock::PAUSE),
            }
        }
    }

    /// What gix leaves out: a branch that moved has moved, also after a power failure.
    fn make_durable(&self, branch: &str) -> Result<(), GitError> {
        let path = self.git_dir().join(format!("refs/heads/{branch}"));
        let folder = path.parent().expect("because it is in a folder");
        for path in [path.as_path(), folder] {
            match File::open(path).and_then(|file| file.sync_all()) {
                // Somebody packed or moved it meanwhile.
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(GitError::io("sync", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One try of the compare-and-swap.
    fn swap(
        &self,
        name: &FullName,
        previous: PreviousValue,
        new: Revision,
    ) -> Result<(), GitError> {
        let local = self.local();
        let commit = self.commit(new)?;
        // The reflog gets the time of the commit, so that no clock and no configuration is needed.
        let time = format!("{} +0000", commit.committer.seconds);
        let titan = gix::actor::SignatureRef {
            name: "titan".into(),
            email: "titan@titan.dev".into(),
            time: &time,
        };
        let log = LogChange { message: commit.subject.into(), ..LogChange::default() };
        let edit = RefEdit::update_with_log(name.clone(), commit_object(new), previous, log);
        local.edit_references_as([edit], Some(titan)).map_err(gix_error("move a branch"))?;
        Ok(())
    }

    /// Moves a branch wherever it is: for clones, which mirror somebody else's branches.
    pub(super) fn set_branch(&self, branch: &str, new: Revision) -> Result<(), GitError> {
        self.swap(&full_name(branch)?, PreviousValue::Any, new)
    }

    /// Looks for a branch that is a folder of `branch`, or that lies below it. gix does not see
    /// such a conflict with packed refs.
    fn refuse_clash(&self, branch: &str) -> Result<(), GitError> {
        let clash = |other: &str| GitError::BranchClash {
            branch: branch.to_owned(),
            other: other.to_owned(),
        };
        for (end, _) in branch.match_indices('/') {
            if self.branch(&branch[..end])?.is_some() {
                return Err(clash(&branch[..end]));
            }
        }
        let below = format!("{branch}/");
        let other = self.branches()?.into_keys().find(|name| name.starts_with(&below));
        other.map_or(Ok(()), |other| Err(clash(&other)))
    }

    /// All branches, short, with their commits.
    ///
    /// # Errors
    /// When the refs cannot be read.
    pub fn branches(&self) -> Result<std::collections::BTreeMap<String, Revision>, GitError> {
        let local = self.local();
        let platform = local.references().map_err(gix_error("read the branches"))?;
        let all = platform.local_branches().map_err(gix_error("read the branches"))?;
        let mut branches = std::collections::BTreeMap::new();
        for reference in all.filter_map(Result::ok) {
            let short = reference.name().shorten().to_string();
            if let Some(id) = reference.try_id() {
                branches.insert(short, super::read::revision(id.detach()));
            }
        }
        Ok(branches)
    }
}
