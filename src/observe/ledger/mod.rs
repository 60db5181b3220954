//! The sole owner of status state in a controller.
//!
//! ```text
//!  status branch ──load──▶ ┌────────┐ ◀──reconciled── the rendered head
//!        ▲                 │ Ledger │ ◀──report────── hosts
//!        └──────flush───── └────────┘ ◀──tick──────── time
//! ```
//!
//! Everything but `load` and `flush` is pure over `&mut self`; time is an argument. Work is
//! proportional to what an event touches: statuses are kept by host, deadlines in an index, and a
//! set of dirty paths is all that a flush looks at.

mod flush;
mod merge;
mod reconcile;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::files;
use crate::git::{GitError, Repository};
use crate::model::{
    API_VERSION, AssignmentRef, AssignmentStatus, Connection, DeploymentRef, DiagnosticsFile,
    FleetStatus, HostStatus, Limits, Name, Phase, RepoPath, Revision, Timestamp, TreeId,
};

pub use reconcile::{Goal, HostGoal};

/// Intervals of silence after which a host is Offline.
const PATIENCE: u32 = 3;
/// The interval that is assumed of a host that this process has not heard yet.
const ASSUMED_INTERVAL: Duration = Duration::from_secs(60);
/// Rendered revisions that are remembered as issued.
const ISSUED: usize = 10_000;

/// Statuses of hosts and assignments, as they are known here and now.
#[derive(Debug)]
pub struct Ledger {
    started: Timestamp,
    deadline: Duration,
    /// Races on the status branch that may be lost before a flush gives up.
    tries: u32,
    /// The status branch when it was read or written last.
    head: Option<Revision>,
    tree: Option<TreeId>,
    hosts: BTreeMap<Name, HostEntry>,
    fleet: Option<FleetStatus>,
    diagnostics: Option<DiagnosticsFile>,
    /// Exact, and kept so by every change of a status.
    phases: BTreeMap<Phase, u64>,
    deadlines: BTreeSet<(Timestamp, AssignmentRef)>,
    silences: BTreeSet<(Timestamp, Name)>,
    /// Rendered revisions known to be issued, with their generation where that is known.
    issued: BTreeMap<Revision, Option<u64>>,
    dirty: BTreeMap<RepoPath, Item>,
}

/// One host, with what is assigned to it.
#[derive(Debug)]
struct HostEntry {
    folder: RepoPath,
    status: HostStatus,
    assignments: BTreeMap<DeploymentRef, AssignmentStatus>,
    /// When this process heard it last, and its interval.
    heard: Option<(Timestamp, Duration)>,
    /// Whether this process has heard all of its state.
    full: bool,
    /// For a host that was never heard here: since when it is waited for, and for how many times
    /// the usual time. That grows whenever another controller turns out to hear the host.
    waiting: (Timestamp, u32),
    /// Its entry in the index of silences.
    due: Option<Timestamp>,
}

/// What a path on the status branch belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Fleet,
    Diagnostics,
    Host(Name),
    Assignment(AssignmentRef),
}

