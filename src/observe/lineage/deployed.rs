//! When something ran well, from the history of the status branch.

use std::collections::BTreeMap;

use super::Turn;
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{AssignmentStatus, RepoPath, Revision, TreeId};
use crate::observe::files;

/// Most commits of the status branch that are looked through.
const STATUSES: usize = 10_000;

/// One status file, and the changes that it may tell of.
#[derive(Debug, Default)]
struct Place {
    /// Its blob one commit later.
    seen: Option<TreeId>,
    turns: Vec<usize>,
}

/// Adds when each of `turns` was Deployed, from the status branch's history.
///
/// # Errors
/// When objects cannot be read. Damaged status files are passed over.
pub fn add_deployed(
    repository: &Repository,
    status: Revision,
    turns: &mut [Turn],
) -> Result<(), GitError> {
    let Some(oldest) = turns.iter().map(|turn| turn.since).min() else { return Ok(()) };
    let mut places = BTreeMap::<RepoPath, Place>::new();
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.tree.is_some()) {
        if let Some(path) = files::assignment_path(&turn.folder, &turn.assignment.deployment) {
            places.entry(path).or_default().turns.push(index);
        }
    }
    for revision in repository.first_parents(status, None, STATUSES)? {
        let commit = repository.commit(revision)?;
        if commit.committer.time() < oldest {
            break;
        }
        for (path, place) in &mut places {
            let entry = repository.entry(commit.tree, path)?;
            let Some(entry) = entry.filter(|entry| entry.kind == EntryKind::File) else { continue };
            if place.seen.replace(entry.id) != Some(entry.id) {
                note(&repository.blob(entry.id)?, turns, &place.turns);
            }
        }
    }
    Ok(())
}

fn note(bytes: &[u8], turns: &mut [Turn], indices: &[usize]) {
    let Ok(status) = files::read::<AssignmentStatus>(bytes) else { return };
    let Some(deployed) = status.trail.deployed else { return };
    for index in indices {
        let turn = &mut turns[*index];
        if turn.assignment == status.assignment && turn.rendered == status.desired.rendered {
            turn.deployed = Some(deployed);
        }
    }
}
