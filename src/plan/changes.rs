//! How two fleets differ, in what placement and rendering read of them.
//!
//! Consecutive fleets share the objects that nobody touched, so that comparing costs a look at each
//! pointer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::same;
use crate::model::{Deployment, DeploymentRef, Fleet, Name, Target, Workspace};
use crate::schedule::Dirty;

/// What differs. It may name too much, never too little. Pairs that come or go are left to the
/// scheduler: what is new is named only where placement has to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// For the scheduler.
    pub placement: Dirty,
    /// Hosts in whose manifests something may read differently.
    pub hosts: BTreeSet<Name>,
    /// Deployments whose manifests may read differently, wherever they run.
    pub deployments: BTreeSet<DeploymentRef>,
    /// Hosts that are new or gone, lie elsewhere, or are held now or no more.
    pub folders: BTreeSet<Name>,
}

impl Changes {
    #[must_use]
    pub fn between(before: &Fleet, after: &Fleet) -> Self {
        let mut changes = Self::default();
        changes.placement.all = before.held.all.is_some() != after.held.all.is_some();
        changes.compare_hosts(before, after);
        changes.compare_targets(before, after);
        changes.compare_deployments(before, after);
        changes.compare_inputs(before, after);
        changes
    }

    fn compare_hosts(&mut self, before: &Fleet, after: &Fleet) {
        let Self { placement, hosts, folders, .. } = self;
        differing(&before.hosts, &after.hosts, |name, pair| {
            let Some((old, new)) = pair.both() else {
                placement.hosts.insert(name.clone());
                folders.insert(name.clone());
                return;
            };
            if old.labels != new.labels || old.spec.cordoned != new.spec.cordoned {
                placement.hosts.insert(name.clone());
            }
            if !same::host(old, new) {
                hosts.insert(name.clone());
            }
            if old.path != new.path {
                folders.insert(name.clone());
            }
        });
        for name in in_one(&before.held.hosts, &after.held.hosts) {
            placement.hosts.insert(name.clone());
            folders.insert(name.clone());
        }
    }

    fn compare_targets(&mut self, before: &Fleet, after: &Fleet) {
        let targets = &mut self.placement.targets;
        differing(&before.targets, &after.targets, |id, pair| {
            if !pair.agree(|a: &Target, b| a.selector == b.selector) {
                targets.insert(id.clone());
            }
        });
        differing(&before.workspaces, &after.workspaces, |name, pair| {
            if !pair.agree(|a: &Workspace, b| a.spec.hosts == b.spec.hosts) {
                let own = after.targets.keys().filter(|id| id.workspace == *name);
                targets.extend(own.cloned());
            }
        });
    }

    fn compare_deployments(&mut self, before: &Fleet, after: &Fleet) {
        let Self { placement, deployments, .. } = self;
        differing(&before.deployments, &after.deployments, |id, pair| {
            if !pair.agree(same::placement) {
                placement.deployments.insert(id.clone());
            }
            if pair.both().is_some_and(|(old, new)| !same::deployment(old, new)) {
                deployments.insert(id.clone());
            }
        });
        let held = in_one(&before.held.deployments, &after.held.deployments);
        placement.deployments.extend(held.cloned());
    }

    /// What deployments share and rendering reads.
    fn compare_inputs(&mut self, before: &Fleet, after: &Fleet) {
        let limits = before.settings.limits != after.settings.limits;
        let (mut workspaces, mut workloads, mut templates) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        differing(&before.workspaces, &after.workspaces, |name, pair| {
            if !pair.agree(same::workspace) {
                workspaces.insert(name);
            }
        });
        differing(&before.workloads, &after.workloads, |id, pair| {
            if !pair.agree(same::workload) {
                workloads.insert(id);
            }
        });
        differing(&before.templates, &after.templates, |id, pair| {
            if !pair.agree(same::template) {
                templates.insert(id);
            }
        });
        if !limits && workspaces.is_empty() && workloads.is_empty() && templates.is_empty() {
            return;
        }
        let reads = |deployment: &&Arc<Deployment>| {
            limits
                || workspaces.contains(&deployment.id.workspace)
                || workloads.contains(&deployment.id.workload_ref())
                || templates.contains(&deployment.template)
        };
        let readers = after.deployments.values().filter(reads);
        self.deployments.extend(readers.map(|deployment| deployment.id.clone()));
    }
}

/// One object in two fleets; at least one has it.
struct Pair<'a, V>(Option<&'a Arc<V>>, Option<&'a Arc<V>>);

impl<'a, V> Pair<'a, V> {
    fn both(&self) -> Option<(&'a V, &'a V)> {
        Some((self.0?.as_ref(), self.1?.as_ref()))
    }

    /// Whether both have it, and agree.
    fn agree(&self, same: impl Fn(&V, &V) -> bool) -> bool {
        self.both().is_some_and(|(old, new)| same(old, new))
    }
}

/// Calls `found` for every object that the two do not share.
fn differing<'a, K: Ord, V>(
    before: &'a BTreeMap<K, Arc<V>>,
    after: &'a BTreeMap<K, Arc<V>>,
    mut found: impl FnMut(&'a K, Pair<'a, V>),
) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            // A shared object has one name: no need to read it.
            (Some((_, old)), Some((_, new))) if Arc::ptr_eq(old, new) => {
                before.next();
                after.next();
                continue;
            }
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let old = before.next_if(|_| order.is_le());
        let new = after.next_if(|_| order.is_ge());
        let key = old.or(new).expect("because one of them was there").0;
        found(key, Pair(old.map(|(_, old)| old), new.map(|(_, new)| new)));
    }
}

/// Keys that only one of the two has.
fn in_one<'a, K: Ord, V>(
    a: &'a BTreeMap<K, V>,
    b: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let left = a.keys().filter(|key| !b.contains_key(*key));
    left.chain(b.keys().filter(|key| !a.contains_key(*key)))
}
