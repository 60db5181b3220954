//! Who gains, loses and keeps what.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Side;
use crate::model::{DeploymentRef, Fleet, Name, RepoPath};

/// What happens to hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEffects {
    pub removed: Vec<RemovedHost>,
    /// They lie in another folder: to those who pull, the old one vanishes.
    pub moved: Vec<MovedHost>,
    pub added: Vec<Name>,
    /// They take nothing new from now on.
    pub cordoned: Vec<Name>,
    /// They take something new again.
    pub uncordoned: Vec<Name>,
}

/// A host that leaves the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedHost {
    pub name: Name,
    /// How many assignments go with it.
    pub assignments: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedHost {
    pub name: Name,
    pub from: RepoPath,
    pub to: RepoPath,
}

impl HostEffects {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentEffect {
    pub deployment: DeploymentRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// On how many hosts it is before, and after.
    pub before: usize,
    pub after: usize,
    /// How many of them get other files.
    pub changed: usize,
    /// Hosts that it leaves.
    pub lost: Vec<Name>,
    /// Hosts that it comes to.
    pub gained: Vec<Name>,
    /// With `replicas`: hosts that it leaves for others. Which for which is nobody's choice.
    pub moved: Vec<Move>,
    /// It gets fewer hosts than it wants, and did not, or for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Lacking>,
}

/// What becomes of a deployment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    Added,
    Removed,
    /// It stays as it is from now on: `suspend: true`.
    Suspended,
    Resumed,
    /// It stays as it is from now on: something is wrong.
    Held,
    /// What was wrong is put right.
    Released,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub from: Name,
    pub to: Name,
}

/// A deployment that gets fewer hosts than it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lacking {
    /// `None`: all that match, but none does.
    pub wanted: Option<u32>,
    pub placed: u32,
    pub reason: String,
}

/// How many assignments a side has.
pub(super) fn count(side: Side<'_>) -> usize {
    side.schedule.assignments.count() + side.schedule.kept.count()
}

pub(super) fn hosts(before: Side<'_>, after: Side<'_>) -> HostEffects {
    let (old, new) = (before.fleet, after.fleet);
    let exists = |fleet: &Fleet, name: &Name| {
        fleet.hosts.contains_key(name) || fleet.held.hosts.contains_key(name)
    };
    let mut effects = HostEffects::default();
    // Then nobody knows who belongs to it.
    if new.held.all.is_some() || old.held.all.is_some() {
        return effects;
    }
    let gone = old.hosts.keys().chain(old.held.hosts.keys()).filter(|name| !exists(new, name));
    effects.removed = gone
        .map(|name| RemovedHost { name: name.clone(), assignments: running(before, name) })
        .collect();
    for (name, host) in &new.hosts {
        let Some(was) = old.hosts.get(name) else {
            if !exists(old, name) {
                effects.added.push(name.clone());
            }
            continue;
        };
        if was.path != host.path {
            let (from, to) = (was.folder(), host.folder());
            effects.moved.push(MovedHost { name: name.clone(), from, to });
        }
        match (was.spec.cordoned, host.spec.cordoned) {
            (false, true) => effects.cordoned.push(name.clone()),
            (true, false) => effects.uncordoned.push(name.clone()),
            _ => {}
        }
    }
    effects
}

/// How many assignments a host has.
fn running(side: Side<'_>, host: &Name) -> usize {
    let schedule = side.schedule;
    let all = schedule.assignments.hosts.values().chain(schedule.kept.hosts.values());
    all.filter(|hosts| hosts.contains(host)).count()
}

