//! Taking over what other controllers wrote to the status branch.
//!
//! Of two statuses of an assignment the one with the newer desired state counts, then the one with
//! the newer report. A host that this process hears is Online, whatever another one says that does
//! not hear it.

use super::{Item, Ledger, millis};
use crate::git::{GitError, Repository};
use crate::model::{
    AssignmentRef, AssignmentStatus, Connection, DeploymentRef, DiagnosticsFile, FleetStatus,
    HostStatus, Name, RepoPath, Revision, Timestamp,
};
use crate::observe::files;
use crate::observe::fold::{ASSIGNMENT_KIND, HOST_OFFLINE};

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
                Some(tree) => repository.file(tree, &path)?,
                None => None,
            };
            match theirs {
                Some(bytes) => self.merge(repository, &path, &bytes, now)?,
                None if forward => self.accept_removal(&path),
                None => {}
            }
        }
        // Its counts are made anew from all statuses, whoever wrote them.
        self.dirty.insert(files::fleet_path(), Item::Fleet);
        (self.head, self.tree) = (head, tree);
        Ok(())
    }

    fn touch_everything(&mut self) {
        for host in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.touch_host(&host);
            self.of_host(&host).iter().for_each(|assignment| self.touch(assignment));
        }
        self.dirty.insert(files::fleet_path(), Item::Fleet);
        self.dirty.insert(files::diagnostics_path(), Item::Diagnostics);
    }

    /// Another controller saw the assignment go. It comes back if [`Ledger::reconciled`] still wants it.
    fn accept_removal(&mut self, path: &RepoPath) {
        if self.dirty.contains_key(path) {
            return;
        }
        let Some(assignment) = assignment_at(path) else { return };
        let folder = self.hosts.get(&assignment.host).map(|entry| &entry.folder);
        let place =
            folder.and_then(|folder| files::assignment_path(folder, &assignment.deployment));
        if place.as_ref() == Some(path) {
            self.forget(&assignment);
        }
    }

    fn merge(
        &mut self,
        repository: &Repository,
        path: &RepoPath,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), GitError> {
        match files::kind(bytes) {
            Some(files::FLEET_KIND) => {
                let Ok(theirs) = files::read::<FleetStatus>(bytes) else { return Ok(()) };
                self.merge_fleet(repository, path, theirs)
            }
            Some(files::DIAGNOSTICS_KIND) => {
                let Ok(theirs) = files::read::<DiagnosticsFile>(bytes) else { return Ok(()) };
                let ours = self.diagnostics.as_ref().map(|ours| ours.source);
                if is_later(repository, ours, theirs.source)? {
                    self.diagnostics = Some(theirs);
                    self.dirty.remove(path);
                } else {
                    self.dirty.insert(path.clone(), Item::Diagnostics);
                }
                Ok(())
            }
            Some(files::HOST_KIND) => {
                if let Ok(theirs) = files::read::<HostStatus>(bytes) {
                    self.merge_host(path, bytes, theirs, now);
                }
                Ok(())
            }
            Some(ASSIGNMENT_KIND) => {
                let Ok(theirs) = files::read::<AssignmentStatus>(bytes) else { return Ok(()) };
                self.merge_assignment(repository, path, bytes, theirs, now)
            }
            _ => Ok(()),
        }
    }

    fn merge_fleet(
        &mut self,
        repository: &Repository,
        path: &RepoPath,
        theirs: FleetStatus,
    ) -> Result<(), GitError> {
        let ours = self.fleet.as_ref().map(|ours| ours.source);
        let decided = ours == Some(theirs.source) && self.dirty.contains_key(path);
        if !decided && is_later(repository, ours, theirs.source)? {
            self.fleet = Some(theirs);
        }
        Ok(())
    }

    fn merge_host(&mut self, path: &RepoPath, bytes: &[u8], theirs: HostStatus, now: Timestamp) {
        let name = theirs.host.clone();
        let hears = self.hears(&name, now);
        let dirty = self.dirty.contains_key(path);
        let Some(entry) = self.hosts.get_mut(&name) else {
            if !dirty {
                self.take(path, bytes);
            }
            return;
        };
        if files::host_path(&entry.folder).as_ref() != Some(path) {
            return;
        }
        let ours = &mut entry.status;
        let ours_counts =
            hears || (dirty && ours.sequence >= theirs.sequence && ours.since >= theirs.since);
        if ours_counts {
            let same = ours.connection == theirs.connection
                && ours.agent == theirs.agent
                && ours.message == theirs.message;
            ours.sequence = ours.sequence.max(theirs.sequence);
            if same {
                self.dirty.remove(path);
            } else {
                self.dirty.insert(path.clone(), Item::Host(name));
            }
            return;
        }
        if theirs.connection == Connection::Online {
            // Somebody else hears it: give it longer before it is called silent here.
            let lost = ours.connection == Connection::Offline;
            let times = entry.waiting.1.saturating_mul(if lost { 2 } else { 1 });
            entry.waiting = (now, times.min(MOST_PATIENCE));
        }
        let sequence = ours.sequence.max(theirs.sequence);
        self.store_host(HostStatus { sequence, ..theirs });
        self.dirty.remove(path);
    }

    fn merge_assignment(
        &mut self,
        repository: &Repository,
        path: &RepoPath,
        bytes: &[u8],
        theirs: AssignmentStatus,
        now: Timestamp,
    ) -> Result<(), GitError> {
        let assignment = theirs.assignment.clone();
        let known = self.hosts.get(&assignment.host).map(|entry| entry.folder.clone());
        let misplaced = known.is_some() && known != files::folder_of_assignment(path, &assignment);
        if misplaced {
            return Ok(());
        }
        let takes_theirs = match self.assignment(&assignment) {
            Some(ours) => {
                let heard = self.hears(&assignment.host, now);
                is_better(repository, ours, &theirs, heard)?
            }
            None if !self.dirty.contains_key(path) => true,
            // It goes, as far as this process knows. Unless the other one knows of a newer commit.
            None => {
                known.is_some()
                    && theirs.desired.tree.is_some()
                    && is_later(repository, self.rendered(), theirs.desired.rendered)?
            }
        };
        if takes_theirs {
            self.dirty.remove(path);
            self.take(path, bytes);
        } else {
            self.dirty.insert(path.clone(), Item::Assignment(assignment));
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
    Some(AssignmentRef { deployment: DeploymentRef { workspace, workload, name }, host })
}
