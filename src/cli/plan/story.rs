//! What a plan says, sentence by sentence, for every form of output.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::cli::table::counted;
use crate::model::{DeploymentRef, Name};
use crate::plan::preview::{DeploymentEffect, Group, HeldBack, Kind, Ruling, Transition};

/// One sentence, and what kind of thing it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sign: Sign,
    pub(super) text: String,
}

/// As in a difference, so that red is what goes and green is what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Gone,
    New,
    /// Something else that is worth a look.
    Other,
    /// Was so before.
    Known,
}

impl Sign {
    pub(super) fn char(self) -> char {
        match self {
            Self::Gone => '-',
            Self::New => '+',
            Self::Other => '!',
            Self::Known => ' ',
        }
    }
}

impl Line {
    fn new(sign: Sign, text: impl Into<String>) -> Self {
        Self { sign, text: visible(&text.into()).replace('\n', " ") }
    }
}

/// Writes names of hosts, at most so many of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names(pub(super) usize);

impl Names {
    /// `a, b and 1,282 more`.
    pub(super) fn of<'a>(self, names: impl IntoIterator<Item = &'a Name>) -> String {
        self.list(names.into_iter().map(Name::to_string))
    }

    pub(super) fn list(self, items: impl IntoIterator<Item = String>) -> String {
        let mut items = items.into_iter();
        let shown: Vec<String> = items.by_ref().take(self.0).collect();
        match items.count() {
            0 => shown.join(", "),
            rest => format!("{} and {} more", shown.join(", "), number(rest)),
        }
    }
}

/// `1,284`.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 host`, `1,284 hosts`.
pub(super) fn count(count: usize, what: &str) -> String {
    counted(number(count), what)
}

