//! Paths inside a Git tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::serde_as_text;

/// A relative path inside a Git tree: segments joined by `/`, none of them empty, `.`, `..` or a
/// spelling of `.git`; no control characters, backslashes or colons. Safe to join to a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Box<str>);

/// Why a text is not a [`RepoPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("a path may not be empty")]
    Empty,
    #[error("a path has at most {} bytes", RepoPath::MAX)]
    TooLong,
    #[error("a path must be relative and without empty, `.` or `..` parts")]
    Escape,
    #[error("`{}` may not stand in a path", .0.escape_default())]
    Character(char),
    #[error("`{}` belongs to Git itself", .0.escape_default())]
    Git(String),
}

impl RepoPath {
    /// Longest path, in bytes.
    pub const MAX: usize = 1024;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(PathError::TooLong);
        }
        let bad = |c: &char| c.is_control() || matches!(c, '\\' | ':') || is_invisible(*c);
        if let Some(bad) = text.chars().find(bad) {
            return Err(PathError::Character(bad));
        }
        for segment in text.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(PathError::Escape);
            }
            if is_git_directory(segment) {
                return Err(PathError::Git(segment.to_owned()));
            }
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that it lies in; `None`: the root.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// This path below `self`.
    ///
    /// # Errors
    /// As [`RepoPath::new`] for the joined path.
    pub fn join(&self, below: &str) -> Result<Self, PathError> {
        Self::new(&format!("{self}/{below}"))
    }

    /// What remains behind the folder `prefix`.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Option<&str> {
        self.0.strip_prefix(prefix)?.strip_prefix('/')
    }
}

/// Characters that HFS+ ignores in names, so that `.g\u{200c}it` is `.git` there.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a segment is `.git` to any file system: NTFS also takes `git~1`, and drops trailing dots and spaces.
fn is_git_directory(segment: &str) -> bool {
    let trimmed = segment.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    trimmed == ".git" || trimmed == "git~1"
}

impl std::borrow::Borrow<str> for RepoPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RepoPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}
serde_as_text!(RepoPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_git_directories_are_refused() {
        for bad in [
            "",
            "/abs",
            "a//b",
            "a/",
            "../x",
            "a/../b",
            "./a",
            ".git/hooks",
            "a/.GIT/x",
            "git~1",
            ".git ",
            "a\0b",
            "a\\b",
            "C:/x",
            "a\nb",
            ".g\u{200c}it",
        ] {
            assert!(RepoPath::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", ".titan", ".gitignore", "hosts/eu/tim-pi.yaml", "a b", "grün.txt"] {
            assert!(RepoPath::new(good).is_ok(), "{good:?}");
        }
    }
}
