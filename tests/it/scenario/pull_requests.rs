//! Changes that wait to be merged, with a forge that shows them to people.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use titan::git::Repository;
use warp::Filter;
use warp::http::{Method, Response};
use warp::hyper::body::Bytes;

use super::changes::{Api, fleet};
use super::support::{ConfigRepo, eventually};

const TOKEN: &str = "s3cret-forge-token";
const PULLS: &str = "/api/v3/repos/iot/fleet/pulls";

/// A GitHub of its own, of one repository.
struct GitHub {
    url: String,
    shared: Arc<Mutex<Shared>>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    git: Repository,
    pulls: Vec<Value>,
    /// What it answers to those who want to open one, if anything is wrong.
    refusal: Option<u16>,
}

impl Shared {
    fn answer(&mut self, method: &Method, query: &str, body: &Value) -> (u16, Value) {
        if method == Method::GET {
            let own = |pull: &&Value| {
                let head = pull["head"]["ref"].as_str().unwrap_or_default().replace('/', "%2F");
                query == format!("state=all&head=iot%3A{head}&base=main")
            };
            return (200, self.pulls.iter().filter(own).cloned().collect());
        }
        if let Some(status) = self.refusal {
            return (status, json!({"message": "not today"}));
        }
        let branch = body["head"].as_str().unwrap_or_default();
        if self.git.branch(branch).ok().flatten().is_none() {
            return (422, json!({"message": "Validation Failed"}));
        }
        let number = self.pulls.len() + 1;
        let pull = json!({
            "number": number, "title": body["title"], "body": body["body"],
            "html_url": format!("https://github.example/iot/fleet/pull/{number}"),
            "head": {"ref": branch, "repo": {"id": 1}},
            "base": {"ref": body["base"], "repo": {"id": 1}},
        });
        self.pulls.push(pull.clone());
        (201, pull)
    }
}

impl GitHub {
    fn start(repository: &ConfigRepo) -> Self {
        let git = Repository::open(&repository.path).expect("it opens");
        let shared = Arc::new(Mutex::new(Shared { git, pulls: Vec::new(), refusal: None }));
        let own = Arc::clone(&shared);
        let route = warp::method()
            .and(warp::path::full())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::exact("authorization", "Bearer s3cret-forge-token"))
            .and(warp::body::bytes())
            .map(move |method, path: warp::path::FullPath, query: String, body: Bytes| {
                assert_eq!(path.as_str(), PULLS);
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, body) = own.lock().expect("whole").answer(&method, &query, &body);
                Response::builder().status(status).body(body.to_string()).expect("an answer")
            });
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        runtime.spawn(warp::serve(route).incoming(listener).run());
        Self { url, shared, _runtime: runtime }
    }

    fn refuse(&self, refusal: Option<u16>) {
        self.shared.lock().expect("whole").refusal = refusal;
    }

    fn pulls(&self) -> Vec<Value> {
        self.shared.lock().expect("whole").pulls.clone()
    }
}

