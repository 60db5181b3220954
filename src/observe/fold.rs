//! How one assignment's status moves: by what is desired, by what its host says, and by time.
//!
//! ```text
//!  desire   a commit on the rendered branch changed it   → Pending | Removing, with a new trail
//!  fold     its host reported                            → the phase, if it is about the desired tree
//!  expire   its deadline passed                          → Stalled (`last` keeps the phase)
//!  silence  its host fell silent                         → Unknown (`last` keeps the phase)
//! ```
//!
//! All are pure and return `None` when nothing is new, so that nothing is written (invariant I5).
//! A status is never rosier than the truth: only a report about the desired tree makes it Deployed.

use crate::model::{
    API_VERSION, AssignmentRef, AssignmentReport, AssignmentStatus, Desired, Observed, Phase,
    Revision, Timestamp, Trail, TreeId,
};

/// `kind` of an assignment's status file.
pub const ASSIGNMENT_KIND: &str = "AssignmentStatus";
/// Reason of an assignment whose host has no titan agent.
pub const EXTERNAL: &str = "External";
/// Reason of an assignment whose host fell silent.
pub const HOST_OFFLINE: &str = "HostOffline";

/// Reasons that titan and its agents give; there may be others.
pub(super) const REASONS: [&str; 17] = [
    "Rendered",
    EXTERNAL,
    HOST_OFFLINE,
    "NotOnHost",
    "HostBehind",
    "Pruned",
    "DeadlineExceeded",
    "Applying",
    "Applied",
    "DriftHealed",
    "HookPending",
    "HookFailed",
    "Removing",
    "Removed",
    "TooLarge",
    "Malformed",
    "Conflict",
];

/// Longest message that is kept, in characters.
const MESSAGE: usize = 1024;

/// Where a desired state comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub source: Revision,
    pub rendered: Revision,
    /// The source commit's own time.
    pub committed: Timestamp,
    /// When titan put the rendered commit on its branch, as far as this process knows.
    pub published: Timestamp,
}

/// Who brings the manifests to life on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// titan's agent, which reports.
    Agent,
    /// Flux or Argo CD, which do not.
    External,
}

/// A desired state: `tree`, or its removal. `None` when that is desired already.
#[must_use]
pub fn desire(
    previous: Option<&AssignmentStatus>,
    assignment: &AssignmentRef,
    tree: Option<TreeId>,
    origin: Origin,
    delivery: Delivery,
    now: Timestamp,
) -> Option<AssignmentStatus> {
    if previous.is_some_and(|s| is_desired((s.desired.tree, &s.reason), tree, delivery)) {
        return None;
    }
    let rendered = origin.published.min(now);
    let (phase, reason, message) = match (delivery, tree) {
        (Delivery::External, _) => {
            (Phase::Unknown, EXTERNAL, "Flux or Argo CD deliver to this host and do not report")
        }
        (Delivery::Agent, Some(_)) => (Phase::Pending, "Rendered", ""),
        (Delivery::Agent, None) => (Phase::Removing, "Rendered", ""),
    };
    Some(AssignmentStatus {
        api_version: API_VERSION.to_owned(),
        kind: ASSIGNMENT_KIND.to_owned(),
        assignment: assignment.clone(),
        desired: Desired { source: origin.source, rendered: origin.rendered, tree },
        observed: previous.and_then(|status| status.observed.clone()),
        phase,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: now,
        last: None,
        trail: Trail {
            // A commit that claims to be from the future was made before it was rendered all the same.
            committed: Some(origin.committed.min(rendered)),
            rendered: Some(rendered),
            ..Trail::default()
        },
    })
}

/// Whether a status, by its desired tree and its reason, is about this desired state already.
pub(super) fn is_desired(
    (known, reason): (Option<TreeId>, &str),
    tree: Option<TreeId>,
    delivery: Delivery,
) -> bool {
    known == tree && (delivery == Delivery::External) == (reason == EXTERNAL)
}

/// What a host says about an assignment. `None` when it is nothing new; `sequence` is the report's.
#[must_use]
pub fn fold(
    previous: &AssignmentStatus,
    report: &AssignmentReport,
    sequence: u64,
    now: Timestamp,
) -> Option<AssignmentStatus> {
    let mut next = previous.clone();
    let (phase, reason, message) = verdict(previous, report);
    if phase != previous.phase || reason != previous.reason {
        next.message = clean(&message);
        next.last = None;
    }
    if phase != previous.phase {
        next.since = now;
    }
    if phase == Phase::Stalled {
        next.last = previous.last;
    }
    next.phase = phase;
    next.reason = reason;
    if speaks_of_desired(previous, report) {
        next.trail = follow(&previous.trail, report, phase, now);
    }
    // A host repeats itself after every commit of the fleet: only another tree is news.
    if previous.observed.as_ref().is_none_or(|observed| observed.tree != report.tree) {
        let observed = Observed { rendered: report.rendered, tree: report.tree, sequence };
        next.observed = Some(observed);
    }
    if next == *previous {
        return None;
    }
    if let Some(observed) = &mut next.observed {
        observed.sequence = sequence;
    }
    Some(next)
}

