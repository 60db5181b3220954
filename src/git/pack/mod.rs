//! Writing objects: many at once, as one pack, durable before any ref moves.
//!
//! ```text
//!  Chunk ──────────────────join─┐
//!  blob, tree, commit ──▶ [Objects] ──▶ tmp_titan_*.pack ──finish──▶ pack-*.pack, pack-*.idx ──▶ refs
//!        ▲                    │             entry: header, zlib        fsync, rename, fsync
//!        └── read back ◀──────┘             delta: of a sibling        index: where each one is
//! ```
//!
//! - A rendered file is mostly the same for every host. The first one is the base of its family;
//!   the others are deltas of it, in the same pack and never of another delta.
//! - Ids do not depend on how objects are stored.
//! - Blobs and commits that the repository has already are not written again. Trees and siblings of other
//!   blobs may be: that takes less than to look for them, and upkeep undoes it.

mod chunk;
mod delta;
mod entry;
mod families;
mod index;
mod present;
mod received;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;

use super::local::Local;
use super::name::name;
use super::read::{object, tree_id};
use super::{GitError, Repository};
use crate::model::TreeId;

pub use chunk::Chunk;
use present::Present;
use writer::PackWriter;
pub(super) use writer::TEMPORARY;

/// Up to so many objects gix is asked for each of them.
const FEW: usize = 256;

/// What a blob has in common with its siblings, such as one file of one deployment on all hosts.
/// Only the size of the pack depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sibling(u64);

impl Sibling {
    /// The family that is called so.
    #[must_use]
    pub fn of(name: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Objects on their way into the repository: read through [`Objects::repository`], visible to nobody
/// else before [`Objects::finish`]. Dropped without it, they are gone.
#[derive(Debug)]
pub struct Objects {
    repository: Repository,
    stage: Arc<Stage>,
}

/// What is written but not in place yet.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    state: Mutex<State>,
    /// What the repository had, once it is asked for very many objects.
    present: OnceLock<Present>,
    /// How often something was written.
    written: AtomicUsize,
}

#[derive(Debug)]
enum State {
    Empty,
    Writing(Box<PackWriter>),
    Done,
}

impl Repository {
    /// Starts a set of objects that become visible together.
    #[must_use]
    pub fn begin(&self) -> Objects {
        let folder = self.git_dir().join("objects/pack");
        let stage = Arc::new(Stage {
            folder,
            state: Mutex::new(State::Empty),
            present: OnceLock::new(),
            written: AtomicUsize::new(0),
        });
        Objects { repository: self.staged(Arc::clone(&stage)), stage }
    }
}

impl Objects {
    /// The repository as it will be: reads what is written already, and everything written through it
    /// (by [`super::TreeEdit`], [`Repository::write_commit`]) joins this set. Branches cannot be moved
    /// to it before [`Objects::finish`].
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn blob(&self, bytes: &[u8], sibling: Option<Sibling>) -> Result<TreeId, GitError> {
        self.repository.store().write(Kind::Blob, bytes, sibling).map(tree_id)
    }

    /// Adds all that the trees `roots` consist of, as far as a worker made it. Whole blobs that the
    /// repository has already are left out; what is a few bytes long is sooner written than looked up.
    /// May be called from many threads; what they wait for each other is the time of writing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn join(
        &self,
        chunk: Chunk,
        roots: impl IntoIterator<Item = TreeId>,
    ) -> Result<(), GitError> {
        let roots: Vec<ObjectId> = roots.into_iter().map(object).collect();
        if roots.is_empty() {
            return Ok(());
        }
        let store = self.repository.store();
        if chunk.records.len() > FEW {
            self.stage.present.get_or_init(|| Present::new(&self.stage.folder));
        }
        self.stage.write(|pack| pack.join(&chunk, &roots, |id| store.has(id)))
    }

