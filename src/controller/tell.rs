//! What the loop tells of itself, for `/readyz` and `/metrics`.

use std::time::Duration;

use super::reconcile::Pass;
use crate::git::{GitError, Repository};
use crate::model::{Revision, Timestamp};
use crate::observe::{Ledger, Part, Passed, Vitals};

/// How an entry of [`Pass::held`] about the whole config branch is named.
const HISTORY: &str = "history";

/// The branches can be read, and are where they were.
pub(super) fn idle(vitals: &Vitals) {
    vitals.health.works(Part::Passes);
    vitals.health.works(Part::Repository);
}

/// A pass was made.
pub(super) fn passed(vitals: &Vitals, pass: &Pass) {
    idle(vitals);
    let metrics = &vitals.metrics;
    // What another controller put on the branch is in its numbers.
    let own = || pass.commits.iter().filter(|commit| commit.own);
    let outcome = if own().next().is_none() { Passed::Unchanged } else { Passed::Rendered };
    metrics.pass(outcome, pass.timings.total());
    let now = Timestamp::now();
    for commit in own() {
        metrics.rendered(since(commit.source.committer.time(), now));
    }
    metrics.held(pass.held.len());
    if is_rendered(pass) {
        metrics.behind(0, None);
    }
}

/// A pass, or what comes before it, failed.
pub(super) fn failed(vitals: &Vitals, error: &GitError) {
    let now = Timestamp::now();
    vitals.health.fails(Part::Passes, now);
    // `git` itself works for remotes alone.
    if matches!(error, GitError::Command { .. } | GitError::Timeout { .. }) {
        vitals.health.fails(Part::Repository, now);
    }
    vitals.metrics.pass(Passed::Failed, Duration::ZERO);
}

/// Whether nothing of the config branch waits any more.
pub(super) fn is_rendered(pass: &Pass) -> bool {
    !pass.held.contains_key(HISTORY)
}

/// The config branch is at `head`, and was rendered up to `done`. At most `most` commits are counted.
pub(super) fn behind(
    vitals: &Vitals,
    repository: &Repository,
    (head, done): (Option<Revision>, Option<Revision>),
    most: u32,
) {
    let (Some(head), Some(done)) = (head, done) else { return };
    let waiting = repository.first_parents(head, Some(done), most as usize).unwrap_or_default();
    let oldest = waiting.last().and_then(|oldest| repository.commit(*oldest).ok());
    vitals.metrics.behind(waiting.len(), oldest.map(|commit| commit.committer.time()));
}

/// The status branch was written, or could not be.
pub(super) fn flushed(vitals: &Vitals, worked: bool) {
    match worked {
        true => vitals.health.works(Part::Status),
        false => vitals.health.fails(Part::Status, Timestamp::now()),
    }
    vitals.metrics.flush(worked);
}

/// What there is, and how it fares.
pub(super) fn fleet(vitals: &Vitals, ledger: &Ledger) {
    vitals.metrics.fleet(&ledger.connections(), ledger.phases());
}

/// What hosts said to be deployed since the last time.
pub(super) fn deployed(vitals: &Vitals, ledger: &mut Ledger) {
    ledger.take_deployed().into_iter().for_each(|latency| vitals.metrics.deployed(latency));
}

/// How long ago something was; a commit may claim to be from the future.
fn since(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time)).unwrap_or_default()
}
