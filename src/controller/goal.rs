//! From a pass to what the ledger is to follow.

use std::collections::BTreeMap;

use super::reconcile::Pass;
use crate::git::{FleetRepository, GitError, Repository};
use crate::model::{AssignmentRef, Revision, Timestamp};
use crate::observe::{Goal, Ledger, Origin, origin, origins};

/// Tells the ledger what a pass left on the rendered branch.
///
/// # Errors
/// [`GitError`] when the rendered branch's history cannot be read.
pub(super) fn follow(
    repository: &Repository,
    ledger: &mut Ledger,
    pass: &Pass,
    now: Timestamp,
) -> Result<(), GitError> {
    let known = ledger.rendered();
    let (origins, origin) = match causes(repository, known, pass, now) {
        Ok(causes) => causes,
        Err(error) => {
            // What changed here is not told a second time.
            ledger.distrust();
            return Err(error);
        }
    };
    let rendered = &pass.rendered;
    let trees = rendered.trees.iter().map(|(assignment, tree)| (assignment.clone(), *tree));
    let unplaced = pass.schedule.unplaced.iter();
    let goal = Goal {
        source: pass.source.id,
        rendered: rendered.revision.map(|revision| (revision, rendered.generation)),
        fleet: &pass.fleet,
        folders: &rendered.folders,
        trees: &trees.collect(),
        changed: None,
        origins: &origins,
        origin,
        held: &pass.held,
        unplaced: &unplaced.map(|(id, why)| (id.to_string(), why.reason.clone())).collect(),
        diagnostics: &pass.diagnostics,
        unchecked: false,
        limits: &pass.fleet.settings.limits,
    };
    ledger.reconciled(&goal, now);
    Ok(())
}

type Origins = BTreeMap<AssignmentRef, Origin>;

/// Which commits changed what since `known`; and the last of them, for all that is not named. What the
/// pass itself put on the branch it knows; what others did is found by comparing trees.
fn causes(
    repository: &Repository,
    known: Option<Revision>,
    pass: &Pass,
    now: Timestamp,
) -> Result<(Origins, Option<Origin>), GitError> {
    let Some(tip) = pass.rendered.revision else { return Ok((BTreeMap::new(), None)) };
    let last = origin(repository, tip, now)?;
    if known == Some(tip) {
        return Ok((BTreeMap::new(), last));
    }
    if !connects(repository, known, pass)? {
        return Ok((origins(repository, known, tip, now)?, last));
    }
    let mut found = BTreeMap::new();
    let mut commits = pass.commits.iter().rev();
    let newest = commits.next().map(|commit| &commit.changed);
    for commit in commits {
        let Some(origin) = origin(repository, commit.revision, now)? else { continue };
        let others = commit.changed.keys().filter(|id| newest.is_none_or(|n| !n.contains_key(id)));
        for assignment in others {
            found.entry(assignment.clone()).or_insert(origin);
        }
    }
    Ok((found, last))
}

/// Whether the pass's own commits are all that happened between `known` and where it left the branch.
fn connects(
    repository: &Repository,
    known: Option<Revision>,
    pass: &Pass,
) -> Result<bool, GitError> {
    let (Some(first), Some(last)) = (pass.commits.first(), pass.commits.last()) else {
        return Ok(false);
    };
    let before = repository.commit(first.revision)?.parents.first().copied();
    Ok(before == known && Some(last.revision) == pass.rendered.revision)
}

/// One pass's outcome, written to the status branch by somebody who does not stay: `titan reconcile`.
/// Hosts are not judged, as nobody listened to them.
///
/// # Errors
/// [`GitError`] when the status branch cannot be read or written.
pub fn record(
    repository: &FleetRepository,
    pass: &Pass,
    now: Timestamp,
) -> Result<Option<Revision>, GitError> {
    let settings = &pass.fleet.settings;
    let git = &repository.repository;
    let head = git.branch(&settings.branches.status)?;
    let mut ledger = Ledger::load(git, head, &settings.limits, now)?;
    follow(git, &mut ledger, pass, now)?;
    ledger.flush(repository, &settings.branches.status, now)
}
