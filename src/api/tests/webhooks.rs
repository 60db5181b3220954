//! Webhooks as providers send them.

use aws_lc_rs::hmac;
use reqwest::StatusCode;

use super::*;
use crate::api::Secrets;
use crate::model::{Size, hex};

/// That of GitHub's documentation.
const SECRET: &str = "It's a Secret to Everybody";
const PUSH: &str = r#"{"ref":"refs/heads/main","after":"0123"}"#;

async fn start(change: impl FnOnce(&mut Snapshot)) -> Api {
    let secrets = format!("{SECRET}\nthe secret after this one\n");
    let webhook_secrets = Secrets::read(&secrets).unwrap();
    Api::with(Options { webhook_secrets, ..Options::default() }, change, Loop::Answers).await
}

fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, body.as_bytes()).as_ref())
}

impl Api {
    async fn hook(&self, provider: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = self.url(&format!("/webhooks/{provider}"));
        let request = self.client.post(url).body(body.to_owned());
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    }

    /// A push as GitHub tells it.
    async fn github(&self, delivery: &str, body: &str) -> Answer {
        let signature = format!("sha256={}", signature(SECRET, body));
        let headers =
            [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", delivery)];
        self.hook("github", &headers, body).await
    }

    fn woken(&mut self) -> usize {
        std::iter::from_fn(|| self.wakes.try_recv().ok()).count()
    }

    fn counted(&self, line: &str) -> bool {
        let text = self.vitals.metrics.text(0, crate::model::Timestamp::now());
        text.lines().any(|found| found == line)
    }
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["outcome"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn each_provider_wakes_the_controller() {
    let mut api = start(|_| ()).await;
    let signed = signature(SECRET, PUSH);
    let prefixed = format!("sha256={signed}");
    let next = format!("sha256={}", signature("the secret after this one", PUSH));
    for (provider, proof, value, delivery) in [
        ("github", "X-Hub-Signature-256", prefixed.as_str(), "X-GitHub-Delivery"),
        ("github", "X-Hub-Signature-256", &next, "X-GitHub-Delivery"),
        ("gitlab", "X-Gitlab-Token", SECRET, "X-Gitlab-Event-UUID"),
        ("gitlab", "X-Gitlab-Token", SECRET, "Idempotency-Key"),
        ("gitea", "X-Gitea-Signature", &signed, "X-Gitea-Delivery"),
        ("bitbucket", "X-Hub-Signature", &prefixed, "X-Request-UUID"),
        ("generic", "X-Titan-Signature", &prefixed, "X-Titan-Delivery"),
    ] {
        let id = format!("{provider}-{delivery}-{}", &value[..12].replace(' ', "-"));
        let headers = [(proof, value), (delivery, id.as_str())];
        let answer = api.hook(provider, &headers, PUSH).await;
        assert_eq!(outcome(&answer), (202, "woken"), "{provider}");
        assert_eq!(api.woken(), 1, "{provider}");
        let again = api.hook(provider, &headers, PUSH).await;
        assert_eq!(outcome(&again), (202, "replayed"), "{provider}");
        assert_eq!(api.woken(), 0, "{provider}");
    }
    assert!(api.counted(r#"titan_webhooks_total{provider="github",outcome="woken"} 2"#));
    assert!(api.counted(r#"titan_webhooks_total{provider="gitea",outcome="replayed"} 1"#));
}

#[tokio::test]
async fn githubs_own_example_is_taken() {
    let mut api = start(|_| ()).await;
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "72d3162e-cc78")];
    let answer = api.hook("github", &headers, "Hello, World!").await;
    assert_eq!((outcome(&answer), api.woken()), ((202, "woken"), 1));
}

#[tokio::test]
async fn what_proves_nothing_is_refused() {
    let mut api = start(|_| ()).await;
    let good = format!("sha256={}", signature(SECRET, PUSH));
    let foreign = format!("sha256={}", signature("somebody else's secret", PUSH));
    let old = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    let id = ("X-GitHub-Delivery", "1");
    for (provider, headers, body) in [
        ("github", vec![id], PUSH),
        ("github", vec![id, ("X-Hub-Signature-256", "")], PUSH),
        ("github", vec![id, ("X-Hub-Signature-256", old)], PUSH),
        ("github", vec![id, ("X-Hub-Signature", old)], PUSH),
        ("github", vec![id, ("X-Hub-Signature", &good)], PUSH),
        ("github", vec![id, ("X-Hub-Signature-256", &foreign)], PUSH),
        ("github", vec![id, ("X-Hub-Signature-256", &good)], "{}"),
        ("github", vec![id, ("X-Hub-Signature-256", &good[7..])], PUSH),
        ("github", vec![id, ("X-Hub-Signature-256", &good), ("X-Hub-Signature-256", &good)], PUSH),
        ("gitlab", vec![("Idempotency-Key", "1"), ("X-Gitlab-Token", "It's a Secret")], PUSH),
        ("gitlab", vec![("Idempotency-Key", "1"), ("X-Gitlab-Token", "")], PUSH),
        ("gitea", vec![("X-Gitea-Delivery", "1"), ("X-Gitea-Signature", &good)], PUSH),
        ("bitbucket", vec![("X-Request-UUID", "1"), ("X-Hub-Signature", old)], PUSH),
        ("generic", vec![("X-Titan-Delivery", "1"), ("X-Hub-Signature-256", &good)], PUSH),
    ] {
        let answer = api.hook(provider, &headers, body).await;
        let expected = (401, "the signature or token of the webhook is missing or wrong");
        assert_eq!(answer.error(), expected, "{provider} {headers:?}");
    }
    assert_eq!(api.woken(), 0);
    // What was refused is not remembered.
    assert_eq!(outcome(&api.github("1", PUSH).await), (202, "woken"));
    let nameless = api.hook("github", &[("X-Hub-Signature-256", &good)], PUSH).await;
    assert_eq!(nameless.status, 400);
    assert!(api.counted(r#"titan_webhooks_total{provider="github",outcome="unproven"} 9"#));
}

#[tokio::test]
async fn without_a_secret_there_are_no_webhooks() {
    let mut api = Api::normal().await;
    assert_eq!(api.github("1", PUSH).await.error(), (404, "no such thing"));
    assert_eq!(api.woken(), 0);
    let api = start(|_| ()).await;
    for path in ["", "svn", "GitHub", "github/x", "%2e%2e"] {
        assert_eq!(api.hook(path, &[], PUSH).await.status, 404, "{path}");
    }
    let get = api.client.get(api.url("/webhooks/github")).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let api = start(|snapshot| snapshot.limits.webhook_body = Size::kib(40)).await;
    let head = "POST /webhooks/github HTTP/1.1\r\nHost: x\r\n";
    // Not a byte of the body is sent, and nothing is signed.
    let answer = api.raw(&format!("{head}Content-Length: 40961\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = api.raw(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
    // One that fits is taken, though it is too long to look into.
    let elsewhere = r#"{"ref":"refs/heads/titan/status","x":""#;
    let body = format!("{elsewhere}{}\"}}", "x".repeat(40_000));
    assert_eq!(outcome(&api.github("1", &body).await), (202, "woken"));
}

#[tokio::test]
async fn pushes_to_other_branches_wake_nobody() {
    let mut api = start(|_| ()).await;
    let other = r#"{"ref":"refs/heads/titan/status"}"#;
    assert_eq!(outcome(&api.github("1", other).await), (202, "ignored"));
    assert_eq!(api.woken(), 0);
    assert_eq!(outcome(&api.github("2", "payload=%7B%7D").await), (202, "woken"));
    assert_eq!(api.woken(), 1);
}

#[tokio::test]
async fn a_flood_is_one_look() {
    let mut api = start(|_| ()).await;
    for id in 0..200 {
        assert_eq!(outcome(&api.github(&id.to_string(), PUSH).await), (202, "woken"));
    }
    assert_eq!(api.woken(), 1);
    assert_eq!(outcome(&api.github("one-more", PUSH).await), (202, "woken"));
    assert_eq!(api.woken(), 1, "the one after that is a look of its own");
    // A controller that is gone cannot be woken.
    api.wakes.close();
    assert_eq!(api.github("last", PUSH).await.status, 503);
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let quick = |snapshot: &mut Snapshot| {
        snapshot.limits.http_body_time = TimeSpan(Duration::from_millis(100));
    };
    let api = start(quick).await;
    let proof =
        format!("X-Hub-Signature-256: sha256={}\r\nX-GitHub-Delivery: 1", signature(SECRET, PUSH));
    let head = format!("POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{proof}\r\n");
    let answer = api.raw(&format!("{head}Content-Length: 40\r\n\r\n{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
