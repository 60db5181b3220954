//! What hosts say, and what their silence says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, Record, later, millis};
use crate::model::{
    Connection, DeploymentRef, HostReport, Name, Phase, ReportAnswer, Revision, Timestamp, Trail,
};
use crate::observe::Refusal;
use crate::observe::fold::{self, clean};

/// Longest interval that a host may announce: it would never be found silent otherwise.
const LONGEST_INTERVAL: u32 = 24 * 60 * 60;

impl Ledger {
    /// Takes a host's report over. `issued` says whether a revision is on the rendered branch; it is
    /// asked for revisions that this ledger does not know yet.
    ///
    /// # Errors
    /// [`Refusal`]; nothing changes then.
    pub fn report(
        &mut self,
        report: &HostReport,
        now: Timestamp,
        issued: impl FnMut(Revision) -> bool,
    ) -> Result<ReportAnswer, Refusal> {
        let now = millis(now);
        let entry = self.hosts.get(&report.host).ok_or(Refusal::UnknownHost)?;
        let seen = entry.status.sequence;
        if report.sequence <= seen {
            return Err(Refusal::OldSequence { got: report.sequence, seen });
        }
        self.check_issued(report, issued)?;
        let mut changed = self.hear(report, now);
        let external = self.hosts[&report.host].status.connection == Connection::External;
        if !external {
            changed |= self.fold_all(report, now);
        }
        if changed {
            self.touch_host(&report.host);
        }
        let resync = !external && self.wants_all(report);
        Ok(ReportAnswer { sequence: report.sequence, resync })
    }

    /// Time passed: hosts that fell silent, phases that took too long.
    pub fn tick(&mut self, now: Timestamp) {
        let now = millis(now);
        while let Some((due, host)) = self.silences.first().cloned() {
            if due > now {
                break;
            }
            self.silences.pop_first();
            self.lose(&host, now);
        }
        while let Some((due, host)) = self.deadlines.first().cloned() {
            if due > now {
                break;
            }
            self.overdue(&host, now);
        }
    }

    /// Some of the host's assignments may have waited too long.
    fn overdue(&mut self, host: &Name, now: Timestamp) {
        let Some(entry) = self.hosts.get(host) else { return };
        let overdue = |record: &Record| {
            record.phase().is_waiting() && later(record.since(), self.deadline) <= now
        };
        let overdue = entry.assignments.iter().filter(|(_, record)| overdue(record));
        let late: Vec<_> = overdue
            .filter_map(|(deployment, record)| {
                fold::expire(&record.status(deployment.on(host)), now)
            })
            .collect();
        late.into_iter().for_each(|status| self.put(status));
        self.find_due(host);
    }

    /// This process was stopped, or too busy to listen, until `now`: silence up to here proves nothing.
    pub fn excuse(&mut self, now: Timestamp) {
        let now = millis(now);
        for entry in self.hosts.values_mut().map(Arc::make_mut) {
            if let Some((at, _)) = &mut entry.heard {
                *at = now;
            }
        }
        let watched: Vec<Name> = self.silences.iter().map(|(_, host)| host.clone()).collect();
        watched.iter().for_each(|host| self.watch(host));
    }

