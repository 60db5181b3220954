//! What a change does, before anybody merges it: two fleets → who gains, loses and keeps what, and
//! which manifests differ how. No host is asked, nothing is written.
//!
//! ```text
//!  before, after ─┬─▶ placement   hosts and deployments: gained, lost, moved
//!                 ├─▶ compare     the pairs that may differ, rendered on both sides
//!                 │      ├─▶ lines ─ facts ─▶ group    equal changes of many hosts are one
//!                 │      └─▶ failures
//!                 ├─▶ held        what stays as it is, and why; new diagnostics
//!                 └─▶ removals    what the guard will say
//! ```
//! Manifests are compared one pair at a time and forgotten: what stays is one example for each group
//! of equal changes. Work is cut into shares whose size does not depend on the machine, so that the
//! result does not either.

mod compare;
mod facts;
mod group;
mod headline;
mod held;
mod lines;
mod placement;
mod removals;

use serde::Serialize;

pub use compare::Old;
pub use group::{Group, Kind};
pub use held::{HeldBack, fresh};
pub use placement::{
    DeploymentEffect, HostEffects, Lacking, Move, MovedHost, RemovedHost, Transition,
};
pub use removals::{RemovalGuard, Ruling, removals};

use crate::model::{AssignmentRef, Diagnostic, Fleet, Schedule};

/// One of the two fleets that are compared, and what runs where in it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub fleet: &'a Fleet,
    pub schedule: &'a Schedule,
}

/// What a change does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub counts: Counts,
    pub hosts: HostEffects,
    /// Every deployment that anything happens to, in the order of names.
    pub deployments: Vec<DeploymentEffect>,
    /// Changes of rendered files: removals first, then the most frequent.
    pub groups: Vec<Group>,
    /// Changes of files that are in no group, as there are too many different ones.
    pub omitted: usize,
    /// What the change leaves as it is because something is wrong, new ones first.
    pub held: Vec<HeldBack>,
    /// Problems of rendering, and of templates that nobody uses, that were not there before.
    pub diagnostics: Vec<Diagnostic>,
    /// Assignments that render to no file any more: removals, to those who pull.
    #[serde(skip)]
    pub emptied: Vec<AssignmentRef>,
}

/// How many assignments something happens to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// They vanish: from hosts that stay, and with hosts that go.
    pub removed: usize,
    /// They stay where they are, with other files.
    pub changed: usize,
    pub added: usize,
    /// They would change, or run on in another way, but something is wrong.
    pub held: usize,
    /// All assignments before, and after.
    pub before: usize,
    pub after: usize,
}

impl Preview {
    /// Whether anything happens: to what runs, or to what is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let new = self.held.iter().any(|held| !held.known);
        self.hosts.is_empty() && self.deployments.is_empty() && self.groups.is_empty() && !new
    }
}

/// Compares two fleets. `old` reads what an assignment has now, where `before` cannot tell: it is
/// suspended or held there.
#[must_use]
pub fn preview(before: Side<'_>, after: Side<'_>, old: Old<'_>) -> Preview {
    let found = compare::compare(before, after, old);
    let held = held::held(before, after, &found.failures);
    let mut diagnostics = found.failures.diagnostics();
    diagnostics.extend(held::unused(before, after));
    let deployments = placement::deployments(before, after, &found.changed);
    let counts = Counts {
        removed: deployments.iter().map(|one| one.lost.len() + one.moved.len()).sum::<usize>()
            + found.emptied.len(),
        changed: found.changed.values().sum(),
        added: deployments.iter().map(|one| one.gained.len() + one.moved.len()).sum(),
        held: held.iter().map(|held| held.assignments).sum(),
        before: placement::count(before),
        after: placement::count(after),
    };
    let (groups, omitted) = found.groups.finish();
    Preview {
        counts,
        hosts: placement::hosts(before, after),
        deployments,
        groups,
        omitted,
        held,
        diagnostics,
        emptied: found.emptied,
    }
}

#[cfg(test)]
mod tests;
