//! The API as clients see it, over a real connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

mod operations;
mod tls;
mod webhooks;

use super::{Needs, Options};
use crate::git::{FleetRepository, Location, Repository};
use crate::model::{Limits, Name, ReportAnswer, Revision, TimeSpan};
use crate::observe::{Refusal, Snapshot, Submission, Vitals};

const TOKEN_A: &str = "token-of-a";
const TOKEN_B: &str = "token-of-b";

/// How the controller's loop answers in a test.
enum Loop {
    Answers,
    Refuses(Refusal),
    /// It does not even take reports out of its queue, which holds one.
    Stuck,
}

struct Api {
    address: SocketAddr,
    client: reqwest::Client,
    received: Arc<std::sync::Mutex<Vec<u64>>>,
    wakes: mpsc::Receiver<()>,
    vitals: Arc<Vitals>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    /// Kept for its receivers; and the repository's folder.
    _kept: (watch::Sender<Arc<Snapshot>>, tempfile::TempDir),
}

/// An empty one.
fn repository(folder: &Path) -> FleetRepository {
    let path = folder.join("fleet");
    std::fs::create_dir(&path).unwrap();
    Repository::init(&path, "main").unwrap();
    let location = Location::Local(path);
    FleetRepository::open(&location, Some("main"), folder, &Limits::default()).unwrap()
}

impl Api {
    async fn start(change: impl FnOnce(&mut Snapshot), controller: Loop) -> Self {
        Self::with(Options::default(), change, controller).await
    }

