//! A runtime with its inventory: the steps of a pass, in the order that survives a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Change, DeliverError, Desired, Digest, Health, Inventory, Owned, PendingHook, Runtime, Store,
    plan,
};
use crate::model::{DeploymentRef, Manifests, Name, Timestamp, TreeId};

/// Steps: [`keep`](Self::keep) the manifests, [`begin`](Self::begin), [`carry_out`](Self::carry_out)
/// each change, [`settle`](Self::settle).
#[derive(Debug)]
pub struct Delivery<R> {
    runtime: R,
    store: Arc<Store>,
    inventory: Inventory,
    /// As it is on the disk.
    saved: Option<Inventory>,
    /// What [`Self::begin`] found for the assignments that it noted intents for.
    before: BTreeMap<DeploymentRef, Option<Owned>>,
}

impl<R: Runtime> Delivery<R> {
    /// # Errors
    /// When the state on the disk cannot be read, or belongs to another host.
    pub fn open(runtime: R, store: Arc<Store>, host: &Name) -> Result<Self, DeliverError> {
        let inventory = store.inventory(host)?;
        Ok(Self {
            runtime,
            store,
            saved: Some(inventory.clone()),
            inventory,
            before: BTreeMap::new(),
        })
    }

    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Assignments that are not on the host as the inventory says.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub async fn drifted(&self) -> Result<BTreeSet<DeploymentRef>, DeliverError> {
        let mut drifted = BTreeSet::new();
        for (deployment, owned) in &self.inventory.assignments {
            if let Health::Drifted { path } = self.runtime.health(deployment, owned).await? {
                tracing::info!(%deployment, %path, "drifted");
                drifted.insert(deployment.clone());
            }
        }
        Ok(drifted)
    }

    /// What to do.
    #[must_use]
    pub fn plan(&self, desired: &Desired, drifted: &BTreeSet<DeploymentRef>) -> Vec<Change> {
        plan(desired, &self.inventory, drifted)
    }

    /// Whether there is a sound copy of a tree's manifests.
    pub fn has(&self, tree: TreeId) -> Result<bool, DeliverError> {
        match self.store.get(tree) {
            Ok(copy) => Ok(copy.is_some()),
            Err(DeliverError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a copy of a tree's manifests, from which it is applied and healed.
    pub fn keep(&self, tree: TreeId, manifests: &Manifests) -> Result<(), DeliverError> {
        self.store.put(tree, manifests)
    }

    /// Writes down what is about to happen, and the desired state that asks for it. Nothing may happen
    /// before this has returned.
    pub fn begin(&mut self, desired: &Desired, changes: &[Change]) -> Result<(), DeliverError> {
        let mut next = self.inventory.clone();
        next.desired = Some(desired.clone());
        self.before.clear();
        for change in changes {
            let files = match change {
                Change::Apply { tree, .. } => Digest::of_all(&self.copy(*tree)?),
                Change::Remove { .. } => BTreeMap::new(),
            };
            let deployment = change.deployment();
            let before = self.inventory.assignments.get(deployment).cloned();
            self.before.insert(deployment.clone(), before);
            next.intend(change, &files);
        }
        self.inventory = next;
        self.save()
    }

    /// Does one change. An error leaves the others alone.
    pub async fn carry_out(
        &mut self,
        change: &Change,
        desired: &Desired,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), DeliverError> {
        let deployment = change.deployment();
        let Some(owned) = self.inventory.assignments.get(deployment).cloned() else {
            return Ok(());
        };
        let result = match change {
            Change::Remove { .. } => self.runtime.remove(deployment, &owned).await.map(|()| None),
            Change::Apply { tree, .. } => {
                let manifests = self.copy(*tree)?;
                let applied = self.runtime.apply(deployment, &owned, &manifests).await;
                applied.map(|()| Some((*tree, Digest::of_all(&manifests))))
            }
        };
        match result {
            Ok(Some((tree, files))) => {
                let applied = Owned { pending: None, files, ..owned };
                let applied = if applied.tree == Some(tree) {
                    applied
                } else {
                    Owned {
                        tree: Some(tree),
                        rendered: Some(desired.rendered),
                        received: Some(desired.received),
                        applied: Some(now()),
                        deployed: None,
                        ..applied
                    }
                };
                self.inventory.assignments.insert(deployment.clone(), applied);
                Ok(())
            }
            Ok(None) => {
                self.inventory.assignments.remove(deployment);
                Ok(())
            }
            Err(error) => {
                if error.changed_nothing() {
                    self.withdraw(deployment);
                }
                Err(error)
            }
        }
    }

    /// Writes down what has happened, with the changes that the hook has to be told of.
    pub fn settle(&mut self, hook: Option<PendingHook>) -> Result<(), DeliverError> {
        self.inventory.hook = hook;
        self.save()?;
        self.store.retain(&self.inventory.trees())
    }

    /// Notes that assignments are healthy since `now`, unless they were before.
    pub fn deployed(&mut self, now: Timestamp) {
        for owned in self.inventory.assignments.values_mut() {
            if owned.tree.is_some() && owned.pending.is_none() {
                owned.deployed.get_or_insert(now);
            }
        }
    }

    /// The kept copy of a tree. That there is none must never look like a tree without files.
    fn copy(&self, tree: TreeId) -> Result<Manifests, DeliverError> {
        self.store.get(tree)?.ok_or(DeliverError::Missing { tree })
    }

    /// Takes back an intent: what was written down before [`Self::begin`] holds again.
    fn withdraw(&mut self, deployment: &DeploymentRef) {
        match self.before.get(deployment).cloned().flatten() {
            Some(owned) => self.inventory.assignments.insert(deployment.clone(), owned),
            None => self.inventory.assignments.remove(deployment),
        };
    }

    fn save(&mut self) -> Result<(), DeliverError> {
        if self.saved.as_ref() == Some(&self.inventory) {
            return Ok(());
        }
        // After a failed write nobody knows what is on the disk.
        self.saved = None;
        self.store.save_inventory(&self.inventory)?;
        self.saved = Some(self.inventory.clone());
        Ok(())
    }
}
