//! Writing objects: many at once, as one pack, durable before any ref moves.
//!
//! ```text
//!  blob, tree, commit ──▶ [Objects] ──▶ tmp_titan_*.pack ──finish──▶ pack-*.pack, pack-*.idx ──▶ refs
//!        ▲                    │             entry: header, zlib        fsync, rename, fsync
//!        └── read back ◀──────┘             delta: of a sibling        index: where each one is
//! ```
//!
//! - A rendered file is mostly the same for every host. The first one is the base of its family;
//!   the others are deltas of it, in the same pack and never of another delta.
//! - Ids do not depend on how objects are stored.
//! - What the repository has already is not written again.

mod delta;
mod entry;
mod index;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;

use super::error::gix_error;
use super::read::tree_id;
use super::{GitError, Repository};
use crate::model::TreeId;

use writer::PackWriter;
pub(super) use writer::TEMPORARY;

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
        let stage = Arc::new(Stage { folder, state: Mutex::new(State::Empty) });
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

    /// Makes all of it durable and visible. Without a single new object nothing is written.
    ///
    /// # Errors
    /// When the pack cannot be written; then nothing is visible, and all of it has to be written
    /// again.
    pub fn finish(self) -> Result<(), GitError> {
        let state = std::mem::replace(&mut *self.stage.lock(), State::Done);
        let State::Writing(pack) = state else { return Ok(()) };
        let sample = pack.sample();
        let path = pack.finish().map_err(|error| self.stage.failed(error))?;
        // Open handles look for new packs when an object is missing, and only then.
        let store = self.repository.store();
        match sample {
            Some(id) if !store.gix.has_object(id) => Err(self
                .stage
                .failed(io::Error::other(format!("`{}` is not seen", path.display())))),
            _ => Ok(()),
        }
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

    fn add(
        &self,
        id: ObjectId,
        kind: Kind,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> Result<(), GitError> {
        let mut state = self.lock();
        if matches!(*state, State::Empty) {
            let pack = PackWriter::new(&self.folder).map_err(|error| self.failed(error))?;
            *state = State::Writing(Box::new(pack));
        }
        match &mut *state {
            State::Writing(pack) => {
                pack.add(id, kind, bytes, sibling).map_err(|error| self.failed(error))
            }
            State::Empty | State::Done => {
                Err(self.failed(io::Error::other("the objects are in place already")))
            }
        }
    }
}

/// Where objects are read and written: the object database, and before it what is staged.
pub(super) struct Store {
    pub(super) gix: gix::Repository,
    pub(super) stage: Option<Arc<Stage>>,
}

impl Store {
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

    /// Writes an object unless it is there already.
    pub(super) fn write(
        &self,
        kind: Kind,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> Result<ObjectId, GitError> {
        let id = gix::objs::compute_hash(self.gix.object_hash(), kind, bytes)
            .map_err(|error| gix_error("name an object")(error))?;
        let stage = self.stage.as_ref().expect("because only what is staged is written");
        if !stage.contains(&id) && !self.gix.objects.exists_without_refresh(&id) {
            stage.add(id, kind, bytes, sibling)?;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
