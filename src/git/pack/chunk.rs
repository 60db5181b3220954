//! Objects that one worker makes, with no repository at hand.
//!
//! ```text
//!  worker ── files ──▶ [Chunk] ──▶ Objects::join ──▶ pack
//!                         │             ▲
//!                         └─ bytes, through a pipe ─┘  (checked, see `received`)
//! ```
//!
//! Naming, comparing and deflating is where the time goes, and it needs no lock here. What leaves a
//! worker is a tenth of the text that went in, so rendering may happen in another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::hashtable::HashMap as IdMap;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::entry::{self, Encoder, Level};
use super::families::Families;
use super::{Sibling, delta};
use crate::git::name::name;
use crate::git::raw::{self, Slot};
use crate::git::read::{object, tree_id};
use crate::git::{EntryKind, GitError};
use crate::model::{RepoPath, TreeId};

/// When a chunk should be handed over: larger ones save little, and wait in memory.
const FULL_BYTES: usize = 2 << 20;
const FULL_OBJECTS: usize = 30_000;

/// New objects of one worker, each once, ready to be appended to a pack ([`super::Objects::join`]).
#[derive(Debug, Default)]
pub struct Chunk {
    pub(super) records: Vec<Record>,
    /// Their zlib streams, one after the other.
    pub(super) streams: Vec<u8>,
    /// Object → its place in `records`.
    pub(super) places: IdMap<ObjectId, u32>,
    families: Families,
    encoder: Encoder,
}

/// One object of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
    /// The place of the whole blob that this one is a delta of.
    pub(super) base: Option<u32>,
    /// Of what the stream holds: the object, or instructions.
    pub(super) size: usize,
    /// Where its stream ends; it begins where the one before ends.
    pub(super) end: usize,
}

impl Chunk {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that it will take in a pack, more or less.
    #[must_use]
    pub fn size(&self) -> usize {
        self.streams.len()
    }

    /// Whether an object is in it.
    #[must_use]
    pub fn contains(&self, id: TreeId) -> bool {
        self.places.contains_key(&object(id))
    }

    /// Whether it is time to hand it over and begin another.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size() >= FULL_BYTES || self.records.len() >= FULL_OBJECTS
    }

    /// Adds a blob. One that resembles others of its family is kept as a delta of the first of them.
    ///
    /// # Errors
    /// When its content is made to have the id of another.
    pub fn blob(&mut self, bytes: &[u8], sibling: Option<Sibling>) -> Result<TreeId, GitError> {
        self.add_blob(bytes, sibling).map(tree_id)
    }

    /// Adds files (mode 100644) with the folders that they lie in; returns the root, the empty tree
    /// where there are none. `sibling` names the family of each.
    ///
    /// # Errors
    /// As [`Chunk::blob`].
    pub fn files(
        &mut self,
        files: &BTreeMap<RepoPath, Arc<[u8]>>,
        sibling: impl Fn(&RepoPath) -> Sibling,
    ) -> Result<TreeId, GitError> {
        let mut blobs = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            blobs.push((path.as_str(), (Mode::Blob, self.add_blob(bytes, Some(sibling(path)))?)));
        }
        self.folder(&blobs).map(tree_id)
    }

    /// Adds the tree in which files and folders that are known elsewhere lie at these paths; those that
    /// share a folder stand together. Returns the empty tree where there are none.
    ///
    /// # Errors
    /// As [`Chunk::blob`].
    pub fn tree(&mut self, entries: &[(&str, EntryKind, TreeId)]) -> Result<TreeId, GitError> {
        let mode = |kind: &EntryKind| match kind {
            EntryKind::Tree => Mode::Tree,
            EntryKind::File => Mode::Blob,
            EntryKind::Symlink => Mode::Link,
            EntryKind::Submodule => Mode::Commit,
        };
        let leaves = entries.iter().map(|(path, kind, id)| (*path, (mode(kind), object(*id))));
        self.folder(&leaves.collect::<Vec<_>>()).map(tree_id)
    }

    fn add_blob(&mut self, bytes: &[u8], sibling: Option<Sibling>) -> Result<ObjectId, GitError> {
        let id = name(Kind::Blob, bytes)?;
        if self.places.contains_key(&id) {
            return Ok(id);
        }
        let Some(sibling) = sibling else {
            self.append(id, Kind::Blob, None, bytes, Level::Fast);
            return Ok(id);
        };
        match self.families.closest(sibling, bytes) {
            Some((base, instructions)) => {
                let base = u32::try_from(base).expect("because places are no larger");
                self.append(id, Kind::Blob, Some(base), &instructions, Level::Stored);
            }
            None => {
                self.families.keep(sibling, u64::from(self.next()), bytes);
                self.append(id, Kind::Blob, None, bytes, Level::Small);
            }
        }
        Ok(id)
    }

    /// Adds the tree of `leaves`, of which those of a folder stand together.
    fn folder(&mut self, leaves: &[(&str, (Mode, ObjectId))]) -> Result<ObjectId, GitError> {
        let mut slots = Vec::with_capacity(leaves.len());
        let mut rest = leaves;
        while let [(path, leaf), after @ ..] = rest {
            let Some((folder, _)) = path.split_once('/') else {
                slots.push(Slot { name: path.as_bytes(), mode: leaf.0, id: leaf.1 });
                rest = after;
                continue;
            };
            let below = |path: &'_ str| Some(path.strip_prefix(folder)?.strip_prefix('/')?.len());
            let inside = rest
                .iter()
                .map_while(|(path, leaf)| Some((&path[path.len() - below(path)?..], *leaf)));
            let inside: Vec<_> = inside.collect();
            rest = &rest[inside.len()..];
            let id = self.folder(&inside)?;
            slots.push(Slot { name: folder.as_bytes(), mode: Mode::Tree, id });
        }
        slots.sort_unstable_by(|a, b| raw::order(a.key(), b.key()));
        let mut tree = Vec::with_capacity(slots.len() * 48);
        slots.iter().for_each(|slot| slot.write(&mut tree));
        let id = name(Kind::Tree, &tree)?;
        if !self.places.contains_key(&id) {
            self.append(id, Kind::Tree, None, &tree, Level::Stored);
        }
        Ok(id)
    }

    /// The place that the next object gets.
    fn next(&self) -> u32 {
        u32::try_from(self.records.len()).expect("because a chunk is handed over long before")
    }

    pub(super) fn append(
        &mut self,
        id: ObjectId,
        kind: Kind,
        base: Option<u32>,
        bytes: &[u8],
        level: Level,
    ) {
        self.places.insert(id, self.next());
        self.encoder.compress(bytes, level, &mut self.streams);
        let (size, end) = (bytes.len(), self.streams.len());
        self.records.push(Record { id, kind, base, size, end });
    }

    /// The zlib stream of the object at a place.
    pub(super) fn stream(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.records[before].end);
        &self.streams[start..self.records[place].end]
    }

    /// The content of the object at a place; `None` where the chunk was not made by this module.
    pub(super) fn content(&self, place: usize) -> Option<Vec<u8>> {
        let record = self.records[place];
        let bytes = entry::inflate(self.stream(place), record.size)?;
        let Some(base) = record.base else { return Some(bytes) };
        delta::apply(&self.content(base as usize)?, &bytes, usize::MAX)
    }
}
