//! A request over HTTP becomes a commit, and reaches a host.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::support::{ConfigRepo, Process, eventually, free_address};

/// Calls, one after the other.
pub(super) struct Caller {
    pub(super) client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Caller {
    fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        Self { client: Client::builder().no_proxy().build().expect("a client"), runtime }
    }

    fn send(&self, request: RequestBuilder) -> Option<(u16, Response)> {
        let answer = self.runtime.block_on(request.send()).ok()?;
        Some((answer.status().as_u16(), answer))
    }

    /// Status and JSON of an answer.
    fn ask(&self, request: RequestBuilder) -> (u16, Value) {
        let (status, answer) = self.send(request).expect("an answer");
        let text = self.runtime.block_on(answer.text()).expect("a text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn status(&self, request: RequestBuilder) -> Option<u16> {
        self.send(request).map(|(status, _)| status)
    }
}

/// A controller on one's own machine, and who calls it.
pub(super) struct Api {
    pub(super) repository: ConfigRepo,
    address: String,
    pub(super) caller: Caller,
    _controller: Process,
}

impl Api {
    fn start(repository: ConfigRepo) -> Self {
        Self::with(repository, &[])
    }

    /// With more options.
    pub(super) fn with(repository: ConfigRepo, options: &[&str]) -> Self {
        let address = free_address();
        let listen = ["controller", "--listen", &address, "--insecure-development"];
        let controller = repository.spawn("controller", &[&listen, options].concat());
        let api = Self { repository, address, caller: Caller::new(), _controller: controller };
        let hosts = || api.caller.client.get(api.url("/api/v1/hosts"));
        eventually("the controller", || api.caller.status(hosts()) == Some(200));
        api
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn ask(&self, request: RequestBuilder) -> (u16, Value) {
        self.caller.ask(request)
    }

    /// Ends the controller.
    pub(super) fn stop(self) -> ConfigRepo {
        self.repository
    }

    pub(super) fn get(&self, path: &str) -> (u16, Value) {
        self.ask(self.caller.client.get(self.url(path)))
    }

    /// Posts changes, and waits until they are committed.
    fn post(&self, id: &str, changes: &Value) -> (u16, Value) {
        let url = self.url("/api/v1/changes?wait=committed");
        let body = json!({"changes": changes}).to_string();
        self.ask(self.caller.client.post(url).header("Idempotency-Key", id).body(body))
    }
}

pub(super) fn fleet() -> ConfigRepo {
    let mut repository = ConfigRepo::new().template().workload().host("tim-pi", "region=eu");
    repository.commit("the fleet");
    repository
}

#[test]
fn a_change_that_is_posted_is_a_commit_and_reaches_a_host() {
    let repository = fleet();
    let token = repository.token("tim-pi");
    let api = Api::start(repository);
    let _agent = api.repository.agent("tim-pi", &api.address, &token);
    let changes = json!([
        {"op": "create", "kind": "Target", "name": "default/eu",
         "object": {"spec": {"selector": {"matchLabels": {"region": "eu"}}}}},
        {"op": "create", "kind": "Deployment", "name": "default/web/prod",
         "object": {"spec": {"template": "app", "target": "eu", "values": {"version": "7"}}}},
    ]);
    let (status, change) = api.post("release-7", &changes);
    assert_eq!((status, change["state"].as_str()), (200, Some("Committed")), "{change}");
    let commit = change["commit"].as_str().expect("a commit").parse().expect("its id");
    let commit = api.repository.git.commit(commit).expect("it is in history");
    assert_eq!(commit.trailer("Titan-Request-Id"), Some("release-7"));
    assert_eq!(commit.trailer("Titan-Actor"), Some("development"));
    assert_eq!(commit.trailer("Titan-Via"), Some("api"));
    assert_eq!(commit.subject, "change 2 objects");

    eventually("the host", || {
        let (_, now) = api.get("/api/v1/changes/release-7");
        now["state"] == "Deployed" && now["rendered"].is_string()
    });
    let file = api.repository.destination("tim-pi").join("default/web/prod/sub/b.txt");
    assert_eq!(std::fs::read_to_string(file).expect("it is there"), "7\n");

    // The same again is the same; something else under its name is not.
    assert_eq!(api.post("release-7", &changes).1["commit"], change["commit"]);
    let other = json!([{"op": "delete", "kind": "Host", "name": "tim-pi"}]);
    assert_eq!(api.post("release-7", &other).0, 409);
    let (status, patched) = api.post(
        "release-8",
        &json!([
            {"op": "patch", "kind": "Deployment", "name": "default/web/prod",
             "patch": {"spec": {"values": {"version": "8"}}}},
        ]),
    );
    assert_eq!((status, patched["state"].as_str()), (200, Some("Committed")));
    let (status, gone) = api.post(
        "gone",
        &json!([
            {"op": "delete", "kind": "Target", "name": "default/nobody"},
        ]),
    );
    assert_eq!((status, gone["state"].as_str()), (200, Some("Unchanged")), "{gone}");
}

#[test]
fn what_is_wrong_is_said_as_validate_says_it() {
    let api = Api::start(fleet());
    let head = api.repository.head("main");
    let (status, change) = api.post(
        "r1",
        &json!([
            {"op": "create", "kind": "Deployment", "name": "default/web/prod",
             "object": {"spec": {"template": "ap", "target": "all"}}},
        ]),
    );
    assert_eq!((status, change["state"].as_str()), (422, Some("Rejected")), "{change}");
    let found = &change["diagnostics"][0];
    assert_eq!(found["code"], "ref/unknown-template");
    assert!(found["fix"].as_str().expect("a fix").contains("app"), "{found}");
    assert_eq!(api.get("/api/v1/changes/r1").1["state"], "Rejected");
    for (changes, expected) in [
        (json!([]), 400),
        (json!([{"op": "create", "kind": "Host", "name": "../x", "object": {}}]), 400),
        (json!([{"op": "create", "kind": "Host", "name": "tim-pi", "object": {}}]), 409),
        (json!([{"op": "patch", "kind": "Host", "name": "nobody", "patch": {"spec": {}}}]), 404),
        (json!([{"op": "delete", "kind": "Workspace", "name": "default"}]), 409),
    ] {
        let (status, answer) = api.post(
            &format!("bad-{expected}-{}", changes[0]["name"].as_str().map_or(0, str::len)),
            &changes,
        );
        assert_eq!(status, expected, "{changes} {answer}");
    }
    let url = api.url("/api/v1/changes");
    for (body, expected) in
        [("{", 400), ("[[[[", 400), ("{\"changes\": 3}", 400), ("{\"x\": []}", 400)]
    {
        assert_eq!(api.ask(api.caller.client.post(&url).body(body)).0, expected, "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(api.ask(api.caller.client.post(&url).body(deep)).0, 400);
    let large = vec![b' '; 2 << 20];
    assert_eq!(api.ask(api.caller.client.post(&url).body(large)).0, 413);
    let odd = api.caller.client.post(&url).header("Idempotency-Key", "a b").body("{}");
    assert_eq!(api.ask(odd).0, 400);
    assert_eq!(api.get("/api/v1/changes/nobody").0, 404);
    assert_eq!(api.repository.head("main"), head, "nothing was written");
}

/// A refusal is known to every controller, for as long as there is history.
#[test]
fn what_was_refused_is_in_git() {
    let api = Api::start(fleet());
    let wrong = json!([
        {"op": "create", "kind": "Deployment", "name": "default/web/prod",
         "object": {"spec": {"template": "ap", "target": "all"}}},
    ]);
    assert_eq!(api.post("r1", &wrong).0, 422);
    eventually("the refusal", || {
        let git = &api.repository.git;
        api.repository.head("titan/status").is_some_and(|head| {
            let tree = git.commit(head).expect("a commit").tree;
            git.entries(tree).expect("readable").iter().any(|entry| entry.name == "requests")
        })
    });
    let Api { repository, _controller, .. } = api;
    drop(_controller);
    let api = Api::start(repository);
    let (status, told) = api.get("/api/v1/changes/r1");
    assert_eq!((status, &told["state"]), (200, &json!("Rejected")), "{told}");
    assert_eq!(told["diagnostics"][0]["code"], "ref/unknown-template");
    let (status, again) = api.post("r1", &wrong);
    assert_eq!((status, &again["diagnostics"]), (422, &told["diagnostics"]), "{again}");
    let other = json!([{"op": "delete", "kind": "Host", "name": "nobody"}]);
    assert_eq!(api.post("r1", &other).0, 409);
    assert_eq!(api.post("r2", &other).0, 200);
}

#[test]
fn what_there_is_can_be_read() {
    let mut repository = fleet();
    for n in 0..5 {
        repository.edit_host(&format!("h{n}"), if n < 2 { "region=eu" } else { "region=us" });
    }
    repository.edit_deployment("prod", "1", "").commit("more");
    let api = Api::start(repository);
    let (status, hosts) = api.get("/api/v1/hosts?selector=region%3Dus&limit=2");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items").iter();
        items.map(|one| one["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!((status, names(&hosts)), (200, vec!["h2".to_owned(), "h3".to_owned()]));
    assert_eq!(hosts["metadata"]["remaining"], 1);
    let (_, rest) = api.get("/api/v1/hosts?selector=region%3Dus&limit=2&continue=h3");
    assert_eq!(names(&rest), ["h4"]);
    let (_, one) = api.get("/api/v1/deployments/default/web/prod");
    assert_eq!(one["kind"], "Deployment");
    for path in [
        "/api/v1/hosts/nobody",
        "/api/v1/hosts/%2e%2e",
        "/api/v1/nothing",
        "/api/v1/hosts/a%2f..%2fb",
    ] {
        assert_eq!(api.get(path).0, 404, "{path}");
    }
    assert_eq!(api.get("/api/v1/hosts?limit=x").0, 400);
    let hosts = || api.caller.client.get(api.url("/api/v1/hosts"));
    let (_, answer) = api.caller.send(hosts()).expect("an answer");
    let tag = answer.headers()["etag"].clone();
    assert_eq!(api.caller.status(hosts().header("If-None-Match", &tag)), Some(304));
    eventually("statuses", || {
        let (_, all) = api.get("/api/v1/assignments?host=h1");
        all["items"].as_array().is_some_and(|items| items.len() == 1)
    });
    eventually("all statuses", || {
        let (mut hosts, mut next) = (Vec::new(), String::new());
        loop {
            let (_, page) = api.get(&format!("/api/v1/assignments?limit=2{next}"));
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= 2, "{page}");
            let host = |one: &Value| {
                let pair = one["assignment"].as_str().expect("a pair");
                pair.split('@').nth(1).expect("a host").to_owned()
            };
            hosts.extend(items.iter().map(host));
            match page["metadata"]["continue"].as_str() {
                Some(last) => next = format!("&continue={last}"),
                None => return hosts == ["h0", "h1", "h2", "h3", "h4", "tim-pi"],
            }
        }
    });
    let first =
        api.repository.git.first_parents(api.repository.head("main").expect("a head"), None, 9);
    let first = *first.expect("history").last().expect("a commit");
    let (status, plan) = api.get(&format!("/api/v1/plan?base={first}&head=main"));
    assert_eq!((status, &plan["kind"], &plan["changes"]), (200, &json!("Plan"), &json!(true)));
    for bad in
        ["base=main", "base=HEAD~1&head=main", "base=--all&head=main", "base=main&head=nothing"]
    {
        assert!(matches!(api.get(&format!("/api/v1/plan?{bad}")).0, 400 | 404), "{bad}");
    }
    assert_eq!(api.get(&format!("/api/v1/diagnostics?revision={first}")).0, 400);
    let (_, past) = api.get(&format!("/api/v1/hosts?revision={first}"));
    assert_eq!(names(&past), ["tim-pi"]);
}

/// What callers write is rendered where it can do no harm, before it is committed.
#[test]
fn a_hostile_template_costs_its_sender_an_error() {
    let api = Api::start(fleet());
    let doubling = "{% set x = \"abcdefgh\" %}{% for i in range(end=60) %}{% set_global x = x ~ x %}{% endfor %}{{ x }}";
    for (name, text) in [
        (
            "endless",
            "{% for a in range(end=99999) %}{% for b in range(end=99999) %}{% endfor %}{% endfor %}",
        ),
        ("doubling", doubling),
    ] {
        let (status, change) = api.post(
            name,
            &json!([
                {"op": "create", "kind": "Template", "name": name, "object": {},
                 "files": {"a.txt.tera": text}},
                {"op": "create", "kind": "Deployment", "name": format!("default/web/{name}"),
                 "object": {"spec": {"template": name, "target": "all"}}},
            ]),
        );
        assert_eq!((status, change["state"].as_str()), (422, Some("Rejected")), "{change}");
        let code = change["diagnostics"][0]["code"].as_str().expect("a code");
        assert!(["render/timeout", "render/memory", "render/size"].contains(&code), "{change}");
    }
    assert_eq!(api.get("/api/v1/hosts").0, 200, "it lives");
}

/// Without the flag nobody may do anything; and it goes with one's own machine alone.
#[test]
fn nobody_is_let_in_unless_somebody_said_so() {
    let repository = fleet();
    let address = free_address();
    let _controller = repository.controller(&address);
    let caller = Caller::new();
    let get = |path: &str| caller.status(caller.client.get(format!("http://{address}{path}")));
    eventually("the controller", || get("/healthz") == Some(200));
    assert_eq!(get("/api/v1/hosts"), Some(401));
    let url = format!("http://{address}/api/v1/changes");
    let post = || caller.status(caller.client.post(&url).body("{}"));
    eventually("the first pass", || post() != Some(503));
    assert_eq!(post(), Some(401));
    let open = ["controller", "--listen", "0.0.0.0:0", "--insecure-development"];
    let output = repository.titan(&open);
    assert_eq!(output.status.code(), Some(2));
}

/// How many changes writers make together; `TITAN_CHANGES` for more.
fn changes() -> usize {
    std::env::var("TITAN_CHANGES").map_or(400, |changes| changes.parse().expect("a number"))
}

/// Sends a request to one controller after the other until it is committed, as a careful client does: each
/// time under the same id. The times that the successful tries took are kept.
fn insist(
    caller: &Caller,
    (addresses, first): (&[String], usize),
    id: &str,
    body: &str,
) -> Duration {
    for turn in 0.. {
        let address = &addresses[(first + turn) % addresses.len()];
        let url = format!("http://{address}/api/v1/changes?wait=committed");
        let start = std::time::Instant::now();
        let request = caller.client.post(url).header("Idempotency-Key", id).body(body.to_owned());
        match caller.status(request) {
            Some(200) => return start.elapsed(),
            Some(503 | 504) | None => std::thread::sleep(Duration::from_millis(20)),
            Some(other) => panic!("{id}: {other}"),
        }
    }
    unreachable!("it goes on until it is done")
}

/// The requests in history, and how often each was made.
fn made(repository: &ConfigRepo) -> BTreeMap<String, usize> {
    let head = repository.head("main").expect("a head");
    let mut made = BTreeMap::new();
    for revision in repository.git.first_parents(head, None, usize::MAX).expect("history") {
        let commit = repository.git.commit(revision).expect("a commit");
        if let Some(id) = commit.trailer("Titan-Request-Id") {
            *made.entry(id.to_owned()).or_default() += 1;
        }
    }
    made
}

/// Its change is made or not; it learns which when it asks again, under the same id.
#[test]
fn who_hangs_up_may_ask_again() {
    const TRIES: u64 = 60;
    let api = Api::start(fleet());
    for n in 0..TRIES {
        let (id, object) = (format!("hung-{n}"), json!({"metadata": {"labels": {"n": "x"}}}));
        let changes =
            json!([{"op": "create", "kind": "Host", "name": format!("h{n}"), "object": object}]);
        let body = json!({"changes": changes}).to_string();
        let length = body.len();
        let request = format!(
            "POST /api/v1/changes?wait=committed HTTP/1.1\r\nHost: titan\r\nIdempotency-Key: {id}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut connection = TcpStream::connect(&api.address).expect("a connection");
        connection.write_all(request.as_bytes()).expect("it is sent");
        // Each time at another moment.
        std::thread::sleep(Duration::from_micros(n * 50));
        drop(connection);
        let (status, change) = api.post(&id, &changes);
        assert_eq!((status, change["state"].as_str()), (200, Some("Committed")), "{n}: {change}");
    }
    let made = made(&api.repository);
    assert!(made.len() as u64 == TRIES && made.values().all(|count| *count == 1), "{made:?}");
}

/// Eight writers, three controllers on one repository; a controller is killed now and then.
#[test]
fn what_is_acknowledged_is_in_history_exactly_once() {
    const WRITERS: usize = 8;
    let (repository, each) = (fleet(), changes().div_ceil(WRITERS));
    let addresses: Vec<String> = (0..3).map(|_| free_address()).collect();
    let start = |number: usize| {
        let listen = ["controller", "--listen", &addresses[number], "--insecure-development"];
        repository.spawn(&format!("controller-{number}"), &listen)
    };
    let mut controllers: Vec<Process> = (0..3).map(start).collect();
    let begun = std::time::Instant::now();
    let (mut times, mut kills) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let write = |writer: usize| {
            let addresses = &addresses;
            move || {
                let caller = Caller::new();
                let change = |round: usize| {
                    let id = format!("w{writer}-{round}");
                    let labels = json!({"metadata": {"labels": {"round": round.to_string()}}});
                    let name = format!("h{writer}-{}", round % 10);
                    let op = if round < 10 {
                        json!({"op": "create", "kind": "Host", "name": name, "object": labels})
                    } else {
                        json!({"op": "patch", "kind": "Host", "name": name, "patch": labels})
                    };
                    let body = json!({"changes": [op]}).to_string();
                    insist(&caller, (addresses, writer + round), &id, &body)
                };
                (0..each).map(change).collect::<Vec<_>>()
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        let mut random = super::support::Random(7);
        while std::env::var_os("TITAN_NO_KILLS").is_none()
            && !writers.iter().all(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(500 + 500 * u64::from(each > 500)));
            let number = usize::try_from(random.below(3)).expect("few");
            std::mem::replace(&mut controllers[number], start(number)).kill();
            kills += 1;
        }
        times.extend(writers.into_iter().flat_map(|writer| writer.join().expect("it ends")));
    });
    let took = begun.elapsed();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    eprintln!("{} changes in {took:?}, p99 {p99:?}, {kills} kills", times.len());
    let seen = made(&repository);
    assert_eq!(seen.len(), WRITERS * each);
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    repository.assert_sound();
}
