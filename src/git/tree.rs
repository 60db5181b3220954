//! Editing trees in the object database.

use super::{GitError, Repository};
use crate::model::{RepoPath, TreeId};

/// Changes to a tree, collected in memory and written together. Sub-trees that no edit touches keep
/// their ids and are not read. Folders that become empty vanish.
#[derive(Debug)]
pub struct TreeEdit<'a> {
    repository: &'a Repository,
    base: Option<TreeId>,
}

#[expect(unused_variables, reason = "skeleton")]
impl<'a> TreeEdit<'a> {
    #[must_use]
    pub fn new(repository: &'a Repository, base: Option<TreeId>) -> Self {
        let _ = (repository, base);
        Self { repository, base }
    }

    /// Puts a file (mode 100644); replaces what is there, a folder included.
    pub fn put(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), GitError> {
        unimplemented!()
    }

    /// Puts a whole tree that is already in the object database.
    pub fn put_tree(&mut self, path: &RepoPath, tree: TreeId) -> Result<(), GitError> {
        unimplemented!()
    }

    /// Removes a file or a folder with all that is below; no error when there is none.
    pub fn remove(&mut self, path: &RepoPath) -> Result<(), GitError> {
        unimplemented!()
    }

    /// Writes the new trees and blobs; returns the root.
    pub fn write(self) -> Result<TreeId, GitError> {
        let _ = (self.repository, self.base);
        unimplemented!()
    }
}
