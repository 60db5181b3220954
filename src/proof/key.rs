//! A host's key pair.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{AUDIENCE, LIFE};
use crate::model::{HostKey, Name, Timestamp, base64};

/// The private half, which never leaves the host. Never shown.
#[derive(Clone)]
pub struct PrivateKey {
    public: HostKey,
    pkcs8: Vec<u8>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key cannot be made: the system gives no random numbers")]
    Made,
    #[error("it is no private key")]
    Form,
    #[error("nothing can be signed with the key")]
    Signed,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Name,
    sub: &'a Name,
    aud: &'static str,
    iat: i64,
    exp: i64,
}

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::Made`].
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Made)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Made)?;
        Self::of(&pair, der.as_ref())
    }

    fn of(pair: &Ed25519KeyPair, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Form)?;
        Ok(Self { public: HostKey(public), pkcs8: pkcs8.to_vec() })
    }

    /// Reads what [`PrivateKey::to_text`] wrote: PKCS #8 (RFC 8410) in base64.
    ///
    /// # Errors
    /// [`KeyError::Form`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = base64::decode(text).ok_or(KeyError::Form)?;
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Form)?;
        Self::of(&pair, &pkcs8)
    }

    /// The key as text. For a file that nobody else can read.
    #[must_use]
    pub fn to_text(&self) -> String {
        base64::encode(&self.pkcs8)
    }

    #[must_use]
    pub fn public(&self) -> HostKey {
        self.public
    }

    /// A token that says for a while that whoever has it is `host`.
    ///
    /// # Errors
    /// [`KeyError::Signed`].
    pub fn token(&self, host: &Name, now: Timestamp) -> Result<String, KeyError> {
        let iat = now.as_second();
        let claims =
            Claims { iss: host, sub: host, aud: AUDIENCE, iat, exp: iat.saturating_add(LIFE) };
        let header =
            Header { kid: Some(fingerprint(&self.public)), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&self.pkcs8);
        jsonwebtoken::encode(&header, &claims, &key).map_err(|_| KeyError::Signed)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", fingerprint(&self.public))
    }
}

/// How people name a key: `SHA256:…`, as `ssh-keygen -l` shows it.
#[must_use]
pub fn fingerprint(key: &HostKey) -> String {
    let digest = base64::encode(&Sha256::digest(key.blob()));
    format!("SHA256:{}", digest.trim_end_matches('='))
}
