//! What the agent knows of its host, as the controller is told it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::deliver::{Change, Desired, Inventory};
use crate::model::{AssignmentReport, DeploymentRef, Phase, Revision, TreeId};

/// The newest state of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The rendered revision that was seen last.
    pub(super) rendered: Option<Revision>,
    /// What is wrong with the host as a whole.
    pub(super) message: Option<String>,
    pub(super) assignments: BTreeMap<DeploymentRef, AssignmentReport>,
}

/// Why an assignment could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What the agent remembers of its passes beside the inventory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) failures: BTreeMap<DeploymentRef, Failure>,
    /// How the hook failed last.
    pub(super) hook: Option<String>,
    /// Drifted, and put right since it was applied.
    pub(super) healed: BTreeSet<DeploymentRef>,
    /// Gone; kept so that the controller can be told.
    pub(super) removed: BTreeMap<DeploymentRef, AssignmentReport>,
}

/// How every assignment fares.
pub(super) fn assignments(
    inventory: &Inventory,
    desired: &Desired,
    memory: &Memory,
) -> BTreeMap<DeploymentRef, AssignmentReport> {
    let mut all = memory.removed.clone();
    for (deployment, owned) in &inventory.assignments {
        let Some(tree) = owned.tree else { continue };
        let hook = inventory.hook.as_ref().is_some_and(|hook| hook.changed.contains(deployment));
        let (phase, reason, message) = match (&memory.hook, hook) {
            (Some(output), true) => (Phase::Failed, "HookFailed", output.clone()),
            (None, true) => (Phase::Progressing, "HookPending", String::new()),
            _ if memory.healed.contains(deployment) => (
                Phase::Deployed,
                "DriftHealed",
                "files that others had changed were put back".into(),
            ),
            _ => (Phase::Deployed, "Applied", String::new()),
        };
        let report = AssignmentReport {
            deployment: deployment.clone(),
            rendered: owned.rendered.unwrap_or(desired.rendered),
            tree: Some(tree),
            phase,
            reason: reason.to_owned(),
            message,
            received: owned.received,
            applied: owned.applied,
            deployed: owned.deployed,
        };
        all.insert(deployment.clone(), report);
    }
    for (deployment, failure) in &memory.failures {
        let mut report = begun(deployment, desired, Phase::Failed, failure.reason);
        report.message.clone_from(&failure.message);
        all.insert(deployment.clone(), report);
    }
    all
}

/// What a change that takes its time looks like meanwhile.
pub(super) fn under_way(change: &Change, desired: &Desired) -> AssignmentReport {
    match change {
        Change::Apply { deployment, .. } => begun(deployment, desired, Phase::Applying, "Applying"),
        Change::Remove { deployment } => begun(deployment, desired, Phase::Removing, "Removing"),
    }
}

/// That an assignment is gone.
pub(super) fn removed(deployment: &DeploymentRef, desired: &Desired) -> AssignmentReport {
    begun(deployment, desired, Phase::Removed, "Removed")
}

fn begun(
    deployment: &DeploymentRef,
    desired: &Desired,
    phase: Phase,
    reason: &str,
) -> AssignmentReport {
    let tree: Option<TreeId> = desired.assignments.get(deployment).copied();
    AssignmentReport {
        deployment: deployment.clone(),
        rendered: desired.rendered,
        tree,
        phase,
        reason: reason.to_owned(),
        message: String::new(),
        received: Some(desired.received),
        applied: None,
        deployed: None,
    }
}
