//! Status on real repositories: ledgers that flush, views and traces that read.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use titan::git::{CommitDraft, FleetRepository, Location, Repository, Signature, TreeEdit};
use titan::model::{
    AssignmentRef, AssignmentReport, Connection, Fleet, Host, HostReport, HostSpec, Labels, Limits,
    Name, Phase, RepoPath, Revision, Timestamp, TreeId, Trees,
};
use titan::observe::trace::{Heads, Stage};
use titan::observe::view::Scope;
use titan::observe::{Goal, Ledger, StatusView, Trace, Verdict, origin, origins, trace};

const STATUS: &str = "titan/status";
const A: &str = "iot/sensor/prod@a";
const PROD: &str = "iot/sensor/prod";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a path")
}

/// Runs the stock `git` without any configuration of this machine.
fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status();
    assert!(status.expect("git runs").success(), "git {args:?}");
}

/// A fleet's repository with hand-made config and rendered branches.
struct World {
    _dir: TempDir,
    fleet: FleetRepository,
    held: BTreeMap<String, String>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        git(dir.path(), &["init", "-q", "--bare", "."]);
        let location = Location::Local(dir.path().to_owned());
        let limits = Limits::default();
        let fleet = FleetRepository::open(&location, Some("main"), Path::new(""), &limits);
        Self { _dir: dir, fleet: fleet.expect("a repository"), held: BTreeMap::new() }
    }

    fn repository(&self) -> &Repository {
        &self.fleet.repository
    }

    fn head(&self, branch: &str) -> Option<Revision> {
        self.repository().branch(branch).expect("a branch can be read")
    }

    /// Commits onto `branch`; an empty text removes the file or folder.
    fn commit(&self, branch: &str, files: &[(&str, &str)], message: &str, time: i64) -> Revision {
        let parent = self.head(branch);
        let base = parent.map(|parent| self.repository().commit(parent).expect("a commit").tree);
        let mut edit = TreeEdit::new(self.repository(), base);
        for (name, text) in files {
            match *text {
                "" => edit.remove(&path(name)).expect("removed"),
                text => edit.put(&path(name), text.as_bytes()).expect("put"),
            }
        }
        let seconds = at(time).as_second();
        let titan =
            Signature { name: "t".into(), email: "t@example.com".into(), seconds, offset: 0 };
        let draft = CommitDraft {
            tree: edit.write().expect("a tree"),
            parents: parent.into_iter().collect(),
            author: titan.clone(),
            committer: titan,
            message: message.to_owned(),
        };
        let new = self.repository().write_commit(&draft).expect("a commit");
        self.repository().advance(branch, parent, new).expect("moved");
        new
    }

    fn source(&self, files: &[(&str, &str)], time: i64) -> Revision {
        self.commit("main", files, "change something\n", time)
    }

    fn render(&self, source: Revision, files: &[(&str, &str)], time: i64) -> Revision {
        let message = format!("render it\n\nTitan-Source-Commit: {source}\n");
        self.commit("titan/rendered", files, &message, time)
    }

    fn load(&self, now: i64) -> Ledger {
        let limits = Limits::default();
        Ledger::load(self.repository(), self.head(STATUS), &limits, at(now)).expect("a ledger")
    }

    /// What the controller does after a pass over `source`: all folders of the rendered head count.
    fn reconcile(&self, ledger: &mut Ledger, source: Revision, now: i64) {
        let rendered = self.head("titan/rendered");
        let (mut fleet, mut folders) = (Fleet::default(), BTreeMap::new());
        let mut trees = Trees::default();
        if let Some(rendered) = rendered {
            let tree = self.repository().commit(rendered).expect("a commit").tree;
            for (file, _) in self.repository().walk(tree).expect("files") {
                let parts: Vec<_> = file.segments().collect();
                match parts.as_slice() {
                    ["hosts", .., host, ".titan"] => {
                        let folder = path(file.as_str().trim_end_matches("/.titan"));
                        let name = Name::new(host).expect("a name");
                        let file = path(&format!("{folder}.yaml"));
                        let (labels, spec) = (Labels::new(), HostSpec::default());
                        let host = Host { name: name.clone(), path: file, labels, spec };
                        fleet.hosts.insert(name.clone(), Arc::new(host));
                        folders.insert(name, folder);
                    }
                    ["hosts", .., host, workspace, workload, name, _] => {
                        let text = format!("{workspace}/{workload}/{name}@{host}");
                        let folder = path(file.as_str().rsplit_once('/').expect("a folder").0);
                        let entry = self.repository().entry(tree, &folder).expect("read");
                        let AssignmentRef { deployment, host } = assignment(&text);
                        trees.set(&deployment, &host, Some(entry.expect("a folder").id));
                    }
                    _ => {}
                }
            }
        }
        let repository = self.repository();
        let changed = rendered.map_or_else(BTreeMap::new, |tip| {
            origins(repository, ledger.rendered(), tip, at(now)).expect("origins")
        });
        let head = rendered.and_then(|tip| origin(repository, tip, at(now)).expect("an origin"));
        let goal = Goal {
            source,
            rendered: rendered.map(|revision| (revision, 1)),
            fleet: &fleet,
            folders: &folders,
            trees: &trees,
            changed: None,
            origins: &changed,
            origin: head,
            held: &self.held,
            unplaced: &BTreeMap::new(),
            diagnostics: &[],
            unchecked: false,
            limits: &Limits::default(),
        };
        ledger.reconciled(&goal, at(now));
    }

    fn flush(&self, ledger: &mut Ledger, now: i64) -> Option<Revision> {
        ledger.flush(&self.fleet, STATUS, at(now)).expect("a flush")
    }

    fn view(&self) -> StatusView {
        StatusView::read(self.repository(), self.head(STATUS), &Scope::Fleet).expect("a view")
    }

    fn phase(&self, name: &str) -> Option<Phase> {
        let view = self.view();
        let mut found = view.assignments.iter().filter(|s| s.assignment == assignment(name));
        found.next().map(|status| status.phase)
    }

    fn subject(&self, branch: &str) -> String {
        let head = self.head(branch).expect("a branch");
        self.repository().commit(head).expect("a commit").subject
    }

    fn tree_of(&self, folder: &str) -> TreeId {
        let head = self.head("titan/rendered").expect("a branch");
        let tree = self.repository().commit(head).expect("a commit").tree;
        self.repository().entry(tree, &path(folder)).expect("read").expect("a folder").id
    }

    fn trace(&self, source: Revision) -> Trace {
        let heads = Heads {
            config: self.head("main"),
            rendered: self.head("titan/rendered"),
            status: self.head(STATUS),
        };
        trace(self.repository(), &heads, source).expect("a trace")
    }

    /// A report of host `a` about its one assignment.
    fn report(&self, sequence: u64, phase: Phase) -> HostReport {
        let rendered = self.head("titan/rendered").expect("a branch");
        HostReport {
            host: Name::new("a").expect("a name"),
            sequence,
            agent: "0.1.0".into(),
            interval: 10,
            rendered: Some(rendered),
            full: true,
            assignments: vec![AssignmentReport {
                deployment: PROD.parse().expect("a name"),
                rendered,
                tree: Some(self.tree_of("hosts/a/iot/sensor/prod")),
                phase,
                reason: "Told".into(),
                message: String::new(),
                received: None,
                applied: None,
                deployed: None,
            }],
            message: None,
        }
    }
}

