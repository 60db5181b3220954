use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use warp::Filter;

use super::*;
use crate::git::{CommitDraft, Repository, Signature, TreeEdit};
use crate::model::{HostReport, Phase, RepoPath, ReportAnswer, Revision};
use client::Outcome;

const HOST: &str = "tim-pi";
const BRANCH: &str = "titan/rendered";
const LIVE: &str = "iot/sensor/prod";
/// Longer than anything takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fleet's repository and a host's destination.
struct World {
    fleet: TempDir,
    dest: TempDir,
}

impl World {
    fn new() -> Self {
        let fleet = tempfile::tempdir().expect("a directory");
        let init = std::process::Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(fleet.path().join("fleet.git"))
            .status();
        assert!(init.expect("git runs").success());
        Self { fleet, dest: tempfile::tempdir().expect("a directory") }
    }

    fn repository(&self) -> std::path::PathBuf {
        self.fleet.path().join("fleet.git")
    }

    /// Moves the rendered branch to a commit with these files.
    fn render(&self, generation: u64, files: &[(&str, &str)]) -> Revision {
        let repository = Repository::open(&self.repository()).expect("a repository");
        let mut edit = TreeEdit::new(&repository, None);
        for (path, text) in files {
            let path = RepoPath::new(path).expect("a path");
            edit.put(&path, text.as_bytes()).expect("a file is put");
        }
        let titan = Signature {
            name: "titan".into(),
            email: "titan@titan.dev".into(),
            seconds: 1_800_000_000,
            offset: 0,
        };
        let before = repository.branch(BRANCH).expect("a branch");
        let draft = CommitDraft {
            tree: edit.write().expect("a tree"),
            parents: before.into_iter().collect(),
            author: titan.clone(),
            committer: titan,
            message: format!("render\n\nTitan-Generation: {generation}\n"),
        };
        let commit = repository.write_commit(&draft).expect("a commit");
        repository.advance(BRANCH, before, commit).expect("the branch moves");
        commit
    }

    /// The host's folder with one assignment of one file.
    fn deploy(&self, generation: u64, text: &str) -> Revision {
        let folder = format!("hosts/eu/{HOST}");
        self.render(
            generation,
            &[
                (&format!("{folder}/.titan"), &format!("host: {HOST}\n")),
                (&format!("{folder}/{LIVE}/a.yaml"), text),
                ("hosts/eu/other/.titan", "host: other\n"),
            ],
        )
    }

    fn config(&self) -> Config {
        Config {
            host: HOST.parse().expect("a name"),
            origin: git(Location::Local(self.repository())),
            dest: self.dest.path().to_owned(),
            hook: None,
            controllers: Vec::new(),
            token: Some(Token::new("s3cret").expect("a token")),
            enroll: None,
            rotate: None,
            interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(20),
            mode: Mode::UntilStopped,
        }
    }

    fn live(&self) -> Option<String> {
        fs::read_to_string(self.dest.path().join(LIVE).join("a.yaml")).ok()
    }

    async fn once(&self) -> Summary {
        let config = Config { mode: Mode::Once, ..self.config() };
        run(config, std::future::pending()).await.expect("it runs")
    }
}

fn git(fleet: Location) -> Origin {
    Origin::Git { fleet, branch: BRANCH.into() }
}

