//! A remote repository, and its local clone.
//!
//! The clone is a cache: a bare repository whose branches mirror the remote's. Several processes may
//! share it; a lock file beside it is held while it is made, fetched into or thrown away. Whatever
//! is wrong with it, it is made again.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::lock::{self, Lock};
use super::process::{Failure, Git};
use super::{GitError, RefUpdate, Repository};
use crate::model::hex;
use crate::model::url::{UrlRules, check_repository_url};
use crate::model::{Limits, Recovery, Revision};

/// How long a lock in the clone is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a fetch that meets a lock is tried before the clone is made again.
const FETCHES: u32 = 5;

/// Tries of a call that fails on the way to the remote.
const TRIES: u32 = 3;

/// Fetches between two looks whether the clone needs to be packed.
const HOUSEKEEPING: u32 = 200;

/// Longest pause before the second push, doubled before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest pause at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A remote, and where its clone lies.
#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    dir: PathBuf,
    limits: RwLock<Limits>,
    fetches: AtomicU32,
}

/// What a try to push came to.
enum Pushed {
    Done,
    Again(GitError),
}

impl Remote {
    /// Nothing is done yet.
    pub(super) fn new(url: &str, cache: &Path, limits: &Limits) -> Result<Self, GitError> {
        check_repository_url(url, UrlRules { files: true, private: true })?;
        std::fs::create_dir_all(cache).map_err(|e| GitError::io("create", cache, e))?;
        Ok(Self {
            url: url.to_owned(),
            dir: cache.join(format!("{}.git", digest(url))),
            limits: RwLock::new(limits.clone()),
            fetches: AtomicU32::new(0),
        })
    }

    pub(super) fn adopt(&self, limits: &Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits.clone();
    }

    /// Longest time that one exchange with the remote may take, and tries of a push.
    fn patience(&self) -> (Duration, u32) {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        (limits.fetch_time.duration(), limits.push_tries.max(1))
    }

    /// The clone, up to date.
    pub(super) fn open(&self) -> Result<Repository, GitError> {
        let _guard = guard(&self.dir)?;
        if self.clone_is_sound() {
            self.fetch_or_repair()?;
        } else {
            self.make()?;
        }
        Repository::open(&self.dir)
    }

    /// Fetches; see [`super::FleetRepository::refresh`].
    pub(super) fn refresh(&self) -> Result<(), GitError> {
        let _guard = guard(&self.dir)?;
        if Repository::open(&self.dir).is_err() {
            return self.make();
        }
        self.fetch_or_repair()
    }

    pub(super) fn repair(&self) -> Result<(), GitError> {
        let _guard = guard(&self.dir)?;
        self.make()
    }

    /// The branch that the remote's HEAD names.
    pub(super) fn head_branch(&self) -> Result<Option<String>, GitError> {
        let text = persist(|| {
            let git = Git::new(None, "ls-remote", self.patience().0).remote(&self.url);
            git.run(["--symref"], [self.url.as_str(), "HEAD"])
        })??;
        let branch = text
            .lines()
            .find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        Ok(branch.map(str::to_owned))
    }

    /// Whether the clone opens and the commits of its branches can be read.
    fn clone_is_sound(&self) -> bool {
        let Ok(repository) = Repository::open(&self.dir) else { return false };
        let readable = |id: &Revision| {
            repository.commit(*id).and_then(|commit| repository.entries(commit.tree)).is_ok()
        };
        repository.head_branch().is_ok()
            && repository.branches().is_ok_and(|branches| branches.values().all(readable))
    }

    /// Makes the clone, in place of what is there.
    fn make(&self) -> Result<(), GitError> {
        clear(&self.dir)?;
        Repository::create_bare(&self.dir, "main")?;
        self.fetch()??;
        Ok(())
    }

    fn fetch_or_repair(&self) -> Result<(), GitError> {
        for _ in 0..FETCHES {
            let Err(failure) = self.fetch()? else { return Ok(()) };
            if failure.is_damage() {
                break;
            }
            // A killed process left a lock, or another one has just noted what it pushed.
            if !failure.is_lock() {
                return Err(failure.into());
            }
            self.clear_locks()?;
        }
        self.make()
    }

