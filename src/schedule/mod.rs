//! Fleet + current assignments → assignments.
//!
//! ```text
//!  Fleet ──▶ matching   which hosts a deployment may use; each target is evaluated once
//!              │
//!  current ──▶ placement  who stays, who comes, who goes
//!              └─ spread    with `replicas`: the order of coming and going
//! ```
//!
//! Placement is sticky: an assignment stays while its host exists and still matches. What a person
//! did not change does not move, and one deployment's lack never touches another.

mod matching;
mod placement;
mod spread;

use std::collections::BTreeSet;

use crate::model::{Assignments, DeploymentRef, Fleet, Name, Schedule};

use matching::Matching;

/// Decides what runs where. Pure: the same input gives the same schedule on every machine.
#[must_use]
pub fn schedule(fleet: &Fleet, current: &Assignments) -> Schedule {
    let mut schedule = Schedule::default();
    keep_held(fleet, current, &mut schedule.kept);
    if fleet.held.all.is_none() {
        let mut matching = Matching::new(fleet);
        for (id, deployment) in &fleet.deployments {
            if !fleet.held.deployments.contains_key(id) {
                placement::place(fleet, deployment, current.of(id), &mut matching, &mut schedule);
            }
        }
    }
    record(fleet, &mut schedule);
    schedule
}

/// Whether the host is part of the fleet, usable or not.
fn exists(fleet: &Fleet, host: &Name) -> bool {
    fleet.hosts.contains_key(host) || fleet.held.hosts.contains_key(host)
}

/// Whatever cannot be read now stays where it is: it is never taken for deleted (invariant I6).
/// On a held host that goes for deleted deployments too, as its whole folder stays.
fn keep_held(fleet: &Fleet, current: &Assignments, kept: &mut Assignments) {
    for (deployment, host) in current.iter() {
        let held = fleet.held.deployments.contains_key(deployment) && exists(fleet, host);
        if fleet.held.all.is_some() || fleet.held.hosts.contains_key(host) || held {
            kept.insert(deployment, host);
        }
    }
}

/// The choice that Git remembers. A deployment that got no host has an entry as well: its file
/// says so.
fn record(fleet: &Fleet, schedule: &mut Schedule) {
    let hosts = |all: &Assignments, id: &DeploymentRef| all.of(id).clone();
    for (id, deployment) in &fleet.deployments {
        if deployment.spec.replicas.is_some() {
            let mut chosen: BTreeSet<Name> = hosts(&schedule.assignments, id);
            chosen.append(&mut hosts(&schedule.kept, id));
            schedule.recorded.hosts.insert(id.clone(), chosen);
        }
    }
}

#[cfg(test)]
mod tests;