/// Every deployment that anything happens to; `changed` says on how many hosts its files differ.
pub(super) fn deployments(
    before: Side<'_>,
    after: Side<'_>,
    changed: &BTreeMap<DeploymentRef, usize>,
) -> Vec<DeploymentEffect> {
    let names = |side: &Side<'_>| {
        let schedule = side.schedule;
        let placed = schedule.assignments.hosts.keys().chain(schedule.kept.hosts.keys());
        let fleet = side.fleet.deployments.keys().chain(side.fleet.held.deployments.keys());
        placed.chain(fleet).cloned().collect::<Vec<_>>()
    };
    let all: BTreeSet<DeploymentRef> = [before, after].iter().flat_map(names).collect();
    let effects = all.into_iter().map(|id| {
        let changed = changed.get(&id).copied().unwrap_or_default();
        deployment(before, after, id, changed)
    });
    let happens = |one: &DeploymentEffect| {
        let placement = !one.lost.is_empty() || !one.gained.is_empty() || !one.moved.is_empty();
        one.transition.is_some() || one.changed > 0 || placement || one.lacking.is_some()
    };
    effects.filter(happens).collect()
}

fn deployment(
    before: Side<'_>,
    after: Side<'_>,
    id: DeploymentRef,
    changed: usize,
) -> DeploymentEffect {
    let (mut lost, mut gained) = (Vec::new(), Vec::new());
    if !same_places(before, after, &id) {
        let (was, is) = (places(before, &id), places(after, &id));
        lost = was.difference(&is).map(|name| (*name).clone()).collect::<Vec<Name>>();
        gained = is.difference(&was).map(|name| (*name).clone()).collect::<Vec<Name>>();
    }
    let chosen = |side: Side<'_>| {
        side.fleet.deployments.get(&id).is_some_and(|one| one.spec.replicas.is_some())
    };
    let mut moved = Vec::new();
    if chosen(before) && chosen(after) {
        let count = lost.len().min(gained.len());
        let pairs = lost.drain(..count).zip(gained.drain(..count));
        moved = pairs.map(|(from, to)| Move { from, to }).collect();
    }
    DeploymentEffect {
        transition: transition(before.fleet, after.fleet, &id),
        before: count_of(before, &id),
        after: count_of(after, &id),
        changed,
        lost,
        gained,
        moved,
        lacking: lacking(before, after, &id),
        deployment: id,
    }
}

/// By far most deployments of most changes.
fn same_places(before: Side<'_>, after: Side<'_>, id: &DeploymentRef) -> bool {
    let (old, new) = (before.schedule, after.schedule);
    old.assignments.of(id) == new.assignments.of(id) && old.kept.of(id) == new.kept.of(id)
}

/// How many hosts have the deployment: none is assigned and kept at once.
fn count_of(side: Side<'_>, id: &DeploymentRef) -> usize {
    side.schedule.assignments.of(id).len() + side.schedule.kept.of(id).len()
}

/// All hosts that have the deployment.
fn places<'a>(side: Side<'a>, id: &DeploymentRef) -> BTreeSet<&'a Name> {
    side.schedule.assignments.of(id).iter().chain(side.schedule.kept.of(id)).collect()
}

fn transition(before: &Fleet, after: &Fleet, id: &DeploymentRef) -> Option<Transition> {
    if before.held.all.is_some() || after.held.all.is_some() {
        return None;
    }
    let held = |fleet: &Fleet| fleet.held.deployments.contains_key(id);
    let suspended = |fleet: &Fleet| fleet.deployments.get(id).map(|one| one.spec.suspend);
    match (suspended(before), suspended(after)) {
        (None, Some(_)) if held(before) => Some(Transition::Released),
        (None, Some(_)) => Some(Transition::Added),
        (Some(_), None) if held(after) => Some(Transition::Held),
        (None, None) if held(after) && !held(before) => Some(Transition::Held),
        (None, None) if held(before) && !held(after) => Some(Transition::Removed),
        (Some(_), None) => Some(Transition::Removed),
        (Some(false), Some(true)) => Some(Transition::Suspended),
        (Some(true), Some(false)) => Some(Transition::Resumed),
        _ => None,
    }
}

fn lacking(before: Side<'_>, after: Side<'_>, id: &DeploymentRef) -> Option<Lacking> {
    let now = after.schedule.unplaced.get(id)?;
    let same = before.schedule.unplaced.get(id) == Some(now);
    (!same).then(|| Lacking { wanted: now.wanted, placed: now.placed, reason: now.reason.clone() })
}
