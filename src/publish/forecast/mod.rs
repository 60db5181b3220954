//! What a change does, from Git alone: two states of the config repository, and the rendered branch.
//!
//! ```text
//!  two points ─ [sides] ─▶ read and placed ─ plan::preview ─▶ Report, for people and programs
//! ```

mod sides;

use std::path::PathBuf;
use std::sync::Mutex;

use serde::Serialize;

use crate::git::{GitError, Repository};
use crate::model::{API_VERSION, Revision};
use crate::plan::preview::{Preview, RemovalGuard, fresh, preview, removals};
use sides::Sides;

/// One state: a commit, files in a folder, or nothing yet (before the first commit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// As it was asked for.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// All that is told. As JSON, this is what programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub base: Point,
    pub head: Point,
    /// The commit of the rendered branch that says what is current.
    pub rendered: Option<Revision>,
    /// Whether anything happens.
    pub changes: bool,
    pub removals: RemovalGuard,
    #[serde(flatten)]
    pub preview: Preview,
}

impl Report {
    /// Whether there is nothing to tell. What was held before is told: it may be why nothing changes.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let Preview { held, diagnostics, .. } = &self.preview;
        !self.changes && held.is_empty() && diagnostics.is_empty()
    }
}

impl Point {
    #[must_use]
    pub fn commit(name: &str, revision: Revision) -> Self {
        Self { name: name.to_owned(), revision: Some(revision), folder: None }
    }

    /// `main (4f2a9c10)`.
    #[must_use]
    pub fn title(&self) -> (String, Option<String>) {
        (self.name.clone(), self.revision.map(|revision| revision.short()))
    }
}

/// Compares two states.
///
/// # Errors
/// When objects cannot be read.
pub fn report(git: &Repository, base: Point, head: Point) -> Result<Report, GitError> {
    let sides = Sides::read(git, &base, &head)?;
    let (before, after) = (sides.base.side(), sides.head.side());
    let failed = Mutex::new(None);
    let mut preview = preview(before, after, &|pair| sides.old(git, pair, &failed));
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let known = &sides.base.parsed.diagnostics;
    let mut diagnostics = fresh(known, sides.head.parsed.diagnostics.clone());
    diagnostics.append(&mut preview.diagnostics);
    preview.diagnostics = diagnostics;
    let removals = removals(before, after, &preview, sides.held, &sides.head.trailers);
    Ok(Report {
        api_version: API_VERSION,
        kind: "Plan",
        changes: !preview.is_empty(),
        base,
        head,
        rendered: sides.rendered,
        removals,
        preview,
    })
}
