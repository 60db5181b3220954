//! What Tera says → diagnostics that point into the file that people wrote.

use std::collections::BTreeMap;

use tera::{Error, ErrorKind, ReportError};

use super::compile::Compiled;
use super::source::Source;
use crate::model::nearest::nearest;
use crate::model::{AssignmentRef, Diagnostic, Limits};

type Sources = BTreeMap<String, Source>;

/// The file that cannot be parsed, and why; `None`: the error is of another kind.
pub(super) fn syntax(error: &Error, sources: &Sources) -> Option<(String, Diagnostic)> {
    let ErrorKind::SyntaxError(report) = error.kind() else { return None };
    let diagnostic = Diagnostic::error("template/syntax", lower_first(report.message()));
    Some((report.filename().to_owned(), pointing(diagnostic, report, sources)))
}

/// Everything else that is wrong when templates are put together.
pub(super) fn loading(
    error: &Error,
    sources: &Sources,
    metered: &BTreeMap<&str, String>,
) -> Vec<Diagnostic> {
    match error.kind() {
        // `nesting` has found these before; this is in case that Tera sees what it does not.
        ErrorKind::CircularInclude { .. } | ErrorKind::CircularExtend { .. } => {
            vec![Diagnostic::error("template/cycle", "the template uses itself")]
        }
        ErrorKind::MissingParent { current, parent } => {
            let message = format!("`{parent}` is not a file of this template");
            let problem = Diagnostic::error("template/unknown", message);
            vec![nearest_file(at_name(problem, current, parent, sources), parent, sources)]
        }
        _ => reports(&error.to_string(), sources, metered),
    }
}

/// Points at the place where file `current` names `other`.
fn at_name(problem: Diagnostic, current: &str, other: &str, sources: &Sources) -> Diagnostic {
    let Some(source) = sources.get(current) else { return problem };
    let problem = problem.at(&source.path);
    let quoted = ['"', '\'', '`'].map(|quote| format!("{quote}{other}{quote}"));
    match quoted.iter().find_map(|name| source.text.find(name.as_str())) {
        Some(at) => problem.span(source.span(at..at + other.len() + 2), &source.text),
        None => problem,
    }
}

/// Tera's own reports about unknown names: it gives them as one text alone, each as
/// `error: <message>` and `--> <file>:<line>:<column>` on lines of their own.
fn reports(text: &str, sources: &Sources, metered: &BTreeMap<&str, String>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(message) = line.strip_prefix("error: ") else { continue };
        let place = lines.peek().and_then(|line| line.trim_start().strip_prefix("--> "));
        let place = place.and_then(|place| place_of(place, sources, metered));
        problems.push(unknown(message, place, sources));
    }
    if problems.is_empty() {
        problems.push(Diagnostic::error("template/syntax", lower_first(text)));
    }
    problems
}

/// The source and offset that `<file>:<line>:<column>` of the metered text means.
fn place_of<'a>(
    place: &str,
    sources: &'a Sources,
    metered: &BTreeMap<&str, String>,
) -> Option<(&'a Source, usize)> {
    let (rest, column) = place.rsplit_once(':')?;
    let (name, line) = rest.rsplit_once(':')?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let text = metered.get(name)?;
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let within: usize =
        text[start..].chars().take(column.checked_sub(1)?).map(char::len_utf8).sum();
    let source = sources.get(name)?;
    Some((source, source.original(start + within)))
}

/// A name that does not exist: a filter, test, function, component, block or file.
fn unknown(message: &str, place: Option<(&Source, usize)>, sources: &Sources) -> Diagnostic {
    let name = message.split('`').nth(1).unwrap_or_default();
    let about_file = message.starts_with("Unknown template");
    let code = if message.starts_with("Unknown") { "template/unknown" } else { "template/syntax" };
    let text = if about_file {
        format!("`{name}` is not a file of this template")
    } else {
        lower_first(message)
    };
    let mut problem = Diagnostic::error(code, text);
    if let Some((source, at)) = place {
        let length = source.text[at..].find(name).map_or(1, |start| start + name.len());
        problem = problem.at(&source.path).span(source.span(at..at + length), &source.text);
    }
    if about_file {
        return nearest_file(problem, name, sources);
    }
    match name {
        "get_env" | "now" | "get_random" | "random" | "uuid" | "load_file" | "read_file" => problem
            .fix("pass it in as a value: templates know no environment, clock, chance or files"),
        _ => problem,
    }
}

fn nearest_file(problem: Diagnostic, name: &str, sources: &Sources) -> Diagnostic {
    match nearest(name, sources.keys().map(String::as_str)) {
        Some(near) => problem.fix(format!("did you mean `{near}`?")),
        None => problem.fix("name a file by its path below `files/`, suffix included"),
    }
}