/// A full report that does not name the assignment: it is not on the host.
#[must_use]
pub fn absent(previous: &AssignmentStatus, now: Timestamp) -> Option<AssignmentStatus> {
    let mut next = previous.clone();
    next.observed = None;
    let (phase, reason) = match previous.desired.tree {
        None => (Phase::Removed, "Pruned"),
        Some(_) if matches!(previous.phase, Phase::Pending | Phase::Stalled) => {
            (previous.phase, previous.reason.as_str())
        }
        Some(_) => (Phase::Pending, "NotOnHost"),
    };
    if phase != previous.phase {
        next.since = now;
        next.message.clear();
        next.last = None;
    }
    next.reason = reason.to_owned();
    next.phase = phase;
    (next != *previous).then_some(next)
}

/// The deadline passed.
#[must_use]
pub fn expire(previous: &AssignmentStatus, now: Timestamp) -> Option<AssignmentStatus> {
    previous.phase.is_waiting().then(|| AssignmentStatus {
        phase: Phase::Stalled,
        reason: "DeadlineExceeded".to_owned(),
        message: clean(&format!(
            "still {} after its deadline; {}",
            previous.phase, previous.message
        )),
        since: now,
        last: Some(previous.phase),
        ..previous.clone()
    })
}

/// The host fell silent.
#[must_use]
pub fn silence(previous: &AssignmentStatus, now: Timestamp) -> Option<AssignmentStatus> {
    (previous.phase != Phase::Unknown).then(|| AssignmentStatus {
        phase: Phase::Unknown,
        reason: HOST_OFFLINE.to_owned(),
        message: String::new(),
        since: now,
        last: Some(previous.phase),
        ..previous.clone()
    })
}

/// Text from outside, fit for a file and a terminal: one that is not too long, without control characters.
pub(crate) fn clean(text: &str) -> String {
    let kept = text.trim().chars().map(|c| if c == '\t' { ' ' } else { c });
    let kept = kept.filter(|c| !c.is_control() || *c == '\n').filter(|c| !is_formatting(*c));
    kept.take(MESSAGE).collect::<String>().trim_end_matches([' ', ';', '\n']).to_owned()
}

/// Characters that reorder or hide what stands beside them.
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn speaks_of_desired(previous: &AssignmentStatus, report: &AssignmentReport) -> bool {
    report.tree == previous.desired.tree
}

/// The phase that a report leads to, with its reason and message.
fn verdict(previous: &AssignmentStatus, report: &AssignmentReport) -> (Phase, String, String) {
    let said = |phase: Phase| (phase, report.reason.clone(), report.message.clone());
    let as_it_is = || (previous.phase, previous.reason.clone(), previous.message.clone());
    let waiting = |phase: Phase, reason: &str| {
        if matches!(previous.phase, Phase::Stalled) || previous.phase == phase {
            as_it_is()
        } else {
            (phase, reason.to_owned(), String::new())
        }
    };
    if previous.reason == EXTERNAL {
        return as_it_is();
    }
    match (previous.desired.tree, report.tree, report.phase) {
        (None, None, Phase::Failed) | (None, Some(_), Phase::Failed) => said(Phase::Failed),
        (None, None, _) => said(Phase::Removed),
        (None, Some(_), _) => waiting(Phase::Removing, "Rendered"),
        // Without a tree: the host could not even read what it is to run.
        (Some(_), None, Phase::Failed) => said(Phase::Failed),
        (Some(desired), Some(tree), phase) if desired == tree => match phase {
            Phase::Deployed | Phase::Degraded | Phase::Failed => said(phase),
            Phase::Applying | Phase::Progressing if is_progress(previous, phase) => said(phase),
            Phase::Applying | Phase::Progressing => as_it_is(),
            _ => waiting(Phase::Pending, "NotOnHost"),
        },
        (Some(_), None, _) => waiting(Phase::Pending, "NotOnHost"),
        (Some(_), Some(_), _) => waiting(Phase::Pending, "HostBehind"),
    }
}

/// What stalled leaves that only by getting further than it was: the same report again is no progress.
fn is_progress(previous: &AssignmentStatus, phase: Phase) -> bool {
    previous.phase != Phase::Stalled || previous.last.is_none_or(|last| phase > last)
}

/// The trail with what a report adds. A stage keeps the first time that was told; each lies between
/// the stage before it and now, whatever the host's clock says.
fn follow(trail: &Trail, report: &AssignmentReport, phase: Phase, now: Timestamp) -> Trail {
    let mut floor = [trail.committed, trail.built, trail.rendered, trail.announced]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let mut stage = |known: Option<Timestamp>, told: Option<Timestamp>| {
        let time = known.or_else(|| told.map(|told| told.min(now).max(floor)));
        floor = time.unwrap_or(floor).max(floor);
        time
    };
    let received = stage(trail.received, report.received);
    let applied = stage(trail.applied, report.applied);
    let ended = (phase == Phase::Deployed).then(|| report.deployed.unwrap_or(now));
    let deployed = stage(trail.deployed, ended);
    Trail { received, applied, deployed, ..trail.clone() }
}

#[cfg(test)]
mod tests;
