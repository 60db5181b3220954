//! What a new fleet makes different, found from what differs: cost follows change.
//!
//! ```text
//!  fleet before ─┐                ┌─▶ placement ─▶ Scheduler ─▶ pairs that come, go, or are kept ─┐
//!                ├─▶ [Changes] ───┤                                                             ├─▶ [Step]
//!  fleet after ──┘                └─▶ hosts, deployments that read differently × their pairs ────┘
//! ```
//! Nothing is decided by "this was seen before": a pair is rendered again because something that it
//! is made from is another than it was when it was rendered.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Changes;
use crate::model::{Assignments, DeploymentRef, Fleet, Name, Pairs, Schedule};
use crate::schedule::{Moves, Scheduler, schedule};

/// The fleet that was rendered last, and what runs where. After [`Core::advance`] all that its
/// [`Step`] names is taken for done. When that fails, throw the core away and [`Core::resume`] from what
/// the rendered branch holds; cloning one costs as much as the fleet is large.
#[derive(Debug, Clone)]
pub struct Core {
    fleet: Arc<Fleet>,
    scheduler: Scheduler,
    doubts: Doubts,
    /// While everything is held, nothing is rendered: what is above waits.
    held: Option<Held>,
}

/// What has to be looked at again whether or not it differs.
#[derive(Debug, Clone, Default)]
struct Doubts {
    everything: bool,
    pairs: Pairs,
}

/// A fleet that is held as a whole.
#[derive(Debug, Clone)]
struct Held {
    fleet: Arc<Fleet>,
    schedule: Schedule,
    /// What the scheduler has not been told.
    moved: Pairs,
}

/// What there is to do for a new fleet. It may name too much, never too little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Nothing that was rendered is relied on: hosts and records that are not named here have to be
    /// looked at as well, because they may have no reason any more.
    pub everything: bool,
    /// Scheduled pairs whose manifests have to be made: newly scheduled ones, and those whose inputs
    /// differ.
    pub render: Pairs,
    /// Further pairs whose place in the rendered tree may differ: no longer scheduled, kept now or no
    /// longer kept.
    pub others: Pairs,
    /// Hosts whose folder may come, go or move, or stays for another reason than before. The pairs of
    /// a folder that moves are named only if they differ otherwise.
    pub hosts: BTreeSet<Name>,
    /// Hosts that are new, or read differently: their labels, values or runtime.
    pub differing: BTreeSet<Name>,
    /// Deployments whose recorded choice may differ, come or go; those that were or are suspended or
    /// held included, whose record stays as it is meanwhile.
    pub recorded: BTreeSet<DeploymentRef>,
}

impl Step {
    /// Every pair whose place in the rendered tree may differ; those to render first.
    pub fn touched(&self) -> impl Iterator<Item = (&DeploymentRef, &Name)> {
        self.render.iter().chain(self.others.iter())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn touch(&mut self, schedule: &Schedule, deployment: &DeploymentRef, host: &Name) {
        let scheduled = schedule.assignments.contains(deployment, host);
        let side = if scheduled { &mut self.render } else { &mut self.others };
        side.insert(deployment, host);
    }
}

impl Core {
    /// Nothing was ever rendered: the first step names all that is scheduled or in `current`.
    #[must_use]
    pub fn new() -> Self {
        let doubts = Doubts { everything: true, pairs: Pairs::default() };
        Self { fleet: Arc::default(), scheduler: Scheduler::default(), doubts, held: None }
    }

    /// After a restart: what is rendered was made from this fleet, and `current` is read from there.
    #[must_use]
    pub fn resume(fleet: Arc<Fleet>, current: &Assignments) -> Self {
        if fleet.held.all.is_some() {
            // From which fleet things were made is not known then.
            let mut core = Self::new();
            core.hold(fleet, current, &Pairs::default());
            return core;
        }
        let scheduler = Scheduler::new(&fleet, current);
        Self { fleet, scheduler, doubts: Doubts::default(), held: None }
    }

