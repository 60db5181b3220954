//! Taking over what other controllers wrote to the status branch.
//!
//! Of two statuses of an assignment the one with the newer desired state counts, then the one with
//! the newer report. A host that this process hears is Online, whatever another one says that does
//! not hear it.

use std::sync::Arc;

use super::dirty::{Item, NEVER};
use super::load::File;
use super::{Ledger, millis};
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{
    AssignmentRef, AssignmentStatus, Connection, DeploymentRef, FleetStatus, HostStatus, Name,
    RepoPath, Revision, Timestamp, TreeId,
};
use crate::observe::files::{self, Names};
use crate::observe::fold::HOST_OFFLINE;

/// How far the patience with a host grows that only other controllers hear.
const MOST_PATIENCE: u32 = 64;

impl Ledger {
    /// Takes over what differs between the branch as it was and as it is now, at `head`. Afterwards
    /// what is dirty is to be written on top of that.
    pub(super) fn absorb(
        &mut self,
        repository: &Repository,
        head: Option<Revision>,
        now: Timestamp,
    ) -> Result<(), GitError> {
        let now = millis(now);
        let tree = head.map(|head| repository.commit(head)).transpose()?.map(|info| info.tree);
        // A branch that was lost or set back tells nothing about what is missing there.
        let forward = match (self.head, head) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(after)) => is_newer(repository, before, after)?,
        };
        if !forward {
            self.touch_everything();
        }
        for path in repository.changed_paths(self.tree, tree)? {
            let theirs = match tree {
                Some(tree) => repository.entry(tree, &path)?,
                None => None,
            };
            match theirs.filter(|entry| entry.kind == EntryKind::File) {
                Some(entry) => self.merge(repository, (&path, entry.id), now)?,
                None if forward => self.accept_removal(&path),
                None => {}
            }
        }
        // Its counts are made anew from all statuses, whoever wrote them.
        self.dirty.fleet = true;
        (self.head, self.tree) = (head, tree);
        Ok(())
    }

    /// Another controller saw the assignment go. It comes back if [`Ledger::reconciled`] still wants it.
    fn accept_removal(&mut self, path: &RepoPath) {
        let Some(assignment) = assignment_at(path) else { return };
        let folder = self.hosts.get(&assignment.host).map(|entry| &entry.folder);
        let place =
            folder.and_then(|folder| files::assignment_path(folder, &assignment.deployment));
        if place.as_ref() == Some(path) && !self.is_touched(&assignment) {
            self.unsettled.hosts.insert(assignment.host.clone());
            self.forget(&assignment);
        }
    }

    fn merge(
        &mut self,
        repository: &Repository,
        (path, blob): (&RepoPath, TreeId),
        now: Timestamp,
    ) -> Result<(), GitError> {
        match File::read(path, &repository.blob(blob)?, &mut Names::default()) {
            Some(File::Fleet(theirs)) => self.merge_fleet(repository, theirs),
            Some(File::Diagnostics(theirs)) => {
                let ours = self.diagnostics.as_ref().map(|ours| ours.source);
                let takes_theirs = is_later(repository, ours, theirs.source)?;
                self.dirty.diagnostics = !takes_theirs;
                if takes_theirs {
                    self.diagnostics = Some(theirs);
                }
                Ok(())
            }
            Some(File::Host(folder, theirs)) => {
                self.merge_host(path, folder, theirs, now);
                Ok(())
            }
            Some(File::Assignment(folder, theirs)) => {
                self.merge_assignment(repository, (path, blob), folder, theirs, now)
            }
            None => Ok(()),
        }
    }

    fn merge_fleet(
        &mut self,
        repository: &Repository,
        theirs: FleetStatus,
    ) -> Result<(), GitError> {
        let ours = self.fleet.as_ref().map(|ours| ours.source);
        let decided = ours == Some(theirs.source) && self.dirty.fleet;
        if !decided && is_later(repository, ours, theirs.source)? {
            self.fleet = Some(theirs);
        }
        Ok(())
    }

    fn merge_host(
        &mut self,
        path: &RepoPath,
        folder: RepoPath,
        theirs: HostStatus,
        now: Timestamp,
    ) {
        let name = theirs.host.clone();
        let (hears, round, written) = (self.hears(&name, now), self.round, self.written);
        let Some(entry) = self.hosts.get_mut(&name).map(Arc::make_mut) else {
            if !self.dirty.leftovers.contains_key(path) {
                self.unsettled.hosts.insert(name);
                self.take(path, File::Host(folder, theirs), None);
            }
            return;
        };
        if entry.folder != folder {
            return;
        }
        let ours = &mut entry.status;
        let ours_counts = hears
            || (entry.changed > written
                && ours.sequence >= theirs.sequence
                && ours.since >= theirs.since);
        let sequence = ours.sequence.max(theirs.sequence);
        if ours_counts {
            let same = ours.connection == theirs.connection
                && ours.agent == theirs.agent
                && ours.message == theirs.message;
            ours.sequence = sequence;
            entry.changed = if same { NEVER } else { round };
            self.dirty.hosts.insert(name);
            return;
        }
        if theirs.connection == Connection::Online {
            // Somebody else hears it: give it longer before it is called silent here.
            let lost = ours.connection == Connection::Offline;
            let times = entry.waiting.1.saturating_mul(if lost { 2 } else { 1 });
            entry.waiting = (now, times.min(MOST_PATIENCE));
        }
        entry.changed = NEVER;
        self.unsettled.hosts.insert(name);
        self.store_host(HostStatus { sequence, ..theirs });
    }

    fn merge_assignment(
        &mut self,
        repository: &Repository,
        (path, blob): (&RepoPath, TreeId),
        folder: RepoPath,
        theirs: AssignmentStatus,
        now: Timestamp,
    ) -> Result<(), GitError> {
        let assignment = theirs.assignment.clone();
        let known = self.hosts.get(&assignment.host).map(|entry| &entry.folder);
        if known.is_some_and(|known| *known != folder) {
            return Ok(());
        }
        let (is_known, left) = (known.is_some(), self.dirty.leftovers.contains_key(path));
        let takes_theirs = match self.assignment(&assignment) {
            Some(ours) => {
                let heard = self.hears(&assignment.host, now);
                is_better(repository, &ours, &theirs, heard)?
            }
            None if !left && !self.is_touched(&assignment) => true,
            // It goes, as far as this process knows. Unless the other one knows of a newer commit.
            None => {
                is_known
                    && theirs.desired.tree.is_some()
                    && is_later(repository, self.rendered(), theirs.desired.rendered)?
            }
        };
        if takes_theirs {
            self.unsettled.hosts.insert(assignment.host.clone());
            self.dirty.leftovers.remove(path);
            self.take(path, File::Assignment(folder, theirs), Some(blob));
            self.settle(&assignment);
        } else if is_known {
            let entry = self.entry(&assignment.host);
            let record = entry.and_then(|entry| entry.assignments.get_mut(&assignment.deployment));
            if let Some(record) = record {
                record.file = Some(blob);
            }
            self.touch(&assignment);
        } else {
            self.dirty.leftovers.insert(path.clone(), Item::Assignment(assignment));
        }
        Ok(())
    }
}

