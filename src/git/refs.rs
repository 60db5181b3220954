//! Moving branches, by compare-and-swap.

use super::{GitError, Repository};
use crate::model::Revision;

impl Repository {
    /// Moves `refs/heads/<branch>` from `expected` (`None`: it must not exist) to `new`. Clears stale
    /// locks of dead processes on the way.
    ///
    /// # Errors
    /// [`GitError::Conflict`] when the branch is elsewhere.
    pub fn advance(
        &self,
        branch: &str,
        expected: Option<Revision>,
        new: Revision,
    ) -> Result<(), GitError> {
        let _ = (branch, expected, new);
        unimplemented!()
    }
}
