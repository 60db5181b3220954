//! The index of a worktree.

use std::time::Duration;

use super::process::Git;
use super::{GitError, Repository};
use crate::model::{RepoPath, TreeId};

const LIMIT: Duration = Duration::from_secs(60);

/// Most paths in one call: the length of a command line is limited.
const CHUNK: usize = 500;

impl Repository {
    /// Notes in the worktree's index that files now are these blobs (`None`: gone), so that `git
    /// status` shows nothing after titan moved the branch that is checked out and wrote the files.
    /// No content is read and no filter runs. Nothing to do in a bare repository.
    ///
    /// # Errors
    /// When `git update-index` fails: the index may be locked by somebody.
    pub fn stage(&self, changes: &[(RepoPath, Option<TreeId>)]) -> Result<(), GitError> {
        if self.worktree().is_none() {
            return Ok(());
        }
        let update = || Git::new(Some(self.own_git_dir()), "update-index", LIMIT);
        for changes in changes.chunks(CHUNK) {
            let put = changes.iter().filter_map(|(path, blob)| {
                blob.map(|blob| ["--cacheinfo".to_owned(), format!("100644,{blob},{path}")])
            });
            let options = std::iter::once("--add".to_owned()).chain(put.flatten());
            update().run(options, [] as [&str; 0])??;
            let gone = changes.iter().filter(|(_, blob)| blob.is_none());
            update().run(["--force-remove"], gone.map(|(path, _)| path.as_str()))??;
        }
        Ok(())
    }
}
