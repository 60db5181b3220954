//! Removals that are too many for one commit are held until somebody confirms them.
//!
//! ```text
//!  before − wanted = pending ──▶ ≤ spec.guards.maxRemovals, or allowed? ─┬─ yes ─▶ they go
//!                                                                       └─ no ──▶ they stay, all of
//!  the rest of the commit goes on in both cases                                   them, and are named
//! ```
//! Nothing is remembered but in Git: what is pending follows from the rendered branch, and its last
//! commit says whether removals are held already. While they are, nothing is removed until a source
//! commit bears the trailer `Titan-Allow-Removals`, or nothing is pending any more. So a fleet that
//! grows, and thereby its budget, does not let through what was held yesterday.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    AssignmentRef, DeploymentRef, Fleet, Host, Name, Pairs, Removals, RepoPath, Schedule, Trees,
};

/// The trailer of a source commit that allows removals: a number, or `all`.
pub const ALLOW_TRAILER: &str = "Titan-Allow-Removals";

/// What is there before a commit, as far as the guard needs to know it.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// All assignments that have a folder.
    pub trees: &'a Trees,
    /// Where each host's folder lies.
    pub folders: &'a BTreeMap<Name, RepoPath>,
    /// Removals are held already; the number of all assignments when that began.
    pub held: Option<usize>,
}

/// What is to be there after it.
#[derive(Debug, Clone, Copy)]
pub struct After<'a> {
    pub fleet: &'a Fleet,
    pub schedule: &'a Schedule,
    /// Assignments that render to no file at all: they have no folder either.
    pub empty: &'a Pairs,
}

/// What a commit would take away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// Assignments whose folder would vanish from its place, those on moved hosts included.
    pub removals: Pairs,
    /// Hosts with assignments whose folder would move away.
    pub moved: BTreeSet<Name>,
}

/// What a source commit's trailers allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    Nothing,
    UpTo(usize),
    All,
}

/// Removals that stay out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemovals {
    pub count: usize,
    /// All assignments when the holding began; the budget is a share of them.
    pub of: usize,
    /// Assignments that stay although nothing wants them any more.
    pub kept: Pairs,
    /// Assignments that stay as they are, whatever was rendered for them.
    pub untouched: Pairs,
    /// Hosts whose folder stays in its old place.
    pub unmoved: BTreeSet<Name>,
    /// One line for people.
    pub reason: String,
}

impl Allowance {
    /// The largest of the trailers: commits that were squashed bring several. What is neither a
    /// number nor `all` allows nothing.
    #[must_use]
    pub fn of(trailers: &[(String, String)]) -> Self {
        let own = trailers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(ALLOW_TRAILER));
        own.fold(Self::Nothing, |best, (_, value)| {
            let this = match value.trim() {
                word if word.eq_ignore_ascii_case("all") => Self::All,
                number => number.parse().map_or(Self::Nothing, Self::UpTo),
            };
            match (best, this) {
                (Self::All, _) | (_, Self::All) => Self::All,
                (Self::UpTo(a), Self::UpTo(b)) => Self::UpTo(a.max(b)),
                (Self::Nothing, other) | (other, Self::Nothing) => other,
            }
        })
    }

    fn covers(self, count: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(most) => count <= most,
            Self::All => true,
        }
    }
}

/// How many of `all` assignments one commit may remove. A share is rounded up, so that one of a few
/// may go; `0` and `0%` let nothing go.
#[must_use]
pub fn budget(most: &Removals, all: usize) -> usize {
    match most {
        Removals::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
        Removals::Percent(text) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            all.saturating_mul(percent).div_ceil(100)
        }
    }
}

/// What would vanish of the `chosen` assignments. Moves count as what they are: whoever pulls the old
/// folder sees it go.
#[must_use]
pub fn pending<'p>(
    before: &Before<'_>,
    after: &After<'_>,
    chosen: impl Iterator<Item = (&'p DeploymentRef, &'p Name)>,
) -> Pending {
    let After { fleet, schedule, empty } = *after;
    let mut pending = Pending::default();
    for (deployment, host) in chosen {
        let held = fleet.held.all.is_some()
            || fleet.held.hosts.contains_key(host)
            || fleet.held.deployments.contains_key(deployment);
        if held || !before.trees.contains(deployment, host) {
            continue;
        }
        let stays = schedule.kept.contains(deployment, host)
            || (schedule.assignments.contains(deployment, host)
                && !empty.contains(deployment, host));
        let moves = moves(fleet, before, host);
        if moves {
            pending.moved.insert(host.clone());
        }
        if moves || !stays {
            pending.removals.insert(deployment, host);
        }
    }
    pending
}

/// Whether the host's folder would be another one.
fn moves(fleet: &Fleet, before: &Before<'_>, host: &Name) -> bool {
    let (Some(host), Some(old)) = (fleet.hosts.get(host), before.folders.get(host)) else {
        return false;
    };
    let new = host.folder();
    new != *old && new.as_str().len() <= Host::LONGEST_FOLDER
}

/// Holds the removals back, and says so, when they are more than one commit may make and its trailers
/// do not allow them. It is all of them or none: no one could say which.
#[must_use]
pub fn guard(
    before: &Before<'_>,
    after: &After<'_>,
    pending: &Pending,
    trailers: &[(String, String)],
) -> Option<HeldRemovals> {
    let allowance = Allowance::of(trailers);
    let (count, of) = (pending.removals.count(), before.held.unwrap_or(before.trees.len()));
    let may = budget(&after.fleet.settings.guards.max_removals, of);
    let within = before.held.is_none() && count <= may;
    if count == 0 || within || allowance.covers(count) {
        return None;
    }
    let first = pending.removals.iter().map(|(deployment, host)| deployment.on(host)).min();
    let reason = reason(count, of, may, allowance, first.as_ref());
    let (mut kept, mut untouched) = (Pairs::default(), Pairs::default());
    for (deployment, host) in pending.removals.iter() {
        let After { schedule, empty, .. } = after;
        let scheduled = schedule.assignments.contains(deployment, host);
        // On a host that would have moved, what still runs is rendered as ever, in the old place.
        let runs = scheduled && !empty.contains(deployment, host);
        if !(pending.moved.contains(host) && runs) {
            untouched.insert(deployment, host);
        }
        if !scheduled && !schedule.kept.contains(deployment, host) {
            kept.insert(deployment, host);
        }
    }
    let unmoved = pending.moved.clone();
    Some(HeldRemovals { count, of, kept, untouched, unmoved, reason })
}

fn reason(
    count: usize,
    of: usize,
    may: usize,
    allowance: Allowance,
    first: Option<&AssignmentRef>,
) -> String {
    let mut text = format!("{count} of {of} assignments would be removed, {may} may be");
    if count <= may {
        text += ", but removals are held since an earlier commit";
    }
    if let Allowance::UpTo(most) = allowance {
        text += &format!("; this commit allows {most}");
    }
    if let Some(first) = first {
        text += &format!("; the first is {first}");
    }
    text + &format!("; fix: commit with trailer {ALLOW_TRAILER}: {count}")
}

#[cfg(test)]
mod tests;
