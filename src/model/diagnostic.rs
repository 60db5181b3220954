//! What is wrong with what people wrote, and what is to be done after an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RepoPath;

/// One problem in user input. Codes are stable: `area/what`, as listed in `bad-input.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: String,
    /// What is wrong: a lower-case fragment, values in backticks, no secrets.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// Where in the file; absent when the whole file is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// The line that `span` points into, so that a diagnostic can be shown without its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// How to put it right: an imperative fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Holds nothing back.
    Warning,
    /// Holds back the object, and what depends on it.
    Error,
}

/// A place on one line of a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub line: u32,
    pub column: u32,
    /// How many characters are meant; at least 1.
    pub length: u32,
}

impl Diagnostic {
    /// An error about no file in particular.
    #[must_use]
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.to_owned(),
            message: message.into(),
            path: None,
            span: None,
            excerpt: None,
            fix: None,
        }
    }

    #[must_use]
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    #[must_use]
    pub fn at(mut self, path: &RepoPath) -> Self {
        self.path = Some(path.clone());
        self
    }

    /// Points at a place in `text`, the whole content of the file.
    #[must_use]
    pub fn span(mut self, span: Span, text: &str) -> Self {
        self.excerpt = excerpt(text, span.line);
        self.span = Some(span);
        self
    }

    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `path:line:column`, as far as it is known.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.path, self.span) {
            (Some(path), Some(span)) => format!("{path}:{}:{}", span.line, span.column),
            (Some(path), None) => path.to_string(),
            _ => String::new(),
        }
    }
}

/// Longest excerpt, in characters.
const EXCERPT: usize = 400;

/// Line `line` of `text`, unless it is too long, has control characters or seems to hold a secret.
fn excerpt(text: &str, line: u32) -> Option<String> {
    let line = text.lines().nth(line.checked_sub(1)? as usize)?;
    // A file may be one long line with a problem in each word.
    if line.len() > 4 * EXCERPT {
        return None;
    }
    let secret = ["password", "passwd", "secret", "token", "apikey", "api_key", "private", "://"];
    let lower = line.to_ascii_lowercase();
    let hidden = secret.iter().any(|word| lower.contains(word)) && line.contains([':', '=']);
    let odd = line.chars().any(|c| c.is_control() && c != '\t') || line.chars().count() > EXCERPT;
    (!hidden && !odd).then(|| line.to_owned())
}

impl fmt::Display for Diagnostic {
    /// One line: `error[field/unknown] hosts/a.yaml:3:1: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]", self.code)?;
        if self.path.is_some() {
            write!(f, " {}", self.place())?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What a loop does after an error: decided by kind, never by the text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Passing: wait, then do the same again.
    Retry,
    /// The world moved: read it again, then redo the work on top.
    Refresh,
    /// Somebody has to change something first.
    Fix,
}
