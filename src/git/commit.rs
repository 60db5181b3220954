//! Commits, read and written.

use super::{GitError, Repository};
use crate::model::{Revision, Timestamp, TreeId};

/// Somebody at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub id: Revision,
    pub tree: TreeId,
    pub parents: Vec<Revision>,
    pub author: Signature,
    pub committer: Signature,
    /// The first line of the message.
    pub subject: String,
    /// What follows the subject, trailers included.
    pub body: String,
    /// `Key: value` lines of the last paragraph, in order.
    pub trailers: Vec<(String, String)>,
}

/// A commit to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDraft {
    pub tree: TreeId,
    pub parents: Vec<Revision>,
    pub author: Signature,
    pub committer: Signature,
    /// Subject, body and trailers.
    pub message: String,
}

impl Signature {
    /// The time, UTC.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl CommitInfo {
    /// The value of the first trailer called `key`, any case.
    #[must_use]
    pub fn trailer(&self, key: &str) -> Option<&str> {
        let mut found = self.trailers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        found.next().map(|(_, value)| value.as_str())
    }
}

impl Repository {
    /// Writes the commit object; no ref moves.
    pub fn write_commit(&self, draft: &CommitDraft) -> Result<Revision, GitError> {
        let _ = draft;
        unimplemented!()
    }
}
