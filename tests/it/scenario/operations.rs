//! A controller as those see it who run it: ready or not, its numbers, and who may wake it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::support::{ConfigRepo, eventually, free_address};

const TEXT: &str = "hosts/one/default/web/prod/sub/b.txt";
const RENDERED: &str = "titan/rendered";

/// Status and body of an answer; `None` while nobody listens.
fn ask(address: &str, line: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: titan\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    ask(address, &format!("GET {path}"), "", "")
}

fn fleet() -> ConfigRepo {
    ConfigRepo::new().quick().template().workload().host("one", "").deployment("prod", "0", "")
}

#[test]
fn readiness_and_numbers_follow_a_story() {
    let mut repository = fleet();
    let address = free_address();
    let _controller = repository.controller(&address);
    let not_yet = |answer: Option<(u16, String)>| {
        answer.is_some_and(|(status, body)| status == 503 && body.contains("first-pass"))
    };
    eventually("it is not ready without a commit", || not_yet(get(&address, "/readyz")));
    assert_eq!(get(&address, "/healthz"), Some((200, "ok".into())));
    repository.commit("the fleet");
    eventually("it is ready", || get(&address, "/readyz").is_some_and(|(status, _)| status == 200));

    let token = repository.token("one");
    let _agent = repository.agent("one", &address, &token);
    let phase = || repository.phase("default/web/prod@one");
    eventually("it is deployed", || phase().as_deref() == Some("Deployed"));
    let shows = |line: &str| {
        let (_, text) = get(&address, "/metrics").unwrap_or_default();
        text.lines().any(|found| found == line)
    };
    for line in [
        "titan_commit_to_deployed_seconds_count 1",
        "titan_commit_to_rendered_seconds_count 1",
        r#"titan_hosts{connection="Online"} 1"#,
        r#"titan_assignments{phase="Deployed"} 1"#,
        r#"titan_passes_total{outcome="rendered"} 1"#,
        "titan_unrendered_commits 0",
        "# EOF",
    ] {
        eventually(line, || shows(line));
    }
}

#[test]
fn a_webhook_is_acted_on_and_a_lost_remote_is_told() {
    let mut repository = fleet();
    repository.commit("the fleet");
    let (address, secret) = (free_address(), "0123456789abcdef");
    let file = repository.folder.path().join("secrets");
    fs::write(&file, format!("{secret}\n")).expect("it is written");
    let file = file.to_str().expect("text").to_owned();
    // A clone, whose remote nothing but a webhook makes it look at for an hour.
    let fleet = format!("file://{}", repository.path.display());
    let arguments = ["controller", "--listen", &address, "--fleet", &fleet, "--poll", "1h"];
    let arguments = [&arguments[..], &["--webhook-secret-file", &file]].concat();
    let _controller = repository.spawn("controller", &arguments);
    let text = |repository: &ConfigRepo| repository.read(RENDERED, TEXT);
    eventually("it is rendered", || text(&repository).as_deref() == Some("0\n"));
    eventually("it is ready", || get(&address, "/readyz").is_some_and(|(status, _)| status == 200));
    repository.edit_deployment("prod", "1", "").commit("a change");

    let hook = |id: &str, token: &str| {
        let headers = format!("X-Gitlab-Token: {token}\r\nIdempotency-Key: {id}\r\n");
        ask(&address, "POST /webhooks/gitlab", &headers, r#"{"ref":"refs/heads/main"}"#)
    };
    let status = |answer: Option<(u16, String)>| answer.map(|(status, _)| status);
    assert_eq!(status(hook("1", "0123456789abcdeX")), Some(401));
    assert_eq!(status(hook("1", secret)), Some(202));
    eventually("it goes on", || text(&repository).as_deref() == Some("1\n"));

    let away = repository.folder.path().join("away");
    fs::rename(&repository.path, &away).expect("it moves");
    assert_eq!(status(hook("2", secret)), Some(202));
    let told = |(status, body): (u16, String)| status == 503 && body.contains("\"repository\"");
    eventually("it is told", || get(&address, "/readyz").is_some_and(told));
    fs::rename(&away, &repository.path).expect("it comes back");
    eventually("it is ready", || get(&address, "/readyz").is_some_and(|(status, _)| status == 200));
    let log = fs::read_to_string(repository.folder.path().join("controller.log")).expect("a log");
    assert!(!log.contains(secret), "{log}");
}
