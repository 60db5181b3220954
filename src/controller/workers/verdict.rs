//! What becomes of a deployment whose template takes too much.
//!
//! Rendering it goes on to take too much on every host, and killing a worker for each of them would
//! cost everybody's time. So it is stopped as a whole, in words that do not depend on which of its
//! hosts came first: they end up in commits.

use std::collections::BTreeMap;

use super::Outcomes;
use crate::model::{AssignmentRef, Deployment, DeploymentRef, Diagnostic, Fleet, Pairs};

/// Hosts on which a deployment may run out of time and be told so one by one. With one more it is
/// stopped.
pub(super) const SLOW: usize = 4;

/// What deployments were found to take too much of, in one call.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// On how many hosts a deployment ran out of time.
    slow: BTreeMap<DeploymentRef, usize>,
    /// Deployments that are not rendered any more, and why.
    stopped: BTreeMap<DeploymentRef, Diagnostic>,
}

impl Trials {
    pub(super) fn is_stopped(&self, deployment: &DeploymentRef) -> bool {
        self.stopped.contains_key(deployment)
    }

    pub(super) fn stop(&mut self, deployment: &DeploymentRef, why: Diagnostic) {
        self.stopped.entry(deployment.clone()).or_insert(why);
    }

    /// Takes note of who ran out of time.
    pub(super) fn count(
        &mut self,
        fleet: &Fleet,
        failed: &BTreeMap<AssignmentRef, Vec<Diagnostic>>,
    ) {
        for (pair, _) in failed.iter().filter(|(_, problems)| is_slow(problems)) {
            let slow = self.slow.entry(pair.deployment.clone()).or_default();
            *slow += 1;
            if *slow > SLOW {
                let deployment = &fleet.deployments[&pair.deployment];
                self.stop(&pair.deployment, too_slow(fleet, deployment));
            }
        }
    }

    /// Puts the verdicts in the place of what the stopped deployments came to on some hosts.
    pub(super) fn overrule(&self, pairs: &Pairs, outcomes: &mut Outcomes) {
        if self.stopped.is_empty() {
            return;
        }
        for (deployment, host) in pairs.iter() {
            if let Some(why) = self.stopped.get(deployment) {
                outcomes.add(deployment, host, Err(vec![why.clone()]));
            }
        }
    }
}

/// Why a worker died, and whose fault that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A pair took too much CPU time, and the worker was killed for it.
    Time,
    /// An allocation failed, or the stack was full.
    Memory,
    /// It was killed, and not by titan: perhaps by the kernel, which ran out of memory.
    Killed,
    /// A bug: it panicked, or said what makes no sense.
    Bug,
}

impl Cause {
    /// What the deployment that was rendered then is told.
    pub(super) fn diagnostic(self, fleet: &Fleet, deployment: &Deployment) -> Diagnostic {
        let (id, limits) = (&deployment.id, &fleet.settings.limits);
        let problem = match self {
            Self::Time => return too_slow(fleet, deployment),
            Self::Memory | Self::Killed => Diagnostic::error(
                "render/memory",
                format!(
                    "{id} takes more memory than it may (`limits.renderMemory` is {})",
                    limits.render_memory
                ),
            )
            .fix("build smaller values, and print them piece by piece"),
            Self::Bug => Diagnostic::error(
                "render/internal",
                format!("{id} cannot be rendered: titan stumbled over its template"),
            )
            .fix("please report it, with the template"),
        };
        problem.at(&fleet.template_of(deployment).path)
    }
}

/// What a deployment is told that runs out of time again and again, or cannot even be stopped by
/// counting its steps.
pub(super) fn too_slow(fleet: &Fleet, deployment: &Deployment) -> Diagnostic {
    let (id, limit) = (&deployment.id, fleet.settings.limits.render_time);
    let message = format!("{id} takes too long to render (`limits.renderTime` is {limit})");
    Diagnostic::error("render/timeout", message)
        .at(&fleet.template_of(deployment).path)
        .fix("loop over less, and work on smaller values")
}

pub(super) fn is_slow(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|found| found.code == "render/timeout")
}
