//! What a token is worth.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::{AUDIENCE, LEEWAY, LIFE, fingerprint};
use crate::model::{HostKey, Name, Timestamp};

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Somebody has signed with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    pub key: HostKey,
    /// Until when this is worth anything, in seconds since 1970; leeway included.
    pub until: i64,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("it is not a token that a host signs")]
    Malformed,
    #[error("its algorithm is not `EdDSA`")]
    Algorithm,
    #[error("it is for somebody else than titan's controllers")]
    Audience,
    #[error("its key is not one of the host's (any more)")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired, or the host's clock is slow")]
    Expired,
    #[error("it is not valid yet: the host's clock is fast")]
    Early,
    #[error("it lives longer than {LIFE} s")]
    Life,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: Name,
    sub: Name,
    iat: i64,
    exp: i64,
}

/// Whether a text has the form of a signed token: three parts.
#[must_use]
pub fn is_signed(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The host that a token speaks of. Nothing of it is proven.
///
/// # Errors
/// Where it can prove nothing.
pub fn subject(token: &str) -> Result<Name, ProofError> {
    if token.len() > LONGEST {
        return Err(ProofError::Malformed);
    }
    let read = jsonwebtoken::dangerous::insecure_decode::<Claims>(token);
    let read = read.map_err(|error| told(error.kind()))?;
    if read.header.alg != Algorithm::EdDSA {
        return Err(ProofError::Algorithm);
    }
    if read.claims.iss != read.claims.sub {
        return Err(ProofError::Malformed);
    }
    Ok(read.claims.sub)
}

/// Which of a host's keys a token was signed with, where it is good at `now`. What it says of where its key
/// is is never looked at; `kid` only chooses among `keys`.
///
/// # Errors
/// What is wrong with it.
pub fn verify(token: &str, keys: &[HostKey], now: Timestamp) -> Result<Proof, ProofError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| told(error.kind()))?;
    // RFC 7515, 4.1.11: who does not know what is critical refuses the token.
    if header.crit.is_some() {
        return Err(ProofError::Malformed);
    }
    let key = match (&header.kid, keys) {
        (Some(kid), keys) => keys.iter().find(|key| fingerprint(key) == *kid),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let key = *key.ok_or(ProofError::Key)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    // The time is an argument here.
    validation.validate_exp = false;
    let decoding = DecodingKey::from_ed_der(&key.0);
    let read = jsonwebtoken::decode::<Claims>(token, &decoding, &validation);
    let claims = read.map_err(|error| told(error.kind()))?.claims;
    let until = check_times(&claims, now.as_second())?;
    Ok(Proof { key, until })
}

fn check_times(claims: &Claims, now: i64) -> Result<i64, ProofError> {
    let life = claims.exp.saturating_sub(claims.iat);
    if !(0..=LIFE).contains(&life) {
        return Err(ProofError::Life);
    }
    if claims.iat.saturating_sub(LEEWAY) > now {
        return Err(ProofError::Early);
    }
    let until = claims.exp.saturating_add(LEEWAY);
    if now >= until { Err(ProofError::Expired) } else { Ok(until) }
}

fn told(kind: &ErrorKind) -> ProofError {
    match kind {
        ErrorKind::InvalidSignature => ProofError::Signature,
        ErrorKind::InvalidAlgorithm => ProofError::Algorithm,
        ErrorKind::InvalidAudience => ProofError::Audience,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim)
            if claim == "aud" =>
        {
            ProofError::Audience
        }
        ErrorKind::InvalidKeyFormat | ErrorKind::InvalidEddsaKey => ProofError::Key,
        _ => ProofError::Malformed,
    }
}
