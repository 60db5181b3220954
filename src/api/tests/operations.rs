//! Health, readiness, numbers, ids of requests, and how the server ends.

use super::*;
use crate::model::Timestamp;
use crate::observe::Part;

impl Api {
    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn metrics(&self) -> String {
        let response = self.get("/metrics").await;
        assert_eq!(response.status().as_u16(), 200);
        let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(response.headers()["content-type"], form);
        response.text().await.unwrap()
    }
}

#[tokio::test]
async fn ready_says_what_is_not() {
    let api = Api::normal().await;
    let answer = Answer::of(api.get("/readyz").await).await;
    let first = json!({ "check": "first-pass", "message": "the first pass is not made yet" });
    assert_eq!((answer.status, answer.body), (503, json!({ "ready": false, "problems": [first] })));
    assert_eq!(api.get("/healthz").await.status().as_u16(), 200, "it is alive all the same");

    let health = &api.vitals.health;
    health.works(Part::Passes);
    let answer = Answer::of(api.get("/readyz").await).await;
    assert_eq!((answer.status, answer.body), (200, json!({ "ready": true, "problems": [] })));

    let since = "2026-11-20T11:02:10Z";
    for _ in 0..2 {
        health.fails(Part::Repository, since.parse().unwrap());
    }
    let answer = Answer::of(api.get("/readyz").await).await;
    let problem = json!({
        "check": "repository", "since": since, "times": 2,
        "message": "the fleet's repository cannot be reached; the log says why",
    });
    assert_eq!((answer.status, &answer.body["problems"][0]), (503, &problem));
    health.works(Part::Repository);
    assert_eq!(api.get("/readyz").await.status().as_u16(), 200);
}

/// Whether a line has the form that OpenMetrics wants: a comment, or a name, labels and a number.
fn is_well_formed(line: &str) -> bool {
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.split(' ');
        let kind = words.next().unwrap_or_default();
        return comment == "EOF"
            || (["HELP", "TYPE", "UNIT"].contains(&kind) && words.next().is_some_and(is_name));
    }
    let Some((series, number)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').map(|labels| labels.trim_end_matches(','));
    let is_label = |label: &str| {
        label.split_once('=').is_some_and(|(name, value)| {
            is_name(name) && value.len() >= 2 && value.starts_with('"') && value.ends_with('"')
        })
    };
    is_name(name)
        && number.parse::<f64>().is_ok()
        && labels.is_some_and(|labels| labels.is_empty() || labels.split(',').all(is_label))
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let api = Api::normal().await;
    assert_eq!(api.post("a", Some(TOKEN_A), report("a", 1).to_string()).await.status, 200);
    assert_eq!(api.post("a", Some("wrong"), report("a", 2).to_string()).await.status, 401);
    assert_eq!(api.get("/no/such/../path?token=x").await.status().as_u16(), 404);
    let metrics = &api.vitals.metrics;
    metrics.deployed(Duration::from_secs(3));
    metrics.behind(2, Some(Timestamp::now() - Duration::from_secs(90)));
    let text = api.metrics().await;
    let bad: Vec<_> = text.lines().filter(|line| !is_well_formed(line)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        r#"titan_build_info{version="0.1.0"} 1"#,
        r#"titan_reports_total{outcome="accepted"} 1"#,
        r#"titan_reports_total{outcome="wrong-token"} 1"#,
        r#"titan_http_requests_total{method="POST",route="/api/v1/hosts/*/reports",status="200"} 1"#,
        r#"titan_http_requests_total{method="GET",route="other",status="404"} 1"#,
        r#"titan_commit_to_deployed_seconds_bucket{le="2.0"} 0"#,
        r#"titan_commit_to_deployed_seconds_bucket{le="5.0"} 1"#,
        r#"titan_commit_to_deployed_seconds_count 1"#,
        r#"titan_commit_to_rendered_seconds_count 0"#,
        r#"titan_hosts{connection="Offline"} 0"#,
        r#"titan_assignments{phase="Deployed"} 0"#,
        r#"titan_unrendered_commits 2"#,
        r#"titan_reports_queued 0"#,
        "# UNIT titan_commit_to_deployed_seconds seconds",
        "# TYPE titan_commit_to_deployed_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let age = text.lines().find_map(|line| line.strip_prefix("titan_unrendered_age_seconds "));
    let age: f64 = age.unwrap().parse().unwrap();
    assert!((90.0..120.0).contains(&age), "{age}");
}

#[test]
fn ill_formed_lines_are_found() {
    for line in ["", "a", "a b", "1a 2", "a{b} 1", "a{b=c} 1", r#"a{b="c" 1"#, "# HULP a x", "#"] {
        assert!(!is_well_formed(line), "{line}");
    }
    assert!(is_well_formed(r#"a_b{c="d",e="f g"} 1.5"#) && is_well_formed("# HELP a Some text"));
}

#[tokio::test]
async fn answers_carry_an_id() {
    let api = Api::normal().await;
    let with = async |id: &str| {
        let request = api.client.get(api.url("/healthz")).header("X-Request-Id", id);
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(with("job-17.4_a").await, "job-17.4_a");
    for bad in ["two words", "a;b", &"x".repeat(65)] {
        let made = with(bad).await;
        assert!(made.len() == 16 && made != bad, "{made}");
    }
    let refused = api.get("/nowhere").await;
    let id = |response: &reqwest::Response| response.headers()["x-request-id"].clone();
    assert_ne!(id(&refused), id(&api.get("/nowhere").await));
}

/// Connections that say nothing.
async fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = move || (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    tokio::task::spawn_blocking(connect).await.unwrap()
}

#[tokio::test]
async fn idle_sockets_block_nobody() {
    let api = Api::normal().await;
    let open = idle(api.address, 300).await;
    assert_eq!(api.get("/healthz").await.status().as_u16(), 200);
    assert!(api.metrics().await.contains("titan_http_connections "));
    drop(open);
    // When all slots are taken, those who say nothing lose theirs.
    let options = Options { connections: 8, ..Options::default() };
    let quick = |snapshot: &mut Snapshot| {
        snapshot.limits.http_header_time = TimeSpan(Duration::from_millis(200));
    };
    let api = Api::with(options, quick, Loop::Answers).await;
    let _idle = idle(api.address, 20).await;
    assert_eq!(api.get("/healthz").await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_request_that_is_under_way_may_end() {
    let mut api = Api::normal().await;
    let (address, body) = (api.address, report("a", 5).to_string());
    let (begun, has_begun) = oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let client = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!(
            "POST /api/v1/hosts/a/reports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN_A}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    has_begun.await.unwrap();
    api.stop.take().unwrap().send(()).unwrap();
    while TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!api.server.is_finished(), "it waits for the request");
    go_on.send(()).unwrap();
    let answer = client.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("resync"), "{answer}");
    api.server.await.unwrap();
}
