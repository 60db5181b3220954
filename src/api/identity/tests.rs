//! Tokens against a provider on loopback, through the routes.

mod provider;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::keys::Keys;
use super::*;
use crate::api::{Needs, serve};
use crate::git::{FleetRepository, Location, Repository};
use crate::model::fixture::FleetBuilder;
use crate::model::{Limits, Revision, Timestamp};
use crate::observe::Snapshot;
use provider::{Key, Provider, base64};

/// The API, and a provider that it trusts.
struct World {
    provider: Provider,
    key: Key,
    url: String,
    client: reqwest::Client,
    snapshots: watch::Sender<Arc<Snapshot>>,
    repository: FleetRepository,
    /// Kept for its receivers; and the repository's folder.
    _kept: (watch::Sender<Option<Revision>>, tempfile::TempDir),
}

impl World {
    async fn new() -> Self {
        Self::with(json!({}), false).await
    }

    /// With these fields of the issuer.
    async fn with(fields: Value, development: bool) -> Self {
        let key = Key::p256("one");
        let provider = Provider::start(&[&key]).await;
        let mut issuer = json!({"name": "staff", "issuer": provider.url, "audience": "titan"});
        issuer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let members = json!({"members": [
            {"user": "ada", "role": "editor"},
            {"group": "ops", "role": "owner"},
            {"ci": "release", "role": "deployer"},
        ]});
        let mut fleet = FleetBuilder::new().workspace("iot", members).fleet;
        fleet.settings.identity = vec![serde_json::from_value(issuer).unwrap()];
        let snapshot = Snapshot { ready: true, fleet: Arc::new(fleet), ..Snapshot::default() };
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let (kept, status) = watch::channel(None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.git");
        std::fs::create_dir(&path).unwrap();
        Repository::init(&path, "main").unwrap();
        let location = Location::Local(path);
        let repository =
            FleetRepository::open(&location, Some("main"), folder.path(), &Limits::default());
        let repository = repository.unwrap();
        let needs = Needs {
            snapshot: receiver,
            refused: mpsc::channel(1).0,
            status,
            submissions: mpsc::channel(1).0,
            wake: mpsc::channel(1).0,
            repository: repository.clone(),
            judge: crate::change::Judge::here(),
            vitals: Arc::default(),
            options: crate::api::Options::default(),
            development,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, needs, std::future::pending()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { provider, key, url, client, snapshots, repository, _kept: (kept, folder) }
    }

    /// Claims that are fine.
    fn claims(&self) -> Value {
        json!({"iss": self.provider.url, "aud": "titan", "sub": "ada", "exp": now() + 300})
    }

    /// Fine claims but for one; `null`: without it.
    fn but(&self, claim: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[claim] = value;
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    /// Status and body of the answer to who a token is.
    async fn me(&self, token: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}/api/v1/me", self.url)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        assert!(token.len() < 20 || !text.contains(token), "{text}");
        assert_eq!(headers.contains_key("www-authenticate"), status == 401, "{text}");
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn refused(&self, token: &str) -> (u16, String) {
        let (status, body) = self.me(token).await;
        (status, body["error"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned())
    }

    async fn judge(&self, claims: &Value) -> (u16, Value) {
        self.me(&self.key.sign(claims)).await
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

const INVALID: &str = "the token is not valid: ";
const NOBODY: &str = "the token is valid, but names nobody that this fleet knows";

#[tokio::test]
async fn a_person_is_known_by_a_token() {
    let world = World::new().await;
    let mut claims = world.but("groups", json!(["ops", "", "x"]));
    let expected = json!({
        "subject": "ada", "kind": "person", "admin": false,
        "groups": ["ops", "x"], "workspaces": {"iot": "owner"},
    });
    assert_eq!(world.judge(&claims).await, (200, expected));
    claims["groups"] = json!("x");
    claims["aud"] = json!(["other", "titan"]);
    let (status, found) = world.judge(&claims).await;
    assert_eq!((status, &found["groups"]), (200, &json!(["x"])));
    assert_eq!(found["workspaces"], json!({"iot": "editor"}));
    let (status, found) = world.judge(&world.but("sub", json!("eve"))).await;
    assert_eq!((status, &found["workspaces"]), (200, &json!({})));
    assert_eq!(world.provider.asked(), ["/.well-known/openid-configuration", "/keys"], "once");
}

#[tokio::test]
async fn clocks_may_differ_a_little() {
    let world = World::new().await;
    for (claim, seconds, status) in
        [("exp", -30, 200), ("exp", -90, 401), ("nbf", 30, 200), ("nbf", 90, 401)]
    {
        let claims = world.but(claim, json!(now() + seconds));
        assert_eq!(world.judge(&claims).await.0, status, "{claim} {seconds}");
    }
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let world = World::new().await;
    for (claim, value, why) in [
        ("aud", json!("other"), "it is for somebody else than titan"),
        ("aud", json!(["other"]), "it is for somebody else than titan"),
        ("aud", json!([]), "it is for somebody else than titan"),
        ("aud", json!(null), "it is for somebody else than titan"),
        ("iss", json!("https://evil.example"), "its issuer is not one of this fleet's"),
        ("iss", json!([world.provider.url, "x"]), "its issuer is not one of this fleet's"),
        ("iss", json!(format!("{}/", world.provider.url)), "its issuer is not one of this fleet's"),
        ("iss", json!(null), "its issuer is not one of this fleet's"),
        ("exp", json!(now() - 3600), "it has expired"),
        ("exp", json!(0), "it has expired"),
        ("exp", json!(null), "it has expired"),
        ("exp", json!("tomorrow"), "it has expired"),
        ("nbf", json!(now() + 3600), "it is not valid yet"),
    ] {
        let claims = world.but(claim, value);
        let found = world.refused(&world.key.sign(&claims)).await;
        assert_eq!(found, (401, format!("{INVALID}{why}")), "{claims}");
    }
}

#[tokio::test]
async fn what_names_nobody_is_forbidden() {
    let world = World::new().await;
    for sub in [json!(null), json!(""), json!(" "), json!("a\nb"), json!(7)] {
        let found = world.refused(&world.key.sign(&world.but("sub", sub.clone()))).await;
        assert_eq!(found, (403, NOBODY.into()), "{sub}");
    }
    assert_eq!(world.judge(&world.but("sub", json!(["ada"]))).await.0, 401, "no subject at all");
    let long = world.but("sub", json!("x".repeat(257)));
    assert_eq!(world.judge(&long).await.0, 403);
}

#[tokio::test]
async fn only_a_key_of_the_issuer_signs() {
    let world = World::new().await;
    let claims = world.claims();
    let other = Key::p256("one");
    let wrong = other.sign(&claims);
    assert_eq!(world.refused(&wrong).await, (401, format!("{INVALID}its signature is wrong")));
    let good = world.key.sign(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let payload = base64(world.but("sub", json!("root")).to_string().as_bytes());
    let altered = format!("{}.{payload}.{}", parts[0], parts[2]);
    assert_eq!(world.refused(&altered).await, (401, format!("{INVALID}its signature is wrong")));
    for bare in ["", "AAAA"] {
        let bare = format!("{}.{}.{bare}", parts[0], parts[1]);
        assert_eq!(world.me(&bare).await.0, 401, "{bare}");
    }
    assert_eq!(world.me(&good).await.0, 200);
}

#[tokio::test]
async fn algorithms_cannot_be_talked_down() {
    let world = World::new().await;
    let payload = base64(world.claims().to_string().as_bytes());
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": none, "kid": "one"}).to_string().as_bytes());
        for signature in ["", "AAAA"] {
            let found = world.refused(&format!("{header}.{payload}.{signature}")).await;
            assert_eq!(found, (401, format!("{INVALID}it is not a signed token")), "{none}");
        }
    }
    // The public key as a shared secret.
    let secrets = [world.key.public.to_string(), world.key.public["x"].to_string()];
    for secret in secrets {
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let token = encode(&header, &world.claims(), &secret).unwrap();
        let found = world.refused(&token).await;
        assert_eq!(found, (401, format!("{INVALID}its algorithm is not allowed")));
    }
    let edwards = Key::ed25519("two");
    world.provider.publish(&[&world.key, &edwards]);
    let found = world.refused(&edwards.sign(&world.claims())).await;
    assert_eq!(found, (401, format!("{INVALID}its algorithm is not allowed")), "unless it is");
}

#[tokio::test]
async fn algorithms_may_be_allowed() {
    let world = World::with(json!({"algorithms": ["EdDSA"]}), false).await;
    let edwards = Key::ed25519("two");
    world.provider.publish(&[&world.key, &edwards]);
    assert_eq!(world.me(&edwards.sign(&world.claims())).await.0, 200);
    assert_eq!(world.judge(&world.claims()).await.0, 401);
    // A name is not enough: the key must be of the algorithm's kind.
    let other = edwards.sign_with(|header| header.kid = Some("one".into()), &world.claims());
    assert_eq!(world.refused(&other).await, (401, format!("{INVALID}its key is not known")));
}

#[tokio::test]
async fn a_token_does_not_say_where_its_keys_are() {
    let world = World::new().await;
    let evil = Key::p256("evil");
    let elsewhere = format!("{}/evil", world.provider.url);
    let public: Jwk = serde_json::from_value(evil.public.clone()).unwrap();
    let tokens = [
        "../../../etc/passwd",
        "/etc/passwd",
        "keys",
        &elsewhere,
        "one\0",
        "one' OR 1=1 --",
        "",
        &"x".repeat(300),
    ]
    .map(|kid| evil.sign_with(|header| header.kid = Some(kid.to_owned()), &world.claims()));
    let hints = [
        evil.sign_with(|header| header.jku = Some(elsewhere.clone()), &world.claims()),
        evil.sign_with(|header| header.x5u = Some(elsewhere.clone()), &world.claims()),
        evil.sign_with(|header| header.jwk = Some(public.clone()), &world.claims()),
    ];
    for token in tokens.iter().chain(&hints) {
        assert_eq!(world.me(token).await.0, 401, "{token}");
    }
    assert_eq!(world.provider.asked(), ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::new().await;
    let good = world.key.sign(&world.claims());
    for token in ["a", "a.b", "a.b.c", "...", "e30.e30.", "e30.e30.e30", &good[1..]] {
        assert_eq!(world.me(token).await.0, 401, "{token}");
    }
    assert_eq!(world.me(&format!("{good}.{good}")).await.0, 401);
    let critical = |header: &mut Header| header.crit = Some(vec!["exp".into()]);
    assert_eq!(world.me(&world.key.sign_with(critical, &world.claims())).await.0, 401);
    assert_eq!(world.me(&"x".repeat(LONGEST + 1)).await.0, 401);
    let url = format!("{}/api/v1/me", world.url);
    let none = world.client.get(&url).send().await.unwrap();
    assert_eq!(none.status().as_u16(), 401);
    let basic = world.client.get(&url).header("authorization", format!("Basic {good}"));
    assert_eq!(basic.send().await.unwrap().status().as_u16(), 401);
    let twice = world.client.get(&url).bearer_auth(&good).bearer_auth(&good);
    assert_eq!(twice.send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn an_address_counts_when_it_is_verified() {
    let world = World::with(json!({"subjectClaim": "email"}), false).await;
    for (verified, status) in
        [(json!(true), 200), (json!(false), 403), (json!("true"), 403), (json!(null), 403)]
    {
        let mut claims = world.but("email_verified", verified.clone());
        claims["email"] = json!("ada");
        assert_eq!(world.judge(&claims).await.0, status, "{verified}");
    }
    let mut claims = world.but("email_verified", json!(true));
    assert_eq!(world.judge(&claims).await.0, 403, "`sub` does not stand in for it");
    claims["email"] = json!("");
    assert_eq!(world.judge(&claims).await.0, 403);
}

#[tokio::test]
async fn ci_jobs_are_known_by_all_their_claims() {
    let fields = json!({"kind": "ci", "jobs": [
        {"name": "release", "match": {"repository": "iot/sensor", "ref": "refs/heads/main"}},
        {"name": "any", "match": {"repository_id": "74"}},
    ]});
    let world = World::with(fields, false).await;
    let job = |claims: Value| {
        let mut all = world.claims();
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all
    };
    let release = job(json!({"repository": "iot/sensor", "ref": "refs/heads/main"}));
    let expected = json!({
        "subject": "ci release", "kind": "ci", "groups": [], "admin": false,
        "workspaces": {"iot": "deployer"},
    });
    assert_eq!(world.judge(&release).await, (200, expected));
    let (status, found) = world.judge(&job(json!({"repository_id": 74}))).await;
    assert_eq!((status, &found["workspaces"]), (200, &json!({})));
    for claims in [
        json!({}),
        json!({"repository": "iot/sensor"}),
        json!({"repository": "iot/sensor", "ref": "refs/heads/mainx"}),
        json!({"repository": "evil/sensor", "ref": "refs/heads/main"}),
        json!({"repository": ["iot/sensor"], "ref": "refs/heads/main"}),
        json!({"repository_id": "740"}),
        json!({"groups": ["ops"]}),
    ] {
        let found = world.refused(&world.key.sign(&job(claims.clone()))).await;
        assert_eq!(found, (403, NOBODY.into()), "{claims}");
    }
}

#[tokio::test]
async fn unknown_keys_cost_one_fetch() {
    let world = World::new().await;
    let evil = Key::p256("evil");
    let token = |at: usize| {
        evil.sign_with(|header| header.kid = Some(format!("evil-{at}")), &world.claims())
    };
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..40 {
        let request = world.client.get(format!("{}/api/v1/me", world.url)).bearer_auth(token(at));
        tasks.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    assert_eq!(tasks.join_all().await, [401; 40]);
    assert_eq!(world.judge(&world.claims()).await.0, 200, "nobody else is held up");
    assert_eq!(world.provider.asked().len(), 2);
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_forgotten() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = Provider::start(&[&old]).await;
    let issuer = json!({"name": "staff", "issuer": provider.url, "audience": "titan"});
    let issuer: Issuer = serde_json::from_value(issuer).unwrap();
    let keys = Keys::new(Duration::ZERO);
    let find = |name: Option<&'static str>| {
        let (keys, issuer) = (&keys, &issuer);
        async move {
            let found = keys.find(issuer, name, crate::model::Algorithm::ES256).await;
            found.map(|key| key.common.key_id.unwrap())
        }
    };
    assert_eq!(find(Some("old")).await, Ok("old".into()));
    assert_eq!(find(None).await, Ok("old".into()), "the only one needs no name");
    assert_eq!(find(Some("new")).await, Err(TokenError::Key));
    provider.publish(&[&old, &new]);
    assert_eq!(find(Some("new")).await, Ok("new".into()));
    assert_eq!(find(None).await, Err(TokenError::Key), "of two, neither is meant");
    provider.publish(&[&new]);
    assert_eq!(find(Some("other")).await, Err(TokenError::Key));
    assert_eq!(find(Some("old")).await, Err(TokenError::Key));
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_nobody_s_fault() {
    let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(600 << 10));
    let changes: [fn(&mut provider::Answers, &str); 8] = [
        |answers, _| answers.status = 500,
        |answers, _| answers.status = 302,
        |answers, _| answers.keys = "[".repeat(100_000),
        |answers, _| answers.keys = String::new(),
        |answers, large| answers.keys = large.to_owned(),
        |answers, _| answers.discovery["issuer"] = json!("https://other.example"),
        |answers, _| answers.discovery["jwks_uri"] = json!("file:///etc/passwd"),
        |answers, _| answers.discovery["jwks_uri"] = json!("http://192.0.2.1/keys"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let world = World::new().await;
        world.provider.change(|answers| change(answers, &large));
        let found = world.refused(&world.key.sign(&world.claims())).await;
        let expected = "the identity provider cannot be reached; try again later";
        assert_eq!(found, (503, expected.into()), "{at}");
    }
}

#[tokio::test]
async fn keys_of_other_kinds_are_no_keys() {
    let world = World::new().await;
    for (field, value) in
        [("use", json!("enc")), ("key_ops", json!(["sign"])), ("alg", json!("ES384"))]
    {
        let key = Key {
            public: {
                let mut public = world.key.public.clone();
                public[field] = value;
                public
            },
            ..Key::p256("x")
        };
        let provider = Provider::start(&[&key]).await;
        let issuer = json!({"name": "x", "issuer": provider.url, "audience": "titan"});
        let issuer: Issuer = serde_json::from_value(issuer).unwrap();
        let found =
            Keys::default().find(&issuer, Some("one"), crate::model::Algorithm::ES256).await;
        assert_eq!(found.map(|_| ()), Err(TokenError::Key), "{field}");
        // One that nobody understands hides none of the others.
        provider.change(|answers| {
            let odd = json!({"kty": "new", "kid": "odd"});
            let oct = json!({"kty": "oct", "kid": "oct", "k": "AAAA"});
            answers.keys = json!({"keys": [odd, 7, oct, world.key.public]}).to_string();
        });
        let keys = Keys::default();
        assert!(keys.find(&issuer, Some("one"), crate::model::Algorithm::ES256).await.is_ok());
        assert!(keys.find(&issuer, Some("oct"), crate::model::Algorithm::ES256).await.is_err());
    }
}

/// A key and a token that OpenSSL made; the private key was thrown away. It expires in 2100.
#[test]
fn tokens_of_others_are_understood() {
    const MODULUS: &str = "6ExPMlq_40ymUBpLgtcQl4l7QAuS8q_SYhtD679Qtvc3JR8aP-nPpMAxJxc1Rjx1P7jiyXGNo6B0W_reQ-58sYWYCsA5SuPj0yLpBEg_1iIu6hUU1dvzqAgTW1x6zmjT3OkJcblFRCKFlNF3OV4Q9JKXGe6EnGbtxxXhzsLeATLhPdZcSlTZ7ohH2EuD7dhe0dv5xYoZNN1DHV8mnK2APO3hmmokW1dI7qwhNX09xvGpRHTTpTIP9fXNob2GinZ4GhsYqd11UUOPRF45sa5-urSmX7yH1XmXPn5Xsifymf3uinmi9reeQCnrpfDKih_tfDLZSUXb1jr2sNNWkcOXfw";
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUiLCJhdWQiOiJ0aXRhbiIsInN1YiI6ImFkYSIsImV4cCI6NDEwMjQ0NDgwMH0.swVOT8UwJ6E3oDywDw8RYR3eq6PRItnnylzCTjNhMMOW_HAkMvjaH03WlobLkSqVSpBmrGklyxDprIj6KOzAbUVzCnvt6P1Ubep-E9eFT-2zk8X6CUtebQ2HH6zdkr1spDH4DyqjQPkhgSMq21mxiTalyU5PRD387wlToIPu4qR9gz4zNTNvjzPDUc0A_tkmafoklhaGwv_WFNzfbpMU_y8_3Bh3ELDRJjegoyqu1pg7bH7D-51Mo2ILtx06W9CXuvqJDbqIPmpoddzQZpzWJxJMsjXmN4DSYw5ZJhCgG-7mKcFtsSMepEdbgQ93ZJbfpvNJ0CqN40l2C8iKDMM96g";
    let issuer = json!({"name": "x", "issuer": "https://login.example", "audience": "titan"});
    let issuer: Issuer = serde_json::from_value(issuer).unwrap();
    let key = |modulus: &str| -> Jwk {
        serde_json::from_value(json!({"kty": "RSA", "kid": "rsa", "n": modulus, "e": "AQAB"}))
            .unwrap()
    };
    let verify =
        |token: &str, key: &Jwk| token::verify(token, &issuer, crate::model::Algorithm::RS256, key);
    let claims = verify(TOKEN, &key(MODULUS)).unwrap();
    assert_eq!(claims["sub"], "ada");
    let altered = TOKEN.replacen("eyJpc3Mi", "eyJpc3Mj", 1);
    assert!(verify(&altered, &key(MODULUS)).is_err());
    // Half as long, it is no key to rely on.
    assert!(verify(TOKEN, &key(&MODULUS[..171])).is_err());
}

#[tokio::test]
async fn development_asks_nobody_but_other_pages() {
    let world = World::with(json!({}), true).await;
    let (status, found) = world.me("").await;
    assert_eq!(
        (status, &found["kind"], &found["admin"]),
        (200, &json!("development"), &json!(true))
    );
    let url = format!("{}/api/v1/me", world.url);
    for (name, value) in
        [("origin", "http://evil.example"), ("origin", "null"), ("host", "evil.example")]
    {
        let answer = world.client.get(&url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{name}: {value}");
    }
}

#[tokio::test]
async fn cookies_of_other_pages_are_refused_everywhere() {
    let world = World::new().await;
    for path in ["/healthz", "/api/v1/me", "/api/v1/hosts/a/reports", "/nowhere"] {
        let request = world.client.get(format!("{}{path}", world.url)).header("cookie", "a=b");
        let foreign = request.try_clone().unwrap().header("origin", "https://evil.example");
        assert_eq!(foreign.send().await.unwrap().status().as_u16(), 403, "{path}");
        let own = request.header("origin", &world.url);
        assert_ne!(own.send().await.unwrap().status().as_u16(), 403, "{path}");
    }
}

#[tokio::test]
async fn what_is_asked_for_takes_its_role() {
    let world = World::new().await;
    let token = |sub: &str| world.key.sign(&world.but("sub", json!(sub)));
    for (sub, path, expected) in [
        ("ada", "workspaces", Some(1)),
        ("eve", "workspaces", Some(0)),
        ("ada", "targets", Some(1)),
        ("eve", "targets", Some(0)),
        ("ada", "workspaces/iot", None),
    ] {
        let url = format!("{}/api/v1/{path}", world.url);
        let answer = world.client.get(url).bearer_auth(token(sub)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{sub} {path}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["items"].as_array().map(Vec::len), expected, "{sub} {path}");
    }
    for (sub, path) in [
        ("ada", "workspaces/default"),
        ("ada", "workspaces/nowhere"),
        ("ada", "diagnostics"),
        ("ada", "changes"),
        ("eve", "workspaces/iot"),
        ("eve", "targets/iot/all"),
    ] {
        let url = format!("{}/api/v1/{path}", world.url);
        let answer = world.client.get(url).bearer_auth(token(sub)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404, "{sub} {path}");
    }
    let post = async |sub: &str, change: Value| {
        let body = json!({ "changes": [change] });
        let request = world.client.post(format!("{}/api/v1/changes", world.url));
        let answer = request.bearer_auth(token(sub)).json(&body).send().await.unwrap();
        answer.status().as_u16()
    };
    let patch = |kind: &str, name: &str, spec: Value| json!({"op": "patch", "kind": kind, "name": name, "patch": {"spec": spec}});
    let delete = |kind: &str, name: &str| json!({"op": "delete", "kind": kind, "name": name});
    for (sub, change, status) in [
        ("ada", patch("Workspace", "iot", json!({"values": {"a": 1}})), 403),
        ("ada", patch("Fleet", "", json!({"admins": [{"user": "ada"}]})), 403),
        ("ada", delete("Target", "iot/all"), 403),
        ("ada", patch("Target", "default/all", json!({"selector": {}})), 404),
        ("ada", patch("Target", "nowhere/all", json!({"selector": {}})), 404),
        ("ada", delete("Workspace", "default"), 404),
        ("ada", patch("Host", "berlin", json!({"cordoned": true})), 404),
        ("eve", patch("Target", "iot/all", json!({"selector": {}})), 404),
    ] {
        assert_eq!(post(sub, change.clone()).await, status, "{sub} {change}");
    }
}