/// Text that does nothing to a terminal, and reads in the order in which it stands: control and
/// direction characters are spelled out.
pub(super) fn visible(text: &str) -> String {
    let odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(odd) {
        return text.to_owned();
    }
    let spell = |c: char| if odd(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(spell).collect()
}

/// All in one line, without the removals where there are none.
pub(super) fn summary(report: &Report) -> Vec<Line> {
    let (counts, hosts) = (&report.preview.counts, &report.preview.hosts);
    let mut parts = Vec::new();
    let mut add = |sign, number: usize, text: String| {
        if number > 0 {
            parts.push(Line::new(sign, text));
        }
    };
    let assignments = |number| count(number, "assignment");
    add(Sign::Gone, counts.removed, format!("{} removed", assignments(counts.removed)));
    add(Sign::Known, counts.changed, format!("{} changed", assignments(counts.changed)));
    add(Sign::New, counts.added, format!("{} added", assignments(counts.added)));
    let held: usize =
        report.preview.held.iter().filter(|one| !one.known).map(|one| one.assignments).sum();
    add(Sign::Other, held, format!("{} newly held", assignments(held)));
    for (sign, names, what) in [
        (Sign::Gone, hosts.removed.len(), "removed"),
        (Sign::Other, hosts.moved.len(), "moved"),
        (Sign::New, hosts.added.len(), "added"),
    ] {
        add(sign, names, format!("{} {what}", count(names, "host")));
    }
    parts
}

/// What goes, and what the guard says about it.
pub(super) fn removals(report: &Report, names: Names) -> Vec<Line> {
    let preview = &report.preview;
    let mut lines = Vec::new();
    let mut gone = |text: String| lines.push(Line::new(Sign::Gone, text));
    let removed = &preview.hosts.removed;
    let with: usize = removed.iter().map(|host| host.assignments).sum();
    match removed.len() {
        0 => {}
        1 => gone(format!(
            "host {} leaves the fleet, and {} with it",
            removed[0].name,
            count(with, "assignment")
        )),
        many => gone(format!(
            "{} leave the fleet, and {} with them: {}",
            count(many, "host"),
            count(with, "assignment"),
            names.of(removed.iter().map(|host| &host.name))
        )),
    }
    for host in preview.hosts.moved.iter().take(names.0) {
        gone(format!(
            "host {} moves from {} to {}: its old folder vanishes",
            host.name, host.from, host.to
        ));
    }
    if preview.hosts.moved.len() > names.0 {
        gone(format!("{} more hosts move", number(preview.hosts.moved.len() - names.0)));
    }
    for one in &preview.deployments {
        match (one.transition, one.lost.len()) {
            (Some(Transition::Removed), 0) => {
                gone(format!("{} is removed; it ran nowhere", one.deployment))
            }
            (Some(Transition::Removed), lost) => gone(format!(
                "{} is removed from {}: {}",
                one.deployment,
                count(lost, "host"),
                names.of(&one.lost)
            )),
            (_, 0) => {}
            (_, lost) => gone(format!(
                "{} leaves {} of {}: {}",
                one.deployment,
                number(lost),
                count(one.before, "host"),
                names.of(&one.lost)
            )),
        }
    }
    let mut emptied: BTreeMap<&DeploymentRef, BTreeSet<&Name>> = BTreeMap::new();
    for pair in &preview.emptied {
        emptied.entry(&pair.deployment).or_default().insert(&pair.host);
    }
    for (deployment, hosts) in emptied {
        let (many, hosts) = (count(hosts.len(), "host"), names.of(hosts));
        gone(format!("{deployment} renders to nothing any more on {many}: {hosts}"));
    }
    lines
}

/// What the guard says, and the trailer that changes its mind.
pub(super) fn guard(report: &Report) -> Option<Line> {
    let guard = &report.removals;
    let many = count(guard.removals, "removal");
    let of = format!("{} of {}", number(guard.removals), count(guard.of, "assignment"));
    match guard.ruling {
        Ruling::Nothing => None,
        Ruling::Within => {
            let text =
                format!("guard: {of} would be removed, {} may be: they go", number(guard.budget));
            Some(Line::new(Sign::Known, text))
        }
        Ruling::Allowed => {
            let text = format!(
                "guard: {of} would be removed, {} may be; the commit's trailer lets them go, and a merge needs it too",
                number(guard.budget)
            );
            Some(Line::new(Sign::Other, text))
        }
        Ruling::Held => {
            let reason = guard.reason.as_deref().unwrap_or_default();
            Some(Line::new(Sign::Other, format!("guard: {many} would be held: {reason}")))
        }
    }
}

/// What stays as it is because something is wrong, what is new first.
pub(super) fn held(report: &Report, names: Names) -> Vec<Line> {
    let line = |one: &HeldBack| {
        let stay = match (one.assignments, one.hosts.len()) {
            (0, _) => String::new(),
            (many, 0) => format!(" ({} kept)", count(many, "assignment")),
            (many, _) => format!(" on {}: {}", count(many, "host"), names.of(&one.hosts)),
        };
        let (sign, already) = match one.known {
            true => (Sign::Known, "already held: "),
            false => (Sign::Other, ""),
        };
        Line::new(sign, format!("{already}{}{stay}: {}", one.what, one.reason))
    };
    report.preview.held.iter().map(line).collect()
}

/// What comes and moves.
pub(super) fn placement(report: &Report, names: Names) -> Vec<Line> {
    let preview = &report.preview;
    let mut lines = Vec::new();
    let hosts = &preview.hosts;
    for (sign, of, one, many) in [
        (Sign::New, &hosts.added, "joins the fleet", "join the fleet"),
        (Sign::Other, &hosts.cordoned, "takes nothing new any more", "take nothing new any more"),
        (Sign::Other, &hosts.uncordoned, "takes something new again", "take something new again"),
    ] {
        match &of[..] {
            [] => {}
            [host] => lines.push(Line::new(sign, format!("host {host} {one}"))),
            _ => lines.push(Line::new(
                sign,
                format!("{} {many}: {}", count(of.len(), "host"), names.of(of)),
            )),
        }
    }
    for one in &preview.deployments {
        deployment(one, names, &mut lines);
    }
    lines
}

fn deployment(one: &DeploymentEffect, names: Names, lines: &mut Vec<Line>) {
    let id = &one.deployment;
    let mut say = |sign, text: String| lines.push(Line::new(sign, format!("{id} {text}")));
    let on = |hosts: &[Name]| format!("{}: {}", count(hosts.len(), "host"), names.of(hosts));
    match one.transition {
        Some(Transition::Added) if one.gained.is_empty() => say(Sign::New, "is new".to_owned()),
        Some(Transition::Added) => say(Sign::New, format!("is new, on {}", on(&one.gained))),
        _ if one.gained.is_empty() => {}
        _ => say(Sign::New, format!("comes to {}", on(&one.gained))),
    }
    if !one.moved.is_empty() {
        let moves = one.moved.iter().map(|one| format!("{} → {}", one.from, one.to));
        say(Sign::Other, format!("moves: {}", names.list(moves)));
    }
    match one.transition {
        Some(Transition::Suspended) => {
            say(Sign::Other, format!("is suspended: kept on {}", count(one.after, "host")));
        }
        Some(Transition::Resumed) => say(Sign::Other, "is no longer suspended".to_owned()),
        Some(Transition::Released) => say(Sign::New, "is no longer held".to_owned()),
        _ => {}
    }
    if let Some(lacking) = &one.lacking {
        let places = match (lacking.placed, lacking.wanted) {
            (0, _) => "runs nowhere".to_owned(),
            (placed, Some(wanted)) => format!("gets {placed} of {wanted} hosts"),
            (placed, None) => format!("gets {placed} hosts"),
        };
        say(Sign::Other, format!("{places}: {}", lacking.reason));
    }
}

/// On how many hosts a group of changes is.
pub(super) fn extent(group: &Group) -> String {
    let hosts = count(group.hosts, "host");
    if group.assignments == group.hosts {
        return hosts;
    }
    let deployments = count(group.deployments.len(), "deployment");
    format!("{hosts} ({} of {deployments})", count(group.assignments, "assignment"))
}

/// What a group of changes is.
pub(super) fn headline(group: &Group) -> String {
    let (added, removed) = (group.added_lines, group.removed_lines);
    match (group.kind, &group.summary) {
        (_, Some(summary)) => visible(summary),
        (Kind::Changed, None) => format!("+{} −{} lines", number(added), number(removed)),
        (Kind::Removed, None) => format!("the file goes, {}", count(removed, "line")),
        (Kind::Added, None) => format!("a new file, {}", count(added, "line")),
        (Kind::New, None) => format!("new there, {}", count(added, "line")),
    }
}

/// Of which deployments, which file, and where.
pub(super) fn place(group: &Group, names: Names) -> [String; 3] {
    let deployments = names.list(group.deployments.keys().map(ToString::to_string));
    let hosts: BTreeSet<&Name> = group.deployments.values().flatten().collect();
    [deployments, visible(group.file.as_str()), names.of(hosts)]
}

/// Whether the difference is worth its lines: that a deployment comes to one more host is not news
/// about its files.
pub(super) fn is_shown(report: &Report, group: &Group) -> bool {
    let added = |one: &DeploymentEffect| {
        one.transition == Some(Transition::Added) && group.deployments.contains_key(&one.deployment)
    };
    group.kind != Kind::New || report.preview.deployments.iter().any(added)
}

/// Says that the difference is one host's.
pub(super) fn example(group: &Group) -> Option<String> {
    let host = &group.example.host;
    group.varies.then(|| format!("shown for {host}; the others have their own values"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_read_well() {
        assert_eq!(
            [0, 7, 999, 1000, 1_284_000].map(number),
            ["0", "7", "999", "1,000", "1,284,000"]
        );
        let names: Vec<Name> = ["a", "b", "c"].map(|name| Name::new(name).unwrap()).into();
        assert_eq!(Names(2).of(&names), "a, b and 1 more");
        assert_eq!(Names(3).of(&names), "a, b, c");
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(visible("a\u{1b}[31mb\tc\r\n\u{202e}d"), "a\\u{1b}[31mb\tc\\u{d}\n\\u{202e}d");
    }
}
