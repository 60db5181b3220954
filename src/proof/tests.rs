use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::model::{HostKey, Name, Timestamp, base64};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

const NOW: i64 = 1_800_000_000;

/// Signed as titan does not.
fn odd(key: &PrivateKey, header: &Header, claims: &Value) -> String {
    let pkcs8 = base64::decode(&key.to_text()).unwrap();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(&pkcs8)).unwrap()
}

fn claims() -> Value {
    json!({"iss": "a", "sub": "a", "aud": AUDIENCE, "iat": NOW, "exp": NOW + LIFE})
}

#[test]
fn what_a_host_signs_is_believed_for_a_while() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let token = key.token(&name("tim-pi"), at(NOW)).unwrap();
    assert!(is_signed(&token) && !is_signed(&secret::make().unwrap()));
    assert_eq!(subject(&token), Ok(name("tim-pi")));
    let keys = [other.public(), key.public()];
    let good = Ok(Proof { key: key.public(), until: NOW + LIFE + LEEWAY });
    assert_eq!(verify(&token, &keys, at(NOW)), good);
    assert_eq!(verify(&token, &keys, at(NOW - LEEWAY)), good, "clocks differ");
    assert_eq!(verify(&token, &keys, at(NOW + LIFE + LEEWAY - 1)), good);
    assert_eq!(verify(&token, &keys, at(NOW - LEEWAY - 1)), Err(ProofError::Early));
    assert_eq!(verify(&token, &keys, at(NOW + LIFE + LEEWAY)), Err(ProofError::Expired));
    assert_eq!(verify(&token, &[other.public()], at(NOW)), Err(ProofError::Key));
    assert_eq!(verify(&token, &[], at(NOW)), Err(ProofError::Key));

    let again = PrivateKey::from_text(&key.to_text()).unwrap();
    assert_eq!(again.public(), key.public());
    assert!(verify(&again.token(&name("a"), at(NOW)).unwrap(), &keys, at(NOW)).is_ok());
    assert!(PrivateKey::from_text("AAAA").is_err());
    assert!(!format!("{key:?}").contains(&key.to_text()));
}

#[test]
fn fingerprints_are_those_of_openssh() {
    let key: HostKey =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
            .parse()
            .unwrap();
    assert_eq!(fingerprint(&key), "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8");
}

#[test]
fn what_is_odd_is_refused() {
    let key = PrivateKey::generate().unwrap();
    let keys = [key.public()];
    let header = Header::new(Algorithm::EdDSA);
    let check = |header: &Header, claims: Value, expected: Result<(), ProofError>| {
        let token = odd(&key, header, &claims);
        let found = subject(&token).and_then(|_| verify(&token, &keys, at(NOW)));
        assert_eq!(found.map(drop), expected, "{header:?} {claims}");
    };
    let with = |field: &str, value: Value| {
        let mut claims = claims();
        claims[field] = value;
        claims
    };
    check(&header, claims(), Ok(()));
    check(&header, with("aud", json!(["x", AUDIENCE])), Ok(()));
    check(&header, with("aud", json!("titan")), Err(ProofError::Audience));
    check(&header, with("aud", Value::Null), Err(ProofError::Audience));
    check(&header, with("iss", json!("b")), Err(ProofError::Malformed));
    check(&header, with("sub", json!("../b")), Err(ProofError::Malformed));
    check(&header, with("exp", json!("soon")), Err(ProofError::Malformed));
    check(&header, with("exp", json!(NOW + LIFE + 1)), Err(ProofError::Life));
    check(&header, with("exp", json!(NOW - 1)), Err(ProofError::Life));
    check(&header, with("exp", json!(i64::MAX)), Err(ProofError::Life));
    check(&header, with("iat", json!(i64::MIN)), Err(ProofError::Life));
    for kid in ["../../etc/passwd", "", "SHA256:", "/dev/null"] {
        let header = Header { kid: Some(kid.into()), ..header.clone() };
        check(&header, claims(), Err(ProofError::Key));
    }
    let critical = Header { crit: Some(vec!["x".into()]), ..header.clone() };
    check(&critical, claims(), Err(ProofError::Malformed));
    let elsewhere = Header { jku: Some("https://evil.example".into()), ..header.clone() };
    check(&elsewhere, claims(), Ok(()));

    let two = [key.public(), PrivateKey::generate().unwrap().public()];
    let nameless = odd(&key, &header, &claims());
    assert_eq!(verify(&nameless, &two, at(NOW)), Err(ProofError::Key), "it does not say which");
    let (signed, signature) = nameless.rsplit_once('.').unwrap();
    let broken = format!("{signed}.{}", signature.replace(|c: char| c != 'A', "A"));
    assert_eq!(verify(&broken, &keys, at(NOW)), Err(ProofError::Signature));
    assert_eq!(verify(&format!("{signed}."), &keys, at(NOW)), Err(ProofError::Signature));
    assert_eq!(subject(&"x".repeat(5000)), Err(ProofError::Malformed));
}

/// The public key is known to everybody: as a shared secret it proves nothing.
#[test]
fn other_algorithms_are_refused() {
    let key = PrivateKey::generate().unwrap();
    let keys = [key.public()];
    for secret in [key.public().0.to_vec(), key.public().to_string().into_bytes()] {
        let token = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims(),
            &EncodingKey::from_secret(&secret),
        );
        let token = token.unwrap();
        assert_eq!(subject(&token), Err(ProofError::Algorithm));
        assert_eq!(verify(&token, &keys, at(NOW)), Err(ProofError::Algorithm));
    }
    let part = |value: Value| {
        let text = base64::encode(value.to_string().as_bytes());
        text.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
    };
    for none in ["none", "None", "NONE"] {
        let token = format!("{}.{}.", part(json!({"alg": none})), part(claims()));
        assert_eq!(subject(&token), Err(ProofError::Malformed));
        assert_eq!(verify(&token, &keys, at(NOW)), Err(ProofError::Malformed));
    }
}
