//! Keeping the object database small: packs are merged before there are many of them.
//!
//! `git repack --geometric` merges the small packs and what lies loose, and leaves large ones alone, so
//! its cost follows what is new. It writes the merged pack before it removes the others, and keeps
//! objects that nothing reaches yet. Readers that had a removed pack open go on with it, others look
//! for the object again. Git's own `gc.pid` keeps titan and anybody's `git gc` apart.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pack;
use super::process::Git;
use super::{GitError, Repository};

/// Merging starts at this many packs: some more may come while it runs.
const PACKS: usize = 20;

/// At this many there is no more time to lose: each costs every reader.
const MANY: usize = 3 * PACKS;

/// So many packs are written by this process until it opens all anew: seldom, as who reads next has to
/// find its way through large ones again.
const OPEN: usize = 1000;

/// Merging starts at about this many loose objects.
const LOOSE: usize = 2000;

/// So many of their 256 folders are looked into: this is asked for often, and ids are as good as random.
const SAMPLE: usize = 4;

/// Whoever merges has it locked: titan, and the git that titan started.
const LOCK: &str = "titan-upkeep.lock";

/// Longest time for one run; a full repack of the largest fleet takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(600);

/// Longest time behind everybody else: where all are busy it would never end.
const BEHIND: Duration = Duration::from_secs(30);

/// A temporary file that nobody wrote to for so long is a killed process's.
const LEFT: Duration = Duration::from_secs(3600);

/// The same for a file of titan's that no process has locked: a crash loop must not fill the disk.
const LEFT_UNLOCKED: Duration = Duration::from_secs(60);

/// How long Git believes in a `gc.pid`.
const GC: Duration = Duration::from_secs(12 * 3600);

/// What this process knows of its runs; one for all that it has opened of a repository.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// Packs that were written since all were opened anew.
    written: AtomicUsize,
    /// When a run behind everybody else came to nothing.
    starved: Mutex<Option<Instant>>,
}

impl Diary {
    /// A pack was written.
    pub(super) fn written(&self) {
        self.written.fetch_add(1, Relaxed);
    }

    fn is_time_to_open(&self) -> bool {
        self.written.load(Relaxed) >= OPEN
    }

    /// All are opened anew.
    pub(super) fn opened(&self) {
        self.written.store(0, Relaxed);
    }

    /// Whether the last run behind everybody else came to nothing. What it wrote lies around, so that is not
    /// tried again before somebody has cleared it away.
    fn is_starving(&self) -> bool {
        self.starved().is_some_and(|at| at.elapsed() < LEFT)
    }

    fn starved(&self) -> MutexGuard<'_, Option<Instant>> {
        self.starved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the packs' folder holds.
#[derive(Debug, Default)]
struct Packs {
    /// Packs that may be merged.
    count: usize,
    /// Part of the objects lies on a remote: Git merges such packs in recent versions only.
    partial: bool,
}

impl Repository {
    /// Merges packs and loose objects when there are many: at most 25 packs stay. Nothing is lost,
    /// whenever it is killed, and readers are not disturbed. May take seconds; `false` when nothing was
    /// due, or somebody else is at it.
    ///
    /// # Errors
    /// When `git repack` fails or takes too long, or files cannot be made.
    pub fn upkeep(&self) -> Result<bool, GitError> {
        if self.diary().is_time_to_open() {
            // Here nobody waits for what is let go of.
            self.reopen();
        }
        let packs = self.packs();
        if packs.partial || (packs.count < PACKS && !self.has_many_loose()) {
            return Ok(false);
        }
        let path = self.git_dir().join(LOCK);
        let failed = |source| GitError::io("lock", &path, source);
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let done = self.merge_packs(&file, packs.count < MANY);
        // Closing it would not do: a program that is being started has a copy for an instant.
        file.unlock().map_err(failed)?;
        done
    }

    /// See [`Repository::upkeep`], under titan's own `lock`, which git keeps while it is at work.
    fn merge_packs(&self, lock: &File, behind: bool) -> Result<bool, GitError> {
        let Some(_gc) = Gc::begin(self.git_dir())? else { return Ok(false) };
        clear_leftovers(self);
        // Hosts wait for the other core.
        if behind && !self.diary().is_starving() {
            match self.repack(lock, true) {
                Err(GitError::Timeout { .. }) => *self.diary().starved() = Some(Instant::now()),
                done => return done.map(|()| true),
            }
        }
        self.repack(lock, false)?;
        Ok(true)
    }

