//! A plan as a comment on a pull request.
//!
//! GitHub takes 65,536 characters, so what matters most comes first and everything has a bound; what
//! has no room is counted, and stands in the file of `--full`. Whatever comes from the repository
//! stands in code, where it can neither format, nor link, nor mention anybody.

use std::path::Path;

use super::Report;
use super::story::{self, Line, Names, visible};
use crate::cli::diagnostics;
use crate::plan::preview::Group;

/// By which a job finds the comment that it wrote before.
const MARK: &str = "<!-- titan plan -->";

/// GitHub's limit is 65,536 characters; a character has one byte at least.
const COMMENT: usize = 65_000;

/// Kept free for the last lines.
const FOOTER: usize = 1000;

/// How much is shown of what.
struct Bounds {
    /// Bytes of the whole.
    all: usize,
    /// Bytes of one section that is not files.
    section: usize,
    /// Bytes that are kept for a list of changes without their difference.
    list: usize,
    /// Bytes of one difference.
    diff: usize,
    /// Bytes of one line.
    line: usize,
    names: Names,
}

/// For a comment. `rest` is the file where all of it is.
pub(super) fn comment(report: &Report, rest: Option<&Path>) -> String {
    let bounds = Bounds {
        all: COMMENT - FOOTER,
        section: 9000,
        list: 9000,
        diff: 6000,
        line: 400,
        names: Names(5),
    };
    let (mut text, left) = write(report, &bounds);
    if left > 0 {
        let changes = story::count(left, "more change");
        text += &match rest.map(|file| code(&cut(&file.display().to_string(), 200))) {
            Some(file) => {
                format!("\n{changes} of files had no room here: all of them are in {file}.\n")
            }
            None => format!(
                "\n{changes} of files had no room here: `titan plan --full FILE` writes all of them.\n"
            ),
        };
    } else if let Some(file) = rest {
        text +=
            &format!("\nEvery host by name: {}.\n", code(&cut(&file.display().to_string(), 200)));
    }
    text
}

/// Without any limit.
pub(super) fn whole(report: &Report) -> String {
    let max = usize::MAX;
    write(
        report,
        &Bounds { all: max, section: max, list: 0, diff: max, line: max, names: Names(max) },
    )
    .0
}

/// The text, and how many groups of changes have no room in it.
fn write(report: &Report, bounds: &Bounds) -> (String, usize) {
    let mut text = title(report);
    if report.is_quiet() {
        return (text + "\nNothing changes.\n", 0);
    }
    let mut removals = story::removals(report, bounds.names);
    // It must not be what has no room.
    removals.splice(0..0, story::guard(report));
    section(&mut text, "Removals", &removals, bounds);
    if let Some(trailer) = &report.removals.trailer {
        text += &format!("\nThe merge commit lets them go with the trailer {}.\n", code(trailer));
    }
    section(&mut text, "Held", &story::held(report, bounds.names), bounds);
    problems(&mut text, report, bounds);
    section(&mut text, "Placement", &story::placement(report, bounds.names), bounds);
    let left = groups(&mut text, report, bounds);
    (text, left)
}

fn title(report: &Report) -> String {
    let point = |point: &super::Point| match point.title() {
        (name, Some(short)) => format!("{} ({})", code(&cut(&name, 200)), code(&short)),
        (name, None) => code(&cut(&name, 200)),
    };
    let (base, head) = (point(&report.base), point(&report.head));
    let parts: Vec<String> = story::summary(report).into_iter().map(|line| line.text).collect();
    let summary = match parts.is_empty() {
        true => "no assignment changes".to_owned(),
        false => parts.join(", "),
    };
    format!("{MARK}\n### titan plan: {base} → {head}\n\n**{summary}**\n")
}

fn section(text: &mut String, title: &str, lines: &[Line], bounds: &Bounds) {
    if lines.is_empty() {
        return;
    }
    let mut body = String::new();
    let mut left = lines.len();
    for line in lines {
        let line = format!("{} {}\n", line.sign.char(), cut(&line.text, bounds.line));
        if body.len() + line.len() > bounds.section {
            break;
        }
        body += &line;
        left -= 1;
    }
    if left > 0 {
        body += &format!("# and {} more\n", story::number(left));
    }
    *text += &format!("\n#### {title}\n{}", fence("diff", &body));
}

