//! ID tokens: checked by the provider's keys, and whom they name (OpenID Connect Core 1.0, 3.1.3.7).

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode, decode_header};
use serde_json::Value;

use super::provider::time;
use super::{AccountError, Secret};
use crate::model::Timestamp;

/// Signatures that only the provider can make: none with a shared secret, and not `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    /// Of the request; `None` where none was sent.
    pub(super) nonce: Option<&'a str>,
    /// Whose session it is; `None` for a new one.
    pub(super) subject: Option<&'a str>,
}

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) subject: String,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) issuer: String,
}

/// The claims of a token, if it is good: signature, issuer, audience, times, nonce.
pub(super) fn check(
    token: &Secret,
    keys: &Value,
    expected: &Expected<'_>,
) -> Result<Value, AccountError> {
    let fail = |problem: &str| AccountError::IdToken(problem.to_owned());
    let header = decode_header(token.reveal()).map_err(|_| fail("it is no signed JWT"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(fail("it is signed by an algorithm that is not allowed"));
    }
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let mut problem = "the provider has no such key".to_owned();
    for key in candidates(keys, header.kid.as_deref(), header.alg) {
        match decode::<Value>(token.reveal(), &key, &validation) {
            Ok(data) => return also(data.claims, expected),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(fail(&problem))
}

/// What the library does not look at.
fn also(claims: Value, expected: &Expected<'_>) -> Result<Value, AccountError> {
    let fail = |problem: &str| Err(AccountError::IdToken(problem.to_owned()));
    let says = |claim: &str| claims[claim].as_str();
    if expected.nonce.is_some_and(|nonce| says("nonce") != Some(nonce)) {
        return fail("it answers another login (`nonce`)");
    }
    if says("azp").is_some_and(|party| party != expected.client) {
        return fail("it was made for another client (`azp`)");
    }
    if expected.subject.is_some_and(|subject| says("sub") != Some(subject)) {
        return fail("it names another person than before (`sub`)");
    }
    Ok(claims)
}

/// The provider's keys that may have signed: by name if the token has one, else by kind.
fn candidates(
    keys: &Value,
    kid: Option<&str>,
    algorithm: Algorithm,
) -> impl Iterator<Item = DecodingKey> {
    let algorithm = format!("{algorithm:?}");
    let keys = keys["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fits = move |key: &&Value| {
        kid.is_none_or(|kid| key["kid"] == kid)
            && key["use"].as_str().is_none_or(|purpose| purpose == "sig")
            && key["alg"].as_str().is_none_or(|known| known == algorithm)
    };
    // A key of a kind that is not known does not spoil the others.
    keys.iter().filter(fits).filter_map(|key| {
        let key: Jwk = serde_json::from_value(key.clone()).ok()?;
        DecodingKey::from_jwk(&key).ok()
    })
}

/// What a token says that was checked before, or that is for somebody else to check.
pub(super) fn claims(token: &Secret) -> Option<Value> {
    dangerous::insecure_decode::<Value>(token.reveal()).ok().map(|data| data.claims)
}

/// Whether claims are meant for `audience`.
pub(super) fn is_for(claims: &Value, audience: &str) -> bool {
    match &claims["aud"] {
        Value::String(one) => one == audience,
        Value::Array(all) => all.iter().any(|one| one == audience),
        _ => false,
    }
}

/// When claims end.
pub(super) fn expiry(claims: &Value) -> Option<Timestamp> {
    time(&claims["exp"])
}

impl Person {
    /// Whom a token names that was checked before; `None` when it is no JWT.
    #[must_use]
    pub(crate) fn named_by(token: &Secret) -> Option<Self> {
        let claims = claims(token)?;
        let text = |claim: &str| claims[claim].as_str().map(str::to_owned);
        let groups = claims["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            subject: text("sub")?,
            name: text("name").or_else(|| text("preferred_username")),
            email: text("email"),
            groups: groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            issuer: text("iss")?,
        })
    }

    /// What to call somebody.
    #[must_use]
    pub(crate) fn called(&self) -> &str {
        self.name.as_deref().or(self.email.as_deref()).unwrap_or(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;
    use crate::model::hex;

    const ISSUER: &str = "https://login.example/realms/titan";
    /// The key pair of RFC 8410, section 10.
    const PRIVATE: &str = "302e020100300506032b657004220420\
        d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    const PUBLIC: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";

    fn keys() -> Value {
        json!({"keys": [
            {"kty": "new", "kid": "two"},
            {"kty": "RSA", "kid": "one", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig", "alg": "EdDSA", "x": PUBLIC},
        ]})
    }

    fn claims() -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": ISSUER, "aud": "titan", "sub": "ann", "nonce": "n1",
            "iat": now, "exp": now + 300,
        })
    }

    fn signed(claims: &Value, kid: &str) -> Secret {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&hex::decode_all(PRIVATE).expect("digits"));
        Secret::new(encode(&header, claims, &key).expect("it signs"))
    }

    fn judged(token: &Secret) -> Result<Value, AccountError> {
        let expected =
            Expected { issuer: ISSUER, client: "titan", nonce: Some("n1"), subject: Some("ann") };
        check(token, &keys(), &expected)
    }

    #[test]
    fn a_good_token_is_taken() {
        assert_eq!(judged(&signed(&claims(), "one")).expect("it is good")["sub"], "ann");
        let mut several = claims();
        several["aud"] = json!(["titan", "other"]);
        several["azp"] = "titan".into();
        assert!(judged(&signed(&several, "one")).is_ok());
    }

    #[test]
    fn other_claims_are_refused() {
        let now = Timestamp::now().as_second();
        let check = |claim: &str, value: Value| {
            let mut claims = claims();
            claims[claim] = value;
            let error = judged(&signed(&claims, "one")).expect_err(claim);
            assert!(matches!(error, AccountError::IdToken(_)), "{error}");
        };
        check("iss", "https://login.example".into());
        check("iss", Value::Null);
        check("aud", "other".into());
        check("aud", json!([]));
        check("aud", Value::Null);
        check("azp", "other".into());
        check("nonce", "n2".into());
        check("nonce", Value::Null);
        check("sub", "eve".into());
        check("sub", Value::Null);
        check("exp", json!(now - 120));
        check("exp", Value::Null);
        check("nbf", json!(now + 120));
    }

    #[test]
    fn other_signatures_are_refused() {
        let good = signed(&claims(), "one");
        let (head, signature) = good.reveal().rsplit_once('.').expect("it has three parts");
        let (header, payload) = head.split_once('.').expect("it has three parts");
        // Another payload below the same signature.
        let mut eve = claims();
        eve["name"] = "Eve".into();
        let other = signed(&eve, "one");
        let other = other.reveal().split('.').nth(1).expect("it has three parts");
        // {"alg":"none"}
        let none = "eyJhbGciOiJub25lIn0";
        let texts = [
            format!("{header}.{other}.{signature}"),
            format!("{none}.{payload}."),
            format!("{head}."),
            "s3cret".into(),
            String::new(),
        ];
        let shared = EncodingKey::from_secret(PUBLIC.as_bytes());
        let shared =
            encode(&Header { kid: Some("one".into()), ..Header::default() }, &claims(), &shared);
        let texts = texts.into_iter().chain([shared.expect("it signs")]);
        for token in
            texts.map(Secret::new).chain([signed(&claims(), "two"), signed(&claims(), "x")])
        {
            let error = judged(&token).expect_err(token.reveal());
            assert!(matches!(error, AccountError::IdToken(_)), "{error}");
            assert!(token.reveal().is_empty() || !error.to_string().contains(token.reveal()));
        }
    }

    #[test]
    fn a_person_has_a_name() {
        let mut claims = claims();
        claims["preferred_username"] = "ann".into();
        claims["groups"] = json!(["dev", 7]);
        let person = Person::named_by(&signed(&claims, "one")).expect("it is a JWT");
        assert_eq!((person.called(), person.groups.as_slice()), ("ann", &["dev".to_owned()][..]));
        assert_eq!(Person::named_by(&Secret::new("opaque")), None);
    }
}
