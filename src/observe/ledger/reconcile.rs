//! What is to run where has been rendered: statuses of what changed start anew.

use std::collections::BTreeMap;

use super::{HostEntry, ISSUED, Item, Ledger, millis};
use crate::model::{
    API_VERSION, AssignmentRef, Connection, Diagnostic, DiagnosticsFile, Fleet, FleetStatus,
    Limits, Name, Phase, RepoPath, Revision, Runtime, Timestamp, TreeId,
};
use crate::observe::files;
use crate::observe::fold::{self, Delivery, Origin};

/// What the rendered branch holds at its head, and how it came there.
#[derive(Debug)]
pub struct Goal<'a> {
    /// The source revision that was taken into account last, whether it changed anything or not.
    pub source: Revision,
    /// The head of the rendered branch, and its `Titan-Generation`.
    pub rendered: Option<(Revision, u64)>,
    /// Every host that has a folder on the rendered branch.
    pub hosts: &'a BTreeMap<Name, HostGoal>,
    /// The tree id of every assignment on the rendered branch.
    pub trees: &'a BTreeMap<AssignmentRef, TreeId>,
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
    pub limits: &'a Limits,
}

/// A host as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostGoal {
    /// Its folder on the rendered and status branches.
    pub folder: RepoPath,
    /// `None` when its file cannot be read: it stays what it was.
    pub delivery: Option<Delivery>,
}

impl HostGoal {
    /// All hosts that have a folder on the rendered branch, by what `fleet` says of them.
    #[must_use]
    pub fn all(fleet: &Fleet, folders: &BTreeMap<Name, RepoPath>) -> BTreeMap<Name, Self> {
        let delivery = |host: &Name| match fleet.hosts.get(host)?.spec.runtime {
            Runtime::External => Some(Delivery::External),
            _ => Some(Delivery::Agent),
        };
        let goal = |(host, folder): (&Name, &RepoPath)| {
            (host.clone(), Self { folder: folder.clone(), delivery: delivery(host) })
        };
        folders.iter().map(goal).collect()
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
        self.place_hosts(goal, now);
        for (assignment, tree) in goal.trees {
            self.want(assignment, Some(*tree), goal, now);
        }
        for assignment in self.surplus(goal) {
            self.want(&assignment, None, goal, now);
        }
        self.describe(goal);
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
        self.deadlines.clear();
        let statuses = self.hosts.values().flat_map(|entry| entry.assignments.values());
        let waiting = statuses.filter(|status| status.phase.is_waiting());
        self.deadlines =
            waiting.map(|s| (super::later(s.since, deadline), s.assignment.clone())).collect();
    }

    /// New hosts come, lost ones go with all that they had, moved ones keep their status.
    fn place_hosts(&mut self, goal: &Goal<'_>, now: Timestamp) {
        let gone = self.hosts.keys().filter(|host| !goal.hosts.contains_key(*host));
        for host in gone.cloned().collect::<Vec<_>>() {
            self.drop_host(&host);
        }
        for (host, wanted) in goal.hosts {
            match self.hosts.get(host) {
                None => {
                    let entry = HostEntry::new(host, wanted.folder.clone(), now);
                    self.hosts.insert(host.clone(), entry);
                    self.touch_host(host);
                    self.dirty.insert(files::fleet_path(), Item::Fleet);
                }
                Some(entry) if entry.folder != wanted.folder => {
                    self.touch_all(host);
                    if let Some(entry) = self.hosts.get_mut(host) {
                        entry.folder = wanted.folder.clone();
                    }
                    self.touch_all(host);
                }
                Some(_) => {}
            }
            self.set_delivery(host, wanted.delivery, now);
        }
    }

    fn set_delivery(&mut self, host: &Name, delivery: Option<Delivery>, now: Timestamp) {
        let Some(entry) = self.hosts.get_mut(host) else { return };
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

    fn drop_host(&mut self, host: &Name) {
        self.touch_all(host);
        let Some(entry) = self.hosts.get(host) else { return };
        let deployments: Vec<_> = entry.assignments.keys().cloned().collect();
        let due = entry.due;
        for deployment in deployments {
            self.forget(&AssignmentRef { deployment, host: host.clone() });
        }
        if let Some(due) = due {
            self.silences.remove(&(due, host.clone()));
        }
        self.hosts.remove(host);
        self.dirty.insert(files::fleet_path(), Item::Fleet);
    }

    /// All files of a host are to be written, or removed.
    fn touch_all(&mut self, host: &Name) {
        self.touch_host(host);
        let Some(entry) = self.hosts.get(host) else { return };
        let deployments: Vec<_> = entry.assignments.keys().cloned().collect();
        for deployment in deployments {
            self.touch(&AssignmentRef { deployment, host: host.clone() });
        }
    }

    /// Assignments that have a status and are not desired any more.
    fn surplus(&self, goal: &Goal<'_>) -> Vec<AssignmentRef> {
        let statuses = self.hosts.values().flat_map(|entry| entry.assignments.values());
        let surplus = statuses.filter(|status| !goal.trees.contains_key(&status.assignment));
        surplus.map(|status| status.assignment.clone()).collect()
    }

    fn want(
        &mut self,
        assignment: &AssignmentRef,
        tree: Option<TreeId>,
        goal: &Goal<'_>,
        now: Timestamp,
    ) {
        let Some(entry) = self.hosts.get(&assignment.host) else { return };
        let previous = entry.assignments.get(&assignment.deployment);
        let connection = entry.status.connection;
        if tree.is_none() && matches!(connection, Connection::External | Connection::Never) {
            // Nobody will ever say that it is gone.
            self.remove(assignment);
            return;
        }
        let delivery = match connection {
            Connection::External => Delivery::External,
            _ => Delivery::Agent,
        };
        let Some(origin) = goal.origins.get(assignment).copied().or(goal.origin) else { return };
        let Some(mut next) = fold::desire(previous, assignment, tree, origin, delivery, now) else {
            return;
        };
        if connection == Connection::Offline {
            next = fold::silence(&next, now).unwrap_or(next);
        }
        self.put(next);
    }

    /// What concerns the fleet as a whole.
    fn describe(&mut self, goal: &Goal<'_>) {
        let fleet = FleetStatus {
            api_version: API_VERSION.to_owned(),
            kind: files::FLEET_KIND.to_owned(),
            source: goal.source,
            rendered: goal.rendered.map(|(revision, _)| revision),
            hosts: 0,
            assignments: 0,
            phases: BTreeMap::<Phase, u64>::new(),
            held: goal.held.clone(),
            unplaced: goal.unplaced.clone(),
        };
        let before = self.fleet();
        self.fleet = Some(fleet);
        if self.fleet() != before {
            self.dirty.insert(files::fleet_path(), Item::Fleet);
        }
        let diagnostics = Some(diagnostics_file(goal.source, goal.diagnostics));
        if self.diagnostics != diagnostics {
            self.diagnostics = diagnostics;
            self.dirty.insert(files::diagnostics_path(), Item::Diagnostics);
        }
    }
}

fn diagnostics_file(source: Revision, all: &[Diagnostic]) -> DiagnosticsFile {
    let errors = all.iter().filter(|diagnostic| diagnostic.is_error()).count();
    DiagnosticsFile {
        api_version: API_VERSION.to_owned(),
        kind: files::DIAGNOSTICS_KIND.to_owned(),
        source,
        errors: errors as u64,
        warnings: (all.len() - errors) as u64,
        diagnostics: all.iter().take(files::DIAGNOSTICS).cloned().collect(),
    }
}
