//! Handles of the object database and the refs, which are handed on: to open one costs as much as to read
//! some ten objects.
//!
//! A handle keeps the packs that it has read in the address space. So all of them, and what they share, are
//! given up now and then.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Repository;

/// Handles that wait for the next one who needs one.
const WAITING: usize = 8;

/// Handles that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    handles: Vec<gix::Repository>,
    /// Those of an earlier one are given up.
    generation: u64,
}

/// A handle, for one thread at a time.
pub(super) struct Local {
    repository: Repository,
    /// Only gone while it is dropped.
    gix: Option<gix::Repository>,
    generation: u64,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None of the handles that there are is used again.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        *state = State { generation: state.generation + 1, handles: Vec::new() };
    }
}

impl Repository {
    /// A handle for this thread.
    pub(super) fn local(&self) -> Local {
        let (waiting, generation) = {
            let mut state = self.waiting().lock();
            (state.handles.pop(), state.generation)
        };
        let gix = Some(waiting.unwrap_or_else(|| self.open_local()));
        Local { repository: self.unstaged(), gix, generation }
    }
}

impl Local {
    /// One for another thread.
    pub(super) fn another(&self) -> Self {
        self.repository.local()
    }
}

impl Deref for Local {
    type Target = gix::Repository;

    fn deref(&self) -> &gix::Repository {
        self.gix.as_ref().expect("because it is not dropped yet")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut state = self.repository.waiting().lock();
        if state.generation == self.generation && state.handles.len() < WAITING {
            state.handles.extend(self.gix.take());
        }
    }
}