impl Ledger {
    /// Reads the status branch at `head`. Files that titan did not write are left alone.
    ///
    /// # Errors
    /// When objects cannot be read.
    pub fn load(
        repository: &Repository,
        head: Option<Revision>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Self, GitError> {
        let mut ledger = Self::empty(limits, now);
        let Some(head) = head else { return Ok(ledger) };
        let tree = repository.commit(head)?.tree;
        for (path, entry) in repository.walk(tree)? {
            ledger.take(&path, &repository.blob(entry.id)?);
        }
        (ledger.head, ledger.tree) = (Some(head), Some(tree));
        Ok(ledger)
    }

    /// No status at all: the branch does not exist.
    #[must_use]
    pub fn empty(limits: &Limits, now: Timestamp) -> Self {
        Self {
            started: millis(now),
            deadline: limits.progress_deadline.duration(),
            tries: limits.push_tries.max(1),
            head: None,
            tree: None,
            hosts: BTreeMap::new(),
            fleet: None,
            diagnostics: None,
            phases: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            silences: BTreeSet::new(),
            issued: BTreeMap::new(),
            dirty: BTreeMap::new(),
        }
    }

    /// The rendered revision that the statuses are about; where the walk over newer commits starts.
    #[must_use]
    pub fn rendered(&self) -> Option<Revision> {
        self.fleet.as_ref().and_then(|fleet| fleet.rendered)
    }

    /// `fleet.yaml` as it would be written now, with exact counts.
    #[must_use]
    pub fn fleet(&self) -> Option<FleetStatus> {
        let count = |entry: &HostEntry| entry.assignments.len() as u64;
        self.fleet.clone().map(|fleet| FleetStatus {
            hosts: self.hosts.len() as u64,
            assignments: self.hosts.values().map(count).sum(),
            phases: self.phases.clone(),
            ..fleet
        })
    }

    #[must_use]
    pub fn host(&self, host: &Name) -> Option<&HostStatus> {
        self.hosts.get(host).map(|entry| &entry.status)
    }

    #[must_use]
    pub fn assignment(&self, assignment: &AssignmentRef) -> Option<&AssignmentStatus> {
        self.hosts.get(&assignment.host)?.assignments.get(&assignment.deployment)
    }

    /// Whether a flush may have something to write.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes over one file of the branch, as it is.
    fn take(&mut self, path: &RepoPath, bytes: &[u8]) {
        match files::kind(bytes) {
            Some(files::FLEET_KIND) if *path == files::fleet_path() => {
                self.fleet = files::read(bytes).ok();
            }
            Some(files::DIAGNOSTICS_KIND) if *path == files::diagnostics_path() => {
                self.diagnostics = files::read(bytes).ok();
            }
            Some(files::HOST_KIND) => {
                let Ok(status) = files::read::<HostStatus>(bytes) else { return };
                let Some(folder) = files::folder_of_host(path, &status.host) else { return };
                let name = status.host.clone();
                if self.entry_in(&name, &folder, path, &Item::Host(name.clone())) {
                    self.store_host(status);
                }
            }
            Some(super::fold::ASSIGNMENT_KIND) => {
                let Ok(status) = files::read::<AssignmentStatus>(bytes) else { return };
                let Some(folder) = files::folder_of_assignment(path, &status.assignment) else {
                    return;
                };
                let item = Item::Assignment(status.assignment.clone());
                if self.entry_in(&status.assignment.host.clone(), &folder, path, &item) {
                    self.store(status);
                }
            }
            _ => {}
        }
    }

    /// Makes sure that the host has an entry, and says whether it lies in `folder`. A file in another
    /// folder is a leftover: it will go.
    fn entry_in(&mut self, host: &Name, folder: &RepoPath, path: &RepoPath, item: &Item) -> bool {
        let started = self.started;
        let entry = self.hosts.entry(host.clone());
        let entry = entry.or_insert_with(|| HostEntry::new(host, folder.clone(), started));
        let here = entry.folder == *folder;
        if !here {
            self.dirty.insert(path.clone(), item.clone());
        }
        here
    }

    /// Keeps a host's status; nothing becomes dirty.
    fn store_host(&mut self, status: HostStatus) {
        let Some(entry) = self.hosts.get_mut(&status.host) else { return };
        let host = status.host.clone();
        entry.status = status;
        self.watch(&host);
    }

    /// Keeps an assignment's status; nothing becomes dirty. Its host must have an entry.
    fn store(&mut self, status: AssignmentStatus) {
        self.forget(&status.assignment);
        let Some(entry) = self.hosts.get_mut(&status.assignment.host) else { return };
        *self.phases.entry(status.phase).or_default() += 1;
        if status.phase.is_waiting() {
            let due = later(status.since, self.deadline);
            self.deadlines.insert((due, status.assignment.clone()));
        }
        entry.assignments.insert(status.assignment.deployment.clone(), status);
    }

    /// Forgets an assignment's status; nothing becomes dirty.
    fn forget(&mut self, assignment: &AssignmentRef) {
        let Some(entry) = self.hosts.get_mut(&assignment.host) else { return };
        let Some(status) = entry.assignments.remove(&assignment.deployment) else { return };
        if let Some(count) = self.phases.get_mut(&status.phase) {
            *count -= 1;
            if *count == 0 {
                self.phases.remove(&status.phase);
            }
        }
        self.deadlines.remove(&(later(status.since, self.deadline), assignment.clone()));
    }

    /// Changes an assignment's status; `Removed` makes it go.
    fn put(&mut self, status: AssignmentStatus) {
        self.touch(&status.assignment);
        if status.phase == Phase::Removed {
            self.forget(&status.assignment);
        } else {
            self.store(status);
        }
    }

    /// Makes an assignment's status go.
    fn remove(&mut self, assignment: &AssignmentRef) {
        self.touch(assignment);
        self.forget(assignment);
    }

    /// The assignment's file is to be written, or removed.
    fn touch(&mut self, assignment: &AssignmentRef) {
        let Some(entry) = self.hosts.get(&assignment.host) else { return };
        if let Some(path) = files::assignment_path(&entry.folder, &assignment.deployment) {
            self.dirty.insert(path, Item::Assignment(assignment.clone()));
            self.dirty.insert(files::fleet_path(), Item::Fleet);
        }
    }

    /// The host's file is to be written, or removed.
    fn touch_host(&mut self, host: &Name) {
        let Some(entry) = self.hosts.get(host) else { return };
        if let Some(path) = files::host_path(&entry.folder) {
            self.dirty.insert(path, Item::Host(host.clone()));
        }
    }

    /// Puts the host into the index of silences, where it is due by now.
    fn watch(&mut self, host: &Name) {
        let Some(entry) = self.hosts.get_mut(host) else { return };
        if let Some(due) = entry.due.take() {
            self.silences.remove(&(due, host.clone()));
        }
        if entry.status.connection == Connection::Online {
            let due = match entry.heard {
                Some((at, interval)) => later(at, interval.saturating_mul(PATIENCE)),
                None => {
                    let (from, times) = entry.waiting;
                    later(from, ASSUMED_INTERVAL.saturating_mul(PATIENCE.saturating_mul(times)))
                }
            };
            entry.due = Some(due);
            self.silences.insert((due, host.clone()));
        }
    }
}

impl HostEntry {
    fn new(host: &Name, folder: RepoPath, since: Timestamp) -> Self {
        Self {
            folder,
            status: HostStatus {
                api_version: API_VERSION.to_owned(),
                kind: files::HOST_KIND.to_owned(),
                host: host.clone(),
                connection: Connection::Never,
                since,
                sequence: 0,
                rendered: None,
                generation: None,
                agent: None,
                message: None,
            },
            assignments: BTreeMap::new(),
            heard: None,
            full: false,
            waiting: (since, 1),
            due: None,
        }
    }
}

/// `time` plus `span`, or the end of time.
fn later(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Status files have times to the millisecond.
fn millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
