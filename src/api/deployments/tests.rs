//! The endpoint over real connections, on a real rendered branch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::super::{Needs, serve};
use crate::git::{CommitDraft, FleetRepository, Location, Repository, Signature, TreeEdit};
use crate::model::{HostDeployments, Limits, Name, RepoPath, Revision};
use crate::observe::Snapshot;

const BRANCH: &str = "titan/rendered";
/// Longer than anything takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// For all that `a` is to run.
const REQUEST: &str =
    "GET /api/v1/hosts/a/deployments HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer a\r\n\r\n";
const A: &str = "host: a\n";
const B: &str = "host: b\n";

/// A rendered branch and an API that serves it to the hosts `a` and `b`; their tokens are their names.
struct World {
    url: String,
    client: reqwest::Client,
    fleet: FleetRepository,
    snapshots: watch::Sender<Arc<Snapshot>>,
    _stop: oneshot::Sender<()>,
    _folder: TempDir,
}

struct Answer {
    status: u16,
    etag: Option<String>,
    rendered: Option<String>,
    body: Value,
}

impl Answer {
    fn said(&self) -> HostDeployments {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_value(self.body.clone()).unwrap()
    }

    /// `=` for everything, then `+changed` and `-removed`.
    fn drawn(&self) -> String {
        let said = self.said();
        let changed = said.deployments.iter().map(|one| format!(" +{}", one.deployment.name));
        let removed = said.removed.iter().map(|one| format!(" -{}", one.name));
        let full = if said.full { "=" } else { "" };
        format!("{full}{}", changed.chain(removed).collect::<String>())
    }

    fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().expect("an error says what is wrong"))
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.git");
        std::fs::create_dir(&path).unwrap();
        Repository::init(&path, "main").unwrap();
        let limits = Limits::default();
        let fleet =
            FleetRepository::open(&Location::Local(path), Some("main"), folder.path(), &limits);
        let fleet = fleet.unwrap();
        let mut snapshot = Snapshot { ready: true, ..Snapshot::default() };
        for host in ["a", "b", "new"] {
            let digest = Sha256::digest(host).into();
            Arc::make_mut(&mut snapshot.hosts).insert(Name::new(host).unwrap(), vec![digest]);
        }
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let needs = Needs {
            snapshot: receiver,
            refused: mpsc::channel(1).0,
            status: watch::channel(None).1,
            submissions: mpsc::channel(1).0,
            wake: mpsc::channel(1).0,
            repository: fleet.clone(),
            judge: crate::change::Judge::here(),
            development: false,
            vitals: Arc::default(),
            options: crate::api::Options::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/hosts", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(serve(listener, needs, async move { drop(stopped.await) }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, client, fleet, snapshots, _stop: stop, _folder: folder }
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.snapshots.borrow());
        change(&mut snapshot);
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Commits these files and tells the API, as the controller does.
    fn render(&self, files: &[(&str, &str)]) -> Revision {
        let head = self.fleet.repository.branch(BRANCH).unwrap();
        self.render_on(head, "render\n\nTitan-Generation: 3\n", files)
    }

    fn render_on(
        &self,
        parent: Option<Revision>,
        message: &str,
        files: &[(&str, &str)],
    ) -> Revision {
        let git = &self.fleet.repository;
        let mut edit = TreeEdit::new(git, None);
        let mut folders = BTreeMap::new();
        for (path, text) in files {
            let path = RepoPath::new(path).unwrap();
            edit.put(&path, text.as_bytes()).unwrap();
            if path.file_name() == ".titan" {
                let folder = RepoPath::new(path.parent().unwrap()).unwrap();
                folders.insert(Name::new(folder.file_name()).unwrap(), folder);
            }
        }
        let titan = Signature {
            name: "titan".into(),
            email: "titan@titan.dev".into(),
            seconds: 1_800_000_000,
            offset: 0,
        };
        let draft = CommitDraft {
            tree: edit.write().unwrap(),
            parents: parent.into_iter().collect(),
            author: titan.clone(),
            committer: titan,
            message: message.to_owned(),
        };
        let new = git.write_commit(&draft).unwrap();
        let head = git.branch(BRANCH).unwrap();
        if parent == head {
            git.advance(BRANCH, head, new).unwrap();
        }
        self.change(|snapshot| {
            snapshot.rendered = Some(new);
            snapshot.keep_folders(&folders);
        });
        new
    }

    async fn get_with(&self, host: &str, token: &str, rest: &str, etag: Option<&str>) -> Answer {
        let url = format!("{}/{host}/deployments{rest}", self.url);
        let mut request = self.client.get(url).header("Authorization", format!("Bearer {token}"));
        if let Some(etag) = etag {
            request = request.header("If-None-Match", etag);
        }
        let response = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let (etag, rendered) = (header("etag"), header("titan-rendered"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(text.is_empty(), status == 304);
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, etag, rendered, body }
    }

    /// Asks for all that `a` is to run, and reads no more than the start of the answer, if it is a good one.
    async fn ask_for_all(&self) -> Option<TcpStream> {
        let address = self.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        timeout(PATIENCE, connection.read_exact(&mut start)).await.unwrap().unwrap();
        (&start == b"HTTP/1.1 200").then_some(connection)
    }

    async fn get(&self, rest: &str, etag: Option<&str>) -> Answer {
        self.get_with("a", "a", rest, etag).await
    }
}

