//! Streams over a real connection, on a repository that the test moves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::OF_ONE;
use super::steps::Steps;
use crate::api::{Needs, Options, serve};
use crate::git::{CommitDraft, FleetRepository, Location, Repository, Signature, TreeEdit};
use crate::model::{Fleet, Limits, RepoPath, Revision};
use crate::observe::events::{Branch, Move, Position};
use crate::observe::{Snapshot, Vitals};

struct World {
    url: String,
    client: reqwest::Client,
    fleet: FleetRepository,
    vitals: Arc<Vitals>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Kept for its receivers.
    _status: watch::Sender<Option<Revision>>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    _folder: TempDir,
}

fn repository(folder: &Path) -> FleetRepository {
    let path = folder.join("fleet.git");
    std::fs::create_dir(&path).unwrap();
    Repository::init(&path, "main").unwrap();
    let location = Location::Local(path);
    FleetRepository::open(&location, Some("main"), folder, &Limits::default()).unwrap()
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = repository(folder.path());
        let snapshot = Snapshot { ready: true, ..Snapshot::default() };
        let (snapshots, snapshot) = watch::channel(Arc::new(snapshot));
        let (statuses, status) = watch::channel(None);
        let vitals = Arc::<Vitals>::default();
        let needs = Needs {
            snapshot,
            status,
            refused: mpsc::channel(1).0,
            submissions: mpsc::channel(1).0,
            wake: mpsc::channel(1).0,
            repository: fleet.clone(),
            judge: crate::change::Judge::here(),
            development: true,
            vitals: Arc::clone(&vitals),
            options: Options::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/events", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, needs, async move { drop(stopped.await) }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stop = Some(stop);
        Self {
            url,
            client,
            fleet,
            vitals,
            snapshots,
            _status: statuses,
            stop,
            server,
            _folder: folder,
        }
    }

    /// Commits a file on the config branch, and shows that to the API.
    fn commit(&self, path: &str, text: &str) -> Revision {
        let git = &self.fleet.repository;
        let parent = git.branch("main").unwrap();
        let base = parent.map(|parent| git.commit(parent).unwrap().tree);
        let mut tree = TreeEdit::new(git, base);
        tree.put(&RepoPath::new(path).unwrap(), text.as_bytes()).unwrap();
        let who = Signature { name: "a".into(), email: "a@b".into(), seconds: 1, offset: 0 };
        let draft = CommitDraft {
            tree: tree.write().unwrap(),
            parents: parent.into_iter().collect(),
            author: who.clone(),
            committer: who,
            message: format!("{path}\n"),
        };
        let new = git.write_commit(&draft).unwrap();
        git.advance("main", parent, new).unwrap();
        self.show(new);
        new
    }

    fn show(&self, revision: Revision) {
        let fleet = Arc::new(Fleet { revision: Some(revision), ..Fleet::default() });
        let snapshot = Snapshot { ready: true, fleet, ..Snapshot::default() };
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    async fn open(&self, query: &str, last: Option<&str>) -> Stream {
        let mut request = self.client.get(format!("{}{query}", self.url));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Stream { response, text: String::new() }
    }
}

struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Seen {
    id: String,
    name: String,
    data: Value,
}

impl Seen {
    /// `object created host a`, `revision`, …
    fn drawn(&self) -> String {
        let word = |key: &str| self.data[key].as_str().unwrap_or_default();
        match self.name.as_str() {
            "object" => format!("{} {}", word("action"), word("name")),
            name => name.to_owned(),
        }
    }
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Seen> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |key: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(key));
                    found.unwrap_or_default().to_owned()
                };
                if !field("data: ").is_empty() {
                    let data = serde_json::from_str(&field("data: ")).unwrap();
                    return Some(Seen { id: field("id: "), name: field("event: "), data });
                }
            }
            let piece = timeout(Duration::from_secs(20), self.response.chunk());
            let piece = piece.await.expect("something comes").unwrap()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.push(self.next().await.expect("it goes on"));
        }
        seen
    }
}

fn drawn(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::drawn).collect()
}

