//! Stale lock files of dead processes.
//!
//! Git and gix create `<ref>.lock` exclusively and rename it. A process that is killed in between
//! leaves the file behind, and nobody may move the ref until it is gone. Here it is removed when it
//! is older than [`STALE`] and no live process of this machine can be its owner.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{GitError, Repository};

/// A younger lock belongs to somebody who is about to finish.
const STALE: Duration = Duration::from_secs(2);

/// Nobody takes so long to write an object.
const LEFT: Duration = Duration::from_secs(60);

/// How long a lock of a live process is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at a lock.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// One lock file, as it was seen last.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Which file it was and since when it has been looked at; the file's own time may lie in the
    /// future of this machine's clock.
    seen: Option<(u64, SystemTime, Instant)>,
}

/// What [`clear`] found.
#[derive(Debug)]
pub(super) enum State {
    /// There is no lock (any more).
    Free,
    /// There is one that may not be removed yet.
    Held(PathBuf),
}

impl Lock {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// Whether anybody holds it.
    pub(super) fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Which file is there now, and for how long at least; `None` when there is none.
    fn age(&mut self) -> Option<Duration> {
        use std::os::unix::fs::MetadataExt;
        let metadata =
            std::fs::symlink_metadata(&self.path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = metadata.modified().ok()?;
        let (inode, now) = (metadata.ino(), Instant::now());
        let since = match self.seen {
            Some((i, m, since)) if (i, m) == (inode, modified) => since,
            _ => now,
        };
        self.seen = Some((inode, modified, since));
        Some(modified.elapsed().unwrap_or_default().max(now - since))
    }
}

/// Removes those of `locks` that are stale.
pub(super) fn clear(repository: &Repository, locks: &mut [Lock]) -> Result<State, GitError> {
    let mut held = None;
    for lock in locks {
        let Some(age) = lock.age() else { continue };
        if age < STALE || has_owner(repository, &lock.path) || !remove(repository, lock)? {
            held = Some(lock.path.clone());
        }
    }
    Ok(held.map_or(State::Free, State::Held))
}

/// Removes the lock if it is still the file that was looked at. Only titan removes locks of others,
/// so a lock among titan's processes is enough to never remove the successor of a stale one.
fn remove(repository: &Repository, lock: &mut Lock) -> Result<bool, GitError> {
    let guard = std::fs::File::open(repository.git_dir())
        .and_then(|folder| folder.lock().map(|()| folder))
        .map_err(|source| GitError::io("lock", repository.git_dir(), source))?;
    let before = lock.seen.map(|(inode, modified, _)| (inode, modified));
    let there = lock.age().is_some();
    let same = before == lock.seen.map(|(inode, modified, _)| (inode, modified));
    if there && same {
        match std::fs::remove_file(&lock.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(GitError::io("remove", &lock.path, e));
            }
            _ => {}
        }
    }
    drop(guard);
    Ok(!there || same)
}

/// Removes the temporary files that killed processes left while they wrote objects. gix makes them in
/// `objects/` and renames them within milliseconds.
pub(super) fn clear_temporary_files(repository: &Repository) {
    let Ok(files) = std::fs::read_dir(repository.git_dir().join("objects")) else { return };
    for file in files.filter_map(Result::ok) {
        let name = file.file_name();
        let temporary = name.to_str().and_then(|name| name.strip_prefix(".tmp"));
        let ours = temporary
            .is_some_and(|rest| rest.len() == 6 && rest.chars().all(|c| c.is_ascii_alphanumeric()));
        let age = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let old = age.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > LEFT);
        if ours && old {
            // They only take room: whoever opens the repository next tries again.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Whether a live process of this machine may have made the lock: one that has it open, or a `git`
/// that works in this repository.
fn has_owner(repository: &Repository, lock: &Path) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let places: Vec<&Path> =
        [Some(repository.git_dir()), repository.worktree()].into_iter().flatten().collect();
    let own = std::process::id().to_string();
    processes.filter_map(Result::ok).any(|process| {
        let is_process = process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        is_process && owns(&process.path(), lock, &places, process.file_name() == *own)
    })
}

fn owns(process: &Path, lock: &Path, places: &[&Path], own: bool) -> bool {
    let open = std::fs::read_dir(process.join("fd"));
    let files: Vec<PathBuf> = open
        .map(|entries| entries.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).collect())
        .unwrap_or_default();
    if files.iter().any(|file| file == lock) {
        return true;
    }
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let name = name.trim_end();
    if own || !(name == "git" || name.starts_with("git-")) {
        return false;
    }
    // Git closes a lock before it renames it, and may run hooks in between.
    let cwd = std::fs::read_link(process.join("cwd"));
    let inside = |path: &PathBuf| places.iter().any(|place| path.starts_with(place));
    let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    files.iter().any(inside)
        || cwd.as_ref().is_ok_and(inside)
        || places.iter().any(|place| command.contains(&*place.to_string_lossy()))
}
