//! Tree objects as bytes: `<mode> <name>\0<id>`, one entry after the other.

use std::cmp::Ordering;

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;

/// Bytes of an id.
const ID: usize = 20;

/// One entry, as it stands in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot<'a> {
    pub(super) name: &'a [u8],
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

impl<'a> Slot<'a> {
    /// What it is sorted by; see [`order`].
    pub(super) fn key(&self) -> (&'a [u8], bool) {
        (self.name, self.mode == Mode::Tree)
    }

    pub(super) fn is_tree(&self) -> bool {
        self.mode == Mode::Tree
    }

    /// Appends it to a tree.
    pub(super) fn write(&self, tree: &mut Vec<u8>) {
        tree.extend_from_slice(self.mode.as_octal_str());
        tree.push(b' ');
        tree.extend_from_slice(self.name);
        tree.push(0);
        tree.extend_from_slice(self.id.as_bytes());
    }
}

/// The entry that `bytes` starts with, and its length; `None` where it is not as Git writes it today.
pub(super) fn first(bytes: &[u8]) -> Option<(Slot<'_>, usize)> {
    let (mode, start) = mode(bytes)?;
    let end = start + bytes[start..].iter().position(|byte| *byte == 0)?;
    let id = bytes.get(end + 1..end + 1 + ID)?;
    let id = ObjectId::Sha1(id.try_into().expect("because it has that length"));
    let name = &bytes[start..end];
    Some((Slot { name, mode, id }, end + 1 + ID))
}

/// The mode that `bytes` start with, and where the name begins.
fn mode(bytes: &[u8]) -> Option<(Mode, usize)> {
    if bytes.starts_with(b"40000 ") {
        return Some((Mode::Tree, 6));
    }
    let mode = match bytes.get(..7)? {
        b"100644 " => Mode::Blob,
        b"100755 " => Mode::BlobExecutable,
        b"120000 " => Mode::Link,
        b"160000 " => Mode::Commit,
        _ => return None,
    };
    Some((mode, 7))
}

/// Git's order of names in a tree: those of folders stand as if they ended in `/`.
pub(super) fn order(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let common = a.0.len().min(b.0.len());
    let next = |(name, tree): (&[u8], bool)| {
        name.get(common).copied().unwrap_or(if tree { b'/' } else { 0 })
    };
    let names = a.0[..common].cmp(&b.0[..common]).then_with(|| next(a).cmp(&next(b)));
    // A slash in a name is not Git's, but then, too, the shorter one comes first.
    names.then_with(|| a.0.len().cmp(&b.0.len()))
}

/// A whole tree that is as it should be: sorted, and each name once. Cut and joined as bytes, because the
/// folder of all hosts has ten thousand entries, of which few change.
#[derive(Debug)]
pub(super) struct Tree {
    bytes: Vec<u8>,
    /// Where each entry begins, and where the last one ends.
    starts: Vec<usize>,
}

/// An entry to put into a tree.
#[derive(Debug)]
pub(super) struct New {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

impl New {
    fn slot(&self) -> Slot<'_> {
        Slot { name: self.name.as_bytes(), mode: self.mode, id: self.id }
    }
}

impl Tree {
    /// The tree that `bytes` are; they come back where they are not as they should be.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        let mut tree = Self { starts: Vec::with_capacity(bytes.len() / 32 + 2), bytes };
        tree.starts.push(0);
        let (mut at, mut last) = (0, None::<Slot<'_>>);
        while at < tree.bytes.len() {
            let Some((slot, length)) = first(&tree.bytes[at..]) else { return Err(tree.bytes) };
            if let Some(last) = last {
                let sorted = order(last.key(), slot.key()).is_lt();
                // `a`, `a.b`, `a/` are sorted, and have two of one name.
                let twice = slot.is_tree()
                    && last.name.starts_with(slot.name)
                    && tree.place(slot.name, false).is_ok();
                if !sorted || twice {
                    return Err(tree.bytes);
                }
            }
            last = Some(slot);
            at += length;
            tree.starts.push(at);
        }
        Ok(tree)
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        (0..self.len()).map(|place| self.slot(place))
    }

    fn slot(&self, place: usize) -> Slot<'_> {
        let (slot, _) = first(&self.bytes[self.starts[place]..]).expect("because it was parsed");
        slot
    }

    /// Where an entry is, or would be.
    fn place(&self, name: &[u8], is_tree: bool) -> Result<usize, usize> {
        let starts = &self.starts[..self.len()];
        let key = |start: &usize| first(&self.bytes[*start..]).expect("because it was parsed").0;
        starts.binary_search_by(|start| order(key(start).key(), (name, is_tree)))
    }

    /// The entry of that name, be it a folder or not. It is looked for at `near` first: many that are asked
    /// for in order lie beside each other.
    pub(super) fn find(&self, name: &[u8], near: usize) -> Option<(usize, Slot<'_>)> {
        if near < self.len() {
            let slot = self.slot(near);
            if slot.name == name {
                return Some((near, slot));
            }
        }
        let place = self.place(name, false).or_else(|_| self.place(name, true)).ok()?;
        Some((place, self.slot(place)))
    }

    /// The bytes of the tree without what was at the places `removed`, and with what is `added`, none
    /// of which is in what is left.
    pub(super) fn splice(&self, mut removed: Vec<usize>, mut added: Vec<New>) -> Vec<u8> {
        removed.sort_unstable();
        added.sort_unstable_by(|a, b| order(a.slot().key(), b.slot().key()));
        let room: usize = added.iter().map(|new| new.name.len() + 8 + ID).sum();
        let mut out = Vec::with_capacity(self.bytes.len() + room);
        let (mut from, mut removed) = (0, removed.as_slice());
        let mut copy = |to: usize, out: &mut Vec<u8>| {
            while let [gap, after @ ..] = removed
                && *gap < to
            {
                out.extend_from_slice(&self.bytes[self.starts[from]..self.starts[*gap]]);
                (from, removed) = (gap + 1, after);
            }
            // The gap may end behind it.
            let start = from.min(to);
            out.extend_from_slice(&self.bytes[self.starts[start]..self.starts[to]]);
            from = from.max(to);
        };
        let mut near = 0;
        for new in &added {
            let slot = new.slot();
            let is_near = near < self.len() && self.slot(near).key() == slot.key();
            let place = match is_near {
                true => Ok(near),
                false => self.place(slot.name, slot.is_tree()),
            };
            near = place.map_or_else(|place| place, |place| place + 1);
            let (Ok(place) | Err(place)) = place;
            copy(place, &mut out);
            slot.write(&mut out);
        }
        copy(self.len(), &mut out);
        out
    }
}
