use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
mod changed;
mod draft;
mod known;

use crate::model::Phase::{Applying, Deployed, Failed, Pending, Removing, Stalled, Unknown};
use crate::model::{
    AssignmentReport, Diagnostic, Fleet, Host, HostReport, HostSpec, Labels, Runtime, Trees,
};
use crate::observe::{Delivery, Origin, Refusal};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn revision(byte: u8) -> Revision {
    Revision::from_bytes([byte; 20])
}

fn host(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn assignment(text: &str) -> AssignmentRef {
    text.parse().unwrap()
}

/// A fleet as the controller describes it, and the ledger that follows.
struct Story {
    ledger: Ledger,
    limits: Limits,
    fleet: Fleet,
    folders: BTreeMap<Name, RepoPath>,
    trees: Trees,
    held: BTreeMap<String, String>,
    diagnostics: Vec<Diagnostic>,
    unchecked: bool,
    commit: u8,
    sequence: u64,
}

impl Story {
    fn new() -> Self {
        let limits = Limits::default();
        let ledger = Ledger::empty(&limits, at(0));
        let (fleet, folders, trees) = (Fleet::default(), BTreeMap::new(), Trees::default());
        let (held, diagnostics, unchecked) = (BTreeMap::new(), Vec::new(), false);
        let (commit, sequence) = (0, 0);
        Self {
            ledger,
            limits,
            fleet,
            folders,
            trees,
            held,
            diagnostics,
            unchecked,
            commit,
            sequence,
        }
    }

    fn host(mut self, name: &str, delivery: Delivery) -> Self {
        let folder = RepoPath::new(&format!("hosts/{name}")).unwrap();
        self.folders.insert(host(name), folder);
        self.deliver(name, delivery);
        self
    }

    /// What people write of the host.
    fn deliver(&mut self, name: &str, delivery: Delivery) {
        let runtime = match delivery {
            Delivery::Agent => Runtime::Directory,
            Delivery::External => Runtime::External,
        };
        let spec = HostSpec { runtime, ..HostSpec::default() };
        let path = RepoPath::new(&format!("hosts/{name}.yaml")).unwrap();
        let one = Host { name: host(name), path, labels: Labels::new(), spec };
        self.fleet.hosts.insert(host(name), Arc::new(one));
    }

    /// The rendered branch has these trees at a new commit.
    fn rendered(&mut self, trees: &[(&str, u8)], now: i64) {
        self.commit += 1;
        let tree = |byte: u8| TreeId::from_bytes([byte; 20]);
        self.trees = trees.iter().map(|(name, byte)| (assignment(name), tree(*byte))).collect();
        self.reconcile(now);
    }

    fn reconcile(&mut self, now: i64) {
        self.reconcile_with(None, now);
    }

    fn reconcile_with(&mut self, changed: Option<&Changed>, now: i64) {
        let (source, rendered) = (revision(self.commit), revision(100 + self.commit));
        let origin = Origin { source, rendered, committed: at(now - 1), published: at(now) };
        let (none, no_origins) = (BTreeMap::new(), BTreeMap::new());
        let goal = Goal {
            source,
            rendered: Some((rendered, u64::from(self.commit))),
            fleet: &self.fleet,
            folders: &self.folders,
            trees: &self.trees,
            changed,
            origins: &no_origins,
            origin: Some(origin),
            held: &self.held,
            unplaced: &none,
            diagnostics: &self.diagnostics,
            unchecked: self.unchecked,
            limits: &self.limits,
        };
        self.ledger.reconciled(&goal, at(now));
    }

    fn report(&mut self, name: &str, full: bool, said: &[(&str, Phase, u8)]) -> HostReport {
        self.sequence += 1;
        let one = |(what, phase, tree): &(&str, Phase, u8)| AssignmentReport {
            deployment: what.parse().unwrap(),
            rendered: revision(100 + self.commit),
            tree: (*tree > 0).then_some(TreeId::from_bytes([*tree; 20])),
            phase: *phase,
            reason: "Told".into(),
            message: String::new(),
            received: None,
            applied: None,
            deployed: None,
        };
        HostReport {
            host: host(name),
            sequence: self.sequence,
            agent: "0.1.0".into(),
            interval: 10,
            rendered: Some(revision(100 + self.commit)),
            full,
            assignments: said.iter().map(one).collect(),
            message: None,
        }
    }

    /// The host's report arrives; says whether it is to send everything.
    fn hears(&mut self, name: &str, full: bool, said: &[(&str, Phase, u8)], now: i64) -> bool {
        let report = self.report(name, full, said);
        self.ledger.report(&report, at(now), |_| false).unwrap().resync
    }

    fn phase(&self, text: &str) -> Option<Phase> {
        self.ledger.assignment(&assignment(text)).map(|status| status.phase)
    }

    fn connection(&self, name: &str) -> Option<Connection> {
        self.ledger.host(&host(name)).map(|status| status.connection)
    }

    fn counts(&self) -> Vec<(Phase, u64)> {
        self.ledger.fleet().unwrap().phases.into_iter().collect()
    }

    /// The paths that the next flush would write or remove.
    fn dirty(&mut self) -> Vec<String> {
        let files = pending(&self.ledger);
        written(&mut self.ledger);
        files.into_keys().collect()
    }
}

/// The branch has it all.
fn written(ledger: &mut Ledger) {
    let draft = ledger.take_draft();
    ledger.ended(draft, Ok(None)).unwrap();
}

/// The files that the next flush writes (`true`) or removes.
fn pending(ledger: &Ledger) -> BTreeMap<String, bool> {
    let dirty = &ledger.dirty;
    let mut files: BTreeMap<_, _> =
        dirty.leftovers.keys().map(|path| (path.to_string(), false)).collect();
    let written = ledger.written;
    for entry in dirty.hosts.iter().filter_map(|host| ledger.hosts.get(host)) {
        let path = |id: &DeploymentRef| files::assignment_path(&entry.folder, id).unwrap();
        let changed = entry.assignments.iter().filter(|(_, record)| record.changed > written);
        files.extend(entry.gone.keys().map(|id| (path(id).to_string(), false)));
        files.extend(changed.map(|(id, _)| (path(id).to_string(), true)));
        files.extend((entry.changed > written).then(|| (format!("{}.yaml", entry.folder), true)));
    }
    files.extend(dirty.fleet.then(|| ("fleet.yaml".to_owned(), true)));
    files.extend(dirty.diagnostics.then(|| ("diagnostics.yaml".to_owned(), true)));
    files
}

const A: &str = "iot/sensor/prod@a";
const B: &str = "iot/sensor/prod@b";
const PROD: &str = "iot/sensor/prod";

fn two_hosts() -> Story {
    let mut story = Story::new().host("a", Delivery::Agent).host("b", Delivery::Agent);
    story.rendered(&[(A, 1), (B, 1)], 10);
    story
}

#[test]
fn from_rendered_to_deployed() {
    let mut story = two_hosts();
    assert_eq!(
        story.dirty(),
        [
            "diagnostics.yaml",
            "fleet.yaml",
            "hosts/a.yaml",
            "hosts/a/iot/sensor/prod.yaml",
            "hosts/b.yaml",
            "hosts/b/iot/sensor/prod.yaml",
        ]
    );
    assert_eq!(story.counts(), [(Pending, 2)]);
    assert_eq!(story.connection("a"), Some(Connection::Never));

    assert!(story.hears("a", false, &[(PROD, Applying, 1)], 11), "not all of it is known");
    assert!(!story.hears("a", true, &[(PROD, Deployed, 1)], 12));
    assert_eq!(story.dirty(), ["fleet.yaml", "hosts/a.yaml", "hosts/a/iot/sensor/prod.yaml"]);
    assert_eq!(story.counts(), [(Pending, 1), (Deployed, 1)]);
    let status = story.ledger.host(&host("a")).unwrap();
    assert_eq!((status.connection, status.generation), (Connection::Online, Some(1)));

    // Committed at 9, deployed at 12; that is told once.
    assert_eq!(story.ledger.take_deployed(), [Duration::from_secs(3)]);
    let connections = [(Connection::Online, 1), (Connection::Never, 1)];
    assert_eq!(story.ledger.connections(), BTreeMap::from(connections));

    assert!(!story.hears("a", false, &[(PROD, Deployed, 1)], 13));
    assert!(story.ledger.take_deployed().is_empty());
    assert_eq!(story.dirty(), [""; 0], "a heartbeat is nothing to write down");
    story.reconcile(14);
    assert_eq!(story.dirty(), [""; 0], "nor is a pass that changed nothing");
}

#[test]
fn only_the_changed_assignment_starts_anew() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    story.hears("b", true, &[(PROD, Deployed, 1)], 11);
    story.dirty();
    story.rendered(&[(A, 2), (B, 1)], 20);
    assert_eq!((story.phase(A), story.phase(B)), (Some(Pending), Some(Deployed)));
    assert_eq!(story.dirty(), ["diagnostics.yaml", "fleet.yaml", "hosts/a/iot/sensor/prod.yaml"]);
    // The host has not seen the new commit yet.
    story.hears("a", true, &[(PROD, Deployed, 1)], 21);
    assert_eq!(story.phase(A), Some(Pending));
}

