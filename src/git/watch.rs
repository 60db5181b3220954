//! Noticing that a branch moved.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::{GitError, Repository};

/// Watches the refs of a repository as long as it lives.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// Calls `notify` soon after any ref of the repository may have moved (also when refs are packed).
/// A hint only: it may come too often or, on some file systems, not at all.
///
/// # Errors
/// When the operating system has no watches left.
pub fn watch(
    repository: &Repository,
    notify: impl Fn() + Send + 'static,
) -> Result<Watch, GitError> {
    let failed =
        |error: notify::Error| GitError::Gix { action: "watch refs", source: Box::new(error) };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading refs must not be taken for a change of them. An error means that events were lost.
        if event.map_or(true, |event| !event.kind.is_access()) {
            notify();
        }
    })
    .map_err(failed)?;
    let git_dir = repository.git_dir();
    watcher.watch(&git_dir.join("refs"), RecursiveMode::Recursive).map_err(failed)?;
    // `packed-refs` and `HEAD` are replaced, so their folder is watched rather than they.
    watcher.watch(git_dir, RecursiveMode::NonRecursive).map_err(failed)?;
    Ok(Watch { _watcher: watcher })
}