fn assignment(text: &str) -> AssignmentRef {
    text.parse().expect("an assignment")
}

fn hear(ledger: &mut Ledger, report: &HostReport, now: i64) {
    ledger.report(report, at(now), |_| true).expect("accepted");
}

/// One host `a` that runs one deployment, rendered at second 10.
fn started() -> (World, Revision) {
    let world = World::new();
    let source = world.source(&[("hosts/a.yaml", "1"), ("workspaces/iot/x", "1")], 1);
    let files = [("hosts/a/.titan", "host: a\n"), ("hosts/a/iot/sensor/prod/c.yaml", "v: 1\n")];
    world.render(source, &files, 1);
    (world, source)
}

#[test]
fn a_flush_writes_what_changed_once() {
    let (world, source) = started();
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    let first = world.flush(&mut ledger, 10).expect("a commit");
    assert_eq!(world.subject(STATUS), "status: 1 pending");
    assert_eq!(world.flush(&mut ledger, 11), None);

    hear(&mut ledger, &world.report(1, Phase::Deployed), 12);
    let second = world.flush(&mut ledger, 13).expect("a commit");
    assert_eq!(world.subject(STATUS), "status: 1 deployed");
    let info = world.repository().commit(second).expect("a commit");
    assert_eq!((info.parents, info.committer.seconds), (vec![first], at(13).as_second()));
    assert_eq!(
        (info.author.name.as_str(), info.author.email.as_str()),
        ("titan", "titan@titan.dev")
    );

    hear(&mut ledger, &world.report(2, Phase::Deployed), 14);
    assert_eq!(world.flush(&mut ledger, 15), None, "a heartbeat");

    // Another process that starts from the branch finds nothing to do.
    let mut other = world.load(20);
    world.reconcile(&mut other, source, 20);
    assert_eq!(world.flush(&mut other, 20), None);

    let view = world.view();
    let fleet = view.fleet.as_ref().expect("a fleet");
    assert_eq!((fleet.hosts, fleet.assignments, fleet.source), (1, 1, source));
    assert_eq!(fleet.phases, BTreeMap::from([(Phase::Deployed, 1)]));
    assert_eq!((view.verdict(), view.fleet_verdict()), (Verdict::Deployed, Verdict::Deployed));
    assert_eq!(view.hosts[0].connection, Connection::Online);
    let trail = &view.assignments[0].trail;
    assert_eq!((trail.committed, trail.rendered), (Some(at(1)), Some(at(10))));
    assert!(view.unreadable.is_empty());
    for scope in [
        Scope::Deployment(PROD.parse().expect("a name")),
        Scope::Host(Name::new("a").expect("a name")),
    ] {
        let part = StatusView::read(world.repository(), view.revision, &scope).expect("a view");
        assert_eq!((part.hosts, part.assignments), (view.hosts.clone(), view.assignments.clone()));
    }
    let other = Scope::Deployment("iot/sensor/test".parse().expect("a name"));
    let part = StatusView::read(world.repository(), view.revision, &other).expect("a view");
    assert_eq!((part.hosts.len(), part.assignments.len()), (0, 0));
}

