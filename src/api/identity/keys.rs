//! The keys of issuers: fetched through discovery, kept, and fetched again for a key that is new.
//!
//! ```text
//!  find ─ in what is kept? ─ yes ─▶ key
//!            │ no, or old
//!            ▼
//!  one at a time, at most every ten seconds ─ discovery ─ JWKS ─▶ kept
//! ```
//! Tokens with keys that nobody knows cost one fetch in ten seconds, however many there are, and who has a
//! known key does not wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::TokenError;
use crate::model::url::{host_of, is_loopback, is_secure_url};
use crate::model::{Algorithm, Issuer};

/// Shortest time between two fetches of one issuer's keys.
const PAUSE: Duration = Duration::from_secs(10);
/// Keys older than this are fetched again.
const OLD: Duration = Duration::from_secs(60 * 60);
/// Keys older than this are not believed, when they cannot be fetched again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest time for one answer of an issuer.
const TIME: Duration = Duration::from_secs(5);
/// Largest answer of an issuer, in bytes.
const SIZE: usize = 512 << 10;
/// Most keys of one issuer.
const KEYS: usize = 100;
/// Most issuers that are kept: those that are no longer configured make room.
const ISSUERS: usize = 64;

/// The keys of all issuers.
#[derive(Debug)]
pub(super) struct Keys {
    pause: Duration,
    known: Mutex<BTreeMap<Source, Arc<Known>>>,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    issuer: String,
    jwks: Option<String>,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
struct Known {
    kept: Mutex<Option<Kept>>,
    /// When they were last asked for; held while they are.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Kept {
    keys: Arc<Vec<Jwk>>,
    since: Instant,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

impl Keys {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, known: Mutex::default() }
    }

    /// The issuer's key with this name, for this algorithm. A token without a name has the only key
    /// that fits.
    pub(super) async fn find(
        &self,
        issuer: &Issuer,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Jwk, TokenError> {
        let known = self.known(issuer);
        if let Some(kept) = known.kept()
            && let Some(key) = kept.key(name, algorithm)
        {
            if kept.since.elapsed() < OLD {
                return Ok(key);
            }
            known.refresh(issuer, self.pause).await;
        }
        // Somebody else may have fetched it meanwhile, or does now.
        if known.kept().and_then(|kept| kept.key(name, algorithm)).is_none() {
            let mut asked = known.asked.lock().await;
            known.fetch(&mut asked, issuer, self.pause).await;
        }
        let kept = known.kept().ok_or(TokenError::Unreachable)?;
        kept.key(name, algorithm).ok_or(TokenError::Key)
    }

    fn known(&self, issuer: &Issuer) -> Arc<Known> {
        let source = Source { issuer: issuer.issuer.clone(), jwks: issuer.jwks_uri.clone() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ISSUERS && !known.contains_key(&source) {
            known.clear();
        }
        Arc::clone(known.entry(source).or_default())
    }
}

impl Known {
    /// What is kept, unless it is stale.
    fn kept(&self) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|kept| kept.since.elapsed() < STALE)
    }

    /// Fetches old keys again, unless somebody does.
    async fn refresh(&self, issuer: &Issuer, pause: Duration) {
        if let Ok(mut asked) = self.asked.try_lock() {
            self.fetch(&mut asked, issuer, pause).await;
        }
    }

    /// Asks for the keys, unless that was done a moment ago.
    async fn fetch(&self, asked: &mut Option<Instant>, issuer: &Issuer, pause: Duration) {
        if asked.is_some_and(|asked| asked.elapsed() < pause) {
            return;
        }
        *asked = Some(Instant::now());
        match fetch(issuer).await {
            Ok(keys) => {
                let kept = Kept { keys: Arc::new(keys), since: Instant::now() };
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
            }
            Err(error) => {
                tracing::warn!(issuer = %issuer.name, %error, "the keys of an issuer cannot be fetched");
            }
        }
    }
}

