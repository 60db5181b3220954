//! Which pairs are rendered together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Outcome, Outcomes};
use crate::model::{DeploymentRef, Fleet, Host, Name, Pairs, Values};

/// Some whole hosts, rendered by one worker in one go. Deployment by deployment: what its hosts have
/// in common is prepared once, and their files are deltas of each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) groups: Vec<Group>,
}

/// A deployment on some of a share's hosts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) deployment: DeploymentRef,
    /// Places in [`Share::hosts`].
    pub(super) hosts: Vec<u32>,
}

/// A host and its deployments in [`Pairs`].
pub(super) type OfHost<'a> = (&'a Name, &'a BTreeSet<DeploymentRef>);

/// Pairs of one share: more would not fit into a worker, and its chunk would be large.
const LARGEST: usize = 8192;
/// Rendering fewer pairs takes less time than to tell somebody else to do it.
pub(super) const SMALLEST: usize = 64;
/// Shares for each worker: enough that all of them have work until the end.
const FOR_EACH: usize = 4;

/// Bytes of one share's hosts, roughly.
const HEAVY: usize = 8 << 20;

/// Cuts `pairs` into parts for shares: always the same ones, whoever takes which.
pub(super) fn cut<'a>(fleet: &Fleet, pairs: &'a Pairs, workers: usize) -> Vec<Vec<OfHost<'a>>> {
    let size = (pairs.count() / (workers * FOR_EACH)).clamp(SMALLEST, LARGEST);
    let mut parts: Vec<Vec<OfHost<'_>>> = Vec::new();
    let (mut room, mut weight) = (0, 0);
    for (host, deployments) in pairs.hosts.iter().filter(|(_, of_host)| !of_host.is_empty()) {
        let heavy = fleet.hosts.get(host).map_or(0, |host| weigh(&host.spec.values));
        if parts.is_empty() || room < deployments.len() || weight + heavy > HEAVY {
            parts.push(Vec::new());
            (room, weight) = (size, 0);
        }
        room = room.saturating_sub(deployments.len());
        weight += heavy;
        parts.last_mut().expect("because one was pushed").push((host, deployments));
    }
    parts
}

/// The bytes that values take in memory, roughly.
fn weigh(values: &Values) -> usize {
    fn one(value: &Value) -> usize {
        32 + match value {
            Value::String(text) => text.len(),
            Value::Array(all) => all.iter().map(one).sum(),
            Value::Object(map) => weigh(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
    values.iter().map(|(key, value)| key.len() + one(value)).sum()
}

impl Share {
    /// The pairs of `part` that are `wanted`.
    pub(super) fn new(
        fleet: &Fleet,
        part: &[OfHost<'_>],
        wanted: impl Fn(&DeploymentRef, &Name) -> bool,
    ) -> Self {
        let mut groups: BTreeMap<&DeploymentRef, Vec<u32>> = BTreeMap::new();
        let mut hosts = Vec::with_capacity(part.len());
        for (place, (host, deployments)) in (0_u32..).zip(part) {
            let wanted = deployments.iter().filter(|deployment| wanted(deployment, host));
            let host = fleet.hosts.get(*host).expect("because pairs are of this fleet");
            hosts.push(Arc::clone(host));
            for deployment in wanted {
                groups.entry(deployment).or_default().push(place);
            }
        }
        let groups = groups.into_iter();
        let groups = groups.map(|(id, hosts)| Group { deployment: id.clone(), hosts }).collect();
        Self { hosts, groups }
    }

    /// How many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.hosts.len()).sum()
    }

    /// Whether its places and deployments are there.
    pub(super) fn is_sound(&self, fleet: &Fleet) -> bool {
        let there = |host: &u32| (*host as usize) < self.hosts.len();
        let known = |group: &Group| fleet.deployments.contains_key(&group.deployment);
        self.groups.iter().all(|group| known(group) && group.hosts.iter().all(there))
    }

    /// The deployment of the pair at a place, and where its group ends.
    pub(super) fn group_of(&self, place: usize) -> (&DeploymentRef, usize) {
        let mut end = 0;
        let group = self.groups.iter().find(|group| {
            end += group.hosts.len();
            place < end
        });
        (&group.expect("because there is such a pair").deployment, end)
    }

    /// What is left of it without its first `done` pairs.
    pub(super) fn after(&self, mut done: usize) -> Self {
        let mut groups = Vec::new();
        for group in &self.groups {
            let skipped = done.min(group.hosts.len());
            done -= skipped;
            if skipped < group.hosts.len() {
                let hosts = group.hosts[skipped..].to_vec();
                groups.push(Group { deployment: group.deployment.clone(), hosts });
            }
        }
        Self { hosts: self.hosts.clone(), groups }
    }

    /// Each group as a share of its own.
    pub(super) fn one_by_one(self) -> impl Iterator<Item = Self> {
        let Self { hosts, groups } = self;
        groups.into_iter().map(move |group| Self { hosts: hosts.clone(), groups: vec![group] })
    }

    /// Its pairs, in the order in which they are rendered.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&DeploymentRef, &Name)> {
        self.groups.iter().flat_map(|group| {
            group.hosts.iter().map(|place| (&group.deployment, &self.hosts[*place as usize].name))
        })
    }

    /// The deployments that were rendered on one of its hosts at least.
    pub(super) fn rendered<'s>(
        &'s self,
        outcomes: &[Outcome],
    ) -> impl Iterator<Item = &'s DeploymentRef> {
        let mut rest = outcomes;
        self.groups.iter().filter_map(move |group| {
            let (these, after) = rest.split_at_checked(group.hosts.len())?;
            rest = after;
            these.iter().any(Result::is_ok).then_some(&group.deployment)
        })
    }

    /// Its outcomes, told in the order of its pairs.
    pub(super) fn named(&self, outcomes: Vec<Outcome>) -> Outcomes {
        let mut named = Outcomes::default();
        for ((deployment, host), outcome) in self.pairs().zip(outcomes) {
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
        let parts = cut(&Fleet::default(), &pairs, 2);
        assert_eq!(parts.len(), 8);
        let joined: Vec<OfHost<'_>> = parts.into_iter().flatten().collect();
        assert_eq!(joined, pairs.hosts.iter().collect::<Vec<_>>());
        assert_eq!(cut(&Fleet::default(), &Pairs::default(), 2), Vec::<Vec<OfHost<'_>>>::new());
    }
}
