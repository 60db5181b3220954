//! What proves nothing, in every form of `bad-input.md`.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use titan::proof::{AUDIENCE, secret};

use super::*;

fn said(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

#[test]
fn what_proves_nothing_is_refused() {
    let world = World::new();
    let (one, two) = (world.with_key("one"), world.with_key("two"));
    assert_eq!(world.status_of("one", &token(&one, "one")), 200);
    assert_eq!(world.status_of("two", &token(&two, "two")), 200);
    let now = Timestamp::now().as_second();
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims =
            json!({"iss": "one", "sub": "one", "aud": AUDIENCE, "iat": now, "exp": now + 300});
        change(&mut claims);
        claims
    };
    let signed = |header: Header, claims: Value| {
        use base64::decode;
        let key = EncodingKey::from_ed_der(&decode(&one.to_text()));
        jsonwebtoken::encode(&header, &claims, &key).expect("it signs")
    };
    let plain = || Header::new(Algorithm::EdDSA);
    let of = |change: &dyn Fn(&mut Value)| signed(plain(), claims(change));
    assert_eq!(world.status_of("one", &of(&|_| ())), 200);
    let hmac = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(&|_| ()), &key)
            .expect("it signs")
    };
    let named = |kid: &str| signed(Header { kid: Some(kid.into()), ..plain() }, claims(&|_| ()));
    let none = {
        let part = |value: Value| base64::encode(value.to_string().as_bytes());
        format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims(&|_| ())))
    };
    for (what, token) in [
        ("alg none", none),
        ("the public key as a secret", hmac(&one.public().0)),
        ("its text as a secret", hmac(one.public().to_string().as_bytes())),
        ("another audience", of(&|claims| claims["aud"] = json!("titan"))),
        ("no audience", of(&|claims| drop(claims.as_object_mut().expect("a map").remove("aud")))),
        ("another issuer", of(&|claims| claims["iss"] = json!("two"))),
        (
            "too old",
            of(&|claims| (claims["iat"], claims["exp"]) = (json!(now - 700), json!(now - 400))),
        ),
        (
            "not yet",
            of(&|claims| (claims["iat"], claims["exp"]) = (json!(now + 200), json!(now + 400))),
        ),
        ("for too long", of(&|claims| claims["exp"] = json!(now + 86_400))),
        ("a path as kid", named("../../hosts/one.yaml")),
        ("another host's kid", named(&fingerprint(&two.public()))),
        ("another host's key", token(&two, "one")),
        ("a key of nobody", token(&PrivateKey::generate().expect("a key"), "one")),
        ("a host of no name", of(&|claims| claims["sub"] = json!("../one"))),
        ("three parts of nothing", "a.b.c".to_owned()),
    ] {
        assert_eq!(world.status_of("one", &token), 401, "{what}");
        let url = world.url("one/reports");
        let report = world.client.post(url).bearer_auth(&token).body("{}");
        assert_eq!(world.ask(report).0, 401, "{what}");
    }
    // A host speaks only for itself.
    assert_eq!(world.status_of("two", &token(&one, "one")), 403);
    assert_eq!(world.register("two", &token(&one, "one"), one.public()).0, 403);
    assert_eq!(world.status_of("nobody", &token(&one, "one")), 404);
    let report = json!({"host": "two", "sequence": 1, "agent": "x", "interval": 20, "full": true, "assignments": []});
    let report =
        world.client.post(world.url("one/reports")).bearer_auth(token(&one, "one")).json(&report);
    assert_eq!(world.ask(report).0, 403);
}

#[test]
fn tokens_to_enroll_expire_and_are_for_one_host() {
    let mut world = World::new();
    let key = PrivateKey::generate().expect("a key").public();
    let (old, text) = ("titan_old", "2020-01-01T00:00:00Z");
    let file = format!(
        "{}  enrollment: {{digest: \"{}\", expires: \"{text}\"}}\n",
        world.file("one"),
        secret::digest(old)
    );
    world.repository.edit("hosts/one.yaml", &file).commit("an old token");
    eventually("it has expired", || {
        let (status, answer) = world.register("one", old, key);
        status == 401 && said(&answer).contains("expired")
    });
    let reports = world.repository.token("two");
    eventually("the token for reports", || world.status_of("two", &reports) == 200);
    assert_eq!(world.register("two", &reports, key).0, 401, "it is not for keys");
    assert_eq!(world.register("nobody", old, key).0, 404);

    // A person who may change hosts asks for one over HTTP.
    let (status, open) = world.ask(world.client.post(world.url("one/enrollments")));
    assert_eq!(status, 200, "{open}");
    let token = open["token"].as_str().expect("a token");
    assert!(!world.file("one").contains(token));
    assert_eq!(world.ask(world.client.post(world.url("nobody/enrollments"))).0, 404);
    let (status, _) = world.register("two", token, key);
    assert_eq!(status, 401, "it is for another host");
    for body in ["", "{}", "{\"key\": \"ssh-rsa AAAA\"}", "{\"key\": 1}", "[["] {
        let request = world.client.post(world.url("one/key")).bearer_auth(token);
        assert_eq!(world.ask(request.body(body)).0, 400, "{body}");
    }
    let large = world.client.post(world.url("one/key")).bearer_auth(token).body("x".repeat(2000));
    assert_eq!(world.ask(large).0, 413);
    let nobody = world.client.post(world.url("one/key")).json(&json!({"key": key}));
    assert_eq!(world.ask(nobody).0, 401);
    assert_eq!(world.register("one", token, key).0, 200);
    assert_eq!(world.register("one", token, key).0, 200, "the answer was lost");

    // Without a key, and with a token that is worth nothing, the agent says what to do.
    let dest = world.repository.destination("two");
    let url = format!("http://{}", world.address);
    let agent = ["agent", "--host", "two", "--runtime", "directory", "--once", "--server", &url];
    let run = |more: &[&str]| {
        let mut command = world.repository.command(&agent);
        command.args(more).arg("--dest").arg(&dest).output().expect("titan runs")
    };
    assert_eq!(run(&[]).status.code(), Some(2));
    let refused = run(&["--enroll", token]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("titan host enroll") && !told.contains(token), "{told}");
    let fresh = world.enroll("two");
    assert!(run(&["--enroll", &fresh]).status.success());
    assert!(run(&[]).status.success(), "it has a key now");
    assert!(
        run(&["--enroll-file", "/nowhere"]).status.success(),
        "the token is not needed any more"
    );
}

/// Base64 of both kinds, as far as it is needed here.
mod base64 {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn decode(text: &str) -> Vec<u8> {
        let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte).expect("a digit");
        let bits: String =
            text.trim_end_matches('=').bytes().map(|byte| format!("{:06b}", digit(byte))).collect();
        let bytes = (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2));
        bytes.collect::<Result<_, _>>().expect("bits")
    }

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        while !bits.len().is_multiple_of(6) {
            bits.push('0');
        }
        let digit = |at: usize| usize::from_str_radix(&bits[6 * at..6 * at + 6], 2).expect("bits");
        let text: String = (0..bits.len() / 6).map(|at| char::from(DIGITS[digit(at)])).collect();
        text.replace('+', "-").replace('/', "_")
    }
}
