//! INTERIM: replaced by branch `core`.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Assignments, DeploymentRef, Fleet, Name, Pairs, Schedule};

#[derive(Debug, Default)]
pub struct Step {
    pub render: Pairs,
    pub touched: Pairs,
    pub hosts: BTreeSet<Name>,
    pub recorded: BTreeSet<DeploymentRef>,
}

#[derive(Debug, Default)]
pub struct Core {
    fleet: Arc<Fleet>,
    schedule: Schedule,
}

impl Core {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    #[must_use]
    pub fn resume(fleet: Arc<Fleet>, current: &Assignments) -> Self {
        let schedule = crate::schedule::schedule(&fleet, current);
        Self { fleet, schedule }
    }
    pub fn doubt(&mut self) {}
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
    pub fn advance(&mut self, fleet: Arc<Fleet>, current: &Assignments, _: &Pairs) -> Step {
        let schedule = crate::schedule::schedule(&fleet, current);
        let mut step = Step::default();
        for all in [
            &schedule.assignments,
            &schedule.kept,
            &self.schedule.assignments,
            &self.schedule.kept,
            current,
        ] {
            all.iter().for_each(|(d, h)| step.touched.insert(d, h));
        }
        schedule.assignments.iter().for_each(|(d, h)| step.render.insert(d, h));
        for f in [&self.fleet, &fleet] {
            step.hosts.extend(f.hosts.keys().cloned());
            step.hosts.extend(f.held.hosts.keys().cloned());
            step.recorded.extend(f.deployments.keys().cloned());
            step.recorded.extend(f.held.deployments.keys().cloned());
        }
        step.hosts.extend(step.touched.hosts.keys().cloned());
        step.recorded.extend(current.hosts.keys().cloned());
        (self.fleet, self.schedule) = (fleet, schedule);
        step
    }
}
