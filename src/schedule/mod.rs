//! Fleet + current assignments → assignments.
//!
//! ```text
//!  Fleet ──▶ index ──▶ matching   which hosts a deployment may use; each target is evaluated once
//!                        │
//!  current ────────▶ placement    who stays, who comes, who goes
//!                        └─ spread    with `replicas`: the order of coming and going
//! ```
//!
//! Placement is sticky: an assignment stays while its host exists and still matches. What a person
//! did not change does not move, and one deployment's lack never touches another.
//!
//! A [`Scheduler`] remembers what it decided, and decides again only what may come out differently:
//!
//! ```text
//!  Dirty ─┬─▶ matching ──▶ hosts that a target gained, lost, or sees differently ─┐
//!         │                                                                      ├─▶ affected ─▶ pairs, or
//!         └──────────────────────── deployments, hosts with something on them ───┤    whole deployments
//!  moved (current differs there) ────────────────────────────────────────────────┘
//! ```
//! Without `replicas` each pair stands for itself. With them, and where something is suspended or
//! held, the deployment is placed as a whole.

mod affected;
mod index;
mod matching;
mod placement;
mod spread;

use std::collections::BTreeSet;

use crate::model::{Assignments, DeploymentRef, Fleet, Name, Pairs, Schedule, TargetRef};

use affected::Affected;
use matching::Matching;
use placement::{Placed, View, placeable};

/// Decides what runs where. Pure: the same input gives the same schedule on every machine.
#[must_use]
pub fn schedule(fleet: &Fleet, current: &Assignments) -> Schedule {
    Scheduler::new(fleet, current).schedule
}

/// A schedule that follows its fleet. It is always what [`schedule`] would say.
#[derive(Debug, Clone, Default)]
pub struct Scheduler {
    matching: Matching,
    schedule: Schedule,
}

/// How a fleet differs from the one before, as far as placement depends on it. It may name too much,
/// never too little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// The whole fleet is held now, or was.
    pub all: bool,
    /// Hosts that are new or gone, or have other labels, or are cordoned or held now or no more.
    pub hosts: BTreeSet<Name>,
    /// Targets whose selector, or the hosts that their workspace may use, are not the same.
    pub targets: BTreeSet<TargetRef>,
    /// Deployments that are new or gone, or held now or no more, or have another target, count or
    /// spread, or are suspended now or no more.
    pub deployments: BTreeSet<DeploymentRef>,
}

/// How a schedule differs from the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Assigned now, and not before.
    pub came: Pairs,
    /// Assigned before, and not now.
    pub left: Pairs,
    /// Kept now and not before, or the other way round.
    pub kept: Pairs,
    /// Deployments whose recorded choice differs, appears or goes.
    pub recorded: BTreeSet<DeploymentRef>,
}

impl Scheduler {
    /// Schedules the whole fleet.
    #[must_use]
    pub fn new(fleet: &Fleet, current: &Assignments) -> Self {
        let mut scheduler = Self { matching: Matching::new(fleet), schedule: Schedule::default() };
        let known: BTreeSet<_> = fleet.deployments.keys().chain(current.hosts.keys()).collect();
        for id in known {
            let placed = scheduler.place(fleet, current, id);
            scheduler.schedule.assignments.set(id, placed.assigned);
            scheduler.schedule.kept.set(id, placed.kept);
            let view = View { fleet, current, matching: &scheduler.matching };
            settle(&mut scheduler.schedule, view, id);
        }
        scheduler
    }

    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Follows the fleet, and the current assignments, which differ from those of the last call at
    /// most in the pairs that `moved`. Costs what is dirty.
    pub fn advance(
        &mut self,
        fleet: &Fleet,
        dirty: &Dirty,
        current: &Assignments,
        moved: &Pairs,
    ) -> Moves {
        let mut moves = Moves::default();
        if dirty.all || fleet.held.all.is_some() {
            let before = std::mem::replace(self, Self::new(fleet, current));
            moves.between(&before.schedule, &self.schedule);
            return moves;
        }
        let stirred = self.matching.follow(fleet, dirty);
        let affected = Affected::find(fleet, dirty, &stirred, (current, moved));
        for id in affected.whole {
            let Placed { assigned, kept } = self.place(fleet, current, id);
            let was = self.schedule.assignments.set(id, assigned);
            moves.assigned(id, &was, self.schedule.assignments.of(id));
            let was = self.schedule.kept.set(id, kept);
            moves.kept(id, &was, self.schedule.kept.of(id));
            let view = View { fleet, current, matching: &self.matching };
            if settle(&mut self.schedule, view, id) {
                moves.recorded.insert(id.clone());
            }
        }
        let view = View { fleet, current, matching: &self.matching };
        for (id, hosts) in affected.pairs {
            hosts.into_iter().for_each(|host| moves.pair(&mut self.schedule, view, id, host));
            if settle(&mut self.schedule, view, id) {
                moves.recorded.insert(id.clone());
            }
        }
        moves
    }