fn problems(text: &mut String, report: &Report, bounds: &Bounds) {
    let found = &report.preview.diagnostics;
    if found.is_empty() {
        return;
    }
    let mut shown = found.len();
    let mut body = visible(&diagnostics::render(found, false));
    while body.len() > bounds.section && shown > 1 {
        shown /= 2;
        body = visible(&diagnostics::render(&found[..shown], false));
    }
    let body = cut(&body, bounds.section);
    let more = match found.len() - shown {
        0 => String::new(),
        rest => format!("\nand {} more\n", story::number(rest)),
    };
    let summary = diagnostics::summary(found);
    *text += &format!("\n#### New problems: {summary}\n{}{more}", fence("text", &body));
}

/// Groups with their differences; then, in a list, those that have no room for them; and how many
/// there are beyond.
fn groups(text: &mut String, report: &Report, bounds: &Bounds) -> usize {
    let groups = &report.preview.groups;
    if groups.is_empty() {
        return 0;
    }
    *text += "\n#### Files\n";
    let few = groups.len() <= 3;
    let mut left = report.preview.omitted;
    let mut listed = false;
    let room = bounds.all - bounds.list;
    for group in groups {
        let whole = details(report, group, bounds, few);
        if !listed && text.len() + whole.len() <= room {
            *text += &whole;
            continue;
        }
        let line = format!("- {}: {}\n", story::extent(group), code(&short(group, bounds)));
        let head = if listed { "" } else { "\n" };
        if text.len() + head.len() + line.len() <= bounds.all {
            listed = true;
            *text += head;
            *text += &line;
        } else {
            left += 1;
        }
    }
    left
}

fn short(group: &Group, bounds: &Bounds) -> String {
    let [deployments, file, _] = story::place(group, Names(1));
    cut(&format!("{deployments} {file}: {}", story::headline(group)), bounds.line)
}

fn details(report: &Report, group: &Group, bounds: &Bounds, open: bool) -> String {
    let open = if open { " open" } else { "" };
    let headline = escape(&cut(&story::headline(group), bounds.line));
    let extent = story::extent(group);
    let [deployments, file, hosts] = story::place(group, bounds.names);
    let [deployments, file] = [deployments, file].map(|part| code(&cut(&part, bounds.line)));
    let mut text = format!(
        "\n<details{open}><summary><b>{extent}</b>: <code>{headline}</code></summary>\n\n{deployments} · {file}\n\n{}\n",
        code(&hosts)
    );
    if bounds.all == usize::MAX || story::is_shown(report, group) {
        if let Some(example) = story::example(group) {
            text += &format!("\nThis is {example}:\n");
        }
        text += &fence("diff", &lines(&visible(&group.diff), bounds.diff));
    }
    text + "\n</details>\n"
}

/// Whole lines, as many as fit.
fn lines(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    let end = text[..end].rfind('\n').map_or(end, |end| end + 1);
    let rest = text[end..].lines().count();
    format!("{}\n# and {}\n", text[..end].trim_end_matches('\n'), story::count(rest, "more line"))
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

/// A block that its content cannot end.
fn fence(kind: &str, body: &str) -> String {
    let fence = "`".repeat(longest_run(body).max(2) + 1);
    let end = if body.ends_with('\n') { "" } else { "\n" };
    format!("\n{fence}{kind}\n{body}{end}{fence}\n")
}

/// Code within a line.
fn code(text: &str) -> String {
    let text = visible(text).replace(['\n', '\t'], " ");
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.contains('`') || text.starts_with(' ') || text.is_empty() { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// For what stands in HTML.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace(['\n', '\t'], " ").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("main"), "`main`");
        assert_eq!(code("a``b"), "``` a``b ```");
        assert_eq!(code("a\n@b"), "`a @b`");
        assert_eq!(fence("diff", "+ ```\n"), "\n````diff\n+ ```\n````\n");
        assert_eq!(escape("</code>&@all"), "&lt;/code&gt;&amp;@all");
    }

    #[test]
    fn what_is_too_long_ends_with_a_word_about_it() {
        assert_eq!(lines("+a\n+b\n+c\n", 7), "+a\n+b\n# and 1 more line\n");
        assert_eq!(cut("ää", 3), "ä…");
    }
}
