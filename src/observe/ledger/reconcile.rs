//! What is to run where has been rendered: statuses of what changed start anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{HostEntry, ISSUED, Ledger, millis};
use crate::model::{
    AssignmentRef, Connection, DeploymentRef, Diagnostic, Fleet, Limits, Name, Pairs, RepoPath,
    Revision, Runtime, Timestamp, Trees,
};
use crate::observe::fold::{self, Delivery, Origin};

/// What the rendered branch holds at its head, and how it came there.
#[derive(Debug)]
pub struct Goal<'a> {
    /// The source revision that was taken into account last, whether it changed anything or not.
    pub source: Revision,
    /// The head of the rendered branch, and its `Titan-Generation`.
    pub rendered: Option<(Revision, u64)>,
    /// What people want of the hosts.
    pub fleet: &'a Fleet,
    /// Every host that has a folder on the rendered branch, and where that is.
    pub folders: &'a BTreeMap<Name, RepoPath>,
    /// The tree id of every assignment on the rendered branch.
    pub trees: &'a Trees,
    /// All that may differ from what the ledger was told last; `None`: nobody knows, everything is
    /// compared. After a restart or a failure the ledger does so by itself.
    pub changed: Option<&'a Changed>,
    /// Which commit changed an assignment last, for those that changed since
    /// [`Ledger::rendered`] (see [`crate::observe::origins`]).
    pub origins: &'a BTreeMap<AssignmentRef, Origin>,
    /// Stands in where `origins` has nothing: the rendered head's own.
    pub origin: Option<Origin>,
    /// What is held back → why.
    pub held: &'a BTreeMap<String, String>,
    /// Deployments that got fewer hosts than they want → why.
    pub unplaced: &'a BTreeMap<String, String>,
    /// What is wrong at `source`.
    pub diagnostics: &'a [Diagnostic],
    /// Not all assignments have been tried yet, since this process began: what is not in `held` and
    /// `diagnostics` may be held all the same. See `describe`.
    pub unchecked: bool,
    pub limits: &'a Limits,
}

/// What may differ from one pass to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Hosts that are new, gone, moved, or of another kind; all their assignments are compared.
    pub hosts: BTreeSet<Name>,
    /// Assignments that are new or gone, or whose tree is another one.
    pub pairs: Pairs,
}

/// A host as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostGoal {
    /// Its folder on the rendered and status branches.
    folder: RepoPath,
    /// `None` when its file cannot be read: it stays what it was.
    delivery: Option<Delivery>,
}

impl Goal<'_> {
    /// `None`: there is no such host any more.
    fn host(&self, host: &Name) -> Option<HostGoal> {
        let folder = self.folders.get(host)?.clone();
        let delivery = self.fleet.hosts.get(host).map(|host| match host.spec.runtime {
            Runtime::External => Delivery::External,
            Runtime::Kubernetes | Runtime::Docker | Runtime::Directory => Delivery::Agent,
        });
        Some(HostGoal { folder, delivery })
    }
}

impl Ledger {
    /// Takes over what is desired now. Nothing becomes dirty where nothing changed.
    pub fn reconciled(&mut self, goal: &Goal<'_>, now: Timestamp) {
        let now = millis(now);
        self.set_deadline(goal.limits);
        if let Some((revision, generation)) = goal.rendered {
            self.know(revision, Some(generation));
        }
        let unsettled = std::mem::take(&mut self.unsettled);
        match goal.changed.filter(|_| !unsettled.all) {
            Some(changed) => {
                for host in changed.hosts.iter().chain(&unsettled.hosts) {
                    self.compare(host, goal, now);
                }
                for (deployment, host) in changed.pairs.iter() {
                    self.want(deployment, host, goal, now);
                }
            }
            None => {
                let hosts: BTreeSet<_> = self.hosts.keys().chain(goal.folders.keys()).collect();
                for host in hosts.into_iter().cloned().collect::<Vec<_>>() {
                    self.compare(&host, goal, now);
                }
            }
        }
        self.describe(goal);
    }