    /// The fleet of the last step.
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        self.held.as_ref().map_or(&self.fleet, |held| &held.fleet)
    }

    /// Always what [`schedule`] says of that fleet.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        self.held.as_ref().map_or(self.scheduler.schedule(), |held| &held.schedule)
    }

    /// The next step names everything: another renderer wrote the branch.
    pub fn doubt(&mut self) {
        self.doubts.everything = true;
    }

    /// The next step names these pairs: they were not done, or a check found them to differ.
    pub fn doubt_pairs(&mut self, pairs: &Pairs) {
        self.doubts.pairs.extend(pairs);
    }

    /// Goes on to the next fleet. `current` may differ from that of the last call at most in the pairs
    /// that `moved`.
    pub fn advance(&mut self, fleet: Arc<Fleet>, current: &Assignments, moved: &Pairs) -> Step {
        if fleet.held.all.is_some() {
            self.hold(fleet, current, moved);
            return Step::default();
        }
        let moved = match self.held.take() {
            Some(held) => {
                let mut all = held.moved;
                all.extend(moved);
                Cow::Owned(all)
            }
            None => Cow::Borrowed(moved),
        };
        let doubts = std::mem::take(&mut self.doubts);
        if doubts.everything {
            *self = Self::resume(fleet, current);
            return self.everything(current);
        }
        let changes = Changes::between(&self.fleet, &fleet);
        let moves = self.scheduler.advance(&fleet, &changes.placement, current, &moved);
        self.fleet = fleet;
        self.step(changes, moves, &doubts.pairs)
    }

    /// Nothing is rendered from a fleet that is held as a whole: all stays, and the fleet before it
    /// remains the one that the next is compared with.
    fn hold(&mut self, fleet: Arc<Fleet>, current: &Assignments, moved: &Pairs) {
        let mut all = self.held.take().map(|held| held.moved).unwrap_or_default();
        all.extend(moved);
        let schedule = schedule(&fleet, current);
        self.held = Some(Held { fleet, schedule, moved: all });
    }

    fn everything(&self, current: &Assignments) -> Step {
        let schedule = self.scheduler.schedule();
        let mut step = Step { everything: true, ..Step::default() };
        schedule.assignments.iter().for_each(|(id, host)| step.render.insert(id, host));
        let others = current.iter().filter(|(id, host)| !schedule.assignments.contains(id, host));
        others.for_each(|(id, host)| step.others.insert(id, host));
        let Fleet { hosts, deployments, held, .. } = &*self.fleet;
        step.hosts.extend(hosts.keys().chain(held.hosts.keys()).cloned());
        step.hosts.extend(step.others.hosts.keys().cloned());
        let records = deployments.keys().chain(held.deployments.keys()).chain(current.hosts.keys());
        step.recorded.extend(records.cloned());
        step
    }

    fn step(&self, changes: Changes, moves: Moves, doubted: &Pairs) -> Step {
        let schedule = self.scheduler.schedule();
        let Changes { placement, hosts, deployments, folders } = changes;
        let Moves { came, left, kept, recorded } = moves;
        let mut step = Step { render: came, hosts: folders, recorded, ..Step::default() };
        for (id, on) in &schedule.assignments.hosts {
            if deployments.contains(id) {
                on.iter().for_each(|host| step.render.insert(id, host));
            } else {
                let on = hosts.iter().filter(|host| on.contains(*host));
                on.for_each(|host| step.render.insert(id, host));
            }
        }
        for (id, host) in left.iter().chain(kept.iter()).chain(doubted.iter()) {
            step.touch(schedule, id, host);
        }
        // Of a host that is in the fleet the folder stays anyway.
        let gone = kept.hosts.keys().filter(|host| !self.fleet.hosts.contains_key(*host));
        step.hosts.extend(gone.cloned());
        step.recorded.extend(placement.deployments);
        step.differing = hosts;
        step
    }
}

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
