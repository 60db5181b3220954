//! The settings by which a commit of the config branch is judged.

use super::{GitError, Repository};
use crate::model::{FleetSpec, Limits, Revision};
use crate::parse::parse;

/// The fleet's settings at `head`, or those before they became unreadable: a broken `titan.yaml` is no
/// wish for the defaults, which name other branches.
///
/// # Errors
/// [`GitError::Object`].
pub fn settings_at(git: &Repository, head: Revision) -> Result<FleetSpec, GitError> {
    let mut next = Some(head);
    for _ in 0..Limits::default().backlog {
        let Some(revision) = next else { break };
        let fleet = parse(Some(revision), &git.settings_file(revision)?).fleet;
        if fleet.held.all.is_none() {
            return Ok(fleet.settings.clone());
        }
        next = git.commit(revision)?.parents.first().copied();
    }
    Ok(FleetSpec::default())
}
