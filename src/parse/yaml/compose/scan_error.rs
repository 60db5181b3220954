//! Errors of the YAML parser → titan's codes.

use granit_parser::{ErrorKind as Kind, ScanError};

use super::super::Problem;
use super::super::encoding::to_u32;
use crate::model::Span;

pub(super) fn problem(error: &ScanError, text: &str) -> Problem {
    let marker = error.marker();
    let tab = indenting_tab(text, marker.line());
    let code = code(error.kind(), tab.is_some());
    let column = match tab {
        Some(column) if code == "yaml/tab" => column,
        _ => marker.col() + 1,
    };
    let span = Span { line: to_u32(marker.line().max(1)), column: to_u32(column), length: 1 };
    let problem = Problem::new(code, span, message(code, error.kind()));
    match code {
        "yaml/tab" => problem.fix("indent with spaces"),
        "yaml/utf8" => problem.fix("write the character itself, or its whole escape"),
        "yaml/depth" => problem.fix("flatten the object"),
        "yaml/multidoc" => problem.fix("write one object into each file"),
        "yaml/tag" => problem.fix("remove the tag"),
        _ => problem,
    }
}

fn message(code: &str, kind: &Kind) -> String {
    match code {
        "yaml/tab" => "a tab where only spaces may stand".to_owned(),
        "yaml/utf8" => "an escape that stands for no character".to_owned(),
        "yaml/depth" => "lists and maps are nested too deep".to_owned(),
        "yaml/multidoc" => "text behind the end of the document".to_owned(),
        "yaml/tag" => "tags are not allowed".to_owned(),
        _ => kind.to_string(),
    }
}

fn code(kind: &Kind, tab_indent: bool) -> &'static str {
    match kind {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => "yaml/tab",
        Kind::InvalidLowSurrogateHexEscape
        | Kind::InvalidLowSurrogate
        | Kind::MissingLowSurrogate
        | Kind::UnpairedLowSurrogate
        | Kind::InvalidUnicodeEscape => "yaml/utf8",
        Kind::RecursionLimitExceeded => "yaml/depth",
        Kind::AnchorCountOverflow => "yaml/budget",
        Kind::UnknownAnchor | Kind::MissingAnchorOrAliasName => "yaml/alias",
        Kind::BomInsideDocument => "yaml/char",
        Kind::InvalidDocumentEnd | Kind::MissingDocumentEndBeforeDirective => "yaml/multidoc",
        Kind::UndeclaredTagHandle
        | Kind::DuplicateTagDirective
        | Kind::ExpectedTagBang
        | Kind::ExpectedTagDirectiveBang
        | Kind::InvalidGlobalTagCharacter
        | Kind::InvalidTagDirectiveTerminator
        | Kind::InvalidTagTerminator
        | Kind::MissingTagUri
        | Kind::UnclosedVerbatimTag
        | Kind::InvalidTagEscape
        | Kind::InvalidTagUtf8LeadingByte
        | Kind::InvalidTagUtf8TrailingByte
        | Kind::InvalidTagUtf8 => "yaml/tag",
        _ if tab_indent => "yaml/tab",
        _ => "yaml/syntax",
    }
}

/// The column of a tab in the indentation of a line, which the parser may only notice by what follows.
fn indenting_tab(text: &str, line: usize) -> Option<usize> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    line[..indent].find('\t').map(|spaces| spaces + 1)
}