impl Kept {
    fn key(&self, name: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
        let own = |key: &&Jwk| name.is_none() || key.common.key_id.as_deref() == name;
        let mut fitting = self.keys.iter().filter(own).filter(|key| fits(key, algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key.clone()),
            _ => None,
        }
    }
}

/// Whether a key is meant for signatures of this kind.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let signs = common.public_key_use.as_ref().is_none_or(|to| *to == PublicKeyUse::Signature);
    let operations = common.key_operations.as_ref();
    let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
    let (kind, own) = match algorithm {
        Algorithm::RS256 => (Kind::Rsa, KeyAlgorithm::RS256),
        Algorithm::RS384 => (Kind::Rsa, KeyAlgorithm::RS384),
        Algorithm::RS512 => (Kind::Rsa, KeyAlgorithm::RS512),
        Algorithm::PS256 => (Kind::Rsa, KeyAlgorithm::PS256),
        Algorithm::PS384 => (Kind::Rsa, KeyAlgorithm::PS384),
        Algorithm::PS512 => (Kind::Rsa, KeyAlgorithm::PS512),
        Algorithm::ES256 => (Kind::Curve(EllipticCurve::P256), KeyAlgorithm::ES256),
        Algorithm::ES384 => (Kind::Curve(EllipticCurve::P384), KeyAlgorithm::ES384),
        Algorithm::EdDSA => (Kind::Edwards, KeyAlgorithm::EdDSA),
    };
    let right = match (&key.algorithm, kind) {
        (AlgorithmParameters::RSA(_), Kind::Rsa) => true,
        (AlgorithmParameters::EllipticCurve(key), Kind::Curve(curve)) => key.curve == curve,
        (AlgorithmParameters::OctetKeyPair(key), Kind::Edwards) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    signs && verifies && right && common.key_algorithm.is_none_or(|of| of == own)
}

/// Kinds of keys.
enum Kind {
    Rsa,
    Curve(EllipticCurve),
    Edwards,
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is larger than {SIZE} bytes")]
    Size,
    #[error("the answer is not what it should be")]
    Form,
    #[error("the discovery document is another issuer's")]
    Issuer,
    #[error("the address of the keys is not `https`")]
    Address,
}

/// What a discovery document says (OpenID Connect Discovery, 3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Keys as they come; one of a kind that titan does not know hides none of the others.
#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

async fn fetch(issuer: &Issuer) -> Result<Vec<Jwk>, FetchError> {
    let url = match &issuer.jwks_uri {
        Some(url) => url.clone(),
        None => discover(issuer).await?,
    };
    let set: KeySet = get(&url).await?;
    let known = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    Ok(known.take(KEYS).collect())
}

async fn discover(issuer: &Issuer) -> Result<String, FetchError> {
    let base = issuer.issuer.trim_end_matches('/');
    let found: Discovery = get(&format!("{base}/.well-known/openid-configuration")).await?;
    if found.issuer != issuer.issuer {
        return Err(FetchError::Issuer);
    }
    let url = found.jwks_uri;
    // Only an issuer in clear text, which is on this machine, has its keys in clear text.
    let clear = url.starts_with("http://") && !base.starts_with("http://");
    let plain = url.split('?').next().unwrap_or_default();
    if clear || !is_secure_url(plain) { Err(FetchError::Address) } else { Ok(url) }
}

/// Reads a small JSON document. Redirections are not followed.
async fn get<T: DeserializeOwned>(url: &str) -> Result<T, FetchError> {
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("titan/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIME);
    if url.split_once("://").is_some_and(|(_, rest)| is_loopback(host_of(rest))) {
        client = client.no_proxy();
    }
    let mut answer = client.build()?.get(url).send().await?;
    if !answer.status().is_success() {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        if bytes.len() + part.len() > SIZE {
            return Err(FetchError::Size);
        }
        bytes.extend_from_slice(&part);
    }
    serde_json::from_slice(&bytes).map_err(|_| FetchError::Form)
}
