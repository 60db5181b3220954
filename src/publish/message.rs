//! What a rendered commit says of itself.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::Edited;
use super::files::REFERENCE;
use crate::git::CommitInfo;
use crate::model::{DeploymentRef, Name};

/// Most `Titan-Held` lines; the status branch names all that is held.
const HELD: usize = 50;

/// Longest `Titan-Held` line, in characters.
const HELD_LENGTH: usize = 300;

/// Longest trailer that is passed on, in characters: it may hold the whole body of a commit.
const PASSED_LENGTH: usize = 16_384;

/// The commit's message: a subject for people, and trailers for programs.
pub(super) fn message(
    edited: &Edited,
    generation: u64,
    held: &BTreeMap<String, String>,
    source: &CommitInfo,
) -> String {
    let mut text = format!("{}\n\n", subject(edited));
    let mut trailer = |key: &str, value: &str| {
        text.push_str(&format!("{key}: {value}\n"));
    };
    trailer("Titan-Source-Commit", &source.id.to_string());
    trailer("Titan-Generation", &generation.to_string());
    trailer("Titan-Renderer", env!("CARGO_PKG_VERSION"));
    trailer("Titan-Changed-Hosts", &edited.hosts().len().to_string());
    for (what, why) in held.iter().take(HELD) {
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
fn subject(edited: &Edited) -> String {
    let pairs = |removed: bool| {
        let chosen = edited.changed.iter().filter(move |(_, tree)| tree.is_none() == removed);
        let pairs = chosen.map(|(pair, _)| (&pair.deployment, &pair.host));
        pairs.unzip::<_, _, BTreeSet<&DeploymentRef>, BTreeSet<&Name>>()
    };
    let (rendered, to) = pairs(false);
    if !rendered.is_empty() {
        return format!("render {} to {}", deployments(&rendered), hosts(to.len()));
    }
    let (removed, from) = pairs(true);
    if !removed.is_empty() {
        return format!("remove {} from {}", deployments(&removed), hosts(from.len()));
    }
    for (verb, names) in
        [("add", &edited.added), ("remove", &edited.removed), ("move", &edited.moved)]
    {
        if let Some(name) = names.first() {
            let one = format!("{verb} host {name}");
            return if names.len() == 1 { one } else { format!("{verb} {}", hosts(names.len())) };
        }
    }
    if edited.defaced {
        return "remove what titan did not write".to_owned();
    }
    "record assignments".to_owned()
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
