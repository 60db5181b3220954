//! Signed tokens (RFC 7519): what one claims of itself, and whether that is true.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use super::TokenError;
use crate::model::{Algorithm, Issuer};

/// How much clocks may differ, in seconds.
const LEEWAY: u64 = 60;
/// Longest name of a key.
const KEY: usize = 256;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// What an unverified token says: enough to find the key that proves the rest.
#[derive(Debug)]
pub(super) struct Peek {
    pub(super) issuer: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
}

/// Reads a token without believing it. `alg: none`, and algorithms with shared secrets, end here.
pub(super) fn peek(token: &str) -> Result<Peek, TokenError> {
    let read = jsonwebtoken::dangerous::insecure_decode::<Claims>(token);
    let read = read.map_err(|_| TokenError::Malformed)?;
    let algorithm = own(read.header.alg).ok_or(TokenError::Algorithm)?;
    let key = read.header.kid;
    // RFC 7515, 4.1.11: who does not know what is critical refuses the token.
    if key.as_ref().is_some_and(|key| key.len() > KEY) || read.header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let issuer = read.claims.get("iss").and_then(Value::as_str).ok_or(TokenError::Issuer)?;
    Ok(Peek { issuer: issuer.to_owned(), algorithm, key })
}

/// The claims of a token, which are the issuer's and meant for titan.
pub(super) fn verify(
    token: &str,
    issuer: &Issuer,
    algorithm: Algorithm,
    key: &Jwk,
) -> Result<Claims, TokenError> {
    let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::Key)?;
    let mut validation = Validation::new(outside(algorithm));
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let read = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    let claims = read.map_err(|error| told(error.kind()))?.claims;
    // A list of issuers, of which one is right, is not this issuer's.
    match claims.get("iss").and_then(Value::as_str) {
        Some(own) if own == issuer.issuer => Ok(claims),
        _ => Err(TokenError::Issuer),
    }
}

fn told(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::Early,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            match claim.as_str() {
                "aud" => TokenError::Audience,
                "iss" => TokenError::Issuer,
                "exp" => TokenError::Expired,
                _ => TokenError::Malformed,
            }
        }
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::InvalidRsaKey(_) | ErrorKind::InvalidEcdsaKey | ErrorKind::InvalidKeyFormat => {
            TokenError::Key
        }
        _ => TokenError::Malformed,
    }
}

/// titan's name for an algorithm; none for those with shared secrets.
fn own(algorithm: jsonwebtoken::Algorithm) -> Option<Algorithm> {
    use jsonwebtoken::Algorithm as Outside;
    Some(match algorithm {
        Outside::RS256 => Algorithm::RS256,
        Outside::RS384 => Algorithm::RS384,
        Outside::RS512 => Algorithm::RS512,
        Outside::PS256 => Algorithm::PS256,
        Outside::PS384 => Algorithm::PS384,
        Outside::PS512 => Algorithm::PS512,
        Outside::ES256 => Algorithm::ES256,
        Outside::ES384 => Algorithm::ES384,
        Outside::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

fn outside(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Outside;
    match algorithm {
        Algorithm::RS256 => Outside::RS256,
        Algorithm::RS384 => Outside::RS384,
        Algorithm::RS512 => Outside::RS512,
        Algorithm::PS256 => Outside::PS256,
        Algorithm::PS384 => Outside::PS384,
        Algorithm::PS512 => Outside::PS512,
        Algorithm::ES256 => Outside::ES256,
        Algorithm::ES384 => Outside::ES384,
        Algorithm::EdDSA => Outside::EdDSA,
    }
}
