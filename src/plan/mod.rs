//! Fleet + current assignments → everything that would run where. The other L1 stages in one step,
//! for all who need the result: a reconcile pass, `titan render`, `titan validate`, a change that is
//! checked before it is committed.
//!
//! ```text
//!  Fleet ───┬─▶ schedule ─▶ Schedule ─┐
//!  current ─┘                         ├─▶ render, pair by pair ─▶ Manifests, or held with a diagnostic
//!  Fleet ─────────────────────────────┘
//! ```
//!
//! A reconcile pass evaluates no whole fleet: [`Core`] tells it from one fleet to the next what has to
//! be rendered, and what else may be different.

mod changes;
mod core;
pub mod guard;
pub mod preview;
mod same;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::core::{Core, Step};
pub use changes::Changes;
pub use guard::HeldRemovals;

use crate::model::{
    AssignmentRef, Assignments, DeploymentRef, Diagnostic, Fleet, Manifests, Name, Pairs, RepoPath,
    Schedule, Template,
};
use crate::render::{Renderer, check_template};
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
    evaluate_part(fleet, current, |_, _| true)
}

/// Schedules the whole fleet, as the choice of hosts depends on all of them, and renders the pairs
/// that are `chosen`. It is asked in the order of assignments.
#[must_use]
pub fn evaluate_part(
    fleet: &Fleet,
    current: &Assignments,
    mut chosen: impl FnMut(&DeploymentRef, &Name) -> bool,
) -> Evaluation {
    let mut evaluation = Evaluation {
        schedule: schedule(fleet, current),
        held: held(fleet),
        ..Evaluation::default()
    };
    let mut renderer = Renderer::new(fleet);
    let mut known = BTreeSet::new();
    let pairs = evaluation.schedule.assignments.iter();
    for (deployment, host) in pairs.filter(|(deployment, host)| chosen(deployment, host)) {
        let deployment = fleet.deployments.get(deployment).expect("it was scheduled from here");
        let host = fleet.hosts.get(host).expect("it was scheduled from here");
        let assignment = deployment.id.on(&host.name);
        match renderer.render(deployment, host) {
            Ok(manifests) => {
                evaluation.manifests.insert(assignment, manifests);
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

/// What is wrong with some pairs of a fleet, found by rendering them here; each once.
#[must_use]
pub fn problems(fleet: &Fleet, pairs: &Pairs) -> Vec<Diagnostic> {
    let mut renderer = Renderer::new(fleet);
    let (mut known, mut found) = (BTreeSet::new(), Vec::new());
    for (deployment, host) in pairs.iter() {
        let (deployment, host) = (&fleet.deployments[deployment], &fleet.hosts[host]);
        if let Err(error) = renderer.render(deployment, host) {
            found.extend(error.0.into_iter().filter(|one| known.insert(one.to_string())));
        }
    }
    found
}

/// What is wrong with the `chosen` templates that nothing is rendered from: rendering would not tell.
/// One that others build on may rely on their files, and is judged together with them.
#[must_use]
pub fn check_unused(
    fleet: &Fleet,
    schedule: &Schedule,
    chosen: impl Fn(&Template) -> bool,
) -> Vec<Diagnostic> {
    let placed = schedule.assignments.hosts.iter().filter(|(_, on)| !on.is_empty());
    let placed = placed.filter_map(|(id, _)| fleet.deployments.get(id));
    let used: BTreeSet<_> = placed.map(|deployment| &deployment.template).collect();
    let inherited: BTreeSet<_> =
        fleet.templates.values().flat_map(|template| inherited_files(template)).collect();
    let stands_alone =
        |template: &Template| !own_files(template).any(|path| inherited.contains(path));
    let unused = fleet.templates.values().filter(|template| !used.contains(&template.id));
    unused
        .filter(|template| chosen(template) && stands_alone(template))
        .flat_map(|template| check_template(template, &fleet.settings.limits))
        .collect()
}

fn own_files(template: &Template) -> impl Iterator<Item = &RepoPath> {
    files(template).filter(|(_, own)| *own).map(|(path, _)| path)
}

fn inherited_files(template: &Template) -> impl Iterator<Item = &RepoPath> {
    files(template).filter(|(_, own)| !own).map(|(path, _)| path)
}

/// A template's files, and whether each lies in its own folder rather than in that of a template that
/// it builds on.
fn files(template: &Template) -> impl Iterator<Item = (&RepoPath, bool)> {
    let folder = template.path.as_str().trim_end_matches(template.path.file_name());
    let files = template.files.values().map(|file| &file.path);
    files.map(move |path| (path, path.as_str().starts_with(folder)))
}

/// What parsing holds back, by name.
#[must_use]
pub fn held(fleet: &Fleet) -> BTreeMap<String, String> {
    let all = fleet.held.all.iter().map(|hold| ("fleet".to_owned(), hold));
    let hosts = fleet.held.hosts.iter().map(|(name, hold)| (format!("host {name}"), hold));
    let deployments = fleet.held.deployments.iter();
    let deployments = deployments.map(|(id, hold)| (format!("deployment {id}"), hold));
    let named = all.chain(hosts).chain(deployments);
    named.map(|(name, hold)| (name, hold.reason.clone())).collect()
}
