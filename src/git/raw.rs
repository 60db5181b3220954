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

impl Slot<'_> {
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
    let modes = [Mode::Tree, Mode::Blob, Mode::BlobExecutable, Mode::Link, Mode::Commit];
    let mode = modes.into_iter().find(|mode| {
        let rest = bytes.strip_prefix(&**mode.as_octal_str());
        rest.is_some_and(|rest| rest.first() == Some(&b' '))
    })?;
    let start = mode.as_octal_str().len() + 1;
    let end = start + bytes[start..].iter().position(|byte| *byte == 0)?;
    let id = bytes.get(end + 1..end + 1 + ID)?;
    let id = ObjectId::Sha1(id.try_into().expect("because it has that length"));
    let name = &bytes[start..end];
    (!name.is_empty()).then_some((Slot { name, mode, id }, end + 1 + ID))
}

/// Git's order of names in a tree: those of folders stand as if they ended in `/`.
pub(super) fn order(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let common = a.0.len().min(b.0.len());
    let next = |(name, tree): (&[u8], bool)| {
        name.get(common).copied().unwrap_or(if tree { b'/' } else { 0 })
    };
    a.0[..common].cmp(&b.0[..common]).then_with(|| next(a).cmp(&next(b)))
}
