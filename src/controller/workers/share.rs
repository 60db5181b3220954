//! Which pairs are rendered together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Outcome, Outcomes};
use crate::model::{Deployment, DeploymentRef, Fleet, Host, Name, Pairs};

/// Some whole hosts, rendered by one worker in one go. Deployment by deployment: what its hosts have
/// in common is prepared once, and their files are deltas of each other.
#[derive(Debug, Clone)]
pub(super) struct Share {
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) groups: Vec<Group>,
}

/// A deployment on some of a share's hosts.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) deployment: Arc<Deployment>,
    /// Places in [`Share::hosts`].
    pub(super) hosts: Vec<u32>,
}

/// A host and its deployments in [`Pairs`].
pub(super) type OfHost<'a> = (&'a Name, &'a BTreeSet<DeploymentRef>);

/// Pairs of one share: more would not fit into a worker, and its chunk would be large.
const LARGEST: usize = 8192;
/// Rendering fewer pairs takes less time than to tell somebody else to do it.
const SMALLEST: usize = 64;
/// Shares for each worker: enough that all of them have work until the end.
const FOR_EACH: usize = 4;

/// Cuts `pairs` into parts for shares: always the same ones, whoever takes which.
pub(super) fn cut(pairs: &Pairs, workers: usize) -> Vec<Vec<OfHost<'_>>> {
    let size = (pairs.count() / (workers * FOR_EACH)).clamp(SMALLEST, LARGEST);
    let mut parts: Vec<Vec<OfHost<'_>>> = Vec::new();
    let mut room = 0;
    for (host, deployments) in pairs.hosts.iter().filter(|(_, of_host)| !of_host.is_empty()) {
        if room < deployments.len() || parts.is_empty() {
            parts.push(Vec::new());
            room = size;
        }
        room = room.saturating_sub(deployments.len());
        parts.last_mut().expect("because one was pushed").push((host, deployments));
    }
    parts
}

impl Share {
    /// The pairs of `part` whose deployment is `wanted`.
    pub(super) fn new(
        fleet: &Fleet,
        part: &[OfHost<'_>],
        wanted: impl Fn(&DeploymentRef) -> bool,
    ) -> Self {
        let mut groups: BTreeMap<&DeploymentRef, Vec<u32>> = BTreeMap::new();
        let mut hosts = Vec::with_capacity(part.len());
        for (place, (host, deployments)) in (0_u32..).zip(part) {
            let host = fleet.hosts.get(*host).expect("because pairs are of this fleet");
            hosts.push(Arc::clone(host));
            for deployment in deployments.iter().filter(|deployment| wanted(deployment)) {
                groups.entry(deployment).or_default().push(place);
            }
        }
        let deployment = |id: &DeploymentRef| {
            Arc::clone(fleet.deployments.get(id).expect("because pairs are of this fleet"))
        };
        let groups = groups.into_iter();
        let groups =
            groups.map(|(id, hosts)| Group { deployment: deployment(id), hosts }).collect();
        Self { hosts, groups }
    }

    /// How many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.hosts.len()).sum()
    }

    /// How many pairs there are up to the end of a group.
    pub(super) fn end_of(&self, group: usize) -> usize {
        self.groups[..=group].iter().map(|group| group.hosts.len()).sum()
    }

    /// What is left of it without its first `done` pairs.
    pub(super) fn after(&self, mut done: usize) -> Self {
        let mut groups = Vec::new();
        for group in &self.groups {
            let skipped = done.min(group.hosts.len());
            done -= skipped;
            if skipped < group.hosts.len() {
                let hosts = group.hosts[skipped..].to_vec();
                groups.push(Group { deployment: Arc::clone(&group.deployment), hosts });
            }
        }
        Self { hosts: self.hosts.clone(), groups }
    }

    /// Its outcomes, told in the order of its pairs.
    pub(super) fn named(&self, outcomes: Vec<Outcome>) -> Outcomes {
        let mut named = Outcomes::default();
        let pairs = self.groups.iter().flat_map(|group| {
            group
                .hosts
                .iter()
                .map(|place| (&group.deployment.id, &self.hosts[*place as usize].name))
        });
        for ((deployment, host), outcome) in pairs.zip(outcomes) {
            named.add(deployment, host, outcome);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stay_whole_and_nothing_is_lost() {
        let deployments: Vec<DeploymentRef> =
            ["w/l/a", "w/l/b", "w/l/c"].map(|id| id.parse().expect("a name")).into();
        let mut pairs = Pairs::default();
        for host in 0..1000 {
            let host = Name::new(&format!("h{host}")).expect("a name");
            deployments.iter().for_each(|deployment| pairs.insert(deployment, &host));
        }
        let parts = cut(&pairs, 2);
        assert_eq!(parts.len(), 9);
        let joined: Vec<OfHost<'_>> = parts.into_iter().flatten().collect();
        assert_eq!(joined, pairs.hosts.iter().collect::<Vec<_>>());
        assert_eq!(cut(&Pairs::default(), 2), Vec::<Vec<OfHost<'_>>>::new());
    }
}