/// Why one file could not be rendered for one assignment.
pub(super) fn rendering(
    error: &Error,
    name: &str,
    compiled: &Compiled,
    assignment: &AssignmentRef,
    limits: &Limits,
) -> Diagnostic {
    let sources = &compiled.sources;
    let file = |problem: Diagnostic| match sources.get(name) {
        Some(source) => problem.at(&source.path),
        None => problem,
    };
    if compiled.fuel.is_empty() {
        let time = limits.render_time;
        let message =
            format!("loops go on for too long (`limits.renderTime` is {time}) for {assignment}");
        let problem = Diagnostic::error("render/timeout", message).fix("loop over less");
        return match error.kind() {
            ErrorKind::RenderingError(report) => pointing(problem, report, sources),
            _ => file(problem),
        };
    }
    match error.kind() {
        ErrorKind::RenderingError(report) if compiled.fuel.has_thrown() => {
            let message = format!("the template refuses: {} ({assignment})", report.message());
            pointing(Diagnostic::error("render/throw", message), report, sources)
        }
        ErrorKind::RenderingError(report) if is_undefined(report.message()) => {
            undefined(report, sources, assignment)
        }
        ErrorKind::RenderingError(report) => {
            let mut problem = pointing(Diagnostic::error("render/type", ""), report, sources);
            let message = without_values(report.message(), problem.excerpt.as_deref());
            problem.message = format!("{} ({assignment})", lower_first(&message));
            problem
        }
        ErrorKind::Io(_) => {
            let limit = limits.manifest_size;
            let message = format!("the manifest is larger than {limit} for {assignment}");
            file(Diagnostic::error("render/size", message))
                .fix("split it, or raise `limits.manifestSize`")
        }
        ErrorKind::Msg(message) if message.contains("recursion depth") => {
            let message = format!("a component calls itself without end ({assignment})");
            file(Diagnostic::error("template/cycle", message))
        }
        _ => file(Diagnostic::error(
            "render/type",
            format!("{} ({assignment})", lower_first(&error.to_string())),
        )),
    }
}

fn is_undefined(message: &str) -> bool {
    message.contains("undefined") || message.contains("is not defined")
}

/// Names the whole path of the variable, not only the part that Tera points at.
fn undefined(report: &ReportError, sources: &Sources, assignment: &AssignmentRef) -> Diagnostic {
    let problem = Diagnostic::error("render/undefined", "");
    let Some(source) = sources.get(report.filename()) else { return problem };
    let range = place(report, source);
    let name = source.text[range.clone()].trim();
    let shown = if name.is_empty()
        || name.starts_with(['{', '['])
        || name.contains('\n')
        || name.chars().count() > 80
    {
        "a value".to_owned()
    } else {
        format!("`{name}`")
    };
    let mut problem = problem.at(&source.path).span(source.span(range.clone()), &source.text);
    problem.message = format!("{shown} is not defined for {assignment}");
    let last = name.rsplit('.').next().unwrap_or(name);
    let known = report.message().split_once("Available fields: ").map_or("", |(_, known)| known);
    match nearest(last, known.split(", ").filter(|known| *known != last)) {
        Some(near) => problem.fix(format!("did you mean `{near}`?")),
        None if name.starts_with("values.") => {
            problem.fix("give it in the deployment's `values`, or in the template's `defaults`")
        }
        None => problem.fix(
            "templates know `values`, `host`, `workspace`, `workload` and `deployment`; \
             `| default(value=…)` stands in for what may be absent",
        ),
    }
}

/// What a report points at, in the text that people wrote. Tera often names one part of a path, such as
/// the `values` of `values.a.b`; the whole of it is meant.
fn place(report: &ReportError, source: &Source) -> std::ops::Range<usize> {
    let path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '?');
    let range = &report.span().range;
    let (start, end) = (source.original(range.start), source.original(range.end));
    let (text, end) = (source.text.as_str(), end.max(start));
    if !text.is_char_boundary(start) || !text.is_char_boundary(end) {
        return start..end;
    }
    let part = &text[start..end];
    if !part.chars().all(path) {
        // Of `a[b]` Tera leaves out the closing bracket.
        let open = part.matches('[').count() > part.matches(']').count();
        return start..end + usize::from(open && text[end..].starts_with(']'));
    }
    let start = text[..start]
        .rfind(|c| !path(c))
        .map_or(0, |before| before + text[before..].chars().next().map_or(0, char::len_utf8));
    // Where a field is missing, what follows it is not to blame.
    let exact = report.message().starts_with("Field") || report.message().starts_with("Variable");
    let rest = if exact { 0 } else { text[end..].find(|c| !path(c)).unwrap_or(text.len() - end) };
    start..end + rest
}

/// Points at what a report of Tera's points at.
fn pointing(problem: Diagnostic, report: &ReportError, sources: &Sources) -> Diagnostic {
    let Some(source) = sources.get(report.filename()) else { return problem };
    let span = source.span(place(report, source));
    problem.at(&source.path).span(span, &source.text)
}

/// Tera's message, with what it quotes left out where that may come from a value: values can be
/// secret, types and what stands in the template's line cannot.
fn without_values(message: &str, line: Option<&str>) -> String {
    const TYPES: &str = "undefined none bool u64 i64 f64 u128 i128 array bytes string map/struct \
                         array, map or string usize integer number + int float";
    let known = |text: &str| TYPES.contains(text) || line.is_some_and(|line| line.contains(text));
    let parts = message.split('`').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 1 && !known(part) { "…" } else { part });
    parts.collect::<Vec<_>>().join("`")
}

/// Messages are lower-case fragments without a full stop.
fn lower_first(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
