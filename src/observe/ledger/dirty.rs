//! What a flush is to write or remove.
//!
//! Where a status lies follows from its host's folder, so statuses are marked, not their paths; only
//! what lies where nothing belongs any more is known by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Ledger;
use crate::model::{AssignmentRef, Name, RepoPath, RequestId, RequestStatus};
use crate::observe::files;

/// Most refused requests that wait to be written.
const REQUESTS: usize = 10_000;

/// Counts flushes: what changed in a later round than the last one that is written, is dirty.
pub(super) type Round = u32;

/// Before the first round.
pub(super) const NEVER: Round = 0;

/// What differs from the status branch.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) fleet: bool,
    pub(super) diagnostics: bool,
    /// Hosts with files to be written or removed; their entries say which.
    pub(super) hosts: BTreeSet<Name>,
    /// Requests that were refused.
    pub(super) requests: BTreeMap<RequestId, RequestStatus>,
    /// Files where their item does not lie (any more): they go.
    pub(super) leftovers: BTreeMap<RepoPath, Item>,
}

/// Whom a file is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Host(Name),
    Assignment(AssignmentRef),
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        !self.fleet
            && !self.diagnostics
            && self.hosts.is_empty()
            && self.requests.is_empty()
            && self.leftovers.is_empty()
    }

    /// What could not be written after all.
    pub(super) fn add(&mut self, other: Self) {
        self.fleet |= other.fleet;
        self.diagnostics |= other.diagnostics;
        self.hosts.extend(other.hosts);
        for (id, request) in other.requests {
            self.requests.entry(id).or_insert(request);
        }
        for (path, item) in other.leftovers {
            self.leftovers.entry(path).or_insert(item);
        }
    }
}

impl Ledger {
    /// Whether a flush may have something to write.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes note of a request that was refused. When nothing can be written, a bounded number of them
    /// waits.
    pub fn refused(&mut self, request: RequestStatus) {
        if self.dirty.requests.len() < REQUESTS {
            self.dirty.requests.insert(request.id.clone(), request);
        }
    }

    /// The assignment's file is to be written, or removed when it has no status.
    pub(super) fn touch(&mut self, assignment: &AssignmentRef) {
        let AssignmentRef { deployment, host } = assignment;
        let round = self.round;
        let Some(entry) = self.entry(host) else { return };
        match entry.assignments.get_mut(deployment) {
            Some(record) => record.changed = round,
            None => drop(entry.gone.insert(deployment.clone(), round)),
        }
        self.dirty.hosts.insert(host.clone());
        self.dirty.fleet = true;
    }

    /// The assignment's file is as it should be.
    pub(super) fn settle(&mut self, assignment: &AssignmentRef) {
        let AssignmentRef { deployment, host } = assignment;
        let Some(entry) = self.entry(host) else { return };
        entry.gone.remove(deployment);
        if let Some(record) = entry.assignments.get_mut(deployment) {
            record.changed = NEVER;
        }
    }

    /// Whether the assignment's file is to be written or removed.
    pub(super) fn is_touched(&self, assignment: &AssignmentRef) -> bool {
        let AssignmentRef { deployment, host } = assignment;
        self.hosts.get(host).is_some_and(|entry| {
            let record = entry.assignments.get(deployment);
            record.is_some_and(|record| record.changed > self.written)
                || entry.gone.contains_key(deployment)
        })
    }

    /// The host's file is to be written.
    pub(super) fn touch_host(&mut self, host: &Name) {
        let round = self.round;
        let Some(entry) = self.entry(host) else { return };
        entry.changed = round;
        self.dirty.hosts.insert(host.clone());
    }

    /// All files of a host are to be written.
    pub(super) fn touch_all(&mut self, host: &Name) {
        self.touch_host(host);
        let round = self.round;
        let Some(entry) = self.entry(host) else { return };
        entry.assignments.values_mut().for_each(|record| record.changed = round);
        let has_some = !entry.assignments.is_empty();
        self.dirty.fleet |= has_some;
    }

    /// All files of a host are to be removed from where they are.
    pub(super) fn leave(&mut self, host: &Name) {
        let Some(entry) = self.hosts.get_mut(host).map(Arc::make_mut) else { return };
        let gone = std::mem::take(&mut entry.gone);
        let of_host = files::host_path(&entry.folder).map(|path| (path, Item::Host(host.clone())));
        let deployments = entry.assignments.keys().chain(gone.keys());
        let all = deployments.filter_map(|deployment| {
            let path = files::assignment_path(&entry.folder, deployment)?;
            Some((path, Item::Assignment(deployment.on(host))))
        });
        self.dirty.leftovers.extend(of_host.into_iter().chain(all));
        self.dirty.fleet = true;
    }

    /// The branch was lost or set back: all files are to be written.
    pub(super) fn touch_everything(&mut self) {
        for host in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.touch_all(&host);
        }
        (self.dirty.fleet, self.dirty.diagnostics) = (true, true);
    }
}
