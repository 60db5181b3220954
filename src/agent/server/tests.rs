//! An agent and a server that says what it is told to say.

use std::collections::VecDeque;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use warp::Filter;
use warp::http::{HeaderMap, Response as Reply};

use super::super::{ClearText, Config, Mode, Origin, Summary, Token, run};
use super::*;
use crate::git::files_id;
use crate::model::{HostProblem, RepoPath};
use crate::publish::HostFolder;

const HOST: &str = "tim-pi";
/// Longer than anything takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request: its path behind the host's own, its query, and the tag that it names.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    path: String,
    query: String,
    tag: Option<String>,
}

type Answers = Arc<Mutex<VecDeque<(u16, String)>>>;

struct World {
    server: ControllerUrl,
    asked: mpsc::UnboundedReceiver<Asked>,
    /// What is said next; where there is nothing, nothing is said.
    answers: Answers,
    _stop: oneshot::Sender<()>,
    dest: TempDir,
}

async fn answer(next: Option<(u16, String)>) -> Reply<String> {
    let Some((status, body)) = next else { return std::future::pending().await };
    let reply = Reply::builder().status(status).header("retry-after", "0");
    reply.header("titan-rendered", "ab".repeat(20)).body(body).expect("a reply")
}

impl World {
    async fn new() -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let queue = Arc::clone(&answers);
        let query =
            warp::query::raw().or_else(|_| async { Ok::<_, warp::Rejection>((String::new(),)) });
        let route = warp::get()
            .and(warp::path!("api" / "v1" / "hosts" / "tim-pi" / ..))
            .and(warp::path::tail())
            .and(query)
            .and(warp::header::headers_cloned())
            .then(move |path: warp::path::Tail, query: String, headers: HeaderMap| {
                let tag =
                    headers.get("if-none-match").map(|tag| tag.to_str().expect("text").into());
                assert_eq!(headers["authorization"], "Bearer s3cret");
                // Before it is told that somebody asked: what is said after that is for the next one.
                let next = queue.lock().expect("no panic").pop_front();
                // A test that has ended looks no more.
                let _ = sender.send(Asked { path: path.as_str().into(), query, tag });
                answer(next)
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = warp::serve(route).incoming(listener).run();
        tokio::spawn(async move {
            tokio::select! {
                () = serving => {}
                _ = stopped => {}
            }
        });
        let server = ControllerUrl::new(&url, ClearText::Refused).expect("an address");
        let dest = tempfile::tempdir().expect("a directory");
        Self { server, asked, answers, _stop: stop, dest }
    }

    fn say(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
        self.answers.lock().expect("no panic").extend(answers);
    }

    fn config(&self, mode: Mode) -> Config {
        Config {
            host: HOST.parse().expect("a name"),
            origin: Origin::Server(self.server.clone()),
            dest: self.dest.path().to_owned(),
            hook: None,
            controllers: Vec::new(),
            token: Some(Token::new("s3cret").expect("a token")),
            enroll: None,
            rotate: None,
            interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(20),
            mode,
        }
    }

    /// One pass, in which the server says this.
    async fn once(&mut self, answers: &[(u16, &str)]) -> Summary {
        self.answers.lock().expect("no panic").clear();
        self.say(answers);
        run(self.config(Mode::Once), std::future::pending()).await.expect("it runs")
    }

    async fn next(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request in time").expect("a request")
    }

    /// All files of workspace `w`, as `path: content`.
    fn delivered(&self) -> Vec<String> {
        let root = self.dest.path().join("w");
        let entries = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().flatten();
        let files = entries.filter(|entry| entry.file_type().is_file());
        let line = |entry: walkdir::DirEntry| {
            let path = entry.path().strip_prefix(&root).expect("below").display().to_string();
            format!("{path}: {}", fs::read_to_string(entry.path()).expect("text"))
        };
        files.map(line).collect()
    }

    fn inventory(&self) -> String {
        fs::read_to_string(self.dest.path().join(".titan/inventory.json")).expect("an inventory")
    }

    async fn until(&self, files: &[&str]) {
        let wait = async {
            while self.delivered() != files {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{:?} are there instead of {files:?}", self.delivered());
    }
}

/// Deployment `w/l/<name>` with one file `f`.
fn one(name: &str, text: &str) -> HostDeployment {
    let path = RepoPath::new("f").expect("a path");
    let manifests = Manifests { files: BTreeMap::from([(path, text.as_bytes().into())]) };
    HostDeployment {
        deployment: format!("w/l/{name}").parse().expect("a deployment"),
        tree: files_id(&manifests.files).expect("an id"),
        files: Some((&manifests).into()),
        problem: None,
    }
}

/// A full answer that holds these.
fn full(generation: u64, deployments: &[HostDeployment]) -> HostDeployments {
    let host: Name = HOST.parse().expect("a name");
    let assignments = deployments.iter().map(|one| (one.deployment.clone(), one.tree)).collect();
    let folder = HostFolder { assignments, ..HostFolder::default() };
    HostDeployments {
        tree: folder.tree(&host).expect("an id"),
        host,
        rendered: Revision::from_bytes([u8::try_from(generation).expect("a small one"); 20]),
        generation,
        full: true,
        deployments: deployments.to_vec(),
        removed: Vec::new(),
        nested: BTreeMap::new(),
    }
}

fn text(answer: &impl serde::Serialize) -> String {
    serde_json::to_string(answer).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_follow_everything() {
    let mut world = World::new().await;
    let first = full(1, &[one("a", "1"), one("b", "1")]);
    let second = full(2, &[one("a", "2")]);
    let changes =
        HostDeployments { full: false, removed: vec![one("b", "1").deployment], ..second.clone() };
    world.say(&[(200, &text(&first))]);
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = tokio::spawn(run(world.config(Mode::UntilStopped), async move {
        let _ = stopped.await;
    }));
    world.until(&["l/a/f: 1", "l/b/f: 1"]).await;
    let path = "deployments".to_owned();
    assert_eq!(world.next().await, Asked { path: path.clone(), query: String::new(), tag: None });
    // The second one waits at the server; it is answered when there is something new.
    let asked = world.next().await;
    let since = |answer: &HostDeployments, wait| format!("since={}&wait={wait}", answer.rendered);
    let tag = |answer: &HostDeployments| Some(format!("\"{}\"", answer.tree));
    let expected = Asked { path: path.clone(), query: since(&first, 50), tag: tag(&first) };
    assert_eq!(asked, expected);
    stop.send(()).expect("the agent runs");
    agent.await.expect("it ends").expect("it runs");

    // After a restart it goes on from there.
    world.say(&[(200, &text(&changes))]);
    let summary = run(world.config(Mode::Once), std::future::pending()).await.expect("it runs");
    assert_eq!((summary, world.delivered()), (Summary::default(), vec!["l/a/f: 2".to_owned()]));
    let asked = world.next().await;
    assert_eq!(asked, Asked { path, query: since(&first, 0), tag: tag(&first) });
    let before = world.inventory();
    assert_eq!(world.once(&[(304, "")]).await, Summary::default());
    assert_eq!(world.inventory(), before, "nothing changes, nothing is written");
    // Nothing is to run: that is not the same as no answer.
    assert_eq!(world.once(&[(200, &text(&full(2, &[])))]).await, Summary::default());
    assert_eq!(world.delivered(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_changes_nothing() {
    let mut world = World::new().await;
    let good = full(7, &[one("a", "1"), one("b", "1")]);
    assert_eq!(world.once(&[(200, &text(&good))]).await, Summary::default());
    let inventory = world.inventory();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut answer = json!(full(8, &[one("a", "2")]));
        change(&mut answer);
        answer.to_string()
    };
    let tree = json!(good.tree);
    for (status, body, message) in [
        (200, "{}".to_owned(), "it cannot be understood"),
        (200, "[".repeat(100_000), "it cannot be understood"),
        (200, String::new(), "it cannot be understood"),
        (200, changed(&|answer| answer["deployments"] = json!([])), "it is not the tree"),
        (200, changed(&|answer| answer["tree"] = tree.clone()), "it is not the tree"),
        (200, changed(&|answer| answer["host"] = json!("other")), "it is for the host `other`"),
        (200, changed(&|answer| answer["full"] = json!(false)), "it is not the tree"),
        (200, changed(&|answer| answer["removed"] = json!(["../x"])), "it cannot be understood"),
        (200, text(&full(6, &[one("a", "2")])), "its generation 6 is older than 7"),
        (404, r#"{"error": "no such thing"}"#.into(), "404 Not Found: no such thing"),
        (403, "no".into(), "the server refuses: 403 Forbidden"),
        (503, r#"{"error": "busy\u001b[0m"}"#.into(), "503 Service Unavailable: busy[0m"),
        (302, String::new(), "the server refuses: 302 Found"),
    ] {
        let summary = world.once(&[(status, &body)]).await;
        let said = summary.message.unwrap_or_default();
        let body: String = body.chars().take(200).collect();
        assert!(said.contains(message), "`{said}` does not say `{message}`: {body}");
        assert_eq!(
            (world.delivered(), summary.failed),
            (vec!["l/a/f: 1".into(), "l/b/f: 1".into()], 0)
        );
        assert_eq!(world.inventory(), inventory, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_refused_concern_one_assignment() {
    let mut world = World::new().await;
    let first = full(1, &[one("bad", "old"), one("good", "fine")]);
    assert_eq!(world.once(&[(200, &text(&first))]).await, Summary::default());
    let next = [one("bad", "new"), one("good", "better")];
    let with = |change: &dyn Fn(&mut HostDeployment)| {
        let mut answer = full(2, &next);
        change(&mut answer.deployments[0]);
        (text(&answer), text(&answer.deployments[0]))
    };
    let file = |answer: &mut HostDeployment, change: &dyn Fn(&mut crate::model::HostFile)| {
        change(&mut answer.files.as_mut().expect("files")[0]);
    };
    let problem = || HostProblem { reason: "TooLarge".into(), message: "it is large".into() };
    let cases = [
        with(&|one| file(one, &|file| file.path = "../../../x".into())),
        with(&|one| file(one, &|file| file.path = "/x".into())),
        with(&|one| file(one, &|file| file.content = Some("corrupt".into()))),
        with(&|one| file(one, &|file| file.content = None)),
        with(&|one| (one.files, one.problem) = (None, Some(problem()))),
    ];
    for (all, alone) in cases {
        // It is asked for once more, alone.
        let summary = world.once(&[(200, &all), (200, &alone)]).await;
        assert_eq!((summary.message, summary.failed), (None, 1), "{alone}");
        assert_eq!(world.delivered(), ["l/bad/f: old", "l/good/f: better"], "what ran goes on");
        assert!(!world.dest.path().join("x").exists());
    }
    // Files that did not fit into the answer.
    let (all, _) = with(&|one| one.files = None);
    let summary = world.once(&[(200, &all), (200, &text(&next[0]))]).await;
    assert_eq!(summary, Summary::default());
    assert_eq!(world.delivered(), ["l/bad/f: new", "l/good/f: better"]);
    let mut last = world.next().await;
    while let Ok(next) = world.asked.try_recv() {
        if next.path != "deployments" {
            last = next;
        }
    }
    assert_eq!(last.path, "deployments/w/l/bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_the_last_good_state_holds() {
    let mut world = World::new().await;
    let first = full(1, &[one("a", "1")]);
    assert_eq!(world.once(&[(200, &text(&first))]).await, Summary::default());
    let file = world.dest.path().join("w/l/a/f");
    fs::write(&file, "drift").expect("it is written");
    let server = std::mem::replace(
        &mut world.server,
        ControllerUrl::new("http://127.0.0.1:1", ClearText::Refused).expect("an address"),
    );
    let summary = world.once(&[]).await;
    let said = summary.message.unwrap_or_default();
    assert!(said.starts_with("cannot read the fleet: the server does not answer: "), "{said}");
    assert_eq!(world.delivered(), ["l/a/f: 1"], "it is healed");

    // A server that is confused for a while is asked until it is not.
    world.server = server;
    let second = full(2, &[one("a", "2")]);
    world.say(&[(503, ""), (200, "{}"), (200, &text(&second))]);
    let agent = tokio::spawn(run(world.config(Mode::UntilStopped), std::future::pending()));
    world.until(&["l/a/f: 2"]).await;
    agent.abort();
}