#[test]
fn two_controllers_write_the_same_once() {
    let (world, source) = started();
    let (mut one, mut two) = (world.load(10), world.load(10));
    world.reconcile(&mut one, source, 10);
    world.reconcile(&mut two, source, 10);
    assert!(world.flush(&mut one, 10).is_some());
    assert_eq!(world.flush(&mut two, 10), None);
}

#[test]
fn the_newer_observation_survives_a_lost_race() {
    let (world, source) = started();
    let (mut one, mut two) = (world.load(10), world.load(10));
    world.reconcile(&mut one, source, 10);
    world.flush(&mut one, 10).expect("a commit");
    world.reconcile(&mut two, source, 10);
    world.flush(&mut two, 10);

    // The host reports to one, then to the other, which is faster.
    hear(&mut one, &world.report(1, Phase::Progressing), 11);
    hear(&mut two, &world.report(2, Phase::Deployed), 12);
    world.flush(&mut two, 12).expect("a commit");
    world.flush(&mut one, 13);
    assert_eq!(world.phase(A), Some(Phase::Deployed));

    // One that is behind on rendered commits does not undo what a newer one wants.
    let files = [("hosts/a/iot/sensor/prod/c.yaml", "v: 2\n")];
    let next = world.source(&[("workspaces/iot/x", "2")], 20);
    world.render(next, &files, 20);
    world.reconcile(&mut two, next, 21);
    world.flush(&mut two, 21).expect("a commit");
    let mut late = world.report(3, Phase::Failed);
    late.assignments[0].tree = None;
    hear(&mut one, &late, 22);
    world.flush(&mut one, 23);
    let view = world.view();
    assert_eq!(view.assignments[0].desired.source, next);
    assert_eq!(view.fleet.expect("a fleet").source, next);
}