    fn fetch(&self) -> Result<Result<(), Failure>, GitError> {
        if self.fetches.fetch_add(1, Ordering::Relaxed).is_multiple_of(HOUSEKEEPING) {
            self.tidy();
        }
        let options =
            ["--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        let fetched = persist(|| {
            let git = Git::new(Some(&self.dir), "fetch", self.patience().0).remote(&self.url);
            git.run(options, [self.url.as_str(), "+refs/heads/*:refs/heads/*"])
        });
        Ok(fetched?.map(drop))
    }

    /// Packs the clone when it holds many loose objects or packs, and removes what killed fetches have
    /// left. Objects that no branch holds yet stay for Git's usual two weeks.
    fn tidy(&self) {
        clear_begun_packs(&self.dir, self.patience().0);
        let git = Git::new(Some(&self.dir), "gc", self.patience().0).config("gc.auto=6700");
        let git = git.config("gc.autoDetach=false");
        // It only takes room: the next time does it.
        if let Ok(Err(failure)) = git.run(["--auto", "--quiet"], [] as [&str; 0]) {
            tracing::debug!(problem = failure.stderr, "the clone cannot be packed");
        }
    }

    /// Waits for and removes the locks that killed processes left in the clone.
    fn clear_locks(&self) -> Result<(), GitError> {
        let repository = Repository::open(&self.dir)?;
        let files = walkdir::WalkDir::new(&self.dir).into_iter().filter_map(Result::ok);
        let locks = files.filter(|file| file.path().extension().is_some_and(|e| e == "lock"));
        let mut locks: Vec<Lock> = locks.map(|file| Lock::new(file.into_path())).collect();
        let start = Instant::now();
        while let lock::State::Held(path) = lock::clear(&repository, &mut locks)? {
            if start.elapsed() > PATIENCE {
                return Err(GitError::Locked { path });
            }
            std::thread::sleep(lock::PAUSE);
        }
        Ok(())
    }

    /// Where the remote's branches are now.
    fn branches<'a>(
        &self,
        branches: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Revision>, GitError> {
        let refs = branches.map(|branch| format!("refs/heads/{branch}"));
        let arguments: Vec<_> = std::iter::once(self.url.clone()).chain(refs).collect();
        let text = persist(|| {
            let git = Git::new(None, "ls-remote", self.patience().0).remote(&self.url);
            git.run(["--quiet"], &arguments)
        })??;
        let lines = text.lines().filter_map(|line| {
            let (id, name) = line.split_once('\t')?;
            Some((name.strip_prefix("refs/heads/")?.to_owned(), id.parse().ok()?))
        });
        Ok(lines.collect())
    }

    /// See [`super::FleetRepository::publish`].
    pub(super) fn publish(
        &self,
        repository: &Repository,
        updates: &[RefUpdate],
    ) -> Result<(), GitError> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut pause = PAUSE;
        let (_, most) = self.patience();
        let mut tries = 1;
        loop {
            match self.try_publish(repository, updates)? {
                Pushed::Done => return Ok(()),
                Pushed::Again(error) if tries >= most => return Err(error),
                Pushed::Again(_) => std::thread::sleep(full_jitter(pause)),
            }
            tries += 1;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn try_publish(
        &self,
        repository: &Repository,
        updates: &[RefUpdate],
    ) -> Result<Pushed, GitError> {
        let error = match self.push(repository, updates) {
            Ok(Ok(())) => return Ok(Pushed::Done),
            Ok(Err(failure)) if failure.is_no_atomic() && updates.len() > 1 => {
                for update in updates {
                    match self.try_publish(repository, std::slice::from_ref(update))? {
                        Pushed::Done => {}
                        again @ Pushed::Again(_) => return Ok(again),
                    }
                }
                return Ok(Pushed::Done);
            }
            Ok(Err(failure)) => GitError::from(failure),
            Err(error) => error,
        };
        // Whether somebody else was faster shows in the refs alone. When they cannot be read, the
        // push's own error says more.
        let Ok(actual) = self.branches(updates.iter().map(|update| update.branch.as_str())) else {
            return retry(error);
        };
        let at = |update: &RefUpdate| actual.get(&update.branch).copied();
        if updates.iter().all(|update| at(update) == Some(update.new)) {
            mirror(repository, updates);
            return Ok(Pushed::Done);
        }
        let lost = updates
            .iter()
            .find(|update| at(update) != update.expected && at(update) != Some(update.new));
        if let Some(RefUpdate { branch, expected, .. }) = lost {
            let (branch, expected) = (branch.clone(), *expected);
            let actual = actual.get(&branch).copied();
            return Err(GitError::Conflict { branch, expected, actual });
        }
        retry(error)
    }

    fn push(
        &self,
        repository: &Repository,
        updates: &[RefUpdate],
    ) -> Result<Result<(), Failure>, GitError> {
        let git = Git::new(Some(&self.dir), "push", self.patience().0).remote(&self.url);
        let mut options: Vec<String> =
            ["--porcelain", "--quiet", "--no-verify"].map(str::to_owned).into();
        if updates.len() > 1 {
            options.push("--atomic".to_owned());
        }
        let mut arguments = vec![self.url.clone()];
        for RefUpdate { branch, expected, new } in updates {
            let expected = expected.map(|id| id.to_string()).unwrap_or_default();
            options.push(format!("--force-with-lease=refs/heads/{branch}:{expected}"));
            arguments.push(format!("{new}:refs/heads/{branch}"));
        }
        let result = git.run(options, arguments)?;
        if result.is_ok() {
            mirror(repository, updates);
        }
        Ok(result.map(drop))
    }
}

