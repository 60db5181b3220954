//! What the agent must not forget besides its inventory: `agent.json` in the state directory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::deliver::{DeliverError, Store};

const FILE: &str = "agent.json";

/// Sequence numbers that are set aside with one write. After a restart the rest of them is skipped.
const BLOCK: u64 = 64;

/// Shared by the loop and the reporters.
#[derive(Debug, Clone)]
pub(super) struct State {
    store: Arc<Store>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    saved: Saved,
    /// The last sequence number that was given out.
    issued: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Saved {
    /// No number above this one was ever given out.
    #[serde(default)]
    sequence: u64,
    /// The highest generation that was seen.
    #[serde(default)]
    generation: u64,
}

impl State {
    pub(super) fn open(store: Arc<Store>) -> Result<Self, DeliverError> {
        let saved: Saved = store.load(FILE)?.unwrap_or_default();
        let memory = Memory { issued: saved.sequence, saved };
        Ok(Self { store, memory: Arc::new(Mutex::new(memory)) })
    }

    /// A sequence number that was never used before, on the disk before it is used.
    pub(super) fn next_sequence(&self) -> Result<u64, DeliverError> {
        let mut memory = self.lock();
        let next = memory.issued.saturating_add(1);
        if next > memory.saved.sequence {
            let saved = Saved { sequence: next.saturating_add(BLOCK), ..memory.saved };
            self.store.save(FILE, &saved)?;
            memory.saved = saved;
        }
        memory.issued = next;
        Ok(next)
    }

    /// The controller has seen `sequence` already: go on above it.
    pub(super) fn jump_above(&self, sequence: u64) {
        let mut memory = self.lock();
        memory.issued = memory.issued.max(sequence);
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().saved.generation
    }

    /// Remembers the highest generation.
    pub(super) fn saw_generation(&self, generation: u64) -> Result<(), DeliverError> {
        let mut memory = self.lock();
        if generation > memory.saved.generation {
            let saved = Saved { generation, ..memory.saved };
            self.store.save(FILE, &saved)?;
            memory.saved = saved;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_across_restarts() {
        let dest = tempfile::tempdir().expect("a directory");
        let mut last = 0;
        for _ in 0..3 {
            let store = Arc::new(Store::open(dest.path()).expect("the store opens"));
            let state = State::open(store).expect("the state opens");
            for _ in 0..100 {
                let next = state.next_sequence().expect("a number");
                assert!(next > last, "{next} after {last}");
                last = next;
            }
            state.jump_above(last + 1000);
            let next = state.next_sequence().expect("a number");
            assert_eq!(next, last + 1001);
            last = next;
            state.saw_generation(7).expect("it is saved");
            state.saw_generation(3).expect("it is saved");
        }
        let store = Arc::new(Store::open(dest.path()).expect("the store opens"));
        assert_eq!(State::open(store).expect("the state opens").generation(), 7);
    }
}
