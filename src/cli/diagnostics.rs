//! Diagnostics as a compiler shows them: the line, a caret, the fix.

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};

use super::table::counted;
use crate::model::{Diagnostic, Severity, Span};

/// All diagnostics, each with its place, and a line that counts them. Empty where there are none.
pub(crate) fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&one(diagnostic, &renderer));
        text.push_str("\n\n");
    }
    text.push_str(&summary(diagnostics));
    text.push('\n');
    text
}

/// `2 errors, 1 warning`.
pub(crate) fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let count = |count: usize, what: &str| (count > 0).then(|| counted(count, what));
    let parts = [count(errors, "error"), count(diagnostics.len() - errors, "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.as_str())
        .elements(place(diagnostic));
    if let Some(fix) = &diagnostic.fix {
        group = group.element(Level::HELP.message(fix.as_str()));
    }
    renderer.render(&[group])
}

/// The line with a caret, or the bare place where there is no line to show.
fn place(diagnostic: &Diagnostic) -> Option<Element<'_>> {
    let path = diagnostic.path.as_ref()?.as_str();
    Some(match (diagnostic.span, &diagnostic.excerpt) {
        (Some(span), Some(line)) => Snippet::source(line.as_str())
            .line_start(span.line as usize)
            .path(path)
            .annotation(AnnotationKind::Primary.span(bytes(line, span)))
            .into(),
        (Some(span), None) => {
            Origin::path(path).line(span.line as usize).char_column(span.column as usize).into()
        }
        (None, _) => Origin::path(path).into(),
    })
}

/// A span counts characters, a snippet bytes.
fn bytes(line: &str, span: Span) -> std::ops::Range<usize> {
    let byte = |characters: usize| {
        line.char_indices().nth(characters).map_or(line.len(), |(index, _)| index)
    };
    let start = span.column.saturating_sub(1) as usize;
    byte(start)..byte(start + span.length.max(1) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RepoPath;

    fn sample() -> Vec<Diagnostic> {
        let path = RepoPath::new("hosts/a.yaml").expect("a path");
        let span = Span { line: 2, column: 5, length: 8 };
        vec![
            Diagnostic::error("field/unknown", "`cordoend` is not a field of `spec`")
                .at(&path)
                .span(span, "spec:\n  ä cordoend: true\n")
                .fix("write `cordoned`"),
            Diagnostic::error("yaml/utf8", "the file is not UTF-8 from here on")
                .at(&path)
                .span(Span { line: 7, column: 3, length: 1 }, ""),
            Diagnostic::warning("layout/unknown-path", "titan reads nothing in this place")
                .at(&path)
                .fix("move it"),
            Diagnostic::error("object/limit", "there are 2 hosts, more than 1"),
        ]
    }

    #[test]
    fn they_look_like_a_compiler_s() {
        let lines: Vec<String> =
            render(&sample(), false).lines().map(|line| line.trim_end().to_owned()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        error[field/unknown]: `cordoend` is not a field of `spec`
         --> hosts/a.yaml:2:5
          |
        2 |   ä cordoend: true
          |     ^^^^^^^^
          |
          = help: write `cordoned`

        error[yaml/utf8]: the file is not UTF-8 from here on
        --> hosts/a.yaml:7:3

        warning[layout/unknown-path]: titan reads nothing in this place
        --> hosts/a.yaml
         = help: move it

        error[object/limit]: there are 2 hosts, more than 1

        3 errors, 1 warning
        ");
    }

    #[test]
    fn colours_are_a_choice() {
        assert!(render(&sample(), true).contains('\u{1b}'));
        assert!(!render(&sample(), false).contains('\u{1b}'));
        assert_eq!(render(&[], true), "");
    }

    #[test]
    fn spans_beyond_the_line_end_with_it() {
        let span = Span { line: 1, column: 9, length: 9 };
        assert_eq!(bytes("short", span), 5..5);
    }
}
