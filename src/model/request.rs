//! The id by which a change request is known, from its first answer to the end of Git history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::serde_as_text;
use super::{Diagnostic, Timestamp};

/// What a caller gave as `Idempotency-Key`, or what titan made: 1 to 128 of `A-Z a-z 0-9 . _ : -`, so
/// that it fits into a trailer, a path of a URL and the name of a branch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(String);

/// Why a text is no [`RequestId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a request id has 1 to 128 of the characters `A-Z a-z 0-9 . _ : -`, and begins with a letter or digit"
)]
pub struct RequestIdError;

impl RequestId {
    const LONGEST: usize = 128;

    /// One that nobody else has: `random` must be random.
    #[must_use]
    pub fn made(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && text.len() <= Self::LONGEST && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RequestIdError)
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(RequestId);

/// `requests/…` on the status branch: why a request was not made. One that was made is a commit of the
/// config branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    pub api_version: String,
    pub kind: String,
    pub id: RequestId,
    /// Of what was asked for, and who asked.
    pub digest: String,
    pub actor: String,
    /// The HTTP status that it was answered with.
    pub answer: u16,
    /// One line for people.
    pub reason: String,
    /// What is wrong with it; the first of them, if there are very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_words() {
        for text in ["a", "0190f3c2-7d1e", "ci:run.17_2", &"x".repeat(128)] {
            assert_eq!(text.parse::<RequestId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        let long = "x".repeat(129);
        for text in ["", "-a", ".a", "a b", "a/b", "a\nb", "ä", "a\0", &long] {
            assert_eq!(text.parse::<RequestId>(), Err(RequestIdError), "{text:?}");
        }
        assert_eq!(RequestId::made([0xab; 16]).as_str(), "ab".repeat(16));
    }
}
