//! What changes is heard of: live, after a pause at another controller, and by who does not listen well.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ConfigRepo, Process, eventually, free_address};

/// Somebody who listens.
struct Listener {
    runtime: tokio::runtime::Runtime,
    response: reqwest::Response,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Event {
    fn drawn(&self) -> String {
        let word = |key: &str| self.data[key].as_str().unwrap_or_default();
        let words: &[&str] = match self.name.as_str() {
            "object" => &["action", "kind", "name"],
            "assignment" => &["action", "deployment", "state"],
            "change" => &["id", "stage"],
            "host" => &["action", "host", "connection"],
            "revision" => &["branch"],
            _ => &[],
        };
        let words: Vec<&str> = words.iter().map(|key| word(key)).collect();
        format!("{} {}", self.name, words.join(" ")).trim().to_owned()
    }
}

impl Listener {
    fn new(address: &str, query: &str, last: Option<&str>) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{address}/api/v1/events{query}");
        let mut request = client.get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = runtime.block_on(request.send()).expect("an answer");
        assert_eq!(response.status(), 200);
        Self { runtime, response, text: String::new() }
    }

    fn next(&mut self) -> Event {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |key: &str| block.lines().find_map(|line| line.strip_prefix(key));
                let event = field("data: ").map(|data| Event {
                    id: field("id: ").unwrap_or_default().to_owned(),
                    name: field("event: ").unwrap_or_default().to_owned(),
                    data: serde_json::from_str(data).expect("JSON"),
                });
                self.text = rest.to_owned();
                if let Some(event) = event {
                    return event;
                }
            }
            let chunk = self.response.chunk();
            let piece = async { tokio::time::timeout(Duration::from_secs(60), chunk).await };
            let piece = self.runtime.block_on(piece).expect("something comes").expect("it goes on");
            self.text += std::str::from_utf8(&piece.expect("it does not end")).expect("text");
        }
    }

    /// All up to one that is so.
    fn until(&mut self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut all = Vec::new();
        while !all.last().is_some_and(&last) {
            all.push(self.next());
        }
        all
    }
}

fn controller(repository: &ConfigRepo, name: &str, address: &str) -> Process {
    let process =
        repository.spawn(name, &["controller", "--listen", address, "--insecure-development"]);
    eventually("the controller", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.get(format!("http://{address}/api/v1/hosts")).send();
        let answer = runtime.expect("a runtime").block_on(request);
        answer.is_ok_and(|answer| answer.status() == 200)
    });
    process
}

fn post(address: &str, id: &str, changes: &Value) {
    assert_eq!(send(address, id, changes), 200);
}

fn send(address: &str, id: &str, changes: &Value) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{address}/api/v1/changes?wait=committed");
    let request = client.post(url).header("Idempotency-Key", id);
    let request = request.body(json!({"changes": changes}).to_string()).send();
    let answer = runtime.expect("a runtime").block_on(request).expect("an answer");
    answer.status().as_u16()
}

fn is_deployed(event: &Event) -> bool {
    event.name == "assignment" && event.data["state"] == "Deployed"
}

fn drawn(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::drawn).collect()
}

/// A fleet of one host, its controller, and its agent that was heard.
fn fleet(address: &str) -> (ConfigRepo, [Process; 2]) {
    let mut repository = ConfigRepo::new().quick().template().workload().host("one", "");
    repository.commit("the fleet");
    let token = repository.token("one");
    let controller = controller(&repository, "controller", address);
    let agent = repository.agent("one", address, &token);
    eventually("the host is heard", || {
        let status = repository.read("titan/status", "hosts/one.yaml");
        status.is_some_and(|text| text.contains("Online"))
    });
    (repository, [controller, agent])
}

fn create(name: &str) -> Value {
    let object = json!({"spec": {"target": "all", "values": {"version": "1"}}});
    let name = format!("default/web/{name}");
    json!([{"op": "create", "kind": "Deployment", "name": name, "object": object}])
}

#[test]
fn a_change_is_heard_of_until_it_runs() {
    let address = free_address();
    let (repository, _processes) = fleet(&address);
    let mut listener = Listener::new(&address, "", None);
    assert_eq!(listener.next().name, "hello");
    post(&address, "r-1", &create("prod"));
    let live = listener.until(is_deployed);
    let all = drawn(&live);
    let place = |wanted: &str| {
        let found = all.iter().position(|one| one == wanted);
        found.unwrap_or_else(|| panic!("no `{wanted}` in {all:#?}"))
    };
    let order = [
        place("object created Deployment default/web/prod"),
        place("change r-1 Committed"),
        place("revision config"),
        place("revision rendered"),
        place("change r-1 Rendered"),
        all.len() - 1,
    ];
    assert!(order.is_sorted(), "{all:#?}");
    let deployed = &live.last().expect("one").data;
    assert_eq!(deployed["source"], repository.head("main").expect("a commit").to_string());
    assert_eq!(deployed["href"], "/api/v1/assignments?host=one&deployment=default/web/prod");
    let broken = json!([{"op": "patch", "kind": "Deployment", "name": "default/web/prod",
        "patch": {"spec": {"target": "nowhere"}}}]);
    assert_eq!(send(&address, "r-3", &broken), 422);
    let refused = listener.until(|event| event.name == "change").pop().expect("one");
    assert_eq!(refused.drawn(), "change r-3 Rejected");
}

