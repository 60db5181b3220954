//! The order in which hosts are chosen and given up.
//!
//! Every pair of deployment and host has a score (rendezvous hashing), so each deployment has its own
//! order of hosts, and a host that comes or goes changes nothing about the order of the others.
//! Places are filled where the label value has the fewest chosen hosts, and given up where it has the
//! most: filling and giving up undo each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use sha2::{Digest, Sha256};

use crate::model::{DeploymentRef, Host, Name};

/// A host and its score for one deployment. Orders by score; equal scores (they do not happen) by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scored<'a> {
    score: u64,
    name: &'a Name,
}

/// The value of the spread label; a host without it counts as one of a value of its own.
type Value<'a> = Option<&'a str>;

/// The order for one deployment.
pub(super) struct Order<'a> {
    prefix: Sha256,
    label: Option<&'a str>,
}

impl<'a> Order<'a> {
    pub(super) fn new(deployment: &DeploymentRef, label: Option<&'a str>) -> Self {
        let prefix = Sha256::new().chain_update(deployment.to_string()).chain_update([0]);
        Self { prefix, label }
    }

    fn scored<'h>(&self, host: &'h Host) -> Scored<'h> {
        let digest = self.prefix.clone().chain_update(host.name.as_str()).finalize();
        let score = digest.iter().take(8).fold(0, |score, byte| (score << 8) | u64::from(*byte));
        Scored { score, name: &host.name }
    }

    fn value<'h>(&self, host: &'h Host) -> Value<'h> {
        host.labels.get(self.label?).map(String::as_str)
    }

    fn by_value<'h>(&self, hosts: &[&'h Host]) -> BTreeMap<Value<'h>, Vec<Scored<'h>>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for host in hosts {
            groups.entry(self.value(host)).or_default().push(self.scored(host));
        }
        groups
    }

    /// The best `count` of `free` beside those already `chosen`.
    pub(super) fn best<'h>(
        &self,
        free: &[&'h Host],
        chosen: &[&Host],
        count: usize,
    ) -> Vec<&'h Name> {
        let mut taken = BTreeMap::<Value<'_>, usize>::new();
        for host in chosen {
            *taken.entry(self.value(host)).or_default() += 1;
        }
        // One entry for each value: its count, and its best host that is still free.
        let mut heap = BinaryHeap::new();
        for (value, mut group) in self.by_value(free) {
            group.sort_unstable();
            if let Some(best) = group.pop() {
                heap.push((Reverse(taken.get(&value).copied().unwrap_or(0)), best, group));
            }
        }
        let mut picked = Vec::new();
        while picked.len() < count {
            let Some((Reverse(taken), best, mut group)) = heap.pop() else { break };
            picked.push(best.name);
            if let Some(next) = group.pop() {
                heap.push((Reverse(taken + 1), next, group));
            }
        }
        picked
    }

    /// The `count` of `chosen` that are given up first.
    pub(super) fn worst<'h>(&self, chosen: &[&'h Host], count: usize) -> Vec<&'h Name> {
        let mut heap = BinaryHeap::new();
        for mut group in self.by_value(chosen).into_values() {
            group.sort_unstable_by(|a, b| b.cmp(a));
            if let Some(worst) = group.pop() {
                heap.push((group.len() + 1, Reverse(worst), group));
            }
        }
        let mut dropped = Vec::new();
        while dropped.len() < count {
            let Some((crowd, Reverse(worst), mut group)) = heap.pop() else { break };
            dropped.push(worst.name);
            if let Some(next) = group.pop() {
                heap.push((crowd - 1, Reverse(next), group));
            }
        }
        dropped
    }
}