    fn repack(&self, lock: &File, behind: bool) -> Result<(), GitError> {
        let path = self.git_dir().join(LOCK);
        let lock = lock.try_clone().map_err(|source| GitError::io("open", &path, source))?;
        let limit = if behind { BEHIND } else { LIMIT };
        let git = Git::new(Some(self.git_dir()), "repack", limit)
            .config("repack.writeBitmaps=false")
            .config("pack.threads=1")
            .holding(lock);
        let git = if behind { git.behind() } else { git };
        git.run(["--geometric=2", "-d", "-l", "-n", "-q"], [] as [&str; 0])??;
        Ok(())
    }

    fn packs(&self) -> Packs {
        let mut packs = Packs::default();
        for path in files(&self.git_dir().join("objects/pack")) {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("idx") => packs.count += usize::from(!path.with_extension("keep").exists()),
                Some("promisor") => packs.partial = true,
                _ => {}
            }
        }
        packs
    }

    fn has_many_loose(&self) -> bool {
        let objects = self.git_dir().join("objects");
        let folders = (0..=0xffu8).step_by(256 / SAMPLE);
        let folders = folders.map(|byte| objects.join(format!("{byte:02x}")));
        folders.flat_map(|folder| files(&folder)).nth(LOOSE * SAMPLE / 256).is_some()
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|is| is > age))
}

fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes what killed writers of packs left, titan's and Git's. A writer that was killed between its
/// last two steps left a complete pack and its index under another name: that is put right.
pub(super) fn clear_leftovers(repository: &Repository) {
    const LEFTOVERS: [&str; 3] = [pack::TEMPORARY, "tmp_pack_", "tmp_idx_"];
    let folder = repository.git_dir().join("objects/pack");
    for path in files(&folder) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let ours = name.starts_with(pack::TEMPORARY);
        let age = if ours && is_unlocked(&path) { LEFT_UNLOCKED } else { LEFT };
        if !LEFTOVERS.iter().any(|prefix| name.starts_with(prefix)) || !is_older(&path, age) {
            continue;
        }
        let complete = ours
            && pack_of(&path).is_some_and(|pack| {
                let pack = folder.join(format!("pack-{pack}.pack"));
                let index = pack.with_extension("idx");
                pack.exists() && !index.exists() && std::fs::rename(&path, index).is_ok()
            });
        if !complete {
            // It only takes room: the next run tries again.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// The hash of the pack that a complete index belongs to.
fn pack_of(index: &Path) -> Option<gix::ObjectId> {
    const HASH: usize = 20;
    if index.extension()? != "idx" {
        return None;
    }
    let bytes = std::fs::read(index).ok()?;
    let (content, own) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(content);
    if hasher.try_finalize().ok()?.as_bytes() != own {
        return None;
    }
    gix::ObjectId::try_from(content.get(content.len().checked_sub(HASH)?..)?).ok()
}

/// Git's sign that a garbage collection is under way: `gc.pid`, as long as it lives.
#[derive(Debug)]
struct Gc {
    path: PathBuf,
    text: String,
}

impl Gc {
    /// `None`: somebody else's is under way.
    fn begin(git_dir: &Path) -> Result<Option<Self>, GitError> {
        let path = git_dir.join("gc.pid");
        let lock = git_dir.join("gc.pid.lock");
        let maintenance = git_dir.join("objects/maintenance.lock");
        if maintenance.exists() && !is_older(&maintenance, GC) {
            return Ok(None);
        }
        let names_one =
            std::fs::read_to_string(&lock).is_ok_and(|text| text.split_whitespace().count() == 2);
        let dead = !is_running(&lock) && (names_one || is_older(&lock, LEFT_UNLOCKED));
        if dead || is_older(&lock, LEFT) {
            // Git, and titan, hold it for an instant.
            let _ = std::fs::remove_file(&lock);
        }
        let failed = |source| GitError::io("write", &lock, source);
        let text = format!("{} {}", std::process::id(), host());
        // Complete from its first moment: nobody could tell whose an empty one is.
        let draft = git_dir.join("titan-gc.pid");
        std::fs::write(&draft, &text).map_err(failed)?;
        let linked = std::fs::hard_link(&draft, &lock);
        std::fs::remove_file(&draft).map_err(failed)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        if is_running(&path) {
            std::fs::remove_file(&lock).map_err(failed)?;
            return Ok(None);
        }
        std::fs::rename(&lock, &path).map_err(failed)?;
        Ok(Some(Self { path, text }))
    }
}

impl Drop for Gc {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            // Left behind, it names a process that is gone soon.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a `gc.pid` is to be believed, by Git's rules.
fn is_running(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    if is_older(path, GC) {
        return false;
    }
    let mut words = text.split_whitespace();
    let pid =
        words.next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
    let (Some(pid), Some(machine)) = (pid, words.next()) else { return false };
    let gone = rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    machine != host() || !gone
}

/// As `gethostname` has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
