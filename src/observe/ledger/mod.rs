//! The sole owner of status state in a controller.
//!
//! ```text
//!  status branch ──load──▶ ┌────────┐ ◀──reconciled── the rendered head
//!        ▲                 │ Ledger │ ◀──report────── hosts
//!        └──────flush───── └────────┘ ◀──tick──────── time
//! ```
//!
//! Everything but `load` and `flush` is pure over `&mut self`; time is an argument. Work is
//! proportional to what an event touches: statuses are kept by host, hosts in indexes of what is due,
//! and what is dirty is all that a flush looks at. Half a million statuses are kept small ([`record`]).

mod describe;
mod dirty;
mod draft;
mod flush;
mod load;
mod merge;
mod reconcile;
mod record;
mod refused;
mod report;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::files;
use crate::model::{
    API_VERSION, AssignmentRef, AssignmentStatus, Connection, DeploymentRef, DiagnosticsFile,
    FleetStatus, HostStatus, Limits, Name, Phase, RepoPath, Revision, Timestamp, TreeId,
};

use dirty::{Dirty, NEVER, Round};
pub use draft::Draft;
pub use reconcile::{Changed, Goal};
use record::{Causes, Record};

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
    /// What a flush is writing down is copied before it changes.
    hosts: BTreeMap<Name, Arc<HostEntry>>,
    fleet: Option<FleetStatus>,
    diagnostics: Option<DiagnosticsFile>,
    /// How many assignments there are, by phase; exact, and kept so by every change of a status.
    phases: BTreeMap<Phase, u64>,
    causes: Causes,
    /// Hosts, by the earliest time at which one of their assignments may have waited too long.
    deadlines: BTreeSet<(Timestamp, Name)>,
    silences: BTreeSet<(Timestamp, Name)>,
    /// Rendered revisions known to be issued, with their generation where that is known.
    issued: BTreeMap<Revision, Option<u64>>,
    dirty: Dirty,
    /// Changes are made in this round; each flush begins the next one.
    round: Round,
    /// The branch has what changed up to here.
    written: Round,
    unsettled: Unsettled,
    /// See [`Ledger::take_deployed`].
    deployed: Vec<Duration>,
}

/// What the next [`Ledger::reconciled`] compares, whatever it is told: nobody knows whether it is as
/// it should be.
#[derive(Debug, Default)]
struct Unsettled {
    all: bool,
    /// Another controller had a say in these.
    hosts: BTreeSet<Name>,
}

/// One host, with what is assigned to it.
#[derive(Debug, Clone)]
struct HostEntry {
    folder: RepoPath,
    status: HostStatus,
    assignments: BTreeMap<DeploymentRef, Record>,
    /// When its own file changed last.
    changed: Round,
    /// Deployments without a status any more, whose files are to be removed, and since when.
    gone: BTreeMap<DeploymentRef, Round>,
    /// When this process heard it last, and its interval.
    heard: Option<(Timestamp, Duration)>,
    /// Whether this process has heard all of its state.
    full: bool,
    /// For a host that was never heard here: since when it is waited for, and for how many times
    /// the usual time. That grows whenever another controller turns out to hear the host.
    waiting: (Timestamp, u32),
    /// Its entry in the index of silences.
    due: Option<Timestamp>,
    /// Its entry in the index of deadlines: none of its assignments has an earlier one.
    deadline: Option<Timestamp>,
}

