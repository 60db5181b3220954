//! Which requests are in the history of the config branch (invariant I1).
//!
//! ```text
//!  commit ─ Titan-Request-Id: …      ──▶ id → content, commit
//!         ─ Titan-Request-Digest: …
//! ```
//! Git is the only memory: a request that is not in history was not made, whatever was answered before
//! a crash. What is read of it is kept, and continued from head to head.

use std::collections::HashMap;

use crate::git::{CommitInfo, GitError, Repository};
use crate::model::{RequestId, Revision};

/// The trailer that names a commit's request.
pub const ID_TRAILER: &str = "Titan-Request-Id";
/// The trailer with the digest of what was asked for.
pub(super) const DIGEST_TRAILER: &str = "Titan-Request-Digest";

/// An id for a request that came without one; `None`: the system has no random numbers.
#[must_use]
pub fn new_id() -> Option<RequestId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok().map(|()| RequestId::made(random))
}

/// A request that is in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Of what was asked for, as [`super::Request::digest`]; empty where the commit does not say.
    pub digest: Box<str>,
    pub commit: Revision,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Requests {
    head: Option<Revision>,
    known: HashMap<RequestId, Known>,
}

impl Requests {
    /// Reads what came to be since the last call. The first call reads all of history.
    ///
    /// # Errors
    /// When commits are missing.
    pub fn follow(&mut self, repository: &Repository, head: Revision) -> Result<(), GitError> {
        if self.head == Some(head) {
            return Ok(());
        }
        let base = match self.head {
            Some(last) if repository.is_ancestor(last, head)? => Some(last),
            _ => {
                // Another history may lack what the old one had.
                self.known.clear();
                None
            }
        };
        for revision in repository.commits_since(head, base)? {
            self.add(&repository.commit(revision)?);
        }
        self.head = Some(head);
        Ok(())
    }

    /// Takes note of a commit. Of several with one id, made by hand, the oldest counts.
    fn add(&mut self, commit: &CommitInfo) {
        let Some(id) = commit.trailer(ID_TRAILER).and_then(|text| text.parse().ok()) else {
            return;
        };
        let digest = commit.trailer(DIGEST_TRAILER).unwrap_or_default().into();
        self.known.insert(id, Known { digest, commit: commit.id });
    }

    /// The request with this id.
    #[must_use]
    pub fn get(&self, id: &RequestId) -> Option<&Known> {
        self.known.get(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
