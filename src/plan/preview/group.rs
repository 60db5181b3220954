//! Changes of files that are equal but for what is a host's own: one group, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::Facts;
use super::headline::headline;
use super::lines::Difference;
use crate::model::{AssignmentRef, DeploymentRef, Name, RepoPath, TemplateRef};

/// Most bytes that examples may take together. The same for a share of the work and for the whole, and
/// shares are added in order, so that what is left out does not depend on the machine.
const ROOM: usize = 64 * 1024 * 1024;

/// What a group needs beside its texts, in bytes.
const FRAME: usize = 512;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It goes; the assignment stays.
    Removed,
    Changed,
    /// It comes; the assignment is there already.
    Added,
    /// It comes with an assignment that is new on its host.
    New,
}

/// The same change of one file of a template, on all its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub kind: Kind,
    pub template: TemplateRef,
    /// Below the assignment's folder.
    pub file: RepoPath,
    /// A few words, such as `image 1.4 → 1.5`, where they can tell it all. What differs between hosts
    /// is named: `{host.name}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// How many assignments.
    pub assignments: usize,
    /// How many hosts.
    pub hosts: usize,
    /// On which hosts, by deployment.
    pub deployments: BTreeMap<DeploymentRef, BTreeSet<Name>>,
    /// Lines that come and go.
    pub added_lines: usize,
    pub removed_lines: usize,
    /// The assignment that `diff` is about: the first of them.
    pub example: AssignmentRef,
    /// Unified, without the names of the files.
    pub diff: String,
    /// The others have their own values in place of the example's.
    pub varies: bool,
}

/// One changed file of one assignment.
pub(super) struct Change<'a> {
    pub(super) kind: Kind,
    pub(super) template: &'a TemplateRef,
    pub(super) file: &'a RepoPath,
    pub(super) deployment: &'a DeploymentRef,
    pub(super) host: &'a Name,
    pub(super) facts: &'a Facts,
    pub(super) before: &'a [u8],
    pub(super) after: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    template: TemplateRef,
    file: RepoPath,
    /// The lines that change, without what is a host's own.
    lines: String,
}

#[derive(Debug)]
struct Entry {
    /// The lines that change, as they are in the example.
    raw: String,
    varies: bool,
    example: AssignmentRef,
    diff: String,
    counts: (usize, usize),
    deployments: BTreeMap<DeploymentRef, BTreeSet<Name>>,
}

impl Entry {
    fn room(&self) -> usize {
        self.raw.len() + self.diff.len() + FRAME
    }

    /// The first assignment of both is the example.
    fn join(&mut self, mut other: Self) {
        if other.example < self.example {
            std::mem::swap(self, &mut other);
        }
        self.varies |= other.varies || other.raw != self.raw;
        for (deployment, mut hosts) in other.deployments {
            self.deployments.entry(deployment).or_default().append(&mut hosts);
        }
    }
}

/// Groups as they grow.
#[derive(Debug, Default)]
pub(super) struct Groups {
    entries: BTreeMap<Key, Entry>,
    room: usize,
    omitted: usize,
}

impl Groups {
    pub(super) fn add(&mut self, change: &Change<'_>) {
        let difference = Difference::between(change.before, change.after);
        let raw = difference.changed();
        let key = Key {
            kind: change.kind,
            template: change.template.clone(),
            file: change.file.clone(),
            lines: change.facts.fill(&raw),
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.varies |= entry.raw != raw;
            let hosts = entry.deployments.entry(change.deployment.clone()).or_default();
            hosts.insert(change.host.clone());
            return;
        }
        let hosts = BTreeSet::from([change.host.clone()]);
        let entry = Entry {
            raw,
            varies: false,
            example: change.deployment.on(change.host),
            diff: difference.unified(),
            counts: difference.counts(),
            deployments: BTreeMap::from([(change.deployment.clone(), hosts)]),
        };
        self.insert(key, entry);
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        let room = key.lines.len() + entry.room();
        if self.room + room > ROOM {
            self.omitted += entry.deployments.values().map(BTreeSet::len).sum::<usize>();
            return;
        }
        self.room += room;
        self.entries.insert(key, entry);
    }

    /// Adds what was found in assignments that come behind those here.
    pub(super) fn join(&mut self, other: Self) {
        self.omitted += other.omitted;
        for (key, entry) in other.entries {
            match self.entries.get_mut(&key) {
                Some(known) => known.join(entry),
                None => self.insert(key, entry),
            }
        }
    }

    /// The groups: removals first, then the most frequent; and how many changes are in none of them.
    pub(super) fn finish(self) -> (Vec<Group>, usize) {
        // A word of a change may be one host's label by chance: where the lines are the same, so is
        // the change.
        let mut joined: BTreeMap<Key, Entry> = BTreeMap::new();
        for (mut key, entry) in self.entries {
            if !entry.varies {
                key.lines.clone_from(&entry.raw);
            }
            match joined.get_mut(&key) {
                Some(known) => known.join(entry),
                None => drop(joined.insert(key, entry)),
            }
        }
        let mut groups: Vec<Group> = joined.into_iter().map(group).collect();
        // The sort is stable: equals stay in the order of templates, files and lines.
        groups.sort_by_key(|group| (group.kind, std::cmp::Reverse(group.assignments)));
        (groups, self.omitted)
    }
}

fn group((key, entry): (Key, Entry)) -> Group {
    let hosts: BTreeSet<&Name> = entry.deployments.values().flatten().collect();
    Group {
        kind: key.kind,
        template: key.template,
        file: key.file,
        summary: if key.kind == Kind::Changed { headline(&key.lines) } else { None },
        assignments: entry.deployments.values().map(BTreeSet::len).sum(),
        hosts: hosts.len(),
        added_lines: entry.counts.1,
        removed_lines: entry.counts.0,
        example: entry.example,
        diff: entry.diff,
        varies: entry.varies,
        deployments: entry.deployments,
    }
}