/// A controller that answers as it is told, and shows what it was sent.
struct Controller {
    url: ControllerUrl,
    reports: mpsc::UnboundedReceiver<HostReport>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Controller {
    async fn start() -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::<(u16, &'static str)>::new()));
        let queue = Arc::clone(&answers);
        let route = warp::post()
            .and(warp::path!("api" / "v1" / "hosts" / String / "reports"))
            .and(warp::header::<String>("authorization"))
            .and(warp::body::json())
            .map(move |host: String, token: String, report: HostReport| {
                assert_eq!((host.as_str(), token.as_str()), (HOST, "Bearer s3cret"));
                let accepted = format!(r#"{{"sequence":{}}}"#, report.sequence);
                let next = queue.lock().expect("no panic").pop_front();
                // A test that has ended looks no more.
                let _ = sender.send(report);
                let (status, body) =
                    next.map_or((200, accepted), |(status, body)| (status, body.to_owned()));
                let status = warp::http::StatusCode::from_u16(status).expect("a status");
                let answer = warp::reply::with_header(body, "retry-after", "0");
                warp::reply::with_status(answer, status)
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(warp::serve(route).incoming(listener).run());
        let url = ControllerUrl::new(&format!("http://{address}"), ClearText::Refused);
        Self { url: url.expect("an address"), reports, answers }
    }

    fn answer(&self, answers: &[(u16, &'static str)]) {
        self.answers.lock().expect("no panic").extend(answers);
    }

    async fn next(&mut self) -> HostReport {
        timeout(PATIENCE, self.reports.recv()).await.expect("a report in time").expect("a report")
    }

    /// The first report that says so of the assignment.
    async fn until(&mut self, phase: Phase, reason: &str) -> HostReport {
        loop {
            let report = self.next().await;
            if report.assignments.iter().any(|one| one.phase == phase && one.reason == reason) {
                return report;
            }
        }
    }
}

/// Runs an agent beside a test.
fn start(config: Config) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Summary>) {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        run(config, shutdown).await.expect("it runs")
    });
    (stop, task)
}

/// Waits until a file says what it should.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_commit_to_report() {
    let world = World::new();
    let first = world.deploy(1, "1");
    let mut controller = Controller::start().await;
    let config = Config { controllers: vec![controller.url.clone()], ..world.config() };
    let (stop, task) = start(config);

    let report = controller.until(Phase::Deployed, "Applied").await;
    assert!(report.full);
    assert_eq!((report.rendered, report.message), (Some(first), None));
    let one = &report.assignments[0];
    assert_eq!((one.deployment.to_string().as_str(), one.rendered), (LIVE, first));
    assert!(one.tree.is_some() && one.received.is_some());
    assert!(one.received <= one.applied && one.applied <= one.deployed);
    assert_eq!(world.live().as_deref(), Some("1"));

    // A commit that does not concern the host is not worth a report; the next one is.
    let files = [("hosts/eu/other/.titan", "host: other\n"), ("hosts/x/.titan", "host: x\n")];
    let host = [("hosts/eu/tim-pi/.titan", "host: tim-pi\n")];
    let old = ("hosts/eu/tim-pi/iot/sensor/prod/a.yaml", "1");
    world.render(2, &[&files[..], &host[..], &[old]].concat());
    let second = world.deploy(3, "2");
    let next = controller.next().await;
    assert!(!next.full && next.sequence > report.sequence);
    assert_eq!((next.rendered, next.assignments.len()), (Some(second), 1));
    assert_eq!(world.live().as_deref(), Some("2"));

    // Drift is healed and told.
    fs::write(world.dest.path().join(LIVE).join("a.yaml"), "drift").expect("it is written");
    let healed = controller.until(Phase::Deployed, "DriftHealed").await;
    assert_eq!(healed.assignments[0].rendered, second);
    assert_eq!(world.live().as_deref(), Some("2"));

    world.render(4, &[&files[..], &host[..]].concat());
    let gone = controller.until(Phase::Removed, "Removed").await;
    assert_eq!(gone.assignments[0].tree, None);
    assert!(!world.dest.path().join("iot").exists());
    stop.send(()).expect("the agent runs");
    assert_eq!(task.await.expect("it ends"), Summary::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_changes_nothing() {
    let marker = "hosts/tim-pi/.titan";
    let file = "hosts/tim-pi/iot/sensor/prod/a.yaml";
    let check = async |generation: u64, files: &[(&str, &str)], message: &str| {
        let world = World::new();
        world.deploy(7, "1");
        assert_eq!(world.once().await, Summary::default());
        world.render(generation, files);
        let before = inventory(&world);
        let summary = world.once().await;
        assert!(
            summary.message.as_deref().is_some_and(|said| said.contains(message)),
            "{summary:?} does not say `{message}`"
        );
        assert_eq!((world.live().as_deref(), inventory(&world)), (Some("1"), before), "{message}");
    };
    check(8, &[(file, "2")], "has no `.titan`").await;
    check(8, &[(marker, "host: other\n"), (file, "2")], "names another host").await;
    check(8, &[("README", "x")], "no host `tim-pi` any more").await;
    check(6, &[(marker, "host: tim-pi\n"), (file, "2")], "generation 6 is older than 7").await;

    // An emptied host is not a missing one: that is what `.titan` is for.
    let world = World::new();
    world.deploy(7, "1");
    world.once().await;
    world.render(7, &[(marker, "host: tim-pi\n")]);
    assert_eq!(world.once().await, Summary::default());
    assert_eq!(world.live(), None);
}

fn inventory(world: &World) -> String {
    fs::read_to_string(world.dest.path().join(".titan/inventory.json")).expect("an inventory")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_git_the_last_good_state_holds() {
    let world = World::new();
    world.deploy(1, "1");
    world.once().await;
    let before = inventory(&world);
    world.once().await;
    assert_eq!(inventory(&world), before, "nothing changes, nothing is written");

    let away = world.fleet.path().join("away");
    fs::rename(world.repository(), &away).expect("it moves");
    let mut controller = Controller::start().await;
    let config = Config { controllers: vec![controller.url.clone()], ..world.config() };
    let (stop, task) = start(config);
    let report = controller.next().await;
    assert!(report.message.is_some_and(|text| text.starts_with("cannot read the fleet: ")));
    assert_eq!(report.assignments[0].phase, Phase::Deployed);
    fs::remove_dir_all(world.dest.path().join("iot")).expect("it goes");
    eventually("it is healed", || world.live().as_deref() == Some("1")).await;

    fs::rename(&away, world.repository()).expect("it comes back");
    world.deploy(2, "2");
    eventually("it goes on", || world.live().as_deref() == Some("2")).await;
    while controller.next().await.message.is_some() {}
    stop.send(()).expect("the agent runs");
    assert_eq!(task.await.expect("it ends"), Summary::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_is_run_again_also_after_a_restart() {
    let world = World::new();
    world.deploy(1, "1");
    let flag = world.fleet.path().join("flag");
    let log = world.fleet.path().join("log");
    let command = format!(
        "echo \"$TITAN_CHANGED\" >> {}; test -e {} || {{ echo no flag; exit 4; }}",
        log.display(),
        flag.display()
    );
    let hook = Hook { command, limit: PATIENCE, hidden: vec![] };
    let mut controller = Controller::start().await;
    let config =
        Config { hook: Some(hook), controllers: vec![controller.url.clone()], ..world.config() };

    let once = Config { mode: Mode::Once, ..config.clone() };
    let summary = run(once, std::future::pending()).await.expect("it runs");
    assert_eq!(summary.failed, 1);
    let failed = controller.until(Phase::Failed, "HookFailed").await;
    let one = &failed.assignments[0];
    assert!(one.message.contains("no flag") && one.message.contains('4'), "{}", one.message);
    assert!(one.applied.is_some() && one.deployed.is_none());
    assert_eq!(world.live().as_deref(), Some("1"));

    // The next agent finds nothing to apply, but the hook to run: it fails once more, then succeeds.
    let (stop, task) = start(config);
    controller.until(Phase::Failed, "HookFailed").await;
    fs::write(&flag, "").expect("it is written");
    let deployed = controller.until(Phase::Deployed, "Applied").await;
    assert!(deployed.assignments[0].deployed.is_some());
    stop.send(()).expect("the agent runs");
    task.await.expect("it ends");
    let calls = fs::read_to_string(&log).expect("a log");
    assert!(calls.lines().count() >= 3 && calls.lines().all(|line| line == LIVE), "{calls}");
    assert!(!inventory(&world).contains("\"hook\""), "nothing is pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_concerns_one_assignment() {
    let world = World::new();
    let marker = ("hosts/tim-pi/.titan", "host: tim-pi\n");
    let files = [marker, ("hosts/tim-pi/a/a/a/f", "1"), ("hosts/tim-pi/b/b/b/f", "1")];
    world.render(1, &files);
    let theirs = world.dest.path().join("a/a/a/f");
    fs::create_dir_all(theirs.parent().expect("a parent")).expect("folders are made");
    fs::write(&theirs, "theirs").expect("it is written");
    let mut controller = Controller::start().await;
    let config = Config { controllers: vec![controller.url.clone()], ..world.config() };
    let (stop, task) = start(config);
    let report = controller.until(Phase::Failed, "Conflict").await;
    assert!(report.assignments.iter().any(|one| one.phase == Phase::Deployed));
    assert_eq!(read(&theirs), "theirs");
    assert_eq!(read(&world.dest.path().join("b/b/b/f")), "1");
    // Whose file it is is decided by people; then it goes on by itself.
    fs::remove_file(&theirs).expect("it goes");
    controller.until(Phase::Deployed, "Applied").await;
    assert_eq!(read(&theirs), "1");
    stop.send(()).expect("the agent runs");
    task.await.expect("it ends");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_survive_a_difficult_controller() {
    let world = World::new();
    world.deploy(1, "1");
    let mut controller = Controller::start().await;
    controller.answer(&[
        (409, r#"{"error": "sequence 1 is not higher than 500", "seen": 500}"#),
        (503, "busy"),
    ]);
    let config = Config { controllers: vec![controller.url.clone()], ..world.config() };
    let (stop, task) = start(config.clone());
    let mut last = controller.next().await;
    for _ in 0..2 {
        let next = controller.next().await;
        assert!(next.full && next.sequence > last.sequence, "{next:?}");
        assert_eq!(next.assignments, last.assignments);
        last = next;
    }
    assert!(last.sequence > 500);

    // A controller that has forgotten asks for everything.
    controller.answer(&[(200, r#"{"sequence": 1, "resync": true}"#)]);
    world.deploy(2, "2");
    assert!(!controller.next().await.full);
    let all = controller.next().await;
    assert!(all.full && all.assignments.len() == 1);
    stop.send(()).expect("the agent runs");
    task.await.expect("it ends");

    // Its next life goes on above the numbers of this one.
    let config = Config { mode: Mode::Once, ..config };
    run(config, std::future::pending()).await.expect("it runs");
    assert!(controller.next().await.sequence > all.sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_on() {
    let world = World::new();
    world.render(1, &[("hosts/tim-pi/.titan", "host: tim-pi\n")]);
    let mut controller = Controller::start().await;
    let config = Config {
        controllers: vec![controller.url.clone()],
        heartbeat: Duration::from_millis(50),
        ..world.config()
    };
    let (stop, task) = start(config);
    assert!(controller.next().await.full);
    for _ in 0..3 {
        let beat = controller.next().await;
        assert!(!beat.full && beat.assignments.is_empty() && beat.interval == 1);
    }
    stop.send(()).expect("the agent runs");
    task.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_change_is_announced() {
    let world = World::new();
    world.deploy(1, "1");
    let flag = world.fleet.path().join("flag");
    let command = format!("until test -e {}; do sleep 0.05; done", flag.display());
    let mut controller = Controller::start().await;
    let config = Config {
        hook: Some(Hook { command, limit: PATIENCE, hidden: vec![] }),
        controllers: vec![controller.url.clone()],
        ..world.config()
    };
    let (stop, task) = start(config);
    assert!(controller.until(Phase::Applying, "Applying").await.full);
    fs::write(&flag, "").expect("it is written");
    controller.until(Phase::Deployed, "Applied").await;
    stop.send(()).expect("the agent runs");
    task.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_judged_by_their_status() {
    let mut controller = Controller::start().await;
    let host = HOST.parse().expect("a name");
    let token = Token::new("s3cret").expect("a token");
    let client =
        ReportClient::new(&controller.url, &host, Credentials::Token(token)).expect("a client");
    let report = HostReport {
        host,
        sequence: 1,
        agent: "0".into(),
        interval: 20,
        rendered: None,
        full: false,
        assignments: vec![],
        message: None,
    };
    let mut send = async |status, body| {
        controller.answer(&[(status, body)]);
        let outcome = client.send(&report).await;
        controller.next().await;
        outcome
    };
    for status in [301, 400, 401, 403, 404, 413] {
        let outcome = send(status, r#"{"error": "no\u001b[31m"}"#).await;
        let Outcome::Denied { problem } = outcome else { panic!("{status}: {outcome:?}") };
        assert!(problem.starts_with(&status.to_string()) && problem.ends_with(": no[31m"));
    }
    let later = [(409, r#"{"error": "never issued"}"#), (429, "x"), (503, ""), (200, "not JSON")];
    for (status, body) in later {
        let outcome = send(status, body).await;
        let Outcome::Later { wait, .. } = outcome else { panic!("{status}: {outcome:?}") };
        assert_eq!(wait, Some(Duration::ZERO), "{status}");
    }
    assert_eq!(send(409, r#"{"seen": 7}"#).await, Outcome::OldSequence { seen: 7 });
    let answer = ReportAnswer { sequence: 1, resync: true };
    assert_eq!(send(200, r#"{"sequence": 1, "resync": true}"#).await, Outcome::Accepted(answer));
}

/// Makes the tree at `path` of the rendered branch hold `entries` (mode, name, content).
fn graft(world: &World, generation: u64, entries: &[(&str, &str, Vec<u8>)]) -> Revision {
    use std::io::Write as _;
    let git = |arguments: &[&str], input: &[u8]| {
        let mut child = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(world.repository())
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git runs");
        child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let blob = |content: &[u8]| git(&["hash-object", "-w", "--stdin"], content);
    let mut lines = String::new();
    for (mode, name, content) in entries {
        let id = blob(content);
        lines += &format!("{mode} blob {id}\t{name}\n");
    }
    let mut tree = git(&["mktree"], lines.as_bytes());
    let good = blob(b"good");
    let good = git(&["mktree"], format!("100644 blob {good}\ta.yaml\n").as_bytes());
    tree =
        git(&["mktree"], format!("040000 tree {tree}\tbad\n040000 tree {good}\tgood\n").as_bytes());
    tree = git(&["mktree"], format!("040000 tree {tree}\tsensor\n").as_bytes());
    let marker = blob(format!("host: {HOST}\n").as_bytes());
    let folder = format!("100644 blob {marker}\t.titan\n040000 tree {tree}\tiot\n");
    tree = git(&["mktree"], folder.as_bytes());
    for name in [HOST, "hosts"] {
        tree = git(&["mktree"], format!("040000 tree {tree}\t{name}\n").as_bytes());
    }
    let message = format!("render\n\nTitan-Generation: {generation}\n");
    let identity =
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit-tree", "-m", &message, &tree];
    let commit = git(&identity, b"");
    git(&["update-ref", &format!("refs/heads/{BRANCH}"), &commit], b"");
    commit.parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_malformed_concerns_one_assignment() {
    let file = |content: &[u8]| vec![("100644", "a.yaml".to_owned(), content.to_vec())];
    let many = |count: usize, content: &[u8]| -> Vec<_> {
        (0..count).map(|n| ("100644", format!("{n:04}"), content.to_vec())).collect()
    };
    let large = vec![b'x'; (10 << 20) + 1];
    let cases = [
        (file(&large), "TooLarge", "`a.yaml` is larger than 10485760 bytes"),
        (many(2, &large[..9 << 20]), "TooLarge", "the files have more than 16777216 bytes"),
        (many(1001, b""), "TooLarge", "there are more than 1000 files or folders"),
        (
            vec![("120000", "a.yaml".to_owned(), b"/etc/passwd".to_vec())],
            "Malformed",
            "`a.yaml` is neither a file nor a folder",
        ),
        (vec![], "Malformed", "there are no files"),
    ];
    for remote in [false, true] {
        let world = World::new();
        let config = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(world.repository())
            .args(["config", "uploadpack.allowFilter", "true"])
            .status();
        assert!(config.expect("git runs").success());
        let mut controller = Controller::start().await;
        let mut config = Config { controllers: vec![controller.url.clone()], ..world.config() };
        if remote {
            let url = format!("file://{}", world.repository().display());
            config.origin = git(url.parse().expect("a location"));
        }
        let live =
            |name: &str| fs::read_to_string(world.dest.path().join("iot/sensor").join(name)).ok();
        let first = [("100644", "a.yaml", b"old".to_vec())];
        graft(&world, 1, &first);
        let (stop, task) = start(config);
        controller.until(Phase::Deployed, "Applied").await;
        for (generation, (entries, reason, message)) in (2..).zip(&cases) {
            let entries: Vec<_> =
                entries.iter().map(|(m, n, c)| (*m, n.as_str(), c.clone())).collect();
            graft(&world, generation, &entries);
            let report = loop {
                let report = controller.until(Phase::Failed, reason).await;
                if report.assignments.iter().any(|one| one.message == *message) {
                    break report;
                }
            };
            let failed = report.assignments.iter().filter(|one| one.phase == Phase::Failed);
            let failed: Vec<_> = failed.map(|one| one.deployment.to_string()).collect();
            assert_eq!((failed, report.message), (vec!["iot/sensor/bad".to_owned()], None));
            assert_eq!(live("bad/a.yaml").as_deref(), Some("old"), "{message}: what ran goes on");
            assert_eq!(live("good/a.yaml").as_deref(), Some("good"));
        }
        graft(&world, 50, &[("100644", "a.yaml", b"new".to_vec())]);
        controller.until(Phase::Deployed, "Applied").await;
        assert_eq!(live("bad/a.yaml").as_deref(), Some("new"), "it goes on");
        stop.send(()).expect("the agent runs");
        assert_eq!(task.await.expect("it ends"), Summary::default());
    }
}
