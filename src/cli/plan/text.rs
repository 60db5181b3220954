//! A plan for a terminal. Colours are left out by the writer where nobody would see them.

use anstyle::{AnsiColor, Style};

use super::Report;
use super::story::{self, Line, Names, Sign, visible};
use crate::cli::diagnostics;
use crate::plan::preview::Group;

const GONE: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();
const OTHER: Style = AnsiColor::Yellow.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();
const PLAIN: Style = Style::new();
const TITLE: Style = Style::new().bold();

/// How many hosts of a list are named.
const NAMES: Names = Names(5);

/// The whole plan; with `all`, every host by its name.
pub(super) fn text(report: &Report, all: bool) -> String {
    let names = if all { Names(usize::MAX) } else { NAMES };
    let mut text = title(report);
    if report.is_quiet() {
        return text + "\nnothing changes\n";
    }
    let mut removals = story::removals(report, names);
    removals.extend(story::guard(report));
    section(&mut text, "removals", &removals);
    section(&mut text, "held", &story::held(report, names));
    let problems = diagnostics::render(&report.preview.diagnostics, true);
    if !problems.is_empty() {
        heading(&mut text, "new problems");
        text += &problems;
    }
    section(&mut text, "placement", &story::placement(report, names));
    if !report.preview.groups.is_empty() {
        heading(&mut text, "files");
    }
    for (index, one) in report.preview.groups.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        group(&mut text, one, names, all || story::is_shown(report, one));
    }
    if report.preview.omitted > 0 {
        let omitted = story::number(report.preview.omitted);
        text += &format!("\n{omitted} more changes of files are too different to be shown\n");
    }
    text + &summary(report)
}

fn title(report: &Report) -> String {
    let point = |point: &super::Point| match point.title() {
        (name, Some(short)) => format!("{} ({short})", visible(&name)),
        (name, None) => visible(&name),
    };
    let (base, head) = (point(&report.base), point(&report.head));
    format!("{TITLE}plan{TITLE:#}  {base} → {head}\n")
}

fn style(sign: Sign) -> Style {
    match sign {
        Sign::Gone => GONE,
        Sign::New => NEW,
        Sign::Other => OTHER,
        Sign::Known => PLAIN,
    }
}

fn heading(text: &mut String, title: &str) {
    text.push_str(&format!("\n{TITLE}{title}{TITLE:#}\n"));
}

fn section(text: &mut String, title: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    heading(text, title);
    for line in lines {
        let style = style(line.sign);
        text.push_str(&format!("{style}{} {}{style:#}\n", line.sign.char(), line.text));
    }
}

fn group(text: &mut String, group: &Group, names: Names, shown: bool) {
    let (extent, headline) = (story::extent(group), story::headline(group));
    text.push_str(&format!("{TITLE}{extent}: {headline}{TITLE:#}\n"));
    let [deployments, file, hosts] = story::place(group, names);
    text.push_str(&format!("  {deployments}  {file}\n  {hosts}\n"));
    if !shown {
        return;
    }
    if let Some(example) = story::example(group) {
        text.push_str(&format!("  ({example})\n"));
    }
    for line in visible(&group.diff).lines() {
        let style = match line.chars().next() {
            Some('-') => GONE,
            Some('+') => NEW,
            Some('@') => PLACE,
            _ => PLAIN,
        };
        text.push_str(&format!("  {style}{line}{style:#}\n"));
    }
}

fn summary(report: &Report) -> String {
    let parts = story::summary(report).into_iter().map(|line| {
        let style = style(line.sign);
        format!("{style}{}{style:#}", line.text)
    });
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => "\nno assignment changes\n".to_owned(),
        false => format!("\n{}\n", parts.join(", ")),
    }
}
