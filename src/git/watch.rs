//! Noticing that a branch moved.

use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::CreateKind};

use super::{GitError, Repository};

/// Watches the refs of a repository as long as it lives.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// A folder is watched only a little after it was made: what came into it before is looked for then.
const NEW_FOLDER: Duration = Duration::from_millis(100);

/// Calls `notify` soon after any ref of the repository may have moved (also when refs are packed).
/// A hint only: it may come too often or, on some file systems, not at all.
///
/// # Errors
/// When the operating system has no watches left.
pub fn watch(
    repository: &Repository,
    notify: impl Fn() + Send + Sync + 'static,
) -> Result<Watch, GitError> {
    let failed =
        |error: notify::Error| GitError::Gix { action: "watch refs", source: Box::new(error) };
    let notify = Arc::new(notify);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading refs must not be taken for a change of them. An error means that events were lost.
        if event.as_ref().is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        notify();
        if event.is_ok_and(|event| event.kind == EventKind::Create(CreateKind::Folder)) {
            let again = Arc::clone(&notify);
            std::thread::spawn(move || {
                std::thread::sleep(NEW_FOLDER);
                again();
            });
        }
    })
    .map_err(failed)?;
    let git_dir = repository.git_dir();
    watcher.watch(&git_dir.join("refs"), RecursiveMode::Recursive).map_err(failed)?;
    // `packed-refs` and `HEAD` are replaced, so their folder is watched rather than they.
    watcher.watch(git_dir, RecursiveMode::NonRecursive).map_err(failed)?;
    Ok(Watch { _watcher: watcher })
}