#[tokio::test]
async fn everything_first_then_what_changed() {
    let world = World::new().await;
    let base = [("hosts/a/.titan", A), ("hosts/eu/b/.titan", B)];
    let first = [("hosts/a/w/l/x/f", "1"), ("hosts/a/w/l/y/f", "1"), ("hosts/eu/b/w/l/z/f", "b")];
    let one = world.render(&[&base[..], &first].concat());
    let answer = world.get("", None).await;
    assert_eq!(answer.drawn(), "= +x +y");
    let said = answer.said();
    assert_eq!((said.rendered, said.generation), (one, 3));
    assert_eq!(answer.etag.as_deref(), Some(format!("\"{}\"", said.tree).as_str()));
    assert_eq!(answer.rendered, Some(one.to_string()));
    assert_eq!(answer.body["deployments"][0]["files"], json!([{ "path": "f", "content": "1" }]));
    let etag = answer.etag.as_deref();
    let same = world.get("", etag).await;
    assert_eq!((same.status, same.rendered), (304, Some(one.to_string())));
    assert_eq!(world.get("", Some("\"x\", *")).await.status, 304);
    assert_eq!(world.get(&format!("?since={one}"), None).await.drawn(), "");

    // What happens to others is not told, but where the branch is.
    let two = world.render(&[&base[..], &first[..2]].concat());
    let same = world.get(&format!("?since={one}"), etag).await;
    assert_eq!((same.status, same.rendered), (304, Some(two.to_string())));

    let second = [("hosts/a/w/l/y/f", "2"), ("hosts/a/w/l/new/f", "1")];
    world.render(&[&base[..], &second].concat());
    for since in [one, two] {
        let answer = world.get(&format!("?since={since}"), etag).await;
        assert_eq!(answer.drawn(), " +new +y -x", "since {}", since.short());
        assert_ne!(answer.etag.as_deref(), etag);
    }
    let unknown = Revision::from_bytes([7; 20]);
    assert_eq!(world.get(&format!("?since={unknown}"), etag).await.drawn(), "= +new +y");

    let last = world.render(&base);
    assert_eq!(world.get(&format!("?since={two}"), None).await.drawn(), " -x -y");
    assert_eq!(world.get("", None).await.drawn(), "=", "nothing is to run: that is said too");
    // What was long ago is read from Git.
    let mut text = String::new();
    for _ in 0..20 {
        text.push('x');
        world.render(&[&base[..], &[("hosts/a/w/l/x/f", &text)]].concat());
    }
    assert_eq!(world.get(&format!("?since={one}"), None).await.drawn(), " +x -y");
    assert_eq!(world.get(&format!("?since={last}"), None).await.drawn(), " +x");

    // A branch that was made anew is no successor of what hosts know.
    world.render_on(None, "render\n\nTitan-Generation: 4\n", &[&base[..], &first].concat());
    assert_eq!(world.get(&format!("?since={one}"), None).await.drawn(), "= +x +y");
}

