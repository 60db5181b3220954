//! Which host sends a request.
//!
//! ```text
//!  Authorization: Bearer … ─┬─ its digest is one of `spec.tokens` ──────────────▶ Token
//!                           └─ signed: seen before? ─ no ─▶ proof::verify ─┐
//!                                        └─ yes ────────────────────┬──────┘
//!                                              still one of `spec.keys`? ───────▶ Key
//! ```
//! What is in Git counts at each request: a key or token that a commit takes back is worth nothing after the
//! next pass. Only the signature, which does not change, is verified once for each token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use warp::http::{HeaderMap, header};

use crate::api::Context;
use crate::api::error::Refused;
use crate::model::{HostKey, Name, Timestamp};
use crate::observe::{Digest, Snapshot};
use crate::proof::{self, Proof, ProofError};

/// Signed tokens that are remembered, in each of two generations. An agent has one for some minutes.
const REMEMBERED: usize = 1 << 16;

/// What a host proved itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proven {
    Token,
    Key(HostKey),
}

/// Signatures that were found good.
#[derive(Debug, Default)]
pub(in crate::api) struct Signatures(Mutex<Generations>);

/// When the younger is full it becomes the older, and what was there is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, (Name, Proof)>,
    old: HashMap<Digest, (Name, Proof)>,
}

/// Whether the bearer token is the host's.
///
/// # Errors
/// 401 without a good token, 403 with another host's, 404 for a host that there is not.
pub(in crate::api) fn authenticate(
    context: &Context,
    snapshot: &Snapshot,
    host: &Name,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    prove(&context.signatures, snapshot, host, bearer(headers)?).map(drop)
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|text| text.split_once(' ')).ok_or(Refused::NoToken)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Refused::NoToken);
    }
    Ok(token)
}

/// What the token proves. Where it is no signature all of the host's digests are compared with its own,
/// each in constant time.
pub(super) fn prove(
    signatures: &Signatures,
    snapshot: &Snapshot,
    host: &Name,
    token: &str,
) -> Result<Proven, Refused> {
    let digests = snapshot.hosts.get(host).ok_or(Refused::NotFound)?;
    let digest: Digest = Sha256::digest(token.as_bytes()).into();
    let found =
        digests.iter().fold(Choice::from(0), |found, own| found | own.as_slice().ct_eq(&digest));
    if found.into() {
        return Ok(Proven::Token);
    }
    if proof::is_signed(token) {
        let judged = signatures.judge(snapshot, token, &digest, Timestamp::now());
        let (signer, key) = judged.map_err(|error| Refused::BadToken(error.to_string()))?;
        // Only who has a valid token learns that it is another host's.
        return if signer == *host { Ok(Proven::Key(key)) } else { Err(Refused::ForeignHost) };
    }
    // The same: the digest tells nothing else.
    Err(if snapshot.owner(&digest).is_some() { Refused::ForeignHost } else { Refused::WrongToken })
}

impl Signatures {
    /// Who signed a token, and with which key.
    fn judge(
        &self,
        snapshot: &Snapshot,
        token: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<(Name, HostKey), ProofError> {
        let (host, proof) = match self.get(digest) {
            Some(known) => known,
            None => {
                let host = proof::subject(token)?;
                let keys = snapshot.keys.get(&host).ok_or(ProofError::Key)?;
                let proof = proof::verify(token, keys, now)?;
                self.put(*digest, (host.clone(), proof));
                (host, proof)
            }
        };
        if now.as_second() >= proof.until {
            return Err(ProofError::Expired);
        }
        if !snapshot.has_key(&host, &proof.key) {
            return Err(ProofError::Key);
        }
        Ok((host, proof.key))
    }

    fn get(&self, digest: &Digest) -> Option<(Name, Proof)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.young.get(digest).or_else(|| all.old.get(digest)).cloned()
    }

    fn put(&self, digest: Digest, found: (Name, Proof)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.young.len() >= REMEMBERED {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(digest, found);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::proof::PrivateKey;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn what_is_remembered_is_judged_again() {
        let (signatures, mut snapshot) = (Signatures::default(), Snapshot::default());
        let key = PrivateKey::generate().unwrap();
        for host in ["a", "b"] {
            Arc::make_mut(&mut snapshot.hosts).insert(name(host), vec![]);
        }
        Arc::make_mut(&mut snapshot.keys).insert(name("a"), vec![key.public()]);
        let now = Timestamp::now();
        let token = key.token(&name("a"), now).unwrap();
        let digest: Digest = Sha256::digest(&token).into();
        let judge = |snapshot: &Snapshot, second: i64| {
            let now = Timestamp::from_second(now.as_second() + second).unwrap();
            signatures.judge(snapshot, &token, &digest, now)
        };
        for _ in 0..2 {
            assert_eq!(judge(&snapshot, 0), Ok((name("a"), key.public())));
            let proven = prove(&signatures, &snapshot, &name("a"), &token);
            assert_eq!(proven, Ok(Proven::Key(key.public())));
            assert_eq!(signatures.0.lock().unwrap().young.len(), 1);
        }
        assert_eq!(judge(&snapshot, 360), Err(ProofError::Expired));
        let foreign = prove(&signatures, &snapshot, &name("b"), &token);
        assert_eq!(foreign, Err(Refused::ForeignHost));
        let unknown = prove(&signatures, &snapshot, &name("c"), &token);
        assert_eq!(unknown, Err(Refused::NotFound));
        // Another host's name, with the own key.
        let false_name = key.token(&name("b"), now).unwrap();
        let refused = prove(&signatures, &snapshot, &name("b"), &false_name);
        assert_eq!(refused, Err(Refused::BadToken(ProofError::Key.to_string())));
        Arc::make_mut(&mut snapshot.keys).clear();
        assert_eq!(judge(&snapshot, 0), Err(ProofError::Key), "it was taken back");
    }

    #[test]
    fn not_more_is_remembered_than_there_is_room() {
        let signatures = Signatures::default();
        let found = (name("a"), Proof { key: HostKey([0; 32]), until: 0 });
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            digest
        };
        for number in 0..3 * REMEMBERED {
            signatures.put(digest(number), found.clone());
        }
        let all = signatures.0.lock().unwrap();
        assert!(all.young.len() <= REMEMBERED && all.old.len() <= REMEMBERED);
        drop(all);
        assert!(signatures.get(&digest(3 * REMEMBERED - 1)).is_some());
        assert!(signatures.get(&digest(0)).is_none());
    }
}
