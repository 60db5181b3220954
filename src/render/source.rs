//! One file of a template that Tera reads, and the way back from Tera's places to what people wrote.

use std::ops::Range;

use super::scan::{self, Found};
use crate::model::{RepoPath, Span};

/// One file of a template that Tera reads.
#[derive(Debug)]
pub(super) struct Source {
    /// Where the file lies in the config branch.
    pub(super) path: RepoPath,
    /// As people wrote it.
    pub(super) text: String,
    /// Every file and component that it uses.
    pub(super) uses: Vec<Use>,
    /// How deep its blocks are nested.
    pub(super) blocks: usize,
    /// What titan refuses although Tera would take it: where, and why.
    pub(super) refused: Option<(usize, Refused)>,
    /// Where something is inserted, in order.
    inserts: Vec<(usize, &'static str)>,
}

/// Something that a file includes, extends or calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The component in whose body this stands; `None`: the file's own.
    pub(super) by: Option<String>,
    pub(super) of: Node,
    pub(super) at: Range<usize>,
}

/// What can be used: a file by its path below `files/`, a component by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    File(String),
    Component(String),
}

/// Why titan refuses a template that Tera would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It uses `__tera_context`.
    Everything,
    /// It has more `elif` than the stack can bear.
    Branches,
}

impl Source {
    pub(super) fn new(path: &RepoPath, text: &str) -> Self {
        let Found { inserts, uses, blocks, refused } = scan::scan(text);
        Self { path: path.clone(), text: text.to_owned(), uses, blocks, refused, inserts }
    }

    /// The text for Tera.
    pub(super) fn metered(&self) -> String {
        let mut text = String::with_capacity(self.text.len() + 16 * self.inserts.len());
        let mut from = 0;
        for (at, insert) in &self.inserts {
            text.push_str(&self.text[from..*at]);
            text.push_str(insert);
            from = *at;
        }
        text.push_str(&self.text[from..]);
        text
    }

    /// Where an offset of the metered text lies in the text that people wrote.
    pub(super) fn original(&self, offset: usize) -> usize {
        let mut shift = 0;
        for (at, insert) in &self.inserts {
            if offset < at + shift {
                break;
            }
            if offset < at + shift + insert.len() {
                return *at;
            }
            shift += insert.len();
        }
        (offset - shift).min(self.text.len())
    }

    /// The span of a range of bytes, cut off at the end of its first line.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let start = floor(&self.text, range.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = floor(&self.text, range.end.clamp(start, line_end));
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Span {
            line: number(before.matches('\n').count() + 1),
            column: number(before[line_start..].chars().count() + 1),
            length: number(self.text[start..end].chars().count().max(1)),
        }
    }
}

/// The nearest boundary of characters at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
