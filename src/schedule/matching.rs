//! Which hosts a deployment may use.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::model::{Deployment, Fleet, Host, TargetRef};

/// The hosts of every target that was asked for. Deployments share targets, so that each selector is
/// evaluated once for a fleet, not once for a deployment.
pub(super) struct Matching<'a> {
    fleet: &'a Fleet,
    targets: BTreeMap<&'a TargetRef, Rc<Matches<'a>>>,
}

/// The hosts of one target.
pub(super) struct Matches<'a> {
    /// Selected, and allowed by the workspace; in the order of names.
    pub(super) hosts: Vec<&'a Host>,
    /// How many more are selected that the workspace may not use.
    pub(super) foreign: usize,
}

impl<'a> Matching<'a> {
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, targets: BTreeMap::new() }
    }

    /// A target belongs to the workspace of its deployments, so it stands for the pair of both.
    pub(super) fn of(&mut self, deployment: &'a Deployment) -> Rc<Matches<'a>> {
        let fleet = self.fleet;
        let matches = self.targets.entry(&deployment.target).or_insert_with(|| {
            let selector = &fleet.target_of(deployment).selector;
            let workspace = fleet.workspace_of(deployment);
            let selected = fleet.hosts.values().filter(|host| selector.matches(&host.labels));
            let (hosts, foreign): (Vec<_>, Vec<_>) =
                selected.map(AsRef::as_ref).partition(|host| workspace.allows(host));
            Rc::new(Matches { hosts, foreign: foreign.len() })
        });
        Rc::clone(matches)
    }
}