#[test]
fn a_push_that_loses_is_redone_on_top() {
    let (world, source) = started();
    let url = format!("file://{}", world.repository().git_dir().display());
    let caches = tempfile::tempdir().expect("a folder");
    let clone = |name: &str| {
        let (location, cache) = (Location::Remote(url.clone()), caches.path().join(name));
        FleetRepository::open(&location, Some("main"), &cache, &Limits::default()).expect("a clone")
    };
    let (near, far) = (clone("near"), clone("far"));
    let (mut one, mut two) = (world.load(10), world.load(10));
    world.reconcile(&mut one, source, 10);
    world.reconcile(&mut two, source, 10);
    let first = one.flush(&near, STATUS, at(10)).expect("a flush");
    let second = two.flush(&far, STATUS, at(10)).expect("a flush");
    assert!(first.is_some() && first == second, "at the same time it is the same commit");

    // `far` does not know of the commits in between: its push is refused, and redone.
    hear(&mut one, &world.report(1, Phase::Progressing), 11);
    let between = one.flush(&near, STATUS, at(11)).expect("a flush").expect("a commit");
    hear(&mut two, &world.report(2, Phase::Deployed), 12);
    let last = two.flush(&far, STATUS, at(12)).expect("a flush").expect("a commit");
    assert_eq!(world.head(STATUS), Some(last));
    assert_eq!(world.repository().commit(last).expect("a commit").parents, [between]);
    assert_eq!(world.phase(A), Some(Phase::Deployed));
}

#[test]
fn what_another_controller_saw_go_is_gone() {
    let (world, source) = started();
    let (mut one, mut two) = (world.load(10), world.load(10));
    world.reconcile(&mut one, source, 10);
    hear(&mut one, &world.report(1, Phase::Deployed), 11);
    world.flush(&mut one, 11).expect("a commit");
    world.reconcile(&mut two, source, 11);
    assert_eq!(world.flush(&mut two, 11), None);
    let last = world.source(&[("workspaces/iot/x", "")], 20);
    world.render(last, &[("hosts/a/iot", "")], 20);
    for ledger in [&mut one, &mut two] {
        world.reconcile(ledger, last, 21);
        world.flush(ledger, 21);
    }
    assert_eq!(world.phase(A), Some(Phase::Removing));
    hear(&mut one, &HostReport { sequence: 2, ..empty_report() }, 22);
    world.flush(&mut one, 22).expect("a commit");
    assert_eq!(world.flush(&mut two, 23), None);
    assert_eq!((world.phase(A), two.assignment(&assignment(A))), (None, None));
    assert_eq!(two.fleet().expect("a fleet").assignments, 0);
}

#[test]
fn a_host_that_is_heard_elsewhere_stays_online() {
    let (world, source) = started();
    let mut hearing = world.load(10);
    world.reconcile(&mut hearing, source, 10);
    hear(&mut hearing, &world.report(1, Phase::Deployed), 11);
    world.flush(&mut hearing, 11).expect("a commit");

    // Another controller starts, hears nothing for three minutes, and says so.
    let mut deaf = world.load(12);
    deaf.tick(at(191));
    assert_eq!(deaf.next_deadline(), Some(at(192)));
    deaf.tick(at(192));
    world.flush(&mut deaf, 192).expect("a commit");
    assert_eq!(world.phase(A), Some(Phase::Unknown));
    assert_eq!(world.view().hosts[0].connection, Connection::Offline);

    // The one that hears it knows better, and is believed for twice as long.
    hear(&mut hearing, &world.report(9, Phase::Deployed), 193);
    world.flush(&mut hearing, 194).expect("a commit");
    assert_eq!(world.phase(A), Some(Phase::Deployed));
    assert_eq!(world.flush(&mut deaf, 195), None);
    assert_eq!(deaf.next_deadline(), Some(at(195 + 360)));
}

#[test]
fn a_lost_status_branch_is_written_anew() {
    let (world, source) = started();
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    hear(&mut ledger, &world.report(1, Phase::Deployed), 11);
    world.flush(&mut ledger, 11).expect("a commit");
    let before = world.view();
    git(world.repository().git_dir(), &["update-ref", "-d", "refs/heads/titan/status"]);
    world.flush(&mut ledger, 20).expect("a commit");
    let after = world.view();
    assert_eq!((after.fleet, after.assignments), (before.fleet, before.assignments));
    assert_eq!(after.hosts.len(), 1);
}

