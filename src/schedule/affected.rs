//! Which decisions may come out differently.

use std::collections::{BTreeMap, BTreeSet};

use super::Dirty;
use crate::model::{Assignments, Deployment, DeploymentRef, Fleet, Name, Pairs, TargetRef};

/// What has to be decided again.
#[derive(Debug, Default)]
pub(super) struct Affected<'a> {
    /// Deployments all of whose hosts have to be found again; those that are gone as well.
    pub(super) whole: BTreeSet<&'a DeploymentRef>,
    /// Pairs that stand for themselves, of other deployments.
    pub(super) pairs: BTreeMap<&'a DeploymentRef, BTreeSet<&'a Name>>,
}

impl<'a> Affected<'a> {
    /// `stirred`: the hosts, by target, that are or were among the target's and are dirty.
    pub(super) fn find(
        fleet: &'a Fleet,
        dirty: &'a Dirty,
        stirred: &'a BTreeMap<TargetRef, BTreeSet<Name>>,
        (current, moved): (&'a Assignments, &'a Pairs),
    ) -> Self {
        let mut affected = Self { whole: dirty.deployments.iter().collect(), ..Self::default() };
        let together = together(fleet);
        for (id, deployment) in &fleet.deployments {
            if dirty.targets.contains(&deployment.target) {
                affected.whole.insert(id);
            }
            for host in stirred.get(&deployment.target).into_iter().flatten() {
                affected.add(&together, id, host);
            }
        }
        // What is on a host may stay there, or not, for its sake.
        for host in &dirty.hosts {
            for (id, _) in current.hosts.iter().filter(|(_, hosts)| hosts.contains(host)) {
                affected.add(&together, id, host);
            }
        }
        for (host, deployments) in &moved.hosts {
            // On a usual host it makes no difference whether a single pair is there already.
            let usual = fleet.hosts.get(host).is_some_and(|host| !host.spec.cordoned)
                && !fleet.held.hosts.contains_key(host);
            for id in deployments.iter().filter(|id| !usual || together.contains(id)) {
                affected.add(&together, id, host);
            }
        }
        affected
    }

    fn add(&mut self, together: &BTreeSet<&DeploymentRef>, id: &'a DeploymentRef, host: &'a Name) {
        if together.contains(id) {
            self.whole.insert(id);
        } else if !self.whole.contains(id) {
            self.pairs.entry(id).or_default().insert(host);
        }
    }
}

/// Deployments whose hosts are decided together, or depend on the current ones.
fn together(fleet: &Fleet) -> BTreeSet<&DeploymentRef> {
    let limited =
        |deployment: &Deployment| deployment.spec.replicas.is_some() || deployment.spec.suspend;
    let limited = fleet.deployments.iter().filter(|(_, deployment)| limited(deployment));
    limited.map(|(id, _)| id).chain(fleet.held.deployments.keys()).collect()
}
