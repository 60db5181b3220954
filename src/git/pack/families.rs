//! Which blobs resemble each other: the first few of a family are bases, the others deltas of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Sibling, delta};

/// Most bases of one family: rings and overrides make siblings differ in kind.
const BASES: usize = 4;

/// Most bytes of bases that are kept in memory.
pub(super) const BASE_BYTES: usize = 64 << 20;

/// The bases of all families, in memory.
#[derive(Debug, Default)]
pub(super) struct Families {
    bases: HashMap<Sibling, Vec<Base>>,
    bytes: usize,
}

/// A blob that others may be made out of.
#[derive(Debug)]
struct Base {
    /// Whatever the owner finds it by.
    place: u64,
    bytes: Arc<[u8]>,
}

impl Families {
    /// The shortest delta from a base of the family: the base's place, and the instructions.
    pub(super) fn closest(&self, sibling: Sibling, bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
        let mut found: Option<(u64, Vec<u8>)> = None;
        for base in self.bases.get(&sibling)? {
            let most = found.as_ref().map_or(bytes.len() / 2, |(_, best)| best.len());
            if let Some(instructions) = delta::between(&base.bytes, bytes, most) {
                // Good enough: looking further would cost more than it saves.
                let enough = instructions.len() <= bytes.len() / 8;
                found = Some((base.place, instructions));
                if enough {
                    break;
                }
            }
        }
        found
    }

    /// Remembers a whole blob as a base, as far as there is room.
    pub(super) fn keep(&mut self, sibling: Sibling, place: u64, bytes: &[u8]) {
        let bases = self.bases.entry(sibling).or_default();
        if bases.len() < BASES && self.bytes + bytes.len() <= BASE_BYTES {
            self.bytes += bytes.len();
            bases.push(Base { place, bytes: bytes.into() });
        }
    }
}