/// Moves the clone's own branches to where the remote's are now. What fails here, or what a fetch
/// that began earlier turns back, is put right by the next fetch.
fn mirror(repository: &Repository, updates: &[RefUpdate]) {
    for update in updates {
        let _ = repository.set_branch(&update.branch, update.new);
    }
}

/// Held while the clone in `dir` is worked on. The file stays: removing it would let two in.
pub(super) fn guard(dir: &Path) -> Result<File, GitError> {
    let path = dir.with_extension("lock");
    let file = File::create(&path).and_then(|file| file.lock().map(|()| file));
    file.map_err(|source| GitError::io("lock", &path, source))
}

/// Throws the clone in `dir` away.
pub(super) fn clear(dir: &Path) -> Result<(), GitError> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", dir, e)),
        _ => Ok(()),
    }
}

fn retry(error: GitError) -> Result<Pushed, GitError> {
    if error.recovery() == Recovery::Fix { Err(error) } else { Ok(Pushed::Again(error)) }
}

/// Calls git again, a little later, when it fails for a reason that may pass by itself. One that took
/// all its time is not worth as much again.
fn persist<T>(
    mut call: impl FnMut() -> Result<Result<T, Failure>, GitError>,
) -> Result<Result<T, Failure>, GitError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match call()? {
            Err(failure) if failure.may_pass() => std::thread::sleep(full_jitter(pause)),
            result => return Ok(result),
        }
        pause = pause.saturating_mul(4);
    }
    call()
}

/// Removes the packs that killed fetches have begun. A fetch takes at most `limit`.
fn clear_begun_packs(dir: &Path, limit: Duration) {
    let files = std::fs::read_dir(dir.join("objects/pack"));
    for file in files.into_iter().flatten().filter_map(Result::ok) {
        let begun = file.file_name().to_string_lossy().starts_with("tmp_");
        let age = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|modified| modified.elapsed().ok());
        if begun && age.is_some_and(|age| age > limit) {
            // It only takes room: the next time removes it.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Sixteen digits that stand for an address in the name of a folder.
pub(super) fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(&digest[..8])
}

/// A random time up to `most`, so that many that failed together do not try again together.
fn full_jitter(most: Duration) -> Duration {
    // Without randomness everybody waits as long as possible.
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    most.mul_f64(share)
}

impl Repository {
    /// Makes an empty bare repository at `path`, with `branch` as its HEAD.
    ///
    /// # Errors
    /// [`GitError::BranchName`]; failures of `git init`.
    pub fn create_bare(path: &Path, branch: &str) -> Result<Self, GitError> {
        super::refs::full_name(branch)?;
        let git = Git::new(None, "init", Duration::from_secs(60));
        let branch = format!("--initial-branch={branch}");
        git.run(["--quiet", "--bare", "--template=", &branch], [path])??;
        Self::open(path)
    }
}
