//! Forges on loopback: what they are asked, word for word, and what becomes of their answers.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use warp::Filter;
use warp::http::{HeaderMap, Method, Response};
use warp::hyper::body::Bytes;

use super::opener::Pace;
use super::*;
use crate::git::{CommitDraft, FleetRepository, Location, Repository, Signature, TreeEdit};
use crate::model::{Limits, RepoPath};

const TOKEN: &str = "s3cret-token";
const HEAD: &str = "titan/change/r1";

/// What a forge was asked.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: HeaderMap,
    body: Value,
}

/// Status, one more header, body; `None`: it never answers.
type Answer = Option<(u16, [&'static str; 2], Value)>;

/// A forge that answers as it is told, and then with 500.
#[derive(Clone)]
struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

fn answer(status: u16, body: Value) -> Answer {
    Some((status, ["x-none", ""], body))
}

impl Fake {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
        };
        let own = fake.clone();
        let route = warp::method()
            .and(warp::path::full())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .then(
                move |method: Method,
                      path: warp::path::FullPath,
                      query: String,
                      headers,
                      body: Bytes| {
                    let mut line = format!("{method} {}", path.as_str());
                    if !query.is_empty() {
                        line += &format!("?{query}");
                    }
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    own.asked.lock().unwrap().push(Asked { line, headers, body });
                    let next = own.answers.lock().unwrap().pop_front();
                    async move {
                        let Some((status, [name, value], body)) =
                            next.unwrap_or_else(|| answer(500, Value::Null))
                        else {
                            return std::future::pending().await;
                        };
                        let builder = Response::builder().status(status).header(name, value);
                        builder.body(body.to_string()).unwrap()
                    }
                },
            );
        tokio::spawn(warp::serve(route).incoming(listener).run());
        fake
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

/// A fleet with a change on a branch, a forge, and who opens pull requests there.
struct World {
    fake: Fake,
    opener: Opener,
    news: mpsc::UnboundedReceiver<News>,
    job: Job,
    folder: tempfile::TempDir,
}

fn commit(git: &Repository) -> crate::model::Revision {
    let mut tree = TreeEdit::new(git, None);
    tree.put(&RepoPath::new("a").unwrap(), b"a").unwrap();
    let author =
        Signature { name: "anna".into(), email: "a@example.com".into(), seconds: 100, offset: 0 };
    let message = "deploy it\n\nIt is time.\n\nTitan-Actor: anna\nTitan-Request-Id: r1\n".into();
    let (tree, committer) = (tree.write().unwrap(), author.clone());
    git.write_commit(&CommitDraft { tree, parents: Vec::new(), author, committer, message })
        .unwrap()
}

impl World {
    async fn new(kind: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let fake = Fake::start(answers).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet");
        fs::create_dir(&path).unwrap();
        let commit = commit(&Repository::init(&path, "main").unwrap());
        let location = Location::Local(path);
        let fleet =
            FleetRepository::open(&location, Some("main"), folder.path(), &Limits::default());
        let token = folder.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let place = ForgePlace {
            kind: Some(kind.parse().unwrap()),
            url: Some(fake.url.clone()),
            repository: Some("iot/fleet".into()),
        };
        let forge = Forge::new(&location, place, token).unwrap();
        let (send, news) = mpsc::unbounded_channel();
        let tell = move |_: &_, one| send.send(one).unwrap();
        let millis = Duration::from_millis;
        let pace = Pace { tries: 3, first: millis(5), between: millis(0), time: millis(2000) };
        let opener = Opener::at_pace(pace, forge, fleet.unwrap(), tell).unwrap();
        let job = Job { id: "r1".parse().unwrap(), branch: HEAD.into(), commit };
        Self { fake, opener, news, job, folder }
    }

    /// Sends the change, and waits for the next word of it.
    async fn open(&mut self) -> News {
        assert!(self.opener.send(self.job.clone()));
        self.hear().await
    }

    async fn hear(&mut self) -> News {
        let news = tokio::time::timeout(Duration::from_secs(20), self.news.recv()).await;
        news.expect("something happens").expect("somebody tells")
    }

    async fn refused(&mut self) -> String {
        match self.open().await {
            News::Not(reason) => reason,
            open @ News::Open(_) => panic!("{open:?}"),
        }
    }
}

/// A pull request as each forge shows it; `fork`: from somebody else's repository.
fn request(kind: &str, fork: bool) -> Value {
    let theirs = if fork { 2 } else { 1 };
    match kind {
        "gitlab" => json!({
            "iid": 7, "state": "opened", "source_branch": HEAD, "target_branch": "main",
            "source_project_id": theirs, "target_project_id": 1,
            "web_url": "https://git.example/iot/fleet/-/merge_requests/7",
        }),
        _ => json!({
            "number": 7, "state": "open", "html_url": "https://git.example/iot/fleet/pull/7",
            "head": {"ref": HEAD, "repo": {"id": theirs}}, "base": {"ref": "main", "repo": {"id": 1}},
        }),
    }
}

fn address(kind: &str) -> News {
    let number = if kind == "gitlab" { "-/merge_requests/7" } else { "pull/7" };
    News::Open(format!("https://git.example/iot/fleet/{number}"))
}

/// That there is none.
fn none(kind: &str) -> Answer {
    match kind {
        "gitea" => answer(404, json!({"errors": [], "message": "The target couldn't be found."})),
        _ => answer(200, json!([])),
    }
}

const KINDS: [&str; 3] = ["github", "gitlab", "gitea"];

/// Method, path, headers and body are those of each forge's documentation.
#[tokio::test]
async fn each_forge_is_asked_in_its_own_words() {
    let text = "```text\nIt is time.\n```\n\nAsked for by `anna` through titan's API.\n\
        `titan plan main...titan/change/r1` shows what it does.\n\nTitan-Request-Id: `r1`\n";
    for (kind, find, open, headers, body) in [
        (
            "github",
            "GET /api/v3/repos/iot/fleet/pulls?state=all&head=iot%3Atitan%2Fchange%2Fr1&base=main",
            "POST /api/v3/repos/iot/fleet/pulls",
            vec![
                ("authorization", "Bearer s3cret-token"),
                ("accept", "application/vnd.github+json"),
                ("x-github-api-version", "2022-11-28"),
            ],
            json!({"title": "deploy it", "head": HEAD, "base": "main", "body": text}),
        ),
        (
            "gitlab",
            "GET /api/v4/projects/iot%2Ffleet/merge_requests?state=all&scope=all&source_branch=titan%2Fchange%2Fr1&target_branch=main",
            "POST /api/v4/projects/iot%2Ffleet/merge_requests",
            vec![("private-token", TOKEN), ("accept", "application/json")],
            json!({
                "title": "deploy it", "source_branch": HEAD, "target_branch": "main",
                "description": text,
            }),
        ),
        (
            "gitea",
            "GET /api/v1/repos/iot/fleet/pulls/main/titan/change/r1",
            "POST /api/v1/repos/iot/fleet/pulls",
            vec![("authorization", "token s3cret-token"), ("accept", "application/json")],
            json!({"title": "deploy it", "head": HEAD, "base": "main", "body": text}),
        ),
    ] {
        let answers = [none(kind), answer(201, request(kind, false))];
        let mut world = World::new(kind, answers).await;
        assert_eq!(world.open().await, address(kind));
        assert_eq!(world.fake.lines(), [find, open]);
        let asked = world.fake.asked();
        for (name, value) in headers {
            assert!(asked.iter().all(|asked| asked.headers[name] == value), "{kind} {name}");
        }
        assert!(asked[0].headers["user-agent"].to_str().unwrap().starts_with("titan/"));
        assert_eq!(asked[1].headers["content-type"], "application/json");
        assert_eq!(asked[1].body, body, "{kind}");
    }
}

#[tokio::test]
async fn the_same_change_has_one_pull_request() {
    for kind in KINDS {
        let found = |fork| match kind {
            "gitea" => answer(200, request(kind, fork)),
            _ => answer(200, json!([request(kind, fork)])),
        };
        // Found; then somebody was faster; then one of a fork does not count.
        let taken = answer(if kind == "github" { 422 } else { 409 }, json!({"message": "exists"}));
        let opened = answer(201, request(kind, false));
        let answers = [found(false), none(kind), taken, found(false), found(true), opened];
        let mut world = World::new(kind, answers).await;
        for posts in [0, 1, 2] {
            assert_eq!(world.open().await, address(kind));
            let lines = world.fake.lines();
            let posted = lines.iter().filter(|line| line.starts_with("POST")).count();
            assert_eq!(posted, posts, "{kind} {lines:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    for (status, body, part) in [
        (401, json!({"message": "Bad credentials"}), "does not accept the token; fix"),
        (
            403,
            json!({"message": "not by personal access token"}),
            "not by personal access token; fix",
        ),
        (404, json!({"message": "404 Project Not Found"}), "404 Project Not Found; fix"),
        (
            422,
            json!({"message": "Validation Failed", "errors": [{"message": "no commits"}]}),
            "Validation Failed, no commits",
        ),
        (400, json!({"message": {"base": ["is missing"]}}), "400 Bad Request: is missing"),
        (302, json!({}), "redirects elsewhere; fix"),
        (200, json!("nonsense"), "cannot be understood"),
        (201, json!({"html_url": "javascript:alert(1)"}), "cannot be understood"),
        (
            400,
            json!({"message": format!("the token {TOKEN} is odd\u{1b}[31m")}),
            "the token … is odd [31m",
        ),
        (400, json!({"message": "x".repeat(2 << 20)}), "400 Bad Request"),
    ] {
        // What is asked after a refusal, in case that somebody was faster, finds nothing.
        let mut world =
            World::new("github", [none("github"), answer(status, body), none("github")]).await;
        let reason = world.refused().await;
        assert!(
            reason.starts_with("there is no pull request: ") && reason.contains(part),
            "{reason}"
        );
        assert!(!reason.contains(TOKEN) && reason.len() < 600, "{reason}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(world.news.try_recv().is_err(), "it is not tried again");
    }
}

#[tokio::test]
async fn a_forge_that_is_away_is_tried_again_and_not_for_ever() {
    let kind = "gitea";
    let answers = [
        none(kind),
        answer(502, json!({"message": "bad gateway"})),
        // It takes longer than it may.
        None,
        answer(200, request(kind, false)),
    ];
    let mut world = World::new(kind, answers).await;
    let reason = world.refused().await;
    assert!(reason.contains("tried again") && reason.contains("502"), "{reason}");
    let News::Not(reason) = world.hear().await else { panic!("it did not answer") };
    assert!(reason.contains("tried again") && reason.contains("does not answer"), "{reason}");
    assert_eq!(world.hear().await, address(kind));

    // From here on it always fails.
    assert!(world.refused().await.contains("tried again"));
    let News::Not(_) = world.hear().await else { panic!("it fails") };
    let News::Not(last) = world.hear().await else { panic!("it fails") };
    assert!(last.starts_with("there is no pull request: ") && last.contains("500"), "{last}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(world.news.try_recv().is_err(), "three tries are all");
}

#[tokio::test]
async fn a_forge_that_has_had_enough_is_left_alone() {
    for (status, header) in [
        (429, ["retry-after", "1"]),
        (503, ["retry-after", "1"]),
        (403, ["retry-after", "1"]),
        (403, ["x-ratelimit-remaining", "0"]),
    ] {
        let mut world = World::new("github", [Some((status, header, json!({})))]).await;
        let reason = world.refused().await;
        assert!(reason.contains("tried again") && reason.contains("left alone"), "{reason}");
        let other = world.refused().await;
        assert!(other.contains("left alone"), "{other}");
        assert_eq!(world.fake.lines().len(), 1, "{status} {header:?}");
        if header[0] == "retry-after" {
            world.fake.answers.lock().unwrap().extend([
                answer(200, json!([request("github", false)])),
                answer(200, json!([request("github", false)])),
            ]);
            assert_eq!(world.hear().await, address("github"));
        }
    }
}

#[tokio::test]
async fn a_new_token_counts_at_once() {
    let kind = "gitlab";
    let answers = [answer(401, json!({})), none(kind), answer(201, request(kind, false))];
    let mut world = World::new(kind, answers).await;
    assert!(world.refused().await.contains("token file"));
    let token = world.folder.path().join("token");
    fs::write(&token, "another").unwrap();
    assert_eq!(world.open().await, address(kind));
    assert_eq!(world.fake.asked()[1].headers["private-token"], "another");
    fs::remove_file(&token).unwrap();
    let reason = world.refused().await;
    assert!(reason.contains("log says what is wrong") && !reason.contains("/token"), "{reason}");
}

/// After a restart nothing is remembered: the forge is asked, once for many who ask.
#[tokio::test]
async fn who_asks_later_learns_the_address() {
    let kind = "github";
    let answers = [none(kind), answer(200, json!([request(kind, false)]))];
    let world = World::new(kind, answers).await;
    let first = world.opener.look("titan/change/other").await;
    assert!(matches!(&first, News::Not(reason) if reason.contains("sent again opens one")));
    assert_eq!(world.opener.look("titan/change/other").await, first);
    for _ in 0..3 {
        assert_eq!(world.opener.look(HEAD).await, address(kind));
    }
    assert_eq!(world.fake.lines().len(), 2);
    let away = world.opener.look("titan/change/third").await;
    assert!(matches!(&away, News::Not(reason) if reason.contains("not known")), "{away:?}");
}
