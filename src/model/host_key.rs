//! What Git knows of how a host proves that it is itself: public keys, and a token to enroll the first.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::id::serde_as_text;
use super::{Timestamp, base64};

/// An Ed25519 public key (RFC 8032), written as OpenSSH does: `ssh-ed25519 AAAA…` (RFC 8709, 4), without
/// a comment. `ssh-keygen -l` shows the fingerprint that titan shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(pub [u8; 32]);

/// Why a text is no [`HostKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host's key is `ssh-ed25519`, a space, and 68 characters of base64, without a comment")]
pub struct HostKeyError;

/// Most keys of a host.
pub const MOST_KEYS: u32 = 8;

const KIND: &str = "ssh-ed25519";
/// Length and name of the kind, and the length of what follows (RFC 4253, 6.6).
const HEAD: &[u8; 19] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
/// Every text of this form is a key, and the only text for it.
const PATTERN: &str = "^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}$";

impl HostKey {
    /// The key as SSH sends it: what its fingerprint is made of.
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        [HEAD.as_slice(), &self.0].concat()
    }
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        let blob = text.strip_prefix(KIND).and_then(|rest| rest.strip_prefix(' '));
        let blob = blob.and_then(base64::decode).ok_or(HostKeyError)?;
        let key = blob.strip_prefix(HEAD.as_slice()).ok_or(HostKeyError)?;
        key.try_into().map(Self).map_err(|_| HostKeyError)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND} {}", base64::encode(&self.blob()))
    }
}

serde_as_text!(HostKey);

impl JsonSchema for HostKey {
    fn schema_name() -> Cow<'static, str> {
        "HostKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An Ed25519 public key as OpenSSH writes it, without a comment: `ssh-ed25519 AAAA…`",
            "type": "string",
            "pattern": PATTERN
        })
    }
}

/// A token with which a host's agent registers its own key, once (`titan host enroll`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrollment {
    /// SHA-256 digest of the token
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// Until when the token is good (RFC 3339); afterwards this means nothing
    #[schemars(
        with = "String",
        regex(
            pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
        )
    )]
    pub expires: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 8032, 7.1, test 1; the text as `ssh-keygen` writes it.
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    #[test]
    fn keys_are_written_as_openssh_does() {
        let key: HostKey = KEY.parse().expect("a key");
        assert_eq!(key.0[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(key.to_string(), KEY);
        assert_eq!(serde_json::to_value(key).expect("a value"), KEY);
        for bad in [
            "",
            "ssh-ed25519",
            &KEY[12..],
            &KEY[..KEY.len() - 1],
            &format!("{KEY} me@here"),
            &format!(" {KEY}"),
            &KEY.replace("AAAAI", "AAAAH"),
            &KEY.replace("ssh-ed25519 ", "ssh-rsa "),
            &KEY.replace("AAAAC3", "AAAAC2"),
        ] {
            assert_eq!(bad.parse::<HostKey>(), Err(HostKeyError), "{bad}");
        }
    }
}
