//! Noticing that a branch moved.

use super::{GitError, Repository};

/// Watches the refs of a repository as long as it lives.
#[derive(Debug)]
pub struct Watch {}

/// Calls `notify` soon after any ref of the repository may have moved (also when refs are packed).
/// A hint only: it may come too often or, on some file systems, not at all.
pub fn watch(
    repository: &Repository,
    notify: impl Fn() + Send + 'static,
) -> Result<Watch, GitError> {
    let _ = (repository, notify);
    unimplemented!()
}