#[test]
fn foreign_files_are_left_alone_and_named() {
    let (world, source) = started();
    let mine = [("README.md", "hello\n"), ("hosts/a/notes.txt", "x\n"), ("hosts/b.yaml", "[\n")];
    world.commit(STATUS, &mine, "by hand\n", 5);
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    world.flush(&mut ledger, 10).expect("a commit");
    let view = world.view();
    assert_eq!(view.unreadable, [path("hosts/a/notes.txt"), path("hosts/b.yaml")]);
    assert_eq!(view.assignments.len(), 1);
}

#[test]
fn a_moved_host_takes_its_files_along() {
    let (world, source) = started();
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    hear(&mut ledger, &world.report(1, Phase::Deployed), 11);
    world.flush(&mut ledger, 11).expect("a commit");
    let next = world.source(&[("hosts/a.yaml", ""), ("hosts/eu/a.yaml", "1")], 20);
    let moved = [
        ("hosts/a", ""),
        ("hosts/eu/a/.titan", "host: a\n"),
        ("hosts/eu/a/iot/sensor/prod/c.yaml", "v: 1\n"),
    ];
    world.render(next, &moved, 20);
    world.reconcile(&mut ledger, next, 21);
    world.flush(&mut ledger, 21).expect("a commit");
    let head = world.head(STATUS).expect("a branch");
    let tree = world.repository().commit(head).expect("a commit").tree;
    let files = world.repository().walk(tree).expect("files");
    let files: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
    let expected =
        ["diagnostics.yaml", "fleet.yaml", "hosts/eu/a.yaml", "hosts/eu/a/iot/sensor/prod.yaml"];
    assert_eq!(files, expected);
    assert_eq!(world.phase(A), Some(Phase::Deployed), "the same content in another folder");
    assert_eq!(world.trace(next).assignments, [], "it changed for nobody");
}

#[test]
fn a_trace_follows_a_commit_to_its_hosts() {
    let (world, source) = started();
    assert_eq!(world.trace(source).verdict, Verdict::Pending, "no status yet");
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    world.flush(&mut ledger, 10).expect("a commit");
    let found = world.trace(source);
    let rendered = world.head("titan/rendered").expect("a branch");
    assert_eq!(found.stage, Stage::Rendered { rendered, summary: "render it".into() });
    assert_eq!((found.verdict, found.assignments.len()), (Verdict::Pending, 1));

    for (sequence, phase, verdict) in [
        (1, Phase::Failed, Verdict::Failed),
        (2, Phase::Applying, Verdict::Pending),
        (3, Phase::Deployed, Verdict::Deployed),
    ] {
        hear(
            &mut ledger,
            &world.report(sequence, phase),
            10 + i64::try_from(sequence).expect("small"),
        );
        world.flush(&mut ledger, 20).expect("a commit");
        assert_eq!(world.trace(source).verdict, verdict, "{phase}");
    }

    // Not on the branch; not looked at; looked at, and nothing came of it.
    let astray = world.commit("feature", &[("x", "1")], "astray\n", 2);
    assert_eq!(world.trace(astray).stage, Stage::NotOnBranch);
    let idle = world.source(&[("README.md", "1")], 30);
    assert_eq!(
        (world.trace(idle).stage, world.trace(idle).verdict),
        (Stage::Waiting, Verdict::Pending)
    );
    world.reconcile(&mut ledger, idle, 31);
    world.flush(&mut ledger, 31).expect("a commit");
    assert_eq!(
        (world.trace(idle).stage, world.trace(idle).verdict),
        (Stage::Unchanged, Verdict::Deployed)
    );

    // A later commit supersedes the first one.
    let next = world.source(&[("workspaces/iot/x", "2")], 40);
    let newer = world.render(next, &[("hosts/a/iot/sensor/prod/c.yaml", "v: 2\n")], 40);
    world.reconcile(&mut ledger, next, 41);
    world.flush(&mut ledger, 41).expect("a commit");
    let found = world.trace(source);
    assert_eq!(found.assignments[0].superseded_by, Some(newer));
    assert_eq!(found.verdict, Verdict::Pending);
    hear(&mut ledger, &world.report(9, Phase::Deployed), 42);
    world.flush(&mut ledger, 43).expect("a commit");
    assert_eq!(
        (world.trace(source).verdict, world.trace(next).verdict),
        (Verdict::Deployed, Verdict::Deployed)
    );
    assert_eq!(world.trace(idle).stage, Stage::Unchanged);

    // Removed, and gone.
    let last = world.source(&[("workspaces/iot/x", "")], 50);
    world.render(last, &[("hosts/a/iot", "")], 50);
    world.reconcile(&mut ledger, last, 51);
    world.flush(&mut ledger, 51).expect("a commit");
    assert_eq!(world.trace(last).verdict, Verdict::Pending);
    assert_eq!(world.trace(last).assignments[0].tree, None);
    let mut gone = HostReport { sequence: 10, assignments: Vec::new(), ..empty_report() };
    gone.rendered = world.head("titan/rendered");
    hear(&mut ledger, &gone, 52);
    world.flush(&mut ledger, 53).expect("a commit");
    for revision in [source, next, last] {
        assert_eq!(world.trace(revision).verdict, Verdict::Deployed);
    }
}