    /// One host, with all that it has and is to have.
    fn compare(&mut self, host: &Name, goal: &Goal<'_>, now: Timestamp) {
        match goal.host(host) {
            Some(wanted) => self.place(host, wanted, now),
            None => return self.drop_host(host),
        }
        for deployment in goal.trees.of(host).keys() {
            self.want(deployment, host, goal, now);
        }
        let Some(entry) = self.hosts.get(host) else { return };
        let wanted = goal.trees.of(host);
        let surplus = entry.assignments.keys().filter(|id| !wanted.contains_key(id));
        for deployment in surplus.cloned().collect::<Vec<_>>() {
            self.want(&deployment, host, goal, now);
        }
    }

    /// Remembers that a rendered revision was issued.
    pub(super) fn know(&mut self, revision: Revision, generation: Option<u64>) {
        if self.issued.len() >= ISSUED {
            self.issued.clear();
        }
        let known = self.issued.entry(revision).or_default();
        *known = generation.or(*known);
    }

    fn set_deadline(&mut self, limits: &Limits) {
        let deadline = limits.progress_deadline.duration();
        if self.deadline == deadline {
            return;
        }
        self.deadline = deadline;
        for host in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.find_due(&host);
        }
    }

    /// A new host comes; one that moved keeps its status.
    fn place(&mut self, host: &Name, wanted: HostGoal, now: Timestamp) {
        match self.hosts.get(host) {
            None => {
                let entry = HostEntry::new(host, wanted.folder, now);
                self.hosts.insert(host.clone(), Arc::new(entry));
                self.touch_host(host);
                self.dirty.fleet = true;
            }
            Some(entry) if entry.folder != wanted.folder => {
                self.leave(host);
                if let Some(entry) = self.entry(host) {
                    entry.folder = wanted.folder;
                }
                self.touch_all(host);
            }
            Some(_) => {}
        }
        self.set_delivery(host, wanted.delivery, now);
    }

    fn set_delivery(&mut self, host: &Name, delivery: Option<Delivery>, now: Timestamp) {
        let Some(entry) = self.entry(host) else { return };
        let is_external = entry.status.connection == Connection::External;
        let connection = match delivery {
            Some(Delivery::External) if !is_external => Connection::External,
            Some(Delivery::Agent) if is_external => Connection::Never,
            _ => return,
        };
        entry.status.connection = connection;
        entry.status.since = now;
        self.touch_host(host);
        self.watch(host);
    }

    /// A host goes with all that it had.
    fn drop_host(&mut self, host: &Name) {
        self.leave(host);
        let Some(entry) = self.hosts.get(host) else { return };
        let deployments: Vec<_> = entry.assignments.keys().cloned().collect();
        let due = entry.due;
        for deployment in deployments {
            self.forget(&deployment.on(host));
        }
        if let Some(due) = due {
            self.silences.remove(&(due, host.clone()));
        }
        self.set_due(host, None);
        self.hosts.remove(host);
    }

    /// An assignment's tree, or its removal, is desired now.
    fn want(&mut self, deployment: &DeploymentRef, host: &Name, goal: &Goal<'_>, now: Timestamp) {
        let tree = goal.trees.get(deployment, host);
        let Some(entry) = self.hosts.get(host) else { return };
        let record = entry.assignments.get(deployment);
        let connection = entry.status.connection;
        if tree.is_none() {
            if record.is_none() {
                return;
            }
            if matches!(connection, Connection::External | Connection::Never) {
                // Nobody will ever say that it is gone.
                return self.remove(&deployment.on(host));
            }
        }
        let delivery = match connection {
            Connection::External => Delivery::External,
            _ => Delivery::Agent,
        };
        if record.is_some_and(|r| fold::is_desired((r.tree(), r.reason()), tree, delivery)) {
            return;
        }
        let assignment = deployment.on(host);
        let Some(origin) = goal.origins.get(&assignment).copied().or(goal.origin) else {
            self.unsettled.hosts.insert(host.clone());
            return;
        };
        let previous = record.map(|record| record.status(assignment.clone()));
        let next = fold::desire(previous.as_ref(), &assignment, tree, origin, delivery, now);
        let Some(mut next) = next else { return };
        if connection == Connection::Offline {
            next = fold::silence(&next, now).unwrap_or(next);
        }
        self.put(next);
    }
}