#[test]
fn removal_takes_its_time_and_then_the_file() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    story.rendered(&[], 20);
    assert_eq!(story.phase(A), Some(Removing));
    assert_eq!(story.phase(B), None, "a host that never came has nothing to remove");
    story.dirty();
    story.hears("a", false, &[(PROD, Phase::Removed, 0)], 21);
    assert_eq!(story.phase(A), None);
    assert!(story.dirty().contains(&"hosts/a/iot/sensor/prod.yaml".to_owned()));
    assert_eq!(story.counts(), []);

    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    story.rendered(&[], 20);
    story.hears("a", true, &[], 21);
    assert_eq!(story.phase(A), None, "absent from a full report is gone, too");
}

#[test]
fn hosts_go_and_move() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    story.dirty();
    let folder = RepoPath::new("hosts/eu/a").unwrap();
    story.folders.insert(host("a"), folder);
    story.folders.remove(&host("b"));
    story.rendered(&[(A, 1)], 20);
    assert_eq!((story.phase(A), story.connection("b")), (Some(Deployed), None));
    let written = pending(&story.ledger).into_iter();
    let written: Vec<_> = written.map(|(path, written)| format!("{path} {written}")).collect();
    assert_eq!(
        written,
        [
            "diagnostics.yaml true",
            "fleet.yaml true",
            "hosts/a.yaml false",
            "hosts/a/iot/sensor/prod.yaml false",
            "hosts/b.yaml false",
            "hosts/b/iot/sensor/prod.yaml false",
            "hosts/eu/a.yaml true",
            "hosts/eu/a/iot/sensor/prod.yaml true",
        ]
    );
    assert_eq!(story.counts(), [(Deployed, 1)]);
}

