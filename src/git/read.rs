//! Reading objects of a repository, never a worktree.

use std::path::Path;
use std::sync::Arc;

use super::{CommitInfo, GitError};
use crate::model::{Limits, RepoPath, Revision, SourceFile, TreeId};

/// An open repository: its object database and refs. Cheap to clone, may be sent to other threads.
#[derive(Debug, Clone)]
pub struct Repository {
    // gix::ThreadSafeRepository inside
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
    /// Blob, tree or commit id, by `kind`.
    pub id: TreeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Tree,
    Symlink,
    Submodule,
}

#[expect(unused_variables, reason = "skeleton")]
impl Repository {
    /// Opens the repository at `path` (bare, or with a worktree). Does not look in parent folders.
    pub fn open(path: &Path) -> Result<Self, GitError> {
        unimplemented!()
    }

    /// Opens the repository around `path`, as `git` would find it.
    pub fn discover(path: &Path) -> Result<Self, GitError> {
        unimplemented!()
    }

    /// The directory that holds objects and refs (the common one, for linked worktrees).
    pub fn git_dir(&self) -> &Path {
        unimplemented!()
    }

    /// The root of the worktree, unless the repository is bare.
    pub fn worktree(&self) -> Option<&Path> {
        unimplemented!()
    }

    /// The branch that HEAD names, short (`main`), also when it has no commit yet; `None` when detached.
    pub fn head_branch(&self) -> Result<Option<String>, GitError> {
        unimplemented!()
    }

    /// The commit that `refs/heads/<branch>` points to.
    pub fn branch(&self, branch: &str) -> Result<Option<Revision>, GitError> {
        unimplemented!()
    }

    /// Any revision that people write: a full or short id, a branch, `main~2`, `HEAD`.
    pub fn resolve(&self, name: &str) -> Result<Revision, GitError> {
        unimplemented!()
    }

    pub fn commit(&self, revision: Revision) -> Result<CommitInfo, GitError> {
        unimplemented!()
    }

    /// First-parent ancestors of `tip` down to `base` (exclusive; `None`: to the root), newest first, at most `limit`.
    pub fn first_parents(
        &self,
        tip: Revision,
        base: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Revision>, GitError> {
        unimplemented!()
    }

    /// Whether `ancestor` is reachable from `tip` (a commit is its own ancestor).
    pub fn is_ancestor(&self, ancestor: Revision, tip: Revision) -> Result<bool, GitError> {
        unimplemented!()
    }

    /// All files below a commit's tree for the parser, in the order of paths. Blobs over
    /// `limits.blob_size` are not read; links and submodules are named, not followed; a tree that
    /// Git itself would refuse (`.git`, `..`, `a/b`, duplicates) gives `Content::Malformed` at its
    /// parent folder and is not entered.
    pub fn source_files(
        &self,
        revision: Revision,
        limits: &Limits,
    ) -> Result<Vec<SourceFile>, GitError> {
        unimplemented!()
    }

    /// The entries of a tree, in Git's order.
    pub fn entries(&self, tree: TreeId) -> Result<Vec<Entry>, GitError> {
        unimplemented!()
    }

    /// The entry at `path` below `tree`.
    pub fn entry(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Entry>, GitError> {
        unimplemented!()
    }

    pub fn blob(&self, id: TreeId) -> Result<Arc<[u8]>, GitError> {
        unimplemented!()
    }

    /// The file at `path` below `tree`; `None` when there is none.
    pub fn file(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Arc<[u8]>>, GitError> {
        unimplemented!()
    }

    /// All files below `tree` with their paths, in the order of paths (files only; no limits).
    pub fn walk(&self, tree: TreeId) -> Result<Vec<(RepoPath, Entry)>, GitError> {
        unimplemented!()
    }

    /// The paths of files that differ between two trees (`None`: the empty tree), in order.
    pub fn changed_paths(
        &self,
        before: Option<TreeId>,
        after: Option<TreeId>,
    ) -> Result<Vec<RepoPath>, GitError> {
        unimplemented!()
    }
}
