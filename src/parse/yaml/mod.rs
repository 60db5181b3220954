//! Bytes → a tree of nodes with their places, or what is wrong with them.
//!
//! ```text
//! bytes ─ encoding ─▶ text ─ characters ─▶ text ─ compose ─▶ Node ─▶ serde_json::Value
//! ```
//!
//! Strict on purpose: a file means the same to every reader. One document, no tags, no duplicate
//! keys, JSON's literals only, and bounds on everything that an attacker could blow up.

mod compose;
mod encoding;
mod node;
mod scalar;
#[cfg(test)]
mod tests;

use crate::model::{Diagnostic, Limits, RepoPath, Span};

pub(crate) use encoding::decode;
pub(crate) use node::Node;

/// Most problems that are shown for one file: the rest would only hide the first.
pub(crate) const PROBLEMS: usize = 50;

/// Deepest nesting that settings may allow: values are walked by recursion.
const DEPTH: usize = 256;

/// Something wrong at one place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
}

impl Problem {
    fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), fix: None }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn diagnostic(self, path: &RepoPath, text: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code, self.message).at(path).span(self.span, text);
        match self.fix {
            Some(fix) => diagnostic.fix(fix),
            None => diagnostic,
        }
    }
}

/// How much one document may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    depth: usize,
    /// Keys, values and anchors, aliases expanded.
    nodes: usize,
    /// Bytes of all scalars, aliases expanded.
    bytes: usize,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            depth: (limits.yaml_depth as usize).clamp(1, DEPTH),
            nodes: limits.yaml_nodes as usize,
            // An escape of two characters can stand for three bytes, so that a file without
            // aliases never gets near twice its own size.
            bytes: limits.yaml_size.bytes().saturating_mul(2),
        }
    }
}

/// The one document of `text`; `None` where there is nothing in it.
///
/// # Errors
/// Everything that is wrong, in the order of the text, at most [`PROBLEMS`].
pub(crate) fn read(text: &str, bounds: Bounds) -> Result<Option<Node>, Vec<Problem>> {
    let mut problems = encoding::check_characters(text);
    if problems.is_empty() {
        let (root, found) = compose::compose(text, bounds);
        if found.is_empty() {
            return Ok(root);
        }
        problems = found;
    }
    problems.truncate(PROBLEMS);
    Err(problems)
}

/// The part of a problem list that size alone can cause: whether a text that is too long to be read
/// would also have blown a bound.
pub(crate) fn blown_bounds(text: &str, bounds: Bounds) -> Option<Problem> {
    let (_, problems) = compose::compose(text, bounds);
    problems.into_iter().find(|problem| matches!(problem.code, "yaml/budget" | "yaml/depth"))
}