/// A controller of a remote fleet, which opens pull requests.
fn start(repository: ConfigRepo, forge: &GitHub) -> Api {
    let token = repository.folder.path().join("token");
    fs::write(&token, TOKEN).expect("a token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("its mode");
    let fleet = format!("file://{}", repository.path.display());
    let token = token.display().to_string();
    let options = [
        ["--fleet", &fleet],
        ["--forge", "github"],
        ["--forge-url", &forge.url],
        ["--forge-repository", "iot/fleet"],
        ["--forge-token-file", &token],
        ["--poll", "200ms"],
    ];
    Api::with(repository, options.as_flattened())
}

/// Asks for a host, to be merged by somebody.
fn propose(api: &Api, id: &str) -> (u16, Value) {
    let host = json!({"op": "create", "kind": "Host", "name": id, "object": {"spec": {}}});
    let body = json!({
        "mode": "pull-request", "message": format!("add {id}\n\n/approve"), "changes": [host],
    });
    let url = api.url("/api/v1/changes?wait=committed");
    api.ask(api.caller.client.post(url).header("Idempotency-Key", id).body(body.to_string()))
}

#[test]
fn a_change_to_be_merged_has_one_pull_request() {
    let repository = fleet();
    let forge = GitHub::start(&repository);
    let api = start(repository, &forge);
    let (status, change) = propose(&api, "one");
    let url = "https://github.example/iot/fleet/pull/1";
    assert_eq!((status, &change["state"]), (200, &json!("Proposed")), "{change}");
    assert_eq!(
        (&change["pullRequest"], &change["branch"]),
        (&json!(url), &json!("titan/change/one"))
    );
    assert_eq!(change["reason"], Value::Null);
    let pull = &forge.pulls()[0];
    assert_eq!((&pull["title"], &pull["base"]["ref"]), (&json!("add one"), &json!("main")));
    let body = pull["body"].as_str().expect("a text");
    for part in
        ["```text\n/approve\n```\n", "Asked for by `development`", "Titan-Request-Id: `one`"]
    {
        assert!(body.contains(part), "{body}");
    }

    // The same again, here and at a controller that remembers nothing.
    assert_eq!(propose(&api, "one").1, change);
    let api = start(api.stop(), &forge);
    let (_, found) = api.get("/api/v1/changes/one");
    assert_eq!((&found["state"], &found["pullRequest"]), (&json!("Proposed"), &json!(url)));
    assert_eq!(propose(&api, "one").1["pullRequest"], url);
    assert_eq!(forge.pulls().len(), 1);

    // Merged, it goes on as others do.
    let commit = change["commit"].as_str().expect("a commit").parse().expect("its id");
    let git = &api.repository.git;
    git.advance("main", api.repository.head("main"), commit).expect("it moves forward");
    eventually("the merge", || {
        let (_, now) = api.get("/api/v1/changes/one");
        ["Committed", "Rendered", "Deployed"].contains(&now["state"].as_str().unwrap_or_default())
    });
}

#[test]
fn a_forge_that_refuses_fails_no_change() {
    let repository = fleet();
    let forge = GitHub::start(&repository);
    let api = start(repository, &forge);
    forge.refuse(Some(403));
    let (status, change) = propose(&api, "two");
    assert_eq!((status, &change["state"]), (200, &json!("Proposed")), "{change}");
    let reason = change["reason"].as_str().expect("it says why");
    assert!(reason.contains("may not open pull requests: not today"), "{reason}");
    assert!(api.repository.head("titan/change/two").is_some(), "the branch is there");
    let (_, found) = api.get("/api/v1/changes/two");
    assert_eq!((&found["reason"], &found["pullRequest"]), (&change["reason"], &Value::Null));

    // Sent again, it is tried again.
    forge.refuse(Some(502));
    let reason = propose(&api, "two").1["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("tried again")), "{reason}");
    forge.refuse(None);
    let url = "https://github.example/iot/fleet/pull/1";
    eventually("the forge is back", || api.get("/api/v1/changes/two").1["pullRequest"] == url);
    assert_eq!(forge.pulls().len(), 1);

    // What can be no branch is refused before it gets in anybody's way.
    for id in ["a:b", "a..b", "a.lock"] {
        let body = json!({"mode": "pull-request", "changes": [
            {"op": "delete", "kind": "Host", "name": "tim-pi"},
        ]});
        let request = api.caller.client.post(api.url("/api/v1/changes")).body(body.to_string());
        assert_eq!(api.ask(request.header("Idempotency-Key", id)).0, 400, "{id}");
    }

    let log = api.repository.folder.path().join("controller.log");
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("a pull request is open") && !log.contains(TOKEN), "{log}");
}

#[test]
fn a_forge_is_not_guessed() {
    let repository = fleet();
    let check = |options: &[&str], code: i32, part: &str| {
        let listen = ["controller", "--listen", "127.0.0.1:0"];
        let output = repository.titan(&[&listen, options].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{said}");
    };
    let token = repository.folder.path().join("token");
    fs::write(&token, TOKEN).expect("a token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("its mode");
    let token = token.display().to_string();
    check(&["--forge", "github"], 2, "--forge-token-file");
    check(&["--forge-token-file", &token], 2, "--forge-url");
    let place = ["--forge-url", "https://git.example", "--forge-repository", "a/b"];
    let token = ["--forge-token-file", &token];
    check(&[&place[..], &token].concat(), 2, "`--forge`");
    check(&[&place[..], &token, &["--forge", "gitea"]].concat(), 1, "everybody on this machine");
    check(&[&place[..], &token, &["--forge", "svn"]].concat(), 2, "gitea");
}