#[test]
fn external_hosts_are_not_known_and_removed_at_once() {
    let mut story = Story::new().host("a", Delivery::External);
    story.rendered(&[(A, 1)], 10);
    assert_eq!(story.connection("a"), Some(Connection::External));
    let status = story.ledger.assignment(&assignment(A)).unwrap();
    assert_eq!((status.phase, status.reason.as_str()), (Unknown, "External"));
    assert_eq!(story.ledger.next_deadline(), None);
    story.rendered(&[], 20);
    assert_eq!(story.phase(A), None);
    // A host whose file is broken stays what it was.
    story.fleet.hosts.clear();
    story.reconcile(30);
    assert_eq!(story.connection("a"), Some(Connection::External));
    story.deliver("a", Delivery::Agent);
    story.rendered(&[(A, 1)], 40);
    assert_eq!((story.connection("a"), story.phase(A)), (Some(Connection::Never), Some(Pending)));
}

#[test]
fn silence_is_noticed_and_ends_with_a_full_report() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    assert_eq!(story.ledger.next_deadline(), Some(at(41)), "three intervals of 10 s");
    story.ledger.tick(at(40));
    assert_eq!(story.phase(A), Some(Deployed));
    story.ledger.tick(at(41));
    assert_eq!((story.phase(A), story.connection("a")), (Some(Unknown), Some(Connection::Offline)));
    assert_eq!(story.ledger.assignment(&assignment(A)).unwrap().last, Some(Deployed));

    story.rendered(&[(A, 2), (B, 1)], 50);
    let status = story.ledger.assignment(&assignment(A)).unwrap();
    assert_eq!((status.phase, status.last), (Unknown, Some(Pending)), "still nobody there");

    assert!(story.hears("a", false, &[], 60), "what it has is not known");
    assert_eq!((story.phase(A), story.connection("a")), (Some(Unknown), Some(Connection::Online)));
    assert!(!story.hears("a", true, &[(PROD, Deployed, 2)], 61));
    assert_eq!(story.phase(A), Some(Deployed));
}