#[tokio::test]
async fn a_host_gets_its_own_and_nothing_else() {
    let world = World::new().await;
    world.change(|snapshot| snapshot.ready = false);
    let busy = (503, "titan is busy; try again later");
    assert_eq!(world.get("", None).await.error(), busy);
    world.change(|snapshot| snapshot.ready = true);
    assert_eq!(world.get("", None).await.error(), (503, "nothing is rendered yet"));
    world.render(&[("hosts/a/.titan", A), ("hosts/b/.titan", B), ("hosts/a/w/l/x/f", "1")]);
    for (host, token, rest, expected) in [
        ("a", "b", "", (403, "a host speaks only for itself")),
        ("a", "b", "/w/l/x", (403, "a host speaks only for itself")),
        ("a", "x", "", (401, "the token is not valid for this host")),
        ("a", "", "", (401, "a bearer token is needed")),
        ("nobody", "a", "", (404, "no such thing")),
        ("b", "b", "/w/l/x", (404, "no such thing")),
        ("a", "a", "/w/l/nothing", (404, "no such thing")),
        ("a", "a", "/w/l", (404, "no such thing")),
        ("a", "a", "/%2e%2e/l/x", (404, "no such thing")),
        ("new", "new", "", (503, "nothing is rendered for this host yet")),
        ("a", "a", "?wait=61", (400, "`wait` is at most 60 seconds")),
    ] {
        let answer = world.get_with(host, token, rest, None).await;
        assert_eq!(answer.error(), expected, "{host} {token} {rest}");
    }
    for query in ["?wait=-1", "?wait=x", "?since=main", "?since=", "?later=1"] {
        assert_eq!(world.get(query, None).await.error().0, 400, "{query}");
    }
    let one = world.get("/w/l/x", None).await;
    assert_eq!(one.body["files"], json!([{ "path": "f", "content": "1" }]));

    // Gone from the fleet, whatever the branch still holds.
    world.change(|snapshot| {
        drop(Arc::make_mut(&mut snapshot.hosts).remove(&Name::new("a").unwrap()))
    });
    assert_eq!(world.get("", None).await.error(), (404, "no such thing"));
}

#[tokio::test]
async fn folders_are_served_where_they_are_and_as_titan_made_them() {
    let world = World::new().await;
    // `hosts/a.yaml` and `hosts/a/b.yaml`.
    let nested = [("hosts/a/.titan", A), ("hosts/a/b/.titan", B), ("hosts/a/b/w/l/z/f", "b")];
    let first = world.render(&[&nested[..], &[("hosts/a/w/l/x/f", "1")]].concat());
    let (a, b) = (world.get("", None).await, world.get_with("b", "b", "", None).await);
    assert_eq!((a.drawn().as_str(), b.drawn().as_str()), ("= +x", "= +z"));
    let said = a.said();
    let folder = crate::publish::HostFolder {
        assignments: said
            .deployments
            .iter()
            .map(|one| (one.deployment.clone(), one.tree))
            .collect(),
        nested: said.nested.clone(),
    };
    assert_eq!(folder.tree(&said.host).unwrap(), said.tree);
    assert_eq!(said.nested.into_values().collect::<Vec<_>>(), [b.said().tree]);

    // A host that moves has the same tree, and whoever knows it has nothing to do.
    let moved = [("hosts/eu/a/.titan", A), ("hosts/eu/a/w/l/x/f", "1")];
    world.render(&moved);
    let now = world.get(&format!("?since={first}"), None).await;
    let recent = "what was at the other place is still in memory";
    assert_eq!(now.drawn(), "", "{recent}");
    assert_eq!(world.get("", now.etag.as_deref()).await.status, 304);

    // Somebody else wrote to the branch: nothing of it is served.
    for (files, message) in [
        ([("hosts/a/.titan", B), ("hosts/a/w/l/x/f", "1")], "names another host"),
        ([("hosts/a/.titan", A), ("hosts/a/w/l", "1")], "`w/l` in the folder of `a` is no folder"),
    ] {
        world.render(&files);
        let answer = world.get("", None).await;
        assert!(answer.error().0 == 409 && answer.error().1.contains(message), "{}", answer.body);
    }
    let head = world.fleet.repository.branch(BRANCH).unwrap();
    world.render_on(head, "by hand\n", &moved);
    let healing = (503, "the rendered branch is being put right");
    assert_eq!(world.get("", None).await.error(), healing);
}

#[tokio::test]
async fn what_is_too_much_is_asked_for_alone_or_refused() {
    let world = World::new().await;
    let (half, large) = ("x".repeat(3 << 20), "x".repeat((10 << 20) + 1));
    world.render(&[
        ("hosts/a/.titan", A),
        ("hosts/a/w/l/a/f", &half),
        ("hosts/a/w/l/b/f", &half),
        ("hosts/a/w/l/c/f", "1"),
    ]);
    let said = world.get("", None).await.said();
    let with_files: Vec<_> = said.deployments.iter().map(|one| one.files.is_some()).collect();
    assert_eq!(with_files, [true, false, false]);
    let alone = world.get("/w/l/b", None).await;
    assert_eq!(alone.body["files"][0]["content"].as_str(), Some(half.as_str()));
    assert_eq!(alone.body["tree"], json!(said.deployments[1].tree));

    world.render(&[("hosts/a/.titan", A), ("hosts/a/w/l/a/f", &large), ("hosts/a/w/l/b/f", "1")]);
    let said = world.get("", None).await.said();
    let problem = said.deployments[0].problem.as_ref().unwrap();
    assert_eq!(problem.reason, "TooLarge");
    assert_eq!(problem.message, "`f` is larger than 10485760 bytes");
    assert!(said.deployments[1].files.is_some(), "the others go on");
}