fn empty_report() -> HostReport {
    HostReport {
        host: Name::new("a").expect("a name"),
        sequence: 0,
        agent: "0.1.0".into(),
        interval: 10,
        rendered: None,
        full: true,
        assignments: Vec::new(),
        message: None,
    }
}

#[test]
fn a_trace_names_what_is_held() {
    let (mut world, source) = started();
    let mut ledger = world.load(10);
    world.reconcile(&mut ledger, source, 10);
    let file = "workspaces/iot/workloads/sensor/deployments/prod.yaml";
    let broken = world.source(&[(file, "\tx")], 20);
    let why = format!("{file}:1:1: a tab");
    world.held.insert("deployment iot/sensor/prod".into(), why.clone());
    world.held.insert("host z".into(), "hosts/z.yaml:1:1: a tab".into());
    world.reconcile(&mut ledger, broken, 21);
    world.flush(&mut ledger, 21).expect("a commit");
    let found = world.trace(broken);
    assert_eq!((found.stage, found.verdict), (Stage::Unchanged, Verdict::Held));
    assert_eq!(found.held, BTreeMap::from([("deployment iot/sensor/prod".to_owned(), why)]));
    assert_eq!(world.view().fleet_verdict(), Verdict::Held);

    // Its fix is another state of the same file: nothing of the broken commit is held any more.
    let fixed = world.source(&[(file, "fine")], 30);
    world.held.clear();
    world.reconcile(&mut ledger, fixed, 31);
    world.flush(&mut ledger, 31).expect("a commit");
    assert_eq!(world.trace(broken).verdict, Verdict::Deployed);

    // Broken again, by somebody else.
    let again = world.source(&[(file, "\ty")], 40);
    world.held.insert("deployment iot/sensor/prod".into(), format!("{file}:1:1: a tab"));
    world.reconcile(&mut ledger, again, 41);
    world.flush(&mut ledger, 41).expect("a commit");
    assert_eq!(world.trace(again).verdict, Verdict::Held);
    assert_eq!(world.trace(broken).verdict, Verdict::Deployed);
}

#[test]
fn a_trace_finds_the_merge_that_brought_a_commit() {
    let (world, source) = started();
    let side = world.commit("feature", &[("x", "1")], "work\n", 2);
    let tree = world.repository().commit(side).expect("a commit").tree;
    let who =
        Signature { name: "t".into(), email: "t@t".into(), seconds: at(5).as_second(), offset: 0 };
    let merge = CommitDraft {
        tree,
        parents: vec![source, side],
        author: who.clone(),
        committer: who,
        message: "merge\n".into(),
    };
    let merge = world.repository().write_commit(&merge).expect("a commit");
    world.repository().advance("main", Some(source), merge).expect("moved");
    let last = world.source(&[("y", "1")], 6);
    assert_eq!(world.trace(side).carrier, Some(merge));
    assert_eq!(world.trace(last).carrier, Some(last));
    let rendered = world.render(merge, &[("hosts/a/iot/sensor/prod/c.yaml", "v: 3\n")], 5);
    assert!(
        matches!(world.trace(side).stage, Stage::Rendered { rendered: found, .. } if found == rendered)
    );
}