const HOST: &str = "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_now_and_goes_on_from_any_id() {
    let world = World::new().await;
    world.commit("hosts/old.yaml", HOST);
    let mut stream = world.open("", None).await;
    let hello = stream.take(1).await;
    assert_eq!(drawn(&hello), ["hello"]);
    world.commit("hosts/a.yaml", HOST);
    let mut all = stream.take(2).await;
    world.commit("hosts/a.yaml", &format!("{HOST}# two\n"));
    all.extend(stream.take(2).await);
    assert_eq!(drawn(&all), ["created a", "revision", "updated a", "revision"]);
    assert_eq!(all[0].data["href"], "/api/v1/hosts/a");

    let rest = ["created a", "revision", "updated a", "revision"];
    for (seen, expected) in [
        (&hello[0], &rest[..]),
        (&all[0], &rest[1..]),
        (&all[1], &rest[2..]),
        (&all[2], &rest[3..]),
    ] {
        let mut again = world.open("", Some(&seen.id)).await;
        assert_eq!(drawn(&again.take(expected.len()).await), expected, "{}", seen.id);
    }
    let mut filtered = world.open("?kinds=object&host=b", Some(&hello[0].id)).await;
    world.commit("hosts/b.yaml", HOST);
    assert_eq!(drawn(&filtered.take(1).await), ["created b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_told_everything_is_told_so() {
    let world = World::new().await;
    let head = world.commit("hosts/a.yaml", HOST);
    let unknown = "1".repeat(40);
    for id in
        ["x", "é", &format!("{head}.-"), &format!("{unknown}.-.-"), &format!("-.-.-.c{head}.9")]
    {
        let mut stream = world.open("", Some(id)).await;
        let seen = stream.take(1).await;
        assert_eq!(seen[0].name, "reset", "{id}");
        assert!(seen[0].data["reason"].as_str().unwrap().contains("Last-Event-ID"), "{id}");
        // And it goes on.
        let name = format!("hosts/n{}.yaml", id.len());
        world.commit(&name, HOST);
        assert_eq!(stream.take(2).await[1].name, "revision");
    }
    // One that another controller gave out, which is ahead of this one.
    let next = world.commit("hosts/b.yaml", HOST);
    world.show(head);
    let mut stream = world.open("", Some(&format!("{next}.-.-"))).await;
    world.show(next);
    world.commit("hosts/c.yaml", HOST);
    assert_eq!(drawn(&stream.take(2).await), ["created c", "revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_few_and_end_with_the_server() {
    let mut world = World::new().await;
    world.commit("hosts/a.yaml", HOST);
    let mut streams = Vec::new();
    let head = world.client.head(&world.url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap()), (200, String::new()));
    for _ in 0..OF_ONE {
        streams.push(world.open("", None).await);
    }
    let refused = world.client.get(&world.url).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let bad = world.client.get(format!("{}?kinds=x", world.url)).send().await.unwrap();
    assert_eq!(bad.status(), 400);
    let open = format!("titan_event_streams {}", OF_ONE);
    let text = world.vitals.metrics.text(0, crate::model::Timestamp::UNIX_EPOCH);
    assert!(text.contains(&open), "{text}");
    // One leaves, and another may come.
    streams.pop();
    loop {
        let answer = world.client.get(&world.url).send().await.unwrap();
        if answer.status() == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(world.stop.take());
    let mut last = streams.pop().unwrap();
    let end = last.take(2).await.pop().unwrap();
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("end", &"the controller stops".into()));
    assert!(last.next().await.is_none());
    drop(streams);
    timeout(Duration::from_secs(4), world.server).await.expect("nobody holds it up").unwrap();
}

#[tokio::test]
async fn all_who_listen_share_what_was_compared() {
    let world = World::new().await;
    let (git, steps) = (&world.fleet.repository, Steps::default());
    let at = |config| Position { config: Some(config), ..Position::default() };
    let one = at(world.commit("hosts/a.yaml", HOST));
    let two = at(world.commit("hosts/b.yaml", HOST));
    let next = async |from, goal| steps.next(git, from, goal).await.unwrap().unwrap();
    let (first, second) = tokio::join!(next(one, two), next(one, two));
    assert!(Arc::ptr_eq(&first, &second));
    // Whoever is behind goes the way of those before.
    let three = at(world.commit("hosts/c.yaml", HOST));
    assert!(Arc::ptr_eq(&next(one, three).await, &first));
    assert_eq!(next(two, three).await.way.to(), three);
    // A branch that is set back leads nobody in a circle.
    assert_eq!(next(three, one).await.way.to(), one);
    assert_eq!(next(one, three).await.way.to(), three);
    assert!(steps.next(git, three, three).await.unwrap().is_none());
    // What a client names is told, and nobody else goes that way.
    let back = Move { from: three, branch: Branch::Config, head: one.config };
    assert_eq!(steps.of(git, back).await.unwrap().way, back);
    let goal = at(world.commit("hosts/d.yaml", HOST));
    assert_eq!(next(three, goal).await.way.to(), goal);
}
