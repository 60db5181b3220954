//! Files → [`Fleet`] and diagnostics.
//!
//! ```text
//! changed files ─ layout, object ─▶ File ─ survey, collect ─▶ objects by kind ─ resolve ─▶ Fleet
//!       yaml, schema + check, rules  │                                        template
//!                                    └────────── diagnostics ────────────────────┘
//! ```
//! A [`Parser`] keeps every file with what came out of it, so that a file is read once for each content;
//! objects that stay equal keep their `Arc`s. [`parse`] is the first step of a parser that is thrown away.
//!
//! Nothing here stops at the first problem. What cannot be read is *held*: it and what depends on it
//! stay as they are (invariant I6), and the fleet has only what resolves.

mod access;
mod check;
mod collect;
mod file;
pub mod layout;
mod object;
mod parser;
mod references;
mod resolve;
mod rules;
pub mod schema;
mod survey;
mod template;
pub(crate) mod yaml;

use std::sync::Arc;

use crate::model::{
    Content, Diagnostic, Fleet, FleetSpec, Hold, Labels, Limits, ObjectRef, Revision,
    SourceChanges, SourceFile, Span,
};

pub use layout::{Place, classify, path_of};
pub use parser::Parser;
pub use schema::schemas;

use file::Item;
use resolve::Read;

/// What came out of the files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Everything that is valid; what is not is named in `fleet.held`.
    pub fleet: Arc<Fleet>,
    /// All problems at once, in the order of paths, then lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all objects. Cannot fail: what is wrong becomes a diagnostic, and what depends on it is held.
#[must_use]
pub fn parse(revision: Option<Revision>, files: &[SourceFile]) -> Parsed {
    Parser::default().update(revision, SourceChanges::All(files.to_vec()))
}

/// The settings alone, from files of which at most `titan.yaml` counts; the defaults where there is none,
/// or where it is broken.
#[must_use]
pub fn settings(files: &[SourceFile]) -> FleetSpec {
    let file = files.iter().rfind(|file| file.path.as_str() == layout::SETTINGS);
    let outcome = file.map(|file| file::read(&ObjectRef::Fleet, file, &Limits::default()));
    match outcome {
        Some(Ok(Item::Fleet(settings))) => FleetSpec::clone(&settings),
        _ => FleetSpec::default(),
    }
}

/// The labels of the object in a file, as far as they can be read: for those who need no more of it.
#[must_use]
pub fn labels(file: &[u8]) -> Labels {
    let limits = Limits::default();
    let text = yaml::decode(file).ok().filter(|text| text.len() <= limits.yaml_size.bytes());
    let root = text.and_then(|text| yaml::read(text, yaml::Bounds::new(&limits)).ok().flatten());
    let object = root.map(yaml::Node::into_value).unwrap_or_default();
    let labels = object.pointer("/metadata/labels").cloned();
    labels.and_then(|labels| serde_json::from_value(labels).ok()).unwrap_or_default()
}

/// What the settings allow: for those who read the files.
#[must_use]
pub fn limits(files: &[SourceFile]) -> Limits {
    settings(files).limits
}

/// Where the value at a JSON pointer stands in the YAML `text`; for what later stages say about values.
#[must_use]
pub fn locate(text: &str, pointer: &str) -> Option<Span> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let bounds = yaml::Bounds::new(&Limits::default());
    Some(yaml::read(text, bounds).ok()??.find(pointer)?.value)
}

/// Why something is held, as its first diagnostic says it.
fn hold(diagnostic: &Diagnostic) -> Hold {
    let place = diagnostic.place();
    let separator = if place.is_empty() { "" } else { ": " };
    Hold {
        code: diagnostic.code.clone(),
        reason: format!("{place}{separator}{}", diagnostic.message),
    }
}

/// Points a diagnostic at a value of an object that was read.
fn locate_error<S>(diagnostic: Diagnostic, read: &Read<'_, S>, pointer: &str) -> Diagnostic {
    let diagnostic = diagnostic.at(&read.file.path);
    let Content::Bytes(bytes) = &read.file.content else { return diagnostic };
    let Ok(text) = yaml::decode(bytes) else { return diagnostic };
    match locate(text, pointer) {
        Some(span) => diagnostic.span(span, text),
        None => diagnostic,
    }
}