    /// When [`Ledger::tick`] may have something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let silence = self.silences.first().map(|(due, _)| *due);
        let deadline = self.deadlines.first().map(|(due, _)| *due);
        silence.into_iter().chain(deadline).min()
    }

    fn check_issued(
        &mut self,
        report: &HostReport,
        mut issued: impl FnMut(Revision) -> bool,
    ) -> Result<(), Refusal> {
        let named = report.assignments.iter().map(|assignment| assignment.rendered);
        for revision in named.chain(report.rendered).collect::<BTreeSet<_>>() {
            if self.issued.contains_key(&revision) {
                continue;
            }
            if !issued(revision) {
                return Err(Refusal::UnknownRevision(revision));
            }
            self.know(revision, None);
        }
        Ok(())
    }

    /// The host lives; says whether that, or anything about it, is worth a commit. The revision that it
    /// saw is not: every host would write its file for every commit of the fleet.
    fn hear(&mut self, report: &HostReport, now: Timestamp) -> bool {
        let generation = report.rendered.and_then(|seen| self.issued.get(&seen).copied().flatten());
        let Some(entry) = self.entry(&report.host) else { return false };
        let before = entry.status.clone();
        let interval = report.interval.clamp(1, LONGEST_INTERVAL);
        entry.heard = Some((now, Duration::from_secs(u64::from(interval))));
        entry.full |= report.full;
        let status = &mut entry.status;
        status.sequence = report.sequence;
        status.agent = Some(clean(&report.agent));
        status.message = report.message.as_deref().map(clean).filter(|text| !text.is_empty());
        if report.rendered.is_some() {
            (status.rendered, status.generation) = (report.rendered, generation);
        }
        if !matches!(status.connection, Connection::Online | Connection::External) {
            status.connection = Connection::Online;
            status.since = now;
        }
        let changed = before.connection != status.connection
            || before.agent != status.agent
            || before.message != status.message;
        self.watch(&report.host);
        changed
    }

    fn fold_all(&mut self, report: &HostReport, now: Timestamp) -> bool {
        let (mut changed, mut deployed) = (Vec::new(), Vec::new());
        let mut named = BTreeSet::new();
        let Some(entry) = self.hosts.get(&report.host) else { return false };
        for said in &report.assignments {
            named.insert(&said.deployment);
            // What nobody wants there has no status: the agent prunes it by itself.
            let Some(record) = entry.assignments.get(&said.deployment) else { continue };
            let previous = record.status(said.deployment.on(&report.host));
            let next = fold::fold(&previous, said, report.sequence, now);
            deployed.extend(next.as_ref().and_then(|next| arrival(&previous.trail, &next.trail)));
            changed.extend(next);
        }
        if report.full {
            let silent = entry.assignments.iter().filter(|(id, _)| !named.contains(id));
            let silent = silent.map(|(id, record)| record.status(id.on(&report.host)));
            changed.extend(silent.filter_map(|status| fold::absent(&status, now)));
        }
        let any = !changed.is_empty();
        changed.into_iter().for_each(|status| self.put(status));
        self.deployed.extend(deployed);
        any
    }

    /// Whether the host should send all that it has: this process has not heard it all yet, or the host
    /// is up to date and yet something is open that it does not speak of.
    fn wants_all(&self, report: &HostReport) -> bool {
        let Some(entry) = self.hosts.get(&report.host) else { return false };
        let up_to_date = report.rendered.is_some() && report.rendered == self.rendered();
        let named = |id: &DeploymentRef| report.assignments.iter().any(|s| s.deployment == *id);
        let open = |(id, record): (&DeploymentRef, &Record)| match record.phase() {
            Phase::Unknown => true,
            Phase::Pending | Phase::Removing => up_to_date && !named(id),
            _ => false,
        };
        !report.full && (!entry.full || entry.assignments.iter().any(open))
    }

    /// The host fell silent.
    fn lose(&mut self, host: &Name, now: Timestamp) {
        let Some(entry) = self.entry(host) else { return };
        entry.status.connection = Connection::Offline;
        entry.status.since = now;
        entry.heard = None;
        entry.full = false;
        entry.waiting = (now, entry.waiting.1);
        let statuses = entry.assignments.iter().map(|(id, record)| record.status(id.on(host)));
        let silent: Vec<_> = statuses.filter_map(|status| fold::silence(&status, now)).collect();
        self.watch(host);
        self.touch_host(host);
        silent.into_iter().for_each(|status| self.put(status));
    }

    /// Whether this process hears the host itself.
    pub(super) fn hears(&self, host: &Name, now: Timestamp) -> bool {
        let heard = self.hosts.get(host).and_then(|entry| entry.heard);
        heard
            .is_some_and(|(at, interval)| now < later(at, interval.saturating_mul(super::PATIENCE)))
    }
}

/// From the commit until it was deployed, when that is what the trail has more than before.
fn arrival(before: &Trail, after: &Trail) -> Option<Duration> {
    let deployed = after.deployed.filter(|_| before.deployed.is_none())?;
    // A host's clock may be behind.
    Some(Duration::try_from(deployed.duration_since(after.committed?)).unwrap_or_default())
}
