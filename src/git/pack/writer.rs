//! A pack while it is written.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::Kind;
use hashbrown::HashTable;
use tempfile::NamedTempFile;

use super::entry::{self, Encoder, Level, Type};
use super::families::Families;
use super::{Chunk, Sibling, delta, index};
use crate::git::raw::Tree;

/// What files are called until they are complete; `git prune` knows `tmp_` as well.
pub(in crate::git) const TEMPORARY: &str = "tmp_titan_";

/// Bytes that are gathered before they are written.
const CHUNK: usize = 1 << 20;

/// Most deltas one on top of the other: the base of a chunk may be here as a delta already.
const DEPTH: usize = 4;

/// Longest header of an entry.
const HEAD: u64 = 32;

/// Magic number, version 2, and the count that is known in the end.
const HEADER: [u8; 12] = *b"PACK\0\0\0\x02\0\0\0\0";

/// Writes objects one after the other into a temporary file. What was written can be read back. Nobody
/// else sees any of it before [`PackWriter::finish`]; dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct PackWriter {
    file: NamedTempFile,
    /// What follows the first `flushed` bytes of the file.
    buffer: Vec<u8>,
    flushed: u64,
    lines: Vec<index::Line>,
    /// The places in `lines`, found by the object's id. Four bytes each: there may be millions.
    places: HashTable<u32>,
    encoder: Encoder,
    families: Families,
    /// Of the entry that is being made, used again and again.
    scratch: Vec<u8>,
}