#[test]
fn what_was_missed_is_told_by_another_controller() {
    let address = free_address();
    let (mut repository, [first, _agent]) = fleet(&address);
    let mut listener = Listener::new(&address, "", None);
    post(&address, "r-1", &create("prod"));
    let last = listener.until(is_deployed).pop().expect("one").id;
    // Nobody listens, and much happens, in part while there is no controller at all.
    drop(listener);
    post(&address, "r-2", &create("more"));
    eventually("more runs", || {
        repository.phase("default/web/more@one").as_deref() == Some("Deployed")
    });
    first.kill();
    repository.edit_deployment("prod", "2", "").edit_host("two", "").commit("by hand");
    let other = free_address();
    let _second = controller(&repository, "second", &other);
    let head = quiet_head(&repository, "hosts/two/default/web/prod.yaml");
    let goes_on = |id: &str| {
        let mut listener = Listener::new(&other, "", Some(id));
        listener.until(|event| event.data["branch"] == "status" && event.data["revision"] == *head)
    };
    let missed = goes_on(&last);
    let all = drawn(&missed);
    for one in [
        "object updated Deployment default/web/prod",
        "object created Deployment default/web/more",
        "object created Host two",
        "change r-2 Committed",
        "change r-2 Rendered",
        "revision config",
        "revision rendered",
        "assignment created default/web/more Deployed",
    ] {
        let times = all.iter().filter(|seen| *seen == one).count();
        assert_eq!(times, 1, "`{one}` in {all:#?}");
    }
    // `more` on both hosts and `prod` on both, each once, as it is now.
    let about_assignments = all.iter().filter(|one| one.starts_with("assignment")).count();
    assert_eq!(about_assignments, 4, "{all:#?}");
    let ids: BTreeSet<&str> = missed.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), missed.len(), "each has an id of its own");
    // From wherever it breaks off, the rest comes and nothing else.
    for (place, event) in missed.iter().enumerate().rev().skip(1) {
        assert_eq!(goes_on(&event.id), missed[place + 1..], "after {}", event.drawn());
    }
    let mut lost = Listener::new(&other, "", Some("yesterday"));
    assert_eq!(lost.next().name, "reset");
}

/// The head of the status branch when a file is there and nothing happens any more.
fn quiet_head(repository: &ConfigRepo, file: &str) -> String {
    let mut head = None;
    eventually("it is rendered, and quiet", || {
        let before = std::mem::replace(&mut head, repository.head("titan/status"));
        std::thread::sleep(Duration::from_millis(300));
        before == repository.head("titan/status") && repository.read("titan/status", file).is_some()
    });
    head.expect("a status").to_string()
}

#[test]
fn a_controller_tells_what_another_one_writes() {
    let mut repository =
        ConfigRepo::new().quick().template().workload().host("one", "").deployment("prod", "1", "");
    repository.commit("the fleet");
    let token = repository.token("one");
    let (address, other) = (free_address(), free_address());
    let _first = controller(&repository, "controller", &address);
    let _second = controller(&repository, "second", &other);
    let mut listener = Listener::new(&other, "?kinds=assignment&workspace=default", None);
    assert_eq!(listener.next().name, "hello");
    let mut elsewhere = Listener::new(&other, "?kinds=assignment,object&workspace=iot", None);
    assert_eq!(elsewhere.next().name, "hello");
    let _agent = repository.agent("one", &address, &token);
    listener.until(is_deployed);
    repository.edit(
        "workspaces/iot/workspace.yaml",
        "apiVersion: titan.dev/v1\nkind: Workspace\nspec: {}\n",
    );
    repository.commit("iot");
    assert_eq!(elsewhere.next().drawn(), "object created Workspace iot");
}

/// Resident memory of a process, in MiB (proc(5)).
fn memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[test]
fn who_does_not_read_holds_up_nobody_and_costs_little() {
    const HOSTS: u32 = 500;
    const ROUNDS: u32 = 16;
    const SLOW: usize = 30;
    let mut repository = ConfigRepo::new().quick();
    repository.commit("the fleet");
    let address = free_address();
    let process = controller(&repository, "controller", &address);
    let (mut slow, idle) = (Vec::new(), memory(&process));
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        let request = "GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it is sent");
        slow.push(stream);
    }
    let mut listener = Listener::new(&address, "?kinds=object,revision", None);
    assert_eq!(listener.next().name, "hello");
    let grown = memory(&process).saturating_sub(idle);
    assert!(grown < 15, "{grown} MiB for streams in which nothing happens");
    let (mut before, mut told) = (0, 0);
    for round in 0..ROUNDS {
        for host in 0..HOSTS {
            repository.edit_host(&format!("host-{host}"), &format!("round={round}"));
        }
        let head = repository.commit("all hosts").to_string();
        let all =
            listener.until(|event| event.data["revision"] == *head && event.name == "revision");
        told += all.iter().filter(|event| event.name == "object").count();
        if round == 1 {
            before = memory(&process);
        }
    }
    assert_eq!(told, (HOSTS * ROUNDS) as usize);
    // All that was told would be 3 MiB for each of them.
    let grown = memory(&process).saturating_sub(before);
    assert!(grown < 40, "{grown} MiB more");
}
