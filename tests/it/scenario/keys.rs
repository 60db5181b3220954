//! Hosts enroll, sign with keys of their own, replace them, and are shut out by a commit.

mod refused;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::Client;
use serde_json::{Value, json};
use titan::model::{HostKey, Name, Timestamp};
use titan::proof::{PrivateKey, fingerprint};

use super::support::{ConfigRepo, Process, Random, drawn, eventually, free_address};

/// A fleet with the hosts `one` and `two`, and a controller on one's own machine.
struct World {
    repository: ConfigRepo,
    address: String,
    client: Client,
    runtime: tokio::runtime::Runtime,
    _controller: Process,
}

impl World {
    fn new() -> Self {
        let mut repository = ConfigRepo::new()
            .quick()
            .template()
            .workload()
            .host("one", "")
            .host("two", "")
            .deployment("prod", "1", "");
        repository.commit("the fleet");
        let address = free_address();
        let listen = ["controller", "--listen", &address, "--insecure-development"];
        let controller = repository.spawn("controller", &listen);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let client = Client::builder().no_proxy().build().expect("a client");
        let world = Self { repository, address, client, runtime, _controller: controller };
        eventually("the controller", || world.status_of("one", "x") == 401);
        world
    }

    fn ask(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        self.runtime.block_on(ask(request))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/hosts/{path}", self.address)
    }

    /// What a host is told that asks what it is to run; 0: nobody listens yet.
    fn status_of(&self, host: &str, token: &str) -> u16 {
        let url = self.url(&format!("{host}/deployments"));
        self.ask(self.client.get(url).bearer_auth(token)).0
    }

    fn register(&self, host: &str, token: &str, key: HostKey) -> (u16, Value) {
        let url = self.url(&format!("{host}/key"));
        self.ask(self.client.post(url).bearer_auth(token).json(&json!({"key": key})))
    }

    fn enroll(&self, host: &str) -> String {
        self.repository.titan_ok(&["host", "enroll", host]).trim().to_owned()
    }

    /// A host with a key of its own.
    fn with_key(&self, host: &str) -> PrivateKey {
        let key = PrivateKey::generate().expect("a key");
        let (status, answer) = self.register(host, &self.enroll(host), key.public());
        assert_eq!(status, 200, "{answer}");
        key
    }

    fn file(&self, host: &str) -> String {
        self.repository.read("main", &format!("hosts/{host}.yaml")).expect("the host's file")
    }

    fn agent(&self, more: &[&str]) -> Process {
        let url = format!("http://{}", self.address);
        let dest = self.repository.destination("one");
        let dest = dest.to_str().expect("text");
        let agent = ["agent", "--host", "one", "--runtime", "directory", "--dest", dest];
        let often = ["--interval", "1s", "--heartbeat", "1s", "--server", &url];
        self.repository.spawn("agent-one", &[&agent[..], &often, more].concat())
    }
}