/// A controller that was stopped has not listened; a host is silent only when somebody did.
#[test]
fn silence_while_nobody_listened_proves_nothing() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    story.ledger.excuse(at(500));
    assert_eq!(story.ledger.next_deadline(), Some(at(530)), "three intervals from now on");
    story.ledger.tick(at(529));
    assert_eq!(story.connection("a"), Some(Connection::Online));
    story.ledger.tick(at(530));
    assert_eq!(story.connection("a"), Some(Connection::Offline));
}

#[test]
fn what_takes_too_long_is_stalled() {
    let mut story = two_hosts();
    assert_eq!(story.ledger.next_deadline(), Some(at(610)));
    story.ledger.tick(at(609));
    assert_eq!(story.phase(A), Some(Pending));
    story.ledger.tick(at(610));
    assert_eq!(story.counts(), [(Stalled, 2)]);
    assert_eq!(story.ledger.next_deadline(), None);

    let mut story = two_hosts();
    story.limits.progress_deadline = crate::model::TimeSpan::seconds(20);
    story.reconcile(11);
    assert_eq!(story.ledger.next_deadline(), Some(at(30)), "the fleet's settings changed");
}

#[test]
fn reports_that_cannot_be_are_refused() {
    let mut story = two_hosts();
    let first = story.report("a", true, &[]);
    let second = story.report("a", true, &[]);
    story.ledger.report(&second, at(11), |_| false).unwrap();
    for old in [&first, &second] {
        let refusal = story.ledger.report(old, at(12), |_| true).unwrap_err();
        assert_eq!(refusal, Refusal::OldSequence { got: old.sequence, seen: 2 });
    }
    let mut foreign = story.report("a", false, &[(PROD, Failed, 1)]);
    foreign.assignments[0].rendered = revision(9);
    let refusal = story.ledger.report(&foreign, at(13), |_| false).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownRevision(revision(9)));
    assert_eq!(story.phase(A), Some(Pending), "nothing of it was taken");
    // The same, where Git says that it was issued; it is asked once.
    let mut asked = 0;
    story
        .ledger
        .report(&foreign, at(14), |_| {
            asked += 1;
            true
        })
        .unwrap();
    foreign.sequence += 1;
    story
        .ledger
        .report(&foreign, at(15), |_| {
            asked += 1;
            true
        })
        .unwrap();
    assert_eq!((asked, story.phase(A)), (1, Some(Failed)));

    foreign.host = host("nobody");
    let refusal = story.ledger.report(&foreign, at(16), |_| true).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownHost);
}

#[test]
fn a_host_that_skips_something_open_is_asked_for_everything() {
    let mut story = two_hosts();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    // Away and back again between two reports: nothing changed for the host.
    story.rendered(&[(A, 2), (B, 1)], 20);
    story.rendered(&[(A, 1), (B, 1)], 21);
    assert_eq!(story.phase(A), Some(Pending));
    assert!(story.hears("a", false, &[], 22));
    assert!(!story.hears("a", true, &[(PROD, Deployed, 1)], 23));
    assert_eq!(story.phase(A), Some(Deployed));
}

#[test]
fn what_nobody_wants_there_has_no_status() {
    let mut story = two_hosts();
    story.hears("a", true, &[("evil/x/y", Failed, 1), (PROD, Deployed, 1)], 11);
    assert_eq!(story.phase("evil/x/y@a"), None);
    assert_eq!(story.counts(), [(Pending, 1), (Deployed, 1)]);
}

#[test]
fn diagnostics_are_cut_and_their_counts_are_not() {
    let mut story = two_hosts();
    story.diagnostics = vec![Diagnostic::warning("layout/unknown-path", "x"); 700];
    story.diagnostics.extend(vec![Diagnostic::error("field/type", "y"); 800]);
    story.reconcile(20);
    let file = story.ledger.diagnostics.unwrap();
    assert_eq!((file.errors, file.warnings, file.diagnostics.len()), (800, 700, 1000));
}
