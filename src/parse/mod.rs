//! Files → [`Fleet`] and diagnostics.

pub mod layout;
pub(crate) mod yaml;

use crate::model::{Diagnostic, Fleet, Revision, SourceFile};

/// What came out of the files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Everything that is valid; what is not is named in `fleet.held`.
    pub fleet: Fleet,
    /// All problems at once, in the order of paths, then lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all objects. Cannot fail: what is wrong becomes a diagnostic, and what depends on it is held.
#[must_use]
pub fn parse(revision: Option<Revision>, files: &[SourceFile]) -> Parsed {
    let _ = (revision, files);
    unimplemented!()
}
