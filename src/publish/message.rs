//! What a rendered commit says of itself.

use std::collections::BTreeSet;

use super::files::REFERENCE;
use super::rendered::Difference;
use super::{Rendered, RenderedPlan};
use crate::git::CommitInfo;
use crate::model::{DeploymentRef, Name, TreeId};

/// The source commit that was rendered.
pub const SOURCE_TRAILER: &str = "Titan-Source-Commit";
/// The number of the rendered commit; one more than its parent's.
pub const GENERATION_TRAILER: &str = "Titan-Generation";
/// titan's version.
pub const RENDERER_TRAILER: &str = "Titan-Renderer";
/// Removals are held: `12 of 40`, the second being all assignments when that began.
pub const HELD_REMOVALS_TRAILER: &str = "Titan-Held-Removals";
/// A commit of somebody else whose changes this one takes back.
pub const HEALED_TRAILER: &str = "Titan-Healed";
/// The source commit from which to go on after the config branch was rewritten.
pub const RESUME_TRAILER: &str = "Titan-Resume";

/// Most `Titan-Healed` lines.
const HEALED: usize = 50;

/// Most `Titan-Held` lines; the status branch names all that is held.
const HELD: usize = 50;

/// Longest `Titan-Held` line, in characters.
const HELD_LENGTH: usize = 300;

/// Longest trailer that is passed on, in characters: it may hold the whole body of a commit.
const PASSED_LENGTH: usize = 16_384;

/// What a commit is about.
pub(super) struct Shown<'a> {
    /// What titan left last.
    pub(super) rendered: &'a Rendered,
    /// The same, or what others made of it.
    pub(super) before: &'a Rendered,
    /// From there to the commit.
    pub(super) difference: &'a Difference,
}

impl Shown<'_> {
    /// Every host whose folder differs.
    fn hosts(&self) -> BTreeSet<&Name> {
        self.difference.changed.hosts.keys().chain(self.difference.folders.keys()).collect()
    }

    /// Hosts whose folder is new, gone, or somewhere else.
    fn placed(&self) -> [(&'static str, Vec<&Name>); 3] {
        let mut placed = [("add", Vec::new()), ("remove", Vec::new()), ("move", Vec::new())];
        for (host, folder) in &self.difference.folders {
            let known = self.before.folders.contains_key(host);
            let kind = if folder.is_none() { 1 } else { 2 * usize::from(known) };
            placed[kind].1.push(host);
        }
        placed
    }
}

/// The commit's message: a subject for people, and trailers for programs.
pub(super) fn message(shown: &Shown<'_>, plan: &RenderedPlan<'_>, source: &CommitInfo) -> String {
    let previous = shown.rendered;
    let mut text = format!("{}\n\n", subject(shown, plan));
    let mut trailer = |key: &str, value: &str| {
        text.push_str(&format!("{key}: {value}\n"));
    };
    trailer(SOURCE_TRAILER, &source.id.to_string());
    trailer(GENERATION_TRAILER, &(previous.generation + 1).to_string());
    trailer(RENDERER_TRAILER, env!("CARGO_PKG_VERSION"));
    trailer("Titan-Changed-Hosts", &shown.hosts().len().to_string());
    if let Some(held) = &plan.removals {
        trailer(HELD_REMOVALS_TRAILER, &format!("{} of {}", held.count, held.of));
    }
    for foreign in previous.foreign.iter().take(HEALED) {
        trailer(HEALED_TRAILER, &foreign.to_string());
    }
    for (what, why) in plan.held.iter().take(HELD) {
        trailer("Titan-Held", &one_line(&format!("{what}: {why}"), HELD_LENGTH));
    }
    for (key, value) in &source.trailers {
        if key.to_ascii_lowercase().starts_with(&REFERENCE.to_ascii_lowercase()) {
            trailer(key, &one_line(value, PASSED_LENGTH));
        }
    }
    text
}

/// `render iot/temperature-sensor/prod to 3 hosts`.
fn subject(shown: &Shown<'_>, plan: &RenderedPlan<'_>) -> String {
    let Shown { rendered: previous, before, difference } = shown;
    let again = previous.source == plan.fleet.revision;
    if !previous.foreign.is_empty() && again {
        let commits = previous.foreign.len();
        let them = if commits == 1 { "a commit".into() } else { format!("{commits} commits") };
        return format!("take back {them} of somebody else");
    }
    let (rendered, to) = pairs(difference, |tree| tree.is_some());
    if !rendered.is_empty() {
        return format!("render {} to {}", deployments(&rendered), hosts(to));
    }
    let (removed, from) = pairs(difference, |tree| tree.is_none());
    if !removed.is_empty() {
        return format!("remove {} from {}", deployments(&removed), hosts(from));
    }
    for (verb, names) in shown.placed() {
        if let Some(name) = names.first() {
            let one = format!("{verb} host {name}");
            return if names.len() == 1 { one } else { format!("{verb} {}", hosts(names.len())) };
        }
    }
    if !before.strangers.is_empty() {
        return "remove what titan did not write".to_owned();
    }
    match (&previous.held_removals, &plan.removals) {
        (None, Some(held)) if held.count == 1 => "hold a removal".to_owned(),
        (None, Some(held)) => format!("hold {} removals", held.count),
        (Some(_), None) => "no removal is held any more".to_owned(),
        _ => "record assignments".to_owned(),
    }
}

/// The deployments of the chosen assignments, and on how many hosts these are.
fn pairs(
    difference: &Difference,
    chosen: impl Fn(Option<TreeId>) -> bool,
) -> (BTreeSet<&DeploymentRef>, usize) {
    let (mut deployments, mut hosts) = (BTreeSet::new(), 0);
    for pairs in difference.changed.hosts.values() {
        let these =
            pairs.iter().filter(|(_, tree)| chosen(**tree)).map(|(deployment, _)| deployment);
        let mut any = false;
        for deployment in these {
            any = true;
            deployments.insert(deployment);
        }
        hosts += usize::from(any);
    }
    (deployments, hosts)
}

fn deployments(names: &BTreeSet<&DeploymentRef>) -> String {
    match names.first() {
        Some(name) if names.len() == 1 => name.to_string(),
        _ => format!("{} deployments", names.len()),
    }
}

fn hosts(count: usize) -> String {
    if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") }
}

/// A value that cannot begin another trailer.
fn one_line(text: &str, longest: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(longest).collect()
}