impl Ledger {
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
            causes: Causes::default(),
            deadlines: BTreeSet::new(),
            silences: BTreeSet::new(),
            issued: BTreeMap::new(),
            dirty: Dirty::default(),
            round: NEVER + 1,
            written: NEVER,
            unsettled: Unsettled { all: true, hosts: BTreeSet::new() },
            deployed: Vec::new(),
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
        self.fleet.clone().map(|fleet| FleetStatus {
            hosts: self.hosts.len() as u64,
            assignments: self.phases.values().sum(),
            phases: self.phases.clone(),
            ..fleet
        })
    }

    /// How many hosts there are, by connection. Costs a look at each of them.
    #[must_use]
    pub fn connections(&self) -> BTreeMap<Connection, u64> {
        let mut found = BTreeMap::new();
        for entry in self.hosts.values() {
            *found.entry(entry.status.connection).or_default() += 1;
        }
        found
    }

    /// How many assignments there are, by phase.
    #[must_use]
    pub fn phases(&self) -> &BTreeMap<Phase, u64> {
        &self.phases
    }

    /// For each assignment that a host said for the first time to be deployed, since this was asked last:
    /// how long that is after the commit that changed it.
    pub fn take_deployed(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.deployed)
    }

    #[must_use]
    pub fn host(&self, host: &Name) -> Option<&HostStatus> {
        self.hosts.get(host).map(|entry| &entry.status)
    }

    #[must_use]
    pub fn assignment(&self, assignment: &AssignmentRef) -> Option<AssignmentStatus> {
        let record = self.record(assignment)?;
        Some(record.status(assignment.clone()))
    }

    /// What was taken over may not be what the ledger was told to follow: the next
    /// [`Ledger::reconciled`] compares everything, whatever it is told.
    pub fn distrust(&mut self) {
        self.unsettled.all = true;
    }

    /// The host's entry, to change it.
    fn entry(&mut self, host: &Name) -> Option<&mut HostEntry> {
        self.hosts.get_mut(host).map(Arc::make_mut)
    }

    fn record(&self, assignment: &AssignmentRef) -> Option<&Record> {
        self.hosts.get(&assignment.host)?.assignments.get(&assignment.deployment)
    }

    /// Keeps a host's status; nothing becomes dirty.
    fn store_host(&mut self, status: HostStatus) {
        let Some(entry) = self.entry(&status.host) else { return };
        let host = status.host.clone();
        entry.status = status;
        self.watch(&host);
    }

    /// Keeps an assignment's status; nothing becomes dirty. Its host must have an entry. `file` is what the
    /// branch has of it, unless that is as before.
    fn store(&mut self, status: AssignmentStatus, file: Option<TreeId>) {
        let Some(entry) = self.hosts.get_mut(&status.assignment.host) else { return };
        let entry = Arc::make_mut(entry);
        *self.phases.entry(status.phase).or_default() += 1;
        let AssignmentRef { deployment, host } = status.assignment.clone();
        let due = status.phase.is_waiting().then(|| later(status.since, self.deadline));
        entry.gone.remove(&deployment);
        let mut record = Record::new(status, &mut self.causes);
        record.file = file;
        let before = match entry.assignments.entry(deployment) {
            Entry::Vacant(place) => {
                place.insert(record);
                None
            }
            // The key that is there stays: it is one for all hosts, while each report comes with its own.
            Entry::Occupied(mut place) => {
                record.file = file.or(place.get().file);
                Some(place.insert(record))
            }
        };
        let due = due.filter(|due| entry.deadline.is_none_or(|known| *due < known));
        self.discount(before);
        if due.is_some() {
            self.set_due(&host, due);
        }
    }

    /// Forgets an assignment's status; nothing becomes dirty.
    fn forget(&mut self, assignment: &AssignmentRef) {
        let Some(entry) = self.entry(&assignment.host) else { return };
        let before = entry.assignments.remove(&assignment.deployment);
        self.discount(before);
    }

    /// A record counts no more.
    fn discount(&mut self, record: Option<Record>) {
        let Some(record) = record else { return };
        if let Some(count) = self.phases.get_mut(&record.phase()) {
            *count -= 1;
            if *count == 0 {
                self.phases.remove(&record.phase());
            }
        }
    }

    /// Changes an assignment's status; `Removed` makes it go.
    fn put(&mut self, status: AssignmentStatus) {
        let assignment = status.assignment.clone();
        if status.phase == Phase::Removed {
            self.remove(&assignment);
        } else {
            self.store(status, None);
            self.touch(&assignment);
        }
    }

    /// Makes an assignment's status go.
    fn remove(&mut self, assignment: &AssignmentRef) {
        self.forget(assignment);
        self.touch(assignment);
    }

    /// Puts the host into the index of deadlines, where it is due then.
    fn set_due(&mut self, host: &Name, due: Option<Timestamp>) {
        let Some(entry) = self.entry(host) else { return };
        if let Some(before) = std::mem::replace(&mut entry.deadline, due) {
            self.deadlines.remove(&(before, host.clone()));
        }
        self.deadlines.extend(due.map(|due| (due, host.clone())));
    }

    /// The same, by the assignments that it has now.
    fn find_due(&mut self, host: &Name) {
        let Some(entry) = self.hosts.get(host) else { return };
        let waiting = entry.assignments.values().filter(|record| record.phase().is_waiting());
        let due = waiting.map(|record| later(record.since(), self.deadline)).min();
        self.set_due(host, due);
    }

    /// Puts the host into the index of silences, where it is due by now.
    fn watch(&mut self, host: &Name) {
        let Some(entry) = self.hosts.get_mut(host).map(Arc::make_mut) else { return };
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
            changed: NEVER,
            gone: BTreeMap::new(),
            heard: None,
            full: false,
            waiting: (since, 1),
            due: None,
            deadline: None,
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