/// Whether `theirs` tells more than `ours`.
fn is_better(
    repository: &Repository,
    ours: &AssignmentStatus,
    theirs: &AssignmentStatus,
    heard: bool,
) -> Result<bool, GitError> {
    if ours.desired.tree != theirs.desired.tree {
        return is_newer(repository, ours.desired.rendered, theirs.desired.rendered);
    }
    let lost = |status: &AssignmentStatus| status.reason == HOST_OFFLINE;
    if lost(ours) != lost(theirs) {
        return Ok(lost(ours) || !heard);
    }
    let sequence = |status: &AssignmentStatus| status.observed.as_ref().map(|o| o.sequence);
    Ok((sequence(theirs), theirs.since) >= (sequence(ours), ours.since))
}

/// Whether `after` descends from `before`, or comes from a future that is not fetched yet.
fn is_newer(repository: &Repository, before: Revision, after: Revision) -> Result<bool, GitError> {
    if before == after {
        return Ok(true);
    }
    if repository.commit(after).is_err() {
        return Ok(true);
    }
    // What came before may be gone: nothing that exists descends from it then.
    Ok(repository.commit(before).is_ok() && repository.is_ancestor(before, after)?)
}

/// As [`is_newer`], where nothing may be known yet.
fn is_later(
    repository: &Repository,
    before: Option<Revision>,
    after: Revision,
) -> Result<bool, GitError> {
    before.map_or(Ok(true), |before| is_newer(repository, before, after))
}

/// The assignment whose status may lie at `path`.
fn assignment_at(path: &RepoPath) -> Option<AssignmentRef> {
    let text = path.as_str().strip_suffix(".yaml")?;
    let mut parts = text.rsplit('/').map(|part| Name::new(part).ok());
    let (name, workload, workspace) = (parts.next()??, parts.next()??, parts.next()??);
    let host = parts.next()??;
    Some(AssignmentRef { deployment: DeploymentRef::new(workspace, workload, name), host })
}
