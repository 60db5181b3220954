//! The config branch, read commit after commit.

use std::sync::Arc;

use crate::git::{self, GitError, Repository};
use crate::model::{Diagnostic, Fleet, Revision};
use crate::parse::{self, Parser};

/// What was read of the config branch; the next revision costs what differs there.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: git::Sources,
    parser: Parser,
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
        let changes = self.files.changes(repository, revision, parse::limits)?;
        let parsed = self.parser.update(Some(revision), changes);
        self.diagnostics = parsed.diagnostics;
        Ok(parsed.fleet)
    }

    /// What is wrong at the revision that was read last.
    pub(super) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}
