//! The config branch, read commit after commit.

use std::sync::Arc;

use crate::git::{GitError, Repository};
use crate::model::{Diagnostic, Fleet, Revision};
use crate::parse::{self, parse};

/// INTERIM until branch `parse`.
#[derive(Debug, Default)]
pub(super) struct Sources {
    diagnostics: Vec<Diagnostic>,
}

impl Sources {
    /// The fleet at `revision`.
    ///
    /// # Errors
    /// When an object is missing.
    pub(super) fn read(
        &mut self,
        repository: &Repository,
        revision: Revision,
    ) -> Result<Arc<Fleet>, GitError> {
        let files = repository.source_files(revision, parse::limits)?;
        let parsed = parse(Some(revision), &files);
        self.diagnostics = parsed.diagnostics;
        Ok(Arc::new(parsed.fleet))
    }

    /// What is wrong at the revision that was read last.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}