async fn ask(request: reqwest::RequestBuilder) -> (u16, Value) {
    let Ok(answer) = request.send().await else { return (0, Value::Null) };
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn token(key: &PrivateKey, host: &str) -> String {
    key.token(&name(host), Timestamp::now()).expect("it signs")
}

/// What an agent has in its folder.
fn keys(world: &World) -> (std::path::PathBuf, Value) {
    let path = world.repository.destination("one").join(".titan/keys.json");
    let text = fs::read_to_string(&path).unwrap_or_default();
    (path, serde_json::from_str(&text).unwrap_or_default())
}

#[test]
fn a_device_makes_its_key_and_replaces_it_until_it_is_shut_out() {
    let mut world = World::new();
    let folder = world.repository.destination("one");
    let shows = |text: &str| drawn(&folder).contains(text);
    let enrollment = world.enroll("one");
    let agent = world.agent(&["--enroll", &enrollment]);
    eventually("the report", || {
        world.repository.phase("default/web/prod@one").as_deref() == Some("Deployed")
    });
    assert!(shows("prod/a.txt: prod 1 on one"));

    // Git has the public key alone, and says who put it there.
    let (path, saved) = keys(&world);
    let mode = fs::metadata(&path).expect("the keys").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first: HostKey =
        saved["keys"][0]["public"].as_str().expect("a key").parse().expect("a key");
    let file = world.file("one");
    assert!(file.contains(&first.to_string()) && !file.contains("enrollment"), "{file}");
    let commit = world.repository.head("main").expect("a head");
    let commit = world.repository.git.commit(commit).expect("it is readable");
    assert_eq!(commit.subject, "enroll host one");
    assert_eq!(commit.trailer("Titan-Actor"), Some("host one"));
    assert_eq!(commit.trailer("Titan-Via"), Some("api"));
    let listed = world.repository.titan_ok(&["host", "keys", "one"]);
    assert!(listed.contains(&fingerprint(&first)) && listed.contains("host one"), "{listed}");
    let described = world.repository.titan_ok(&["describe", "host", "one"]);
    assert!(described.contains(&format!("{} since ", fingerprint(&first))), "{described}");

    // The token counts once, and who lost the answer gets it again.
    let (status, again) = world.register("one", &enrollment, first);
    assert_eq!((status, &again["commit"]), (200, &json!(commit.id)), "{again}");
    let other = PrivateKey::generate().expect("a key").public();
    assert_eq!(world.register("one", &enrollment, other).0, 401);
    assert_eq!(world.file("one"), file);

    // The same command goes on with the key; when that is old there is another one.
    agent.kill();
    let mut old = saved;
    old["keys"][0]["made"] = json!("2020-01-01T00:00:00Z");
    fs::write(&path, old.to_string()).expect("it is written");
    let agent = world.agent(&["--enroll", &enrollment, "--rotate-keys", "90d"]);
    eventually("another key", || !world.file("one").contains(&first.to_string()));
    eventually("the agent knows", || keys(&world).1["keys"][0]["standing"] == "Known");
    let file = world.file("one");
    let (_, saved) = keys(&world);
    let second = saved["keys"][0]["public"].as_str().expect("a key").to_owned();
    assert!(file.contains(&second) && file.matches("ssh-ed25519").count() == 1, "{file}");
    world.repository.edit_deployment("prod", "2", "").commit("two");
    eventually("a change", || shows("prod/a.txt: prod 2 on one"));

    // Killed between the commit and its own disk: the new key is known, and the agent does not know.
    agent.kill();
    let mut unsure = saved;
    unsure["keys"][0]["standing"] = json!("New");
    fs::write(&path, unsure.to_string()).expect("it is written");
    let agent = world.agent(&[]);
    eventually("the agent knows again", || keys(&world).1["keys"][0]["standing"] == "Known");
    assert_eq!(world.file("one"), file);
    world.repository.edit_deployment("prod", "3", "").commit("three");
    eventually("a change", || shows("prod/a.txt: prod 3 on one"));

    // A commit shuts it out; what runs stays.
    let private = keys(&world).1["keys"][0]["private"].as_str().expect("a key").to_owned();
    let key = PrivateKey::from_text(&private).expect("a key");
    assert_eq!(world.status_of("one", &token(&key, "one")), 200);
    let url = world.url("one/deployments?wait=50");
    let waits = world.client.get(url).bearer_auth(token(&key, "one")).header("If-None-Match", "*");
    let waits = world.runtime.spawn(ask(waits));
    world.repository.titan_ok(&["host", "revoke", "one"]);
    let (status, _) = world.runtime.block_on(waits).expect("it ends");
    assert_eq!(status, 401, "who waits learns nothing more");
    eventually("it is shut out", || world.status_of("one", &token(&key, "one")) == 401);
    world.repository.edit_deployment("prod", "4", "").commit("four");
    let (status, _) = world.register("one", &token(&key, "one"), other);
    assert_eq!(status, 401);
    assert!(shows("prod/a.txt: prod 3 on one"));
    assert!(!world.file("one").contains("ssh-ed25519"));

    // With another token it comes back, with another key.
    agent.kill();
    let enrollment = world.enroll("one");
    let _agent = world.agent(&["--enroll", &enrollment]);
    eventually("it is back", || shows("prod/a.txt: prod 4 on one"));
    assert!(!world.file("one").contains(&second) && world.file("one").contains("ssh-ed25519"));
    world.repository.assert_sound();
}

#[test]
fn of_many_that_race_for_one_token_one_wins() {
    let world = World::new();
    let second = free_address();
    let _second = world.repository.controller(&second);
    let health = |path: &str| world.client.get(format!("http://{second}{path}"));
    eventually("the other controller", || world.ask(health("/readyz")).0 == 200);
    for round in 0..3 {
        let enrollment = world.enroll("one");
        let racers: Vec<_> = (0..8)
            .map(|number| {
                let address = if number % 2 == 0 { &world.address } else { &second };
                let key = PrivateKey::generate().expect("a key").public();
                let url = format!("http://{address}/api/v1/hosts/one/key");
                let request = world.client.post(url).bearer_auth(&enrollment);
                (key, request.json(&json!({"key": key})))
            })
            .collect();
        let answers = world.runtime.block_on(async {
            let tasks = racers
                .into_iter()
                .map(|(key, request)| tokio::spawn(async move { (key, ask(request).await) }));
            let mut answers = Vec::new();
            for task in tasks.collect::<Vec<_>>() {
                answers.push(task.await.expect("it ends"));
            }
            answers
        });
        let file = world.file("one");
        let won: Vec<_> = answers.iter().filter(|(_, (status, _))| *status == 200).collect();
        assert_eq!(won.len(), 1, "round {round}: {answers:?}");
        assert!(answers.iter().all(|(_, (status, _))| matches!(status, 200 | 401)), "{answers:?}");
        assert!(file.contains(&won[0].0.to_string()), "{file}");
        assert_eq!(file.matches("ssh-ed25519").count(), 1, "{file}");
    }
    world.repository.assert_sound();
}

#[test]
fn killed_at_any_moment_it_has_a_key_that_is_known() {
    let world = World::new();
    let mut dice = Random(7);
    // All from one look: the agent may write another key at any moment.
    let known = || {
        let own = keys(&world).1["keys"][0].clone();
        let public = own["public"].as_str().unwrap_or_default().to_owned();
        (own["standing"] == "Known" && world.file("one").contains(&public)).then_some(public)
    };
    let mut seen = std::collections::BTreeSet::<String>::new();
    for round in 0..6 {
        // Killed while it enrolls; the same command goes on.
        let enrollment = world.enroll("one");
        let again = || world.agent(&["--enroll", &enrollment]);
        let agent = again();
        std::thread::sleep(std::time::Duration::from_millis(dice.below(150)));
        agent.kill();
        let agent = again();
        // Another token is another key.
        eventually("it is enrolled", || known().is_some_and(|key| !seen.contains(&key)));
        seen.extend(known());
        agent.kill();
        // Killed while it replaces its key.
        let (path, mut old) = keys(&world);
        old["keys"][0]["made"] = json!("2020-01-01T00:00:00Z");
        fs::write(&path, old.to_string()).expect("it is written");
        let agent = again();
        std::thread::sleep(std::time::Duration::from_millis(dice.below(150)));
        agent.kill();
        let agent = again();
        eventually("it has another key", || known().is_some_and(|key| !seen.contains(&key)));
        seen.extend(known());
        agent.kill();
        let file = world.file("one");
        assert_eq!(file.matches("ssh-ed25519").count(), 1, "round {round}: {file}");
        assert!(!file.contains("enrollment"), "round {round}: {file}");
        let private = keys(&world).1["keys"][0]["private"].as_str().expect("a key").to_owned();
        let key = PrivateKey::from_text(&private).expect("a key");
        assert_eq!(world.status_of("one", &token(&key, "one")), 200, "round {round}");
    }
    world.repository.assert_sound();
}
