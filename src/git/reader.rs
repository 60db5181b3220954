//! Many objects, one after the other, on one thread.

use std::sync::Arc;

use gix::objs::tree::EntryKind as Mode;

use super::error::damaged;
use super::pack::Store;
use super::read::{self, object};
use super::{Entry, GitError, Repository};
use crate::model::{RepoPath, TreeId};

/// Reads objects of a repository. To open it costs as much as to read some ten objects: whoever reads
/// more keeps it, one for each thread.
pub struct Reader {
    store: Store,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Repository {
    /// For this thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { store: self.store() }
    }
}

impl Reader {
    /// As [`Repository::entries`].
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn entries(&self, tree: TreeId) -> Result<Vec<Entry>, GitError> {
        let raw = read::raw_entries(&self.store, object(tree))?;
        Ok(raw.into_iter().map(read::RawEntry::into_entry).collect())
    }

    /// As [`Repository::entry`].
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn entry(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Entry>, GitError> {
        let mut at = object(tree);
        let mut segments = path.segments().peekable();
        while let Some(segment) = segments.next() {
            let entries = read::raw_entries(&self.store, at)?;
            let found = entries.into_iter().find(|entry| entry.name == segment.as_bytes());
            let Some(entry) = found else { return Ok(None) };
            if segments.peek().is_none() {
                return Ok(Some(entry.into_entry()));
            }
            if entry.mode != Mode::Tree {
                return Ok(None);
            }
            at = entry.id;
        }
        Ok(None)
    }

    /// As [`Repository::size`].
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn size(&self, id: TreeId) -> Result<u64, GitError> {
        self.store.size(object(id))
    }

    /// As [`Repository::is_tree`].
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn is_tree(&self, id: TreeId) -> Result<bool, GitError> {
        let id = object(id);
        Ok(self.store.gix.find_header(id).map_err(damaged(id))?.kind().is_tree())
    }

    /// As [`Repository::blob`].
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn blob(&self, id: TreeId) -> Result<Arc<[u8]>, GitError> {
        read::read_blob(&self.store, object(id))
    }
}
