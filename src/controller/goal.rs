//! From a pass to what the ledger is to follow.

use std::collections::BTreeMap;

use super::reconcile::Pass;
use crate::git::{FleetRepository, GitError, Repository};
use crate::model::{AssignmentRef, Revision, Timestamp};
use crate::observe::{Goal, Ledger, Origin, origin, origins};
use crate::publish::Rendered;

/// Tells the ledger what a pass left on the rendered branch.
///
/// # Errors
/// [`GitError`] when the rendered branch's history cannot be read.
pub(super) fn follow(
    repository: &Repository,
    ledger: &mut Ledger,
    pass: &Pass,
    rendered: &Rendered,
    now: Timestamp,
) -> Result<(), GitError> {
    let known = ledger.rendered();
    let (origins, origin) = match causes(repository, known, (pass, rendered), now) {
        Ok(causes) => causes,
        Err(error) => {
            // What changed here is not told a second time.
            ledger.distrust();
            return Err(error);
        }
    };
    let unplaced = pass.unplaced.iter();
    let goal = Goal {
        source: pass.source.id,
        rendered: rendered.revision.map(|revision| (revision, rendered.generation)),
        fleet: &pass.fleet,
        folders: &rendered.folders,
        trees: &rendered.trees,
        changed: pass.touched.as_ref(),
        origins: &origins,
        origin,
        held: &pass.held,
        unplaced: &unplaced.map(|(id, why)| (id.to_string(), why.reason.clone())).collect(),
        diagnostics: &pass.diagnostics,
        unchecked: pass.unchecked,
        limits: &pass.settings.limits,
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
    (pass, rendered): (&Pass, &Rendered),
    now: Timestamp,
) -> Result<(Origins, Option<Origin>), GitError> {
    let Some(tip) = rendered.revision else { return Ok((BTreeMap::new(), None)) };
    let last = origin(repository, tip, now)?;
    if known == Some(tip) {
        return Ok((BTreeMap::new(), last));
    }
    if !connects(repository, known, pass, tip)? {
        return Ok((origins(repository, known, tip, now)?, last));
    }
    let mut found = BTreeMap::new();
    let mut commits = pass.commits.iter().rev();
    let newest = commits.next().map(|commit| &commit.changed);
    for commit in commits {
        let Some(origin) = origin(repository, commit.revision, now)? else { continue };
        for (deployment, host, _) in commit.changed.iter() {
            if newest.is_none_or(|newest| !newest.contains(deployment, host)) {
                found.entry(deployment.on(host)).or_insert(origin);
            }
        }
    }
    Ok((found, last))
}

/// Whether the pass's own commits are all that happened between `known` and where it left the branch.
fn connects(
    repository: &Repository,
    known: Option<Revision>,
    pass: &Pass,
    tip: Revision,
) -> Result<bool, GitError> {
    let (Some(first), Some(last)) = (pass.commits.first(), pass.commits.last()) else {
        return Ok(false);
    };
    let before = repository.commit(first.revision)?.parents.first().copied();
    Ok(before == known && last.revision == tip)
}

/// One pass's outcome, written to the status branch by somebody who does not stay: `titan reconcile`.
/// Hosts are not judged, as nobody listened to them.
///
/// # Errors
/// [`GitError`] when the status branch cannot be read or written.
pub fn record(
    repository: &FleetRepository,
    pass: &Pass,
    rendered: &Rendered,
    now: Timestamp,
) -> Result<Option<Revision>, GitError> {
    let settings = &pass.settings;
    let git = &repository.repository;
    let head = git.branch(&settings.branches.status)?;
    let mut ledger = Ledger::load(git, head, &settings.limits, now)?;
    follow(git, &mut ledger, pass, rendered, now)?;
    ledger.flush(repository, &settings.branches.status, now)
}
