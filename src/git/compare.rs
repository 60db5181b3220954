//! What differs between two trees, from their bytes: entries that are the same cost a comparison each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;
use gix::objs::{Kind, TreeRefIter};

use super::GitError;
use super::error::damaged;
use super::pack::Store;

/// A tree and its bytes; none for the empty tree.
type Tree = (ObjectId, Vec<u8>);

/// What stands under a name on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

impl Side {
    pub(super) fn tree(self) -> Option<ObjectId> {
        (self.mode == Mode::Tree).then_some(self.id)
    }
}

/// The names under which two trees differ, before and after.
#[derive(Debug, Default)]
pub(super) struct Differing<'a> {
    pub(super) entries: BTreeMap<&'a [u8], [Option<Side>; 2]>,
    /// A name stands twice in one of the trees (the last one is told), as Git forbids.
    pub(super) twice: bool,
}

/// Reads both trees.
pub(super) fn load(store: &Store, sides: [Option<ObjectId>; 2]) -> Result<[Tree; 2], GitError> {
    let read = |side: Option<ObjectId>| -> Result<Tree, GitError> {
        let Some(id) = side else {
            return Ok((ObjectId::empty_tree(gix::hash::Kind::Sha1), Vec::new()));
        };
        Ok((id, store.data(id, Kind::Tree)?))
    };
    Ok([read(sides[0])?, read(sides[1])?])
}

/// Compares two trees, without what is below. Their order only makes it quick: where it is not Git's,
/// still nothing is missed.
pub(super) fn differing(trees: &[Tree; 2]) -> Result<Differing<'_>, GitError> {
    let mut found = Differing::default();
    let [mut before, mut after] = trees.each_ref().map(|(id, bytes)| Rest { id, bytes });
    loop {
        before.skip_same(&mut after)?;
        let order = match (before.head()?, after.head()?) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => in_tree(before).cmp(in_tree(after)),
        };
        if order.is_le() {
            found.add(0, before.take()?);
        }
        if order.is_ge() {
            found.add(1, after.take()?);
        }
    }
    found.entries.retain(|_, [before, after]| before != after);
    if found.entries.values().any(|[before, after]| before.is_none() && after.is_some()) {
        found.twice |= found.has_twin(&trees[0])?;
    }
    Ok(found)
}

impl<'a> Differing<'a> {
    fn add(&mut self, side: usize, (name, entry): (&'a [u8], Side)) {
        let known = self.entries.entry(name).or_default()[side].replace(entry);
        self.twice |= known.is_some();
    }

    /// Whether a name that is new has been there before, as something that is the same on both sides.
    fn has_twin(&self, (id, bytes): &Tree) -> Result<bool, GitError> {
        let mut rest = Rest { id, bytes };
        while let Some(entry) = rest.head()? {
            let known = self.entries.get(name(entry));
            if known.is_some_and(|[before, after]| before.is_none() && after.is_some()) {
                return Ok(true);
            }
            rest.bytes = &rest.bytes[entry.len()..];
        }
        Ok(false)
    }
}

/// The bytes of a tree that were not looked at yet.
struct Rest<'a> {
    id: &'a ObjectId,
    bytes: &'a [u8],
}

/// Bytes of an id in a tree.
const ID: usize = 20;

impl<'a> Rest<'a> {
    /// The next entry, `<mode> <name>\0<id>`, undecoded.
    fn head(&self) -> Result<Option<&'a [u8]>, GitError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let end = self.bytes.iter().position(|byte| *byte == 0).map(|nul| nul + 1 + ID);
        match end.and_then(|end| self.bytes.get(..end)) {
            Some(entry) => Ok(Some(entry)),
            None => self.decode(self.bytes).map(|_| None),
        }
    }

    /// Drops what both begin with.
    fn skip_same(&mut self, other: &mut Self) -> Result<(), GitError> {
        while let Some(entry) = self.head()?
            && other.bytes.starts_with(entry)
        {
            self.bytes = &self.bytes[entry.len()..];
            other.bytes = &other.bytes[entry.len()..];
        }
        Ok(())
    }

    /// Takes the next entry, which must be there.
    fn take(&mut self) -> Result<(&'a [u8], Side), GitError> {
        let entry = self.head()?.expect("because the caller saw it");
        self.bytes = &self.bytes[entry.len()..];
        self.decode(entry)
    }

    fn decode(&self, entry: &'a [u8]) -> Result<(&'a [u8], Side), GitError> {
        let mut entries = TreeRefIter::from_bytes(entry, self.id.kind());
        let entry = entries.next().expect("because there are bytes").map_err(damaged(*self.id))?;
        let side = Side { mode: entry.mode.kind(), id: entry.oid.to_owned() };
        Ok((entry.filename, side))
    }
}

/// The name in an undecoded entry.
fn name(entry: &[u8]) -> &[u8] {
    let start = entry.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    entry.get(start..entry.len() - ID - 1).unwrap_or_default()
}

/// What Git sorts an undecoded entry by: the names of folders end in `/`.
fn in_tree(entry: &[u8]) -> impl Iterator<Item = u8> {
    let folder = entry.starts_with(b"40000 ") || entry.starts_with(b"040000 ");
    name(entry).iter().copied().chain(folder.then_some(b'/'))
}
