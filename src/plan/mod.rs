//! Fleet + current assignments → everything that would run where. The other L1 stages in one step,
//! for all who need the result without writing it: a reconcile pass, `titan validate`, a change that
//! is checked before it is committed.

pub mod guard;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use guard::HeldRemovals;

use crate::model::{AssignmentRef, Assignments, Diagnostic, Fleet, Manifests, Schedule};
use crate::render::Renderer;
use crate::schedule::schedule;

/// What a fleet comes to.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    pub schedule: Schedule,
    /// For every pair of `schedule.assignments` that can be rendered.
    pub manifests: BTreeMap<AssignmentRef, Arc<Manifests>>,
    /// What is held back → why: `host x`, `deployment a/b/c`, `assignment a/b/c@x`.
    pub held: BTreeMap<String, String>,
    /// Problems found by rendering; each once.
    pub diagnostics: Vec<Diagnostic>,
}

/// Schedules and renders the whole fleet. A pair that cannot be rendered is held and said so; the
/// others go on (invariant I6).
#[must_use]
pub fn evaluate(fleet: &Fleet, current: &Assignments) -> Evaluation {
    let mut evaluation = Evaluation {
        schedule: schedule(fleet, current),
        held: held(fleet),
        ..Evaluation::default()
    };
    let mut renderer = Renderer::new(fleet);
    let mut known = BTreeSet::new();
    for (deployment, host) in evaluation.schedule.assignments.iter() {
        let deployment = fleet.deployments.get(deployment).expect("it was scheduled from here");
        let host = fleet.hosts.get(host).expect("it was scheduled from here");
        let assignment = deployment.id.on(&host.name);
        match renderer.render(deployment, host) {
            Ok(manifests) => {
                evaluation.manifests.insert(assignment, Arc::new(manifests));
            }
            Err(error) => {
                let reason = error.0.first().map_or_else(String::new, Diagnostic::to_string);
                evaluation.held.insert(format!("assignment {assignment}"), reason);
                let new = error.0.into_iter().filter(|found| known.insert(found.to_string()));
                evaluation.diagnostics.extend(new);
            }
        }
    }
    evaluation
}

/// What parsing holds back, by name.
fn held(fleet: &Fleet) -> BTreeMap<String, String> {
    let all = fleet.held.all.iter().map(|hold| ("fleet".to_owned(), hold));
    let hosts = fleet.held.hosts.iter().map(|(name, hold)| (format!("host {name}"), hold));
    let deployments = fleet.held.deployments.iter();
    let deployments = deployments.map(|(id, hold)| (format!("deployment {id}"), hold));
    let named = all.chain(hosts).chain(deployments);
    named.map(|(name, hold)| (name, hold.reason.clone())).collect()
}