    /// Makes all of it durable and visible. Without a single new object nothing is written.
    ///
    /// # Errors
    /// When the pack cannot be written; then nothing is visible, and all of it has to be written
    /// again.
    pub fn finish(self) -> Result<(), GitError> {
        let state = std::mem::replace(&mut *self.stage.lock(), State::Done);
        let State::Writing(pack) = state else { return Ok(()) };
        // What was joined may all have been there.
        let Some(sample) = pack.sample() else { return Ok(()) };
        let path = pack.finish().map_err(|error| self.stage.failed(error))?;
        // Open handles look for new packs when an object is missing, and only then.
        let store = self.repository.store();
        if store.gix.has_object(sample) {
            self.repository.diary().written();
            return Ok(());
        }
        Err(self.stage.failed(io::Error::other(format!("`{}` is not seen", path.display()))))
    }
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: io::Error) -> GitError {
        GitError::io("write a pack in", &self.folder, source)
    }

    fn contains(&self, id: &ObjectId) -> bool {
        matches!(&*self.lock(), State::Writing(pack) if pack.contains(id))
    }

    /// An object that is not in place yet.
    fn read(&self, id: &ObjectId) -> Result<Option<(Kind, Vec<u8>)>, GitError> {
        match &mut *self.lock() {
            State::Writing(pack) => pack.read(id).map_err(|error| self.failed(error)),
            State::Empty | State::Done => Ok(None),
        }
    }

    /// Writes to the pack, which begins with that.
    fn write(&self, write: impl FnOnce(&mut PackWriter) -> io::Result<()>) -> Result<(), GitError> {
        if self.written.fetch_add(1, Relaxed) > FEW {
            self.present.get_or_init(|| Present::new(&self.folder));
        }
        let mut state = self.lock();
        if matches!(*state, State::Empty) {
            let pack = PackWriter::new(&self.folder).map_err(|error| self.failed(error))?;
            *state = State::Writing(Box::new(pack));
        }
        match &mut *state {
            State::Writing(pack) => write(pack).map_err(|error| self.failed(error)),
            State::Empty | State::Done => {
                Err(self.failed(io::Error::other("the objects are in place already")))
            }
        }
    }
}

/// Where objects are read and written: the object database, and before it what is staged.
pub(super) struct Store {
    pub(super) gix: Local,
    pub(super) stage: Option<Arc<Stage>>,
}

impl Store {
    /// The same for another thread.
    pub(super) fn another(&self) -> Self {
        Self { gix: self.gix.another(), stage: self.stage.clone() }
    }

    /// The bytes of an object of that kind.
    pub(super) fn data(&self, id: ObjectId, kind: Kind) -> Result<Vec<u8>, GitError> {
        let damaged = |source: Box<dyn std::error::Error + Send + Sync>| GitError::Object {
            id: id.to_string(),
            source,
        };
        let staged = self.stage.as_ref().map_or(Ok(None), |stage| stage.read(&id))?;
        let (found, bytes) = match staged {
            Some(staged) => staged,
            None => {
                let mut object =
                    self.gix.find_object(id).map_err(|error| damaged(Box::new(error)))?;
                (object.kind, std::mem::take(&mut object.data))
            }
        };
        if found != kind {
            return Err(damaged(format!("it is a {found}, not a {kind}").into()));
        }
        Ok(bytes)
    }

    /// The size of a blob.
    pub(super) fn size(&self, id: ObjectId) -> Result<u64, GitError> {
        let staged = self.stage.as_ref().map_or(Ok(None), |stage| stage.read(&id))?;
        match staged {
            Some((_, bytes)) => Ok(bytes.len() as u64),
            None => {
                let header = self.gix.find_header(id).map_err(super::error::damaged(id))?;
                Ok(header.size())
            }
        }
    }

    /// Writes an object unless it is there already; that is not asked for siblings.
    pub(super) fn write(
        &self,
        kind: Kind,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> Result<ObjectId, GitError> {
        let id = name(kind, bytes)?;
        let stage = self.stage.as_ref().expect("because only what is staged is written");
        if sibling.is_none() && (stage.contains(&id) || self.has(&id)) {
            return Ok(id);
        }
        stage.write(|pack| pack.add(id, kind, bytes, sibling))?;
        Ok(id)
    }

    /// Writes trees, which leave with that; nobody asks whether they are there already.
    pub(super) fn write_trees(&self, trees: &mut Vec<(ObjectId, Vec<u8>)>) -> Result<(), GitError> {
        if trees.is_empty() {
            return Ok(());
        }
        let stage = self.stage.as_ref().expect("because only what is staged is written");
        stage.write(|pack| {
            for (id, bytes) in trees.drain(..) {
                pack.add(id, Kind::Tree, &bytes, None)?;
            }
            Ok(())
        })
    }

    /// Whether the repository has an object. It may say no where it does.
    fn has(&self, id: &ObjectId) -> bool {
        let present = self.stage.as_ref().and_then(|stage| stage.present.get());
        match present {
            Some(present) => present.has(id),
            None => self.gix.objects.exists_without_refresh(id),
        }
    }
}

#[cfg(test)]
mod tests;
