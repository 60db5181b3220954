//! The rendered branch in miniature: what `publish` makes of a schedule and manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Step;
use super::world::Dice;
use crate::model::{
    AssignmentRef, Assignments, DeploymentRef, Fleet, Manifests, Name, Pairs, RepoPath, Schedule,
};
use crate::render::Renderer;
use crate::schedule::schedule;

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Branch {
    folders: BTreeMap<Name, RepoPath>,
    trees: BTreeMap<AssignmentRef, Manifests>,
    records: BTreeMap<DeploymentRef, BTreeSet<Name>>,
}

impl Branch {
    pub(super) fn current(&self) -> Assignments {
        let mut current: Assignments = self.trees.keys().cloned().collect();
        for (id, hosts) in &self.records {
            current.hosts.insert(id.clone(), hosts.clone());
        }
        current
    }

    /// Renders the whole fleet.
    pub(super) fn publish(mut self, fleet: &Fleet) -> Self {
        let schedule = schedule(fleet, &self.current());
        let mut all = Step { everything: true, ..Step::default() };
        schedule.assignments.iter().for_each(|(id, host)| all.render.insert(id, host));
        for AssignmentRef { deployment, host } in self.trees.keys() {
            if !schedule.assignments.contains(deployment, host) {
                all.others.insert(deployment, host);
            }
        }
        all.hosts.extend(fleet.hosts.keys().cloned());
        all.recorded.extend(schedule.recorded.hosts.keys().cloned());
        self.follow(fleet, &schedule, &all);
        self
    }

    /// Renders and edits what the step names.
    pub(super) fn follow(&mut self, fleet: &Fleet, schedule: &Schedule, step: &Step) {
        if fleet.held.all.is_some() {
            return;
        }
        let (mut hosts, mut recorded) = (step.hosts.clone(), step.recorded.clone());
        if step.everything {
            hosts.extend(self.folders.keys().cloned());
            recorded.extend(self.records.keys().cloned());
        }
        for host in &hosts {
            let kept = schedule.kept.hosts.values().any(|on| on.contains(host));
            match fleet.hosts.get(host) {
                Some(host) => drop(self.folders.insert(host.name.clone(), host.folder())),
                None if kept || fleet.held.hosts.contains_key(host) => {}
                None => drop(self.folders.remove(host)),
            }
        }
        self.edit_pairs(fleet, schedule, step);
        for id in &recorded {
            let suspended = fleet.deployments.get(id).is_some_and(|d| d.spec.suspend);
            if suspended || fleet.held.deployments.contains_key(id) {
                continue;
            }
            match schedule.recorded.hosts.get(id) {
                Some(hosts) => drop(self.records.insert(id.clone(), hosts.clone())),
                None => drop(self.records.remove(id)),
            }
        }
    }

    fn edit_pairs(&mut self, fleet: &Fleet, schedule: &Schedule, step: &Step) {
        let mut renderer = Renderer::new(fleet);
        let Fleet { held, deployments, hosts, .. } = fleet;
        for (id, host) in step.touched() {
            let pair = id.on(host);
            let scheduled = schedule.assignments.contains(id, host);
            assert_eq!(scheduled, step.render.contains(id, host), "{pair}");
            let held = held.hosts.contains_key(host) || held.deployments.contains_key(id);
            let mut make = || renderer.render(&deployments[id], &hosts[host]).ok();
            match scheduled.then(&mut make).flatten() {
                Some(made) if made.files.is_empty() => drop(self.trees.remove(&pair)),
                Some(made) => drop(self.trees.insert(pair, (*made).clone())),
                None if scheduled || held || schedule.kept.contains(id, host) => {}
                None => drop(self.trees.remove(&pair)),
            }
        }
        let Self { folders, trees, .. } = self;
        trees.retain(|pair, _| folders.contains_key(&pair.host));
    }

    /// Somebody breaks a tree; returns which.
    pub(super) fn vandalise(&mut self, dice: &mut Dice) -> Pairs {
        let mut broken = Pairs::default();
        if !self.trees.is_empty() {
            let chosen = dice.roll(self.trees.len());
            let (pair, tree) = self.trees.iter_mut().nth(chosen).expect("it is one of them");
            tree.files.clear();
            broken.insert(&pair.deployment, &pair.host);
        }
        broken
    }
}
