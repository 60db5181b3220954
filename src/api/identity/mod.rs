//! Who asks: bearer tokens of OpenID Connect providers → [`Subject`].
//!
//! ```text
//!  Authorization: Bearer … ─ token: alg, iss ─▶ Issuer of Fleet.spec.identity
//!                                │ kid             │ discovery, JWKS (cached)
//!                                ▼                 ▼
//!                           signature, aud, exp, nbf ─ claims ─▶ person or CI job
//! ```
//! What is wrong with a token is a 401, a valid token that names nobody a 403. What a token says of where
//! its keys are (`jku`, `x5u`, `jwk`) is never looked at, and `kid` only chooses among keys that are known.

mod claims;
mod keys;
mod origin;
mod token;

use warp::http::{HeaderMap, header};

use super::Context;
use super::error::Refused;
use crate::model::{Issuer, Subject};

pub(super) use origin::same_origin;

/// Longest token, in bytes.
const LONGEST: usize = 16 << 10;

/// What is known of issuers; one for all requests.
#[derive(Debug, Default)]
pub(super) struct Identity {
    keys: keys::Keys,
}

/// Why a token makes nobody out of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("it is not a signed token")]
    Malformed,
    #[error("its issuer is not one of this fleet's")]
    Issuer,
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its key is not known")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is for somebody else than titan")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("it names nobody")]
    Nobody,
    #[error("the keys of its issuer cannot be fetched")]
    Unreachable,
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Nobody => Self::Nobody,
            TokenError::Unreachable => Self::Unreachable,
            other => Self::BadToken(other.to_string()),
        }
    }
}

/// Who sends a request.
///
/// # Errors
/// 401 without a valid token, 403 where it names nobody, 503 while its issuer's keys cannot be had.
pub(super) async fn authenticate(
    context: &Context,
    headers: &HeaderMap,
) -> Result<Subject, Refused> {
    if context.needs.development {
        origin::check_local(headers)?;
        return Ok(Subject::Local);
    }
    let token = bearer(headers)?;
    let snapshot = context.snapshot();
    if !snapshot.ready {
        return Err(Refused::Busy);
    }
    let subject = context.identity.subject(&snapshot.fleet.settings.identity, token).await;
    Ok(subject.inspect_err(|error| tracing::debug!(%error, "token refused"))?)
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).ok_or(Refused::NoToken)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refused::NoToken)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Refused::NoToken);
    }
    if values.next().is_some() || token.len() > LONGEST {
        return Err(TokenError::Malformed.into());
    }
    Ok(token)
}

impl Identity {
    /// Who a token speaks of.
    async fn subject(&self, issuers: &[Issuer], token: &str) -> Result<Subject, TokenError> {
        let claim = token::peek(token)?;
        let named = |issuer: &&Issuer| issuer.issuer == claim.issuer;
        let issuer = issuers.iter().find(named).ok_or(TokenError::Issuer)?;
        if !issuer.algorithms().contains(&claim.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let key = self.keys.find(issuer, claim.key.as_deref(), claim.algorithm).await?;
        claims::subject(issuer, &token::verify(token, issuer, claim.algorithm, &key)?)
    }
}

#[cfg(test)]
mod tests;