#[tokio::test]
async fn answers_that_a_host_does_not_take_are_few() {
    let world = World::new().await;
    // More than the system takes over of a connection that nobody reads.
    let large = "x".repeat(7 << 20);
    let files = [("hosts/a/w/l/x/f", &*large), ("hosts/a/w/l/x/g", &*large)];
    world.render(&[&[("hosts/a/.titan", A), ("hosts/b/.titan", B)], &files[..]].concat());
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(world.ask_for_all().await.expect("there is room"));
    }
    let few = "more than 4 answers at a time that the host has not taken yet";
    assert_eq!(world.get("", None).await.error(), (429, few));
    assert_eq!(world.get("/w/l/x", None).await.error(), (429, few));
    assert_eq!(world.get_with("b", "b", "", None).await.drawn(), "=", "others are not concerned");

    // One is taken, another one is given up: each makes room.
    let mut taken = slow.pop().unwrap();
    let mut rest = vec![0; 2 * large.len()];
    timeout(PATIENCE, taken.read_exact(&mut rest)).await.unwrap().unwrap();
    slow.pop();
    let start = Instant::now();
    while slow.len() < 4 {
        assert!(start.elapsed() < PATIENCE, "there is room again");
        slow.extend(world.ask_for_all().await);
    }
}

#[tokio::test]
async fn answers_to_head_and_one_after_the_other_keep_no_turn() {
    let world = World::new().await;
    world.render(&[("hosts/a/.titan", A), ("hosts/a/w/l/x/f", "1")]);
    let url = format!("{}/a/deployments", world.url);
    let length = |response: reqwest::Response| {
        assert_eq!(response.status(), 200);
        response.headers()["content-length"].to_str().unwrap().to_owned()
    };
    let ask = |method| world.client.request(method, &url).header("Authorization", "Bearer a");
    let whole = length(ask(reqwest::Method::GET).send().await.unwrap());
    for _ in 0..6 {
        assert_eq!(length(ask(reqwest::Method::HEAD).send().await.unwrap()), whole);
    }

    let mut connection = world.ask_for_all().await.expect("there is room");
    let again = REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let rest = [REQUEST, REQUEST, REQUEST, REQUEST, &again].concat();
    connection.write_all(rest.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut text)).await.unwrap().unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 5, "{text}");
}

#[tokio::test]
async fn a_request_waits_for_what_is_new_to_its_host() {
    let world = World::new().await;
    let base = [("hosts/a/.titan", A), ("hosts/b/.titan", B)];
    let first = world.render(&base);
    let etag = world.get("", None).await.etag;
    let start = Instant::now();
    let late = world.get("?wait=1", etag.as_deref()).await;
    assert_eq!((late.status, late.rendered), (304, Some(first.to_string())));
    assert!(start.elapsed() >= Duration::from_secs(1));

    let since = format!("?since={first}&wait=60");
    let (by_tag, by_since) = (world.get("?wait=60", etag.as_deref()), world.get(&since, None));
    let change = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.render(&[&base[..], &[("hosts/b/w/l/x/f", "1")]].concat());
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.render(&[&base[..], &[("hosts/a/w/l/x/f", "1")]].concat());
    };
    let start = Instant::now();
    let (by_tag, by_since, ()) = tokio::join!(by_tag, by_since, change);
    assert_eq!((by_tag.drawn().as_str(), by_since.drawn().as_str()), ("= +x", " +x"));
    assert!(start.elapsed() < Duration::from_secs(20), "it was woken");

    // Who lost its token while it waited learns nothing more.
    let waiting = world.get("?wait=60", by_tag.etag.as_deref());
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.change(|snapshot| {
            drop(Arc::make_mut(&mut snapshot.hosts).insert(Name::new("a").unwrap(), vec![]))
        });
    };
    assert_eq!(tokio::join!(waiting, revoke).0.error().0, 401);
    let waiting = world.get_with("new", "new", "?wait=60", None);
    let appear = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.render(&[&base[..], &[("hosts/new/.titan", "host: new\n")]].concat());
    };
    assert_eq!(tokio::join!(waiting, appear).0.drawn(), "=");
}
