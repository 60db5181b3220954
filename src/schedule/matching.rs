//! Which hosts a deployment may use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Dirty;
use super::index::Index;
use crate::model::{Deployment, Fleet, Host, Name, Target, TargetRef, Workspace};

/// The hosts of every target that a deployment uses. Deployments share targets, so that each selector
/// is evaluated once for a fleet, not once for a deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    index: Index,
    targets: BTreeMap<TargetRef, Matches>,
}

/// The hosts of one target, which belongs to the workspace of its deployments: it stands for the
/// pair of both.
#[derive(Debug, Clone, Default)]
pub(super) struct Matches {
    /// Selected, and allowed by the workspace.
    pub(super) hosts: BTreeSet<Name>,
    /// Those of them that take nothing new.
    pub(super) cordoned: BTreeSet<Name>,
    /// Selected, but not allowed.
    pub(super) foreign: BTreeSet<Name>,
}

impl Matching {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let mut index = Index::default();
        fleet.hosts.iter().for_each(|(name, host)| index.set(name, Some(host)));
        Self { index, targets: BTreeMap::new() }
    }

    /// Follows the fleet; returns the hosts, by target, that are or were among the target's.
    pub(super) fn follow(
        &mut self,
        fleet: &Fleet,
        dirty: &Dirty,
    ) -> BTreeMap<TargetRef, BTreeSet<Name>> {
        if !(dirty.targets.is_empty() && dirty.deployments.is_empty()) {
            let used: BTreeSet<_> = fleet.deployments.values().map(|d| &d.target).collect();
            self.targets.retain(|id, _| used.contains(id) && !dirty.targets.contains(id));
        }
        dirty.hosts.iter().for_each(|name| self.index.set(name, fleet.hosts.get(name)));
        let mut stirred = BTreeMap::new();
        for (id, matches) in &mut self.targets {
            let target = fleet.targets.get(id).expect("because a deployment uses it");
            let workspace = fleet.workspaces.get(&id.workspace).expect("because it holds one");
            let moved = dirty.hosts.iter().filter(|name| {
                matches.judge(name, fleet.hosts.get(*name).map(Arc::as_ref), target, workspace)
            });
            let moved: BTreeSet<Name> = moved.cloned().collect();
            if !moved.is_empty() {
                stirred.insert(id.clone(), moved);
            }
        }
        stirred
    }

    /// Makes [`Matching::of`] answer for the deployment.
    pub(super) fn prepare(&mut self, fleet: &Fleet, deployment: &Deployment) {
        if !self.targets.contains_key(&deployment.target) {
            let selected = self.index.select(&fleet.target_of(deployment).selector);
            let matches = Matches::new(&selected, fleet.workspace_of(deployment));
            self.targets.insert(deployment.target.clone(), matches);
        }
    }

    pub(super) fn of(&self, deployment: &Deployment) -> &Matches {
        self.targets.get(&deployment.target).expect("because it was prepared")
    }
}

impl Matches {
    fn new(selected: &[&Arc<Host>], workspace: &Workspace) -> Self {
        let names = |wanted: &dyn Fn(&Host) -> bool| -> BTreeSet<Name> {
            let hosts = selected.iter().filter(|host| wanted(host));
            hosts.map(|host| host.name.clone()).collect()
        };
        Self {
            hosts: names(&|host| workspace.allows(host)),
            cordoned: names(&|host| host.spec.cordoned && workspace.allows(host)),
            foreign: names(&|host| !workspace.allows(host)),
        }
    }

    /// Takes in what one host is now; returns whether it is selected, or was.
    fn judge(
        &mut self,
        name: &Name,
        host: Option<&Host>,
        target: &Target,
        workspace: &Workspace,
    ) -> bool {
        let host = host.filter(|host| target.selector.matches(&host.labels));
        let allowed = host.filter(|host| workspace.allows(host));
        let cordoned = allowed.is_some_and(|host| host.spec.cordoned);
        let was = put(&mut self.hosts, name, allowed.is_some());
        put(&mut self.cordoned, name, cordoned);
        let was_foreign = put(&mut self.foreign, name, host.is_some() && allowed.is_none());
        was || was_foreign || host.is_some()
    }
}

/// Puts the name in or takes it out; returns whether it was in.
fn put(names: &mut BTreeSet<Name>, name: &Name, member: bool) -> bool {
    if member { !names.insert(name.clone()) } else { names.remove(name) }
}