    fn place(&mut self, fleet: &Fleet, current: &Assignments, id: &DeploymentRef) -> Placed {
        if let Some(deployment) = placeable(fleet, id) {
            self.matching.prepare(fleet, deployment);
        }
        View { fleet, current, matching: &self.matching }.place(id)
    }
}

/// Says what a deployment lacks, and brings the choice that Git remembers up to date; returns whether
/// that differs. A deployment that got no host has an entry as well: its file says so.
fn settle(schedule: &mut Schedule, view: View<'_>, id: &DeploymentRef) -> bool {
    let (assigned, kept) = (schedule.assignments.of(id), schedule.kept.of(id));
    match view.lack(id, assigned.len(), kept.len()) {
        Some(lack) => drop(schedule.unplaced.insert(id.clone(), lack)),
        None => drop(schedule.unplaced.remove(id)),
    }
    let recorded = &mut schedule.recorded.hosts;
    if view.fleet.deployments.get(id).is_none_or(|d| d.spec.replicas.is_none()) {
        return recorded.remove(id).is_some();
    }
    let same = recorded.get(id).is_some_and(|known| known.iter().eq(assigned.union(kept)));
    if !same {
        recorded.insert(id.clone(), assigned.union(kept).cloned().collect());
    }
    !same
}

impl Moves {
    /// Decides one pair anew, and notes how it differs.
    fn pair(&mut self, schedule: &mut Schedule, view: View<'_>, id: &DeploymentRef, host: &Name) {
        let put = |all: &mut Assignments, member| {
            if member { all.insert(id, host) } else { all.remove(id, host) }
        };
        let assigned = view.assigns(id, host);
        if put(&mut schedule.assignments, assigned) {
            let side = if assigned { &mut self.came } else { &mut self.left };
            side.insert(id, host);
        }
        if put(&mut schedule.kept, view.keeps(id, host)) {
            self.kept.insert(id, host);
        }
    }

    fn assigned(&mut self, id: &DeploymentRef, before: &BTreeSet<Name>, after: &BTreeSet<Name>) {
        after.difference(before).for_each(|host| self.came.insert(id, host));
        before.difference(after).for_each(|host| self.left.insert(id, host));
    }

    fn kept(&mut self, id: &DeploymentRef, before: &BTreeSet<Name>, after: &BTreeSet<Name>) {
        after.symmetric_difference(before).for_each(|host| self.kept.insert(id, host));
    }

    /// Everything that differs between two schedules.
    fn between(&mut self, before: &Schedule, after: &Schedule) {
        let ids = |all: fn(&Schedule) -> &Assignments| -> BTreeSet<DeploymentRef> {
            all(before).hosts.keys().chain(all(after).hosts.keys()).cloned().collect()
        };
        for id in ids(|schedule| &schedule.assignments) {
            self.assigned(&id, before.assignments.of(&id), after.assignments.of(&id));
        }
        for id in ids(|schedule| &schedule.kept) {
            self.kept(&id, before.kept.of(&id), after.kept.of(&id));
        }
        self.recorded = ids(|schedule| &schedule.recorded);
    }
}

#[cfg(test)]
mod tests;
