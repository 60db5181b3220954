//! What senders of webhooks must know, and checking that they do.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::provider::Proof;

/// Shortest secret, in bytes: who watches a delivery must not find its secret by trying.
const SHORTEST: usize = 16;
/// Most of them: each costs a digest of every body.
const MOST: usize = 8;

/// The secrets that senders of webhooks may use; several while one replaces another. Never shown.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Secret]>);

struct Secret {
    key: hmac::Key,
    /// SHA-256 of its text.
    digest: [u8; 32],
}

/// Why secrets are not accepted. No variant carries one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("there is no secret in it; fix: one a line, as `openssl rand -hex 32` makes them")]
    Empty,
    #[error(
        "the secret in line {line} is shorter than {SHORTEST} characters; fix: make a longer one"
    )]
    Short { line: usize },
    #[error("there are more than {MOST} secrets; fix: remove those that nobody uses any more")]
    Many,
}

impl Secrets {
    /// Reads one secret a line; empty lines and space around secrets do not count.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let mut secrets = Vec::new();
        for (place, line) in text.lines().map(str::trim).enumerate() {
            match line.len() {
                0 => continue,
                length if length < SHORTEST => return Err(SecretError::Short { line: place + 1 }),
                _ => secrets.push(Secret::new(line)),
            }
        }
        match secrets.len() {
            0 => Err(SecretError::Empty),
            count if count > MOST => Err(SecretError::Many),
            _ => Ok(Self(secrets.into())),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Secret {
    fn new(text: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        Self { key, digest: Sha256::digest(text).into() }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Checks one delivery, whose body comes part by part. It takes as long for a wrong proof as for a good one.
pub(super) enum Check {
    Signature { given: [u8; 32], digests: Vec<hmac::Context> },
    Done(bool),
}

impl Check {
    pub(super) fn new(secrets: &Secrets, proof: Proof) -> Self {
        match proof {
            Proof::Signature(given) => {
                let digests = secrets.0.iter().map(|secret| hmac::Context::with_key(&secret.key));
                Self::Signature { given, digests: digests.collect() }
            }
            Proof::Token(given) => Self::Done(any(&given, secrets.0.iter().map(|s| s.digest))),
        }
    }

    /// Whether it is known already, without the body, that the proof is none.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Done(false))
    }

    pub(super) fn update(&mut self, part: &[u8]) {
        if let Self::Signature { digests, .. } = self {
            digests.iter_mut().for_each(|digest| digest.update(part));
        }
    }

    /// Whether the proof is good for the body that was shown.
    pub(super) fn end(self) -> bool {
        match self {
            Self::Signature { given, digests } => {
                any(&given, digests.into_iter().map(|d| d.sign()))
            }
            Self::Done(good) => good,
        }
    }
}

/// Whether one of `expected` is what was given; all of them are compared, each in constant time.
fn any(given: &[u8; 32], expected: impl Iterator<Item = impl AsRef<[u8]>>) -> bool {
    let equal = expected.map(|expected| expected.as_ref().ct_eq(given));
    equal.fold(Choice::from(0), |found, equal| found | equal).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hex;

    fn check(secrets: &str, proof: Proof, parts: &[&str]) -> bool {
        let mut check = Check::new(&Secrets::read(secrets).unwrap(), proof);
        parts.iter().for_each(|part| check.update(part.as_bytes()));
        check.end()
    }

    /// The example of GitHub's documentation.
    #[test]
    fn githubs_example_end() {
        let secret = "It's a Secret to Everybody";
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let proof = Proof::Signature(hex::decode(hex).unwrap());
        assert!(check(secret, proof, &["Hello, World!"]));
        assert!(check(secret, proof, &["Hello", "", ", World!"]), "parts make no difference");
        let both = format!("another secret, the new one\n\n  {secret}  \r\n");
        assert!(check(&both, proof, &["Hello, World!"]), "either of two is good");
        assert!(!check(secret, proof, &["Hello, World?"]));
        assert!(!check("It's a Secret to Nobody", proof, &["Hello, World!"]));
        assert!(!check(secret, Proof::Signature([0; 32]), &[]));
    }

    /// Test case 2 of RFC 4231, with a key that is too short for titan; and 6, with a long one.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let key = "\u{aa}";
        assert_eq!(Secrets::read(key).unwrap_err(), SecretError::Short { line: 1 });
        let signed = |key: &[u8], text: &str| {
            hex::encode(
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref(),
            )
        };
        assert_eq!(
            signed(b"Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            signed(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn tokens_are_compared_by_digest() {
        let token = |text: &str| Proof::Token(Sha256::digest(text).into());
        assert!(check("0123456789abcdef\nfedcba9876543210", token("fedcba9876543210"), &["x"]));
        assert!(!check("0123456789abcdef", token("0123456789abcde"), &["x"]));
        let secrets = Secrets::read("0123456789abcdef").unwrap();
        assert!(Check::new(&secrets, token("wrong")).is_refused());
        assert!(!Check::new(&secrets, Proof::Signature([0; 32])).is_refused());
    }

    #[test]
    fn bad_secrets_are_told_without_showing_them() {
        for (text, error) in [
            ("", SecretError::Empty),
            (" \n\r\n", SecretError::Empty),
            ("0123456789abcdef\nhunter2", SecretError::Short { line: 2 }),
            (&"0123456789abcdef\n".repeat(9), SecretError::Many),
        ] {
            assert_eq!(Secrets::read(text).unwrap_err(), error, "{text}");
        }
        let secrets = Secrets::read("0123456789abcdef").unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
        assert!(!secrets.is_empty() && Secrets::default().is_empty());
    }
}
