//! A person accepts a config branch that was rewritten.

use super::backlog::{Backlog, backlog, whole_head};
use super::reconcile::TRIES;
use crate::git::{FleetRepository, GitError, RefUpdate, Signature};
use crate::model::Revision;
use crate::publish::{self, Resume};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// The commit on the rendered branch that says so.
    Accepted(Revision),
    /// Nothing is held: the config branch continues from what was rendered last.
    NothingHeld,
    /// The config branch was rewritten, and its head is this.
    Held { last: Revision, head: Revision },
    /// The config branch, whose head is this, does not hold the commit.
    Elsewhere { head: Revision },
}

/// Lets titan go on from `accept` (`None`: only looks). One commit on the rendered branch says so:
/// every controller reads it there, and so does everybody who asks later.
///
/// # Errors
/// When Git fails.
pub fn resume(
    repository: &FleetRepository,
    accept: Option<Revision>,
    by: &Signature,
    reason: &str,
) -> Result<Resumed, GitError> {
    let mut tries = 0;
    loop {
        match attempt(repository, accept, by, reason) {
            Err(GitError::Conflict { .. }) if tries < TRIES => {
                tries += 1;
                repository.refresh()?;
            }
            outcome => return outcome,
        }
    }
}

fn attempt(
    repository: &FleetRepository,
    accept: Option<Revision>,
    by: &Signature,
    reason: &str,
) -> Result<Resumed, GitError> {
    let git = &repository.repository;
    let head = whole_head(repository)?;
    let settings = crate::git::settings_at(git, head)?;
    let branch = settings.branches.rendered;
    let before = git.branch(&branch)?;
    let rendered = publish::read_last(git, before)?;
    let Backlog::Rewritten { last } = backlog(git, &rendered, head, settings.limits.backlog)?
    else {
        return Ok(Resumed::NothingHeld);
    };
    let Some(accept) = accept else { return Ok(Resumed::Held { last, head }) };
    if !git.is_ancestor(accept, head)? {
        return Ok(Resumed::Elsewhere { head });
    }
    let resume = Resume { accept, by: by.clone(), reason: reason.to_owned() };
    let Some(new) = publish::resume(git, &rendered, &resume)? else {
        return Ok(Resumed::NothingHeld);
    };
    let update = RefUpdate { branch, expected: before, new };
    repository.publish(&[update])?;
    Ok(Resumed::Accepted(new))
}