    async fn with(options: Options, change: impl FnOnce(&mut Snapshot), controller: Loop) -> Self {
        let mut snapshot = Snapshot { ready: true, ..Snapshot::default() };
        for (host, token) in [("a", TOKEN_A), ("b", TOKEN_B)] {
            let digests = vec![[0; 32], Sha256::digest(token).into()];
            Arc::make_mut(&mut snapshot.hosts).insert(Name::new(host).unwrap(), digests);
        }
        change(&mut snapshot);
        let (sender, receiver) = watch::channel(Arc::new(snapshot));
        let (submissions, mut queue) = mpsc::channel::<Submission>(1);
        let received = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        tokio::spawn(async move {
            if let Loop::Stuck = controller {
                return std::future::pending().await;
            }
            while let Some(Submission { report, reply }) = queue.recv().await {
                seen.lock().unwrap().push(report.sequence);
                let answer = match &controller {
                    Loop::Refuses(refusal) => Err(refusal.clone()),
                    _ => Ok(ReportAnswer { sequence: report.sequence, resync: true }),
                };
                reply.send(answer).unwrap();
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let folder = tempfile::tempdir().unwrap();
        let (wake, wakes) = mpsc::channel(1);
        let vitals = Arc::<Vitals>::default();
        let needs = Needs {
            snapshot: receiver,
            refused: mpsc::channel(1).0,
            status: watch::channel(None).1,
            submissions,
            wake,
            repository: repository(folder.path()),
            judge: crate::change::Judge::here(),
            development: false,
            vitals: Arc::clone(&vitals),
            options,
        };
        let server = tokio::spawn(super::serve(listener, needs, shutdown));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let kept = (sender, folder);
        let stop = Some(stop);
        Self { address, client, received, wakes, vitals, stop, server, _kept: kept }
    }

    async fn normal() -> Self {
        Self::start(|_| (), Loop::Answers).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Status, headers and JSON of the answer to a report.
    async fn post(&self, host: &str, token: Option<&str>, body: String) -> Answer {
        let url = self.url(&format!("/api/v1/hosts/{host}/reports"));
        let mut request = self.client.post(url).body(body);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Answer::of(request.send().await.unwrap()).await
    }

    fn received(&self) -> Vec<u64> {
        self.received.lock().unwrap().clone()
    }

    /// Sends bytes as they are and reads until the server closes the connection.
    async fn raw(&self, bytes: &str) -> String {
        let (address, bytes) = (self.address, bytes.to_owned());
        let talk = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            String::from_utf8(answer).unwrap()
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert_eq!(headers["content-type"], "application/json", "{status}");
        let text = response.text().await.unwrap();
        for secret in [TOKEN_A, TOKEN_B] {
            assert!(!text.contains(secret), "{text}");
        }
        Self { status, headers, body: serde_json::from_str(&text).unwrap() }
    }

    fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().expect("an error says what is wrong"))
    }
}

fn report(host: &str, sequence: u64) -> Value {
    json!({ "host": host, "sequence": sequence, "agent": "0.1.0", "interval": 10 })
}

#[tokio::test]
async fn a_report_reaches_the_loop_and_is_answered() {
    let api = Api::normal().await;
    let answer = api.post("a", Some(TOKEN_A), report("a", 7).to_string()).await;
    assert_eq!((answer.status, answer.body), (200, json!({ "sequence": 7, "resync": true })));
    assert_eq!(api.received(), [7]);
    let health = api.client.get(api.url("/healthz")).send().await.unwrap();
    assert_eq!(health.headers()["content-type"], "text/plain");
    assert_eq!((health.status().as_u16(), health.text().await.unwrap()), (200, "ok".into()));
}

#[tokio::test]
async fn who_may_not_report_gets_no_further() {
    let api = Api::normal().await;
    let own = report("a", 1).to_string();
    for (host, token, body, expected) in [
        ("a", None, &own, (401, "a bearer token is needed")),
        ("a", Some(""), &own, (401, "a bearer token is needed")),
        ("a", Some("wrong"), &own, (401, "the token is not valid for this host")),
        ("a", Some(TOKEN_B), &own, (403, "a host speaks only for itself")),
        ("a", Some(TOKEN_A), &report("b", 1).to_string(), (403, "a host speaks only for itself")),
        ("nobody", Some(TOKEN_A), &own, (404, "no such thing")),
        ("%2e%2e", Some(TOKEN_A), &own, (404, "no such thing")),
        ("a%2f..%2fb", Some(TOKEN_A), &own, (404, "no such thing")),
        ("a%00", Some(TOKEN_A), &own, (404, "no such thing")),
        ("A", Some(TOKEN_A), &own, (404, "no such thing")),
    ] {
        let answer = api.post(host, token, body.clone()).await;
        assert_eq!(answer.error(), expected, "{host} {token:?}");
        let asks = answer.headers.contains_key("www-authenticate");
        assert_eq!(asks, answer.status == 401, "{host} {token:?}");
    }
    assert_eq!(api.received(), [0; 0]);
}

#[tokio::test]
async fn other_schemes_and_paths_are_refused() {
    let api = Api::normal().await;
    let url = api.url("/api/v1/hosts/a/reports");
    let basic = api.client.post(&url).header("Authorization", format!("Basic {TOKEN_A}"));
    assert_eq!(Answer::of(basic.body("{}").send().await.unwrap()).await.status, 401);
    let lower = api.client.post(&url).header("Authorization", format!("bearer {TOKEN_A}"));
    let lower = lower.body(report("a", 1).to_string()).send().await.unwrap();
    assert_eq!(lower.status().as_u16(), 200, "schemes have no case (RFC 9110)");
    assert_eq!(Answer::of(api.client.get(&url).send().await.unwrap()).await.status, 405);
    for path in ["/", "/api", "/api/v1/hosts/a/reports/x", "/api/v1/hosts//reports", "/healthz/x"] {
        let answer = Answer::of(api.client.post(api.url(path)).body("x").send().await.unwrap());
        assert_eq!(answer.await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_reports_are_refused() {
    let api = Api::start(|snapshot| snapshot.limits.reports_per_minute = 100, Loop::Answers).await;
    let with = |key: &str, value: Value| {
        let mut body = report("a", 1);
        body[key] = value;
        body.to_string()
    };
    let assignment = |phase: &str, reason: &str| {
        json!([{
            "deployment": "iot/sensor/prod", "rendered": "0".repeat(40),
            "phase": phase, "reason": reason,
        }])
    };
    for body in [
        String::new(),
        "{".into(),
        "[".repeat(60_000),
        "{\"host\":".repeat(7_000),
        "\u{0}".into(),
        with("surprise", json!(1)),
        with("sequence", json!(-1)),
        with("sequence", json!(1e30)),
        with("host", json!("../a")),
        with("rendered", json!("main")),
        with("assignments", assignment("Deployed", "two words")),
        with("assignments", assignment("Deployed", "")),
        with("assignments", assignment("Stalled", "Told")),
        with("assignments", assignment("Nonsense", "Told")),
    ] {
        let start: String = body.chars().take(40).collect();
        let answer = api.post("a", Some(TOKEN_A), body).await;
        assert_eq!(answer.error().0, 400, "{start}");
    }
    assert_eq!(api.received(), [0; 0]);
}

#[tokio::test]
async fn size_is_judged_before_anything_is_read() {
    let api = Api::normal().await;
    let answer = api.post("a", Some(TOKEN_A), "x".repeat(64 * 1024 + 1)).await;
    assert_eq!(answer.error(), (413, "the body is larger than 65536 bytes"));
    let head = "POST /api/v1/hosts/a/reports HTTP/1.1\r\nHost: x\r\n";
    // Not a byte of the body is sent, and there is no token: the length alone is enough.
    let answer = api.raw(&format!("{head}Content-Length: 99999999999\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let answer = api.raw(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
    assert_eq!(api.received(), [0; 0]);
}

#[tokio::test]
async fn refusals_of_the_loop_have_their_codes() {
    let revision = Revision::from_bytes([0xab; 20]);
    for (refusal, status, seen) in [
        (Refusal::OldSequence { got: 3, seen: 9 }, 409, Some(9)),
        (Refusal::UnknownRevision(revision), 409, None),
        (Refusal::UnknownHost, 404, None),
    ] {
        let api = Api::start(|_| (), Loop::Refuses(refusal.clone())).await;
        let answer = api.post("a", Some(TOKEN_A), report("a", 3).to_string()).await;
        assert_eq!((answer.error().0, answer.body["seen"].as_u64()), (status, seen), "{refusal}");
    }
}

#[tokio::test]
async fn too_many_reports_have_to_wait() {
    let api = Api::start(|snapshot| snapshot.limits.reports_per_minute = 2, Loop::Answers).await;
    for sequence in [1, 2] {
        let answer = api.post("a", Some(TOKEN_A), report("a", sequence).to_string()).await;
        assert_eq!(answer.status, 200);
    }
    let answer = api.post("a", Some(TOKEN_A), report("a", 3).to_string()).await;
    assert_eq!(answer.error(), (429, "more than 2 reports a minute"));
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let other = api.post("b", Some(TOKEN_B), report("b", 1).to_string()).await;
    assert_eq!(other.status, 200, "hosts do not wait for each other");
    // Who cannot prove to be the host does not use up its share.
    assert_eq!(api.post("a", Some("wrong"), String::new()).await.status, 401);
}

#[tokio::test]
async fn a_full_queue_and_a_stuck_loop_say_try_again() {
    let change = |snapshot: &mut Snapshot| {
        snapshot.limits.http_body_time = TimeSpan(Duration::from_millis(50));
    };
    let api = Api::start(change, Loop::Stuck).await;
    // The first fills the queue and is never answered; the second finds it full.
    for sequence in [1, 2] {
        let answer = api.post("a", Some(TOKEN_A), report("a", sequence).to_string()).await;
        assert_eq!(answer.error(), (503, "titan is busy; try again later"));
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let change = |snapshot: &mut Snapshot| {
        snapshot.limits.http_header_time = TimeSpan(Duration::from_millis(100));
        snapshot.limits.http_body_time = TimeSpan(Duration::from_millis(100));
    };
    let api = Api::start(change, Loop::Answers).await;
    let head = "POST /api/v1/hosts/a/reports HTTP/1.1\r\nHost: x\r\n";
    let answer = api.raw(head).await;
    assert!(!answer.contains(" 200 "), "the header never ended: {answer}");
    let token = format!("Authorization: Bearer {TOKEN_A}\r\n");
    let answer = api.raw(&format!("{head}{token}Content-Length: 10\r\n\r\n{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn the_server_stops_when_it_is_told() {
    let mut api = Api::normal().await;
    assert_eq!(api.post("a", Some(TOKEN_A), report("a", 1).to_string()).await.status, 200);
    api.stop.take().unwrap().send(()).unwrap();
    api.server.await.unwrap();
    // A new client: the old one may still take its open connection for usable.
    let client = reqwest::Client::new();
    let refused = client.get(format!("http://{}/healthz", api.address)).send().await;
    assert!(refused.unwrap_err().is_connect());
}
