//! Handles of the object database and the refs, which are handed on: to open one costs as much as to read
//! some ten objects.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use super::Repository;

/// Handles that wait for the next one who needs one. Each has some of the packs in its address space.
const WAITING: usize = 8;

/// See the module.
pub(super) type Waiting = Mutex<Vec<gix::Repository>>;

/// A handle, for one thread at a time.
pub(super) struct Local {
    repository: Repository,
    /// Only gone while it is dropped.
    gix: Option<gix::Repository>,
}

impl Repository {
    /// A handle for this thread.
    pub(super) fn local(&self) -> Local {
        let waiting = self.waiting().lock().unwrap_or_else(PoisonError::into_inner).pop();
        let gix = Some(waiting.unwrap_or_else(|| self.open_local()));
        Local { repository: self.unstaged(), gix }
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
        let mut waiting = self.repository.waiting().lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.extend(self.gix.take());
        }
    }
}