impl PackWriter {
    /// Starts a pack below `folder` (`objects/pack`).
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            file: temporary(folder, ".pack")?,
            buffer: HEADER.to_vec(),
            flushed: 0,
            lines: Vec::new(),
            places: HashTable::new(),
            encoder: Encoder::default(),
            families: Families::default(),
            scratch: Vec::new(),
        })
    }

    /// The object that came last.
    pub(super) fn sample(&self) -> Option<ObjectId> {
        self.lines.last().map(|line| line.id)
    }

    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        self.place(id).is_some()
    }

    fn place(&self, id: &ObjectId) -> Option<usize> {
        let is_it = |place: &u32| self.lines[*place as usize].id == *id;
        self.places.find(hash(id), is_it).map(|place| *place as usize)
    }

    /// Adds an object, unless the pack has it.
    pub(super) fn add(
        &mut self,
        id: ObjectId,
        kind: Kind,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> io::Result<()> {
        if self.contains(&id) {
            return Ok(());
        }
        if let Some(sibling) = sibling
            && let Some((base, instructions)) = self.families.closest(sibling, bytes)
        {
            let distance = self.end() - base;
            return self.append(id, Type::Delta { distance }, &instructions, Level::Stored);
        }
        let level = match (kind, sibling) {
            (Kind::Tree, _) => Level::Stored,
            (_, Some(_)) => Level::Small,
            (_, None) => Level::Fast,
        };
        if let Some(sibling) = sibling {
            self.families.keep(sibling, self.end(), bytes);
        }
        self.append(id, Type::Whole(kind), bytes, level)
    }

    /// Adds what the trees `roots` of a chunk consist of, but not what is here, nor whole blobs that are
    /// `present` in the repository unless something new is a delta of them.
    pub(super) fn join(
        &mut self,
        chunk: &Chunk,
        roots: &[ObjectId],
        present: impl Fn(&ObjectId) -> bool,
    ) -> io::Result<()> {
        let wanted = self.wanted(chunk, roots, present)?;
        let before = self.lines.len();
        let mut depths = BTreeMap::new();
        let places = chunk.records.iter().enumerate();
        for (place, record) in places.filter(|(place, _)| wanted[*place]) {
            let what = match record.base {
                None => Type::Whole(record.kind),
                Some(base) => {
                    let base = chunk.records[base as usize].id;
                    let base = self.place(&base).expect("because bases are written first");
                    let depth = match depths.get(&base) {
                        Some(depth) => *depth,
                        None if base < before => self.depth(base)?,
                        None => 0,
                    };
                    depths.insert(base, depth);
                    if depth >= DEPTH {
                        let whole = chunk.content(place).ok_or_else(damaged)?;
                        self.append(record.id, Type::Whole(record.kind), &whole, Level::Fast)?;
                        continue;
                    }
                    Type::Delta { distance: self.end() - self.lines[base].offset }
                }
            };
            self.scratch.clear();
            entry::write_header(what, record.size, &mut self.scratch);
            self.scratch.extend_from_slice(chunk.stream(place));
            self.append_scratch(record.id)?;
        }
        Ok(())
    }

    /// Which objects of a chunk are to be written. What others consist of, or are deltas of, stands
    /// before them.
    fn wanted(
        &self,
        chunk: &Chunk,
        roots: &[ObjectId],
        present: impl Fn(&ObjectId) -> bool,
    ) -> io::Result<Vec<bool>> {
        let mut wanted = vec![false; chunk.records.len()];
        let mut is_base = vec![false; chunk.records.len()];
        for place in roots.iter().filter_map(|root| chunk.places.get(root)) {
            wanted[*place as usize] = true;
        }
        for (place, record) in chunk.records.iter().enumerate().rev() {
            wanted[place] |= is_base[place];
            if !wanted[place] {
                continue;
            }
            let known = || match (record.kind, record.base) {
                (Kind::Blob, None) => !is_base[place] && present(&record.id),
                _ => false,
            };
            if self.contains(&record.id) || known() {
                wanted[place] = false;
            } else if let Some(base) = record.base {
                is_base[base as usize] = true;
            } else if record.kind == Kind::Tree {
                let tree = chunk.content(place).ok_or_else(damaged)?;
                let tree = Tree::parse(tree).map_err(|_| damaged())?;
                for below in tree.slots().filter_map(|slot| chunk.places.get(&slot.id)) {
                    wanted[*below as usize] = true;
                }
            }
        }
        Ok(wanted)
    }

    /// How many deltas the object at a place is made of.
    fn depth(&mut self, place: usize) -> io::Result<usize> {
        let (mut start, mut depth) = (self.lines[place].offset, 0);
        loop {
            let bytes = self.bytes(start, (start + HEAD).min(self.end()))?;
            match entry::read_header(&bytes) {
                Some((Type::Delta { distance }, ..)) => start -= distance.min(start),
                Some((Type::Whole(_), ..)) => return Ok(depth),
                None => return Err(damaged()),
            }
            depth += 1;
        }
    }

    fn append(&mut self, id: ObjectId, what: Type, bytes: &[u8], level: Level) -> io::Result<()> {
        self.scratch.clear();
        entry::write_header(what, bytes.len(), &mut self.scratch);
        self.encoder.compress(bytes, level, &mut self.scratch);
        self.append_scratch(id)
    }

    /// Appends the entry that was made.
    fn append_scratch(&mut self, id: ObjectId) -> io::Result<()> {
        let place = u32::try_from(self.lines.len()).map_err(io::Error::other)?;
        let lines = &self.lines;
        self.places.insert_unique(hash(&id), place, |place| hash(&lines[*place as usize].id));
        let (crc, offset) = (crc32fast::hash(&self.scratch), self.end());
        self.lines.push(index::Line { id, crc, offset });
        self.buffer.extend_from_slice(&self.scratch);
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Where the next entry begins.
    fn end(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file().write_all_at(&self.buffer, self.flushed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// An object that was added; `None` when it was not.
    pub(super) fn read(&mut self, id: &ObjectId) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let Some(place) = self.place(id) else { return Ok(None) };
        self.read_at(place).map(Some)
    }

    /// What was written from one offset to another.
    fn bytes(&mut self, start: u64, end: u64) -> io::Result<Vec<u8>> {
        if end > self.flushed {
            self.flush()?;
        }
        let mut bytes = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        self.file.as_file().read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    fn read_at(&mut self, place: usize) -> io::Result<(Kind, Vec<u8>)> {
        let start = self.lines[place].offset;
        let end = self.lines.get(place + 1).map_or_else(|| self.end(), |next| next.offset);
        let bytes = self.bytes(start, end)?;
        let (what, size, header) = entry::read_header(&bytes).ok_or_else(damaged)?;
        let bytes = entry::inflate(&bytes[header..], size).ok_or_else(damaged)?;
        match what {
            Type::Whole(kind) => Ok((kind, bytes)),
            Type::Delta { distance } => {
                let base = start.checked_sub(distance).ok_or_else(damaged)?;
                let base = self.lines.binary_search_by_key(&base, |line| line.offset);
                let (kind, base) = self.read_at(base.map_err(|_| damaged())?)?;
                Ok((kind, delta::apply(&base, &bytes, usize::MAX).ok_or_else(damaged)?))
            }
        }
    }

    /// Puts pack and index in place, durably; returns the pack's path.
    ///
    /// Killed at any point it leaves temporary files, or a pack without an index, which Git does not
    /// look at; see `upkeep`.
    pub(super) fn finish(mut self) -> io::Result<PathBuf> {
        self.flush()?;
        let folder = self.file.path().parent().expect("because it is in a folder").to_owned();
        let count = u32::try_from(self.lines.len()).map_err(io::Error::other)?;
        self.file.as_file().write_all_at(&count.to_be_bytes(), 8)?;
        let hash = self.hash()?;
        self.file.as_file().write_all_at(hash.as_bytes(), self.flushed)?;

        // Nearly all of the time of a small pack goes into waiting for the disk: once, not twice.
        let Self { file, lines, .. } = &mut self;
        let index = std::thread::scope(|scope| {
            let pack = scope.spawn(|| file.as_file().sync_all());
            let mut index = temporary(&folder, ".idx")?;
            index::write(lines, hash, BufWriter::new(index.as_file_mut()))?;
            index.as_file_mut().flush()?;
            index.as_file().sync_all()?;
            pack.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            io::Result::Ok(index)
        })?;

        let path = folder.join(format!("pack-{hash}.pack"));
        self.file.persist(&path)?;
        index.persist(path.with_extension("idx"))?;
        File::open(&folder)?.sync_all()?;
        Ok(path)
    }

    /// The hash of all that is in the file. It is read again because the count, which comes first,
    /// was not known before.
    fn hash(&self) -> io::Result<ObjectId> {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < self.flushed {
            let left = usize::try_from(self.flushed - at).unwrap_or(CHUNK).min(CHUNK);
            self.file.as_file().read_exact_at(&mut chunk[..left], at)?;
            hasher.update(&chunk[..left]);
            at += left as u64;
        }
        hasher.try_finalize().map_err(io::Error::other)
    }
}

/// An id is a hash: any part of it will do.
fn hash(id: &ObjectId) -> u64 {
    let start = id.as_bytes().first_chunk().expect("because an id has 20 bytes");
    u64::from_le_bytes(*start)
}

fn damaged() -> io::Error {
    io::Error::other("the pack does not hold what was written to it")
}

/// A file that vanishes unless it is renamed; nobody may write to it afterwards, as with Git's own.
fn temporary(folder: &Path, ending: &str) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .suffix(ending)
        .permissions(Permissions::from_mode(0o444))
        .tempfile_in(folder)?;
    // A sign that somebody is writing. Where files cannot be locked, their age alone decides.
    let _ = file.as_file().try_lock();
    Ok(file)
}
