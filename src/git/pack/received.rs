//! A chunk as bytes, and back.
//!
//! The process that renders is our own, but it is the one that reads what tenants wrote, and it may be
//! killed at any time. So nothing that it says is believed: every object is unpacked and named again,
//! and a tree may hold only what stands before it in the same chunk. That costs another hash of all
//! text (a µs for a manifest), on the thread that reads the pipe. What passes is as good as made here;
//! it needs no checksum of its own, because a single wrong bit gives another id.

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::chunk::{Chunk, Record};
use super::families::BASE_BYTES;
use super::{delta, entry};
use crate::git::GitError;
use crate::git::name::name;
use crate::git::raw;
use crate::model::RepoPath;

/// What the bytes begin with; the last of it is the form's version.
const MAGIC: [u8; 8] = *b"titanck\x01";
/// Bytes of a record: id, kind, base, size, length of the stream.
const RECORD: usize = 20 + 1 + 4 + 8 + 8;
/// Stands for "no base".
const WHOLE: u32 = u32::MAX;

impl Chunk {
    /// The chunk as bytes, for another process.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.records.len() * RECORD + self.streams.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(self.records.len() as u64).to_le_bytes());
        let mut start = 0;
        for record in &self.records {
            bytes.extend_from_slice(record.id.as_bytes());
            bytes.push(u8::from(record.kind == Kind::Tree));
            bytes.extend_from_slice(&record.base.unwrap_or(WHOLE).to_le_bytes());
            bytes.extend_from_slice(&(record.size as u64).to_le_bytes());
            bytes.extend_from_slice(&((record.end - start) as u64).to_le_bytes());
            start = record.end;
        }
        bytes.extend_from_slice(&self.streams);
        bytes
    }

    /// The chunk that another process made. Blobs are no larger than `largest` (the fleet's
    /// `limits.manifestSize`).
    ///
    /// # Errors
    /// [`GitError::Chunk`] when it is not exactly what [`Chunk::into_bytes`] writes: anything cut off,
    /// garbled, wrongly named or incomplete.
    pub fn from_bytes(bytes: &[u8], largest: usize) -> Result<Self, GitError> {
        let mut chunk = read(bytes).ok_or(GitError::Chunk { why: "it is cut off or garbled" })?;
        check(&mut chunk, largest)?;
        Ok(chunk)
    }
}

/// The chunk, if its parts fit together.
fn read(bytes: &[u8]) -> Option<Chunk> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (count, rest) = rest.split_first_chunk()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let (mut heads, streams) = rest.split_at_checked(count.checked_mul(RECORD)?)?;
    let mut chunk = Chunk::new();
    chunk.streams = streams.to_vec();
    let mut end = 0usize;
    while let Some((id, rest)) = heads.split_first_chunk::<20>() {
        let (kind, rest) = rest.split_first()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let kind = match kind {
            0 => Kind::Blob,
            1 => Kind::Tree,
            _ => return None,
        };
        let base = Some(u32::from_le_bytes(*base)).filter(|base| *base != WHOLE);
        let size = usize::try_from(u64::from_le_bytes(*size)).ok()?;
        end = end.checked_add(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        if end > streams.len() {
            return None;
        }
        chunk.records.push(Record { id: ObjectId::Sha1(*id), kind, base, size, end });
        heads = rest;
    }
    (end == streams.len()).then_some(chunk)
}

/// Names every object again; fills in where each one is.
fn check(chunk: &mut Chunk, largest: usize) -> Result<(), GitError> {
    let refused = |why| Err(GitError::Chunk { why });
    let mut texts = Bases::of(chunk);
    for (at, record) in chunk.records.iter().enumerate() {
        // A tree is stored, so it cannot be larger than its stream.
        if record.size > largest.max(chunk.stream(at).len()) {
            return refused("an object is too large");
        }
        let Some(bytes) = entry::inflate(chunk.stream(at), record.size) else {
            return refused("an object cannot be unpacked");
        };
        let bytes = match record.base {
            None => bytes,
            Some(base) => match texts.made_of(base, &bytes, record, largest) {
                Some(made) => made,
                None => return refused("a delta does not fit"),
            },
        };
        if name(record.kind, &bytes)? != record.id {
            return refused("an object has another id than it says");
        }
        if record.kind == Kind::Tree && !is_complete(chunk, &bytes) {
            return refused("a tree is malformed, or holds what is not there");
        }
        if record.base.is_none() && !texts.keep(at, record, bytes) {
            return refused("its bases are too large");
        }
        let at = u32::try_from(at).map_err(|_| GitError::Chunk { why: "it is too large" })?;
        if chunk.places.insert(record.id, at).is_some() {
            return refused("an object stands twice in it");
        }
    }
    Ok(())
}

/// The blobs that others are made out of.
struct Bases {
    texts: Vec<Option<Vec<u8>>>,
    wanted: Vec<bool>,
    bytes: usize,
}

impl Bases {
    fn of(chunk: &Chunk) -> Self {
        let mut wanted = vec![false; chunk.records.len()];
        for base in chunk.records.iter().filter_map(|record| record.base) {
            if let Some(wanted) = wanted.get_mut(base as usize) {
                *wanted = true;
            }
        }
        Self { texts: vec![None; wanted.len()], wanted, bytes: 0 }
    }

    fn made_of(&self, base: u32, delta: &[u8], of: &Record, largest: usize) -> Option<Vec<u8>> {
        let text = self.texts.get(base as usize)?.as_ref()?;
        (of.kind == Kind::Blob).then(|| delta::apply(text, delta, largest))?
    }

    /// Keeps it if it will be asked for; `false` when that is too much.
    fn keep(&mut self, at: usize, record: &Record, bytes: Vec<u8>) -> bool {
        if self.wanted[at] && record.kind == Kind::Blob {
            self.bytes += bytes.len();
            self.texts[at] = Some(bytes);
        }
        self.bytes <= BASE_BYTES
    }
}

/// Whether a tree is sorted, its names are such as stand in paths, and all that it holds stands before
/// it.
fn is_complete(chunk: &Chunk, tree: &[u8]) -> bool {
    let Ok(tree) = raw::Tree::parse(tree.to_vec()) else { return false };
    tree.slots().all(|slot| {
        let kind = match slot.mode {
            Mode::Blob => Kind::Blob,
            Mode::Tree => Kind::Tree,
            Mode::BlobExecutable | Mode::Link | Mode::Commit => return false,
        };
        let name = std::str::from_utf8(slot.name).ok();
        let plain = name.is_some_and(|name| !name.contains('/') && RepoPath::new(name).is_ok());
        let place = chunk.places.get(&slot.id);
        plain && place.is_some_and(|place| chunk.records[*place as usize].kind == kind)
    })
}
