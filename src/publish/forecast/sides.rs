//! Reads the two states, and places everything in both as a controller would.
//!
//! ```text
//!  rendered branch ─ recorded choices ─▶ schedule(base) ─ all of it is current ─▶ schedule(head)
//! ```
//! The rendered branch is read where it was when base was its newest source. Of its folders only those
//! are read that decide anything: of cordoned and held hosts, of suspended and held deployments.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::Point;
use crate::git::{GitError, Repository, Sources, directory_files, settings_at};
use crate::model::{
    AssignmentRef, Assignments, Fleet, Manifests, Pairs, Revision, Schedule, SourceChanges,
};
use crate::parse::{self, Parsed, Parser};
use crate::plan::guard::{self, After, Before};
use crate::plan::preview::Side;
use crate::publish::{self, Glance, Rendered, SOURCE_TRAILER, Wanted};
use crate::schedule::schedule;

/// One state, read and placed.
#[derive(Debug)]
pub(super) struct State {
    pub(super) parsed: Parsed,
    pub(super) schedule: Schedule,
    pub(super) trailers: Vec<(String, String)>,
}

/// Both states, and what was current before.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) base: State,
    pub(super) head: State,
    /// The commit of the rendered branch that says what is current.
    pub(super) rendered: Option<Revision>,
    /// Removals are held already; all assignments when that began.
    pub(super) held: Option<usize>,
    glance: Glance,
}

impl State {
    pub(super) fn side(&self) -> Side<'_> {
        Side { fleet: &self.parsed.fleet, schedule: &self.schedule }
    }
}

/// Reads one state after the other: what both have is read once.
#[derive(Default)]
struct Reader {
    sources: Sources,
    parser: Parser,
}

impl Reader {
    /// The state, which is not placed yet.
    fn read(&mut self, git: &Repository, point: &Point) -> Result<State, GitError> {
        let changes = match (&point.folder, point.revision) {
            (Some(folder), _) => SourceChanges::All(directory_files(folder, parse::limits)?),
            (None, Some(revision)) => self.sources.changes(git, revision, parse::limits)?,
            (None, None) => SourceChanges::All(Vec::new()),
        };
        let mut parsed = self.parser.update(point.revision, changes);
        let mut trailers = Vec::new();
        if let Some(revision) = point.revision {
            trailers = git.commit(revision)?.trailers;
            if parsed.fleet.held.all.is_some() {
                Arc::make_mut(&mut parsed.fleet).settings = settings_at(git, revision)?;
            }
        }
        Ok(State { parsed, schedule: Schedule::default(), trailers })
    }
}

impl Sides {
    pub(super) fn read(git: &Repository, base: &Point, head: &Point) -> Result<Self, GitError> {
        let branch_of = |state: &State| state.parsed.fleet.settings.branches.rendered.clone();
        let mut reader = Reader::default();
        let base_state = reader.read(git, base)?;
        let rendered = match base.revision {
            Some(revision) => rendered_at(git, &branch_of(&base_state), revision)?,
            None => None,
        };
        let mut sides = Self {
            base: base_state,
            head: reader.read(git, head)?,
            rendered,
            held: None,
            glance: Glance::default(),
        };
        let current = sides.place_base(git)?;
        sides.head.schedule = schedule(&sides.head.parsed.fleet, &current);
        Ok(sides)
    }

    /// Places the base; returns what is then current.
    fn place_base(&mut self, git: &Repository) -> Result<Assignments, GitError> {
        let fleet = &self.base.parsed.fleet;
        let mut full = None;
        if let Some(revision) = self.rendered {
            self.glance = publish::glance(git, revision, &wanted(fleet))?;
            // What is held is nowhere but in the folders.
            if self.glance.held_removals.is_some() || fleet.held.all.is_some() {
                full = Some(publish::read_last(git, Some(revision))?);
            }
        }
        let recorded = &self.glance.recorded;
        let before = match &full {
            Some(full) => full.current.clone(),
            None => with_recorded(self.glance.assignments.clone(), recorded),
        };
        let mut schedule = schedule(fleet, &before);
        if let Some(full) = &full {
            let Rendered { trees, folders, held_removals, .. } = full;
            let before = Before { trees, folders, held: *held_removals };
            let after = After { fleet, schedule: &schedule, empty: &Pairs::default() };
            let all = trees.iter().map(|(deployment, host, _)| (deployment, host));
            let pending = guard::pending(&before, &after, all);
            if let Some(held) = guard::guard(&before, &after, &pending, &self.base.trailers) {
                for (id, host) in held.kept.iter() {
                    schedule.kept.insert(id, host);
                }
                self.held = Some(held.of);
            }
        }
        let mut current = schedule.assignments.clone();
        for (deployment, host) in schedule.kept.iter() {
            current.insert(deployment, host);
        }
        // The record of what is suspended or held stays as it is.
        let fixed = |id: &_| {
            fleet.held.all.is_some()
                || fleet.held.deployments.contains_key(id)
                || fleet.deployments.get(id).is_some_and(|one| one.spec.suspend)
        };
        let stays = recorded.hosts.iter().filter(|(id, _)| fixed(id));
        let new = schedule.recorded.hosts.iter().filter(|(id, _)| !fixed(id));
        for (id, hosts) in stays.chain(new) {
            current.hosts.insert(id.clone(), hosts.clone());
        }
        self.base.schedule = schedule;
        Ok(current)
    }

    /// What an assignment has on the rendered branch. An error is noted in `failed`.
    pub(super) fn old(
        &self,
        git: &Repository,
        assignment: &AssignmentRef,
        failed: &Mutex<Option<GitError>>,
    ) -> Option<Manifests> {
        let revision = self.rendered?;
        let known = self.glance.folders.get(&assignment.host).cloned();
        let host = self.base.parsed.fleet.hosts.get(&assignment.host);
        let folder = known.or_else(|| host.map(|host| host.folder()))?;
        match publish::manifests(git, revision, &folder, assignment) {
            Ok(found) => found,
            Err(error) => {
                *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

/// Whose folders decide where something runs.
fn wanted(fleet: &Fleet) -> Wanted {
    let cordoned = fleet.hosts.values().filter(|host| host.spec.cordoned).map(|host| &host.name);
    let suspended = fleet.deployments.values().filter(|one| one.spec.suspend).map(|one| &one.id);
    Wanted {
        hosts: cordoned.chain(fleet.held.hosts.keys()).cloned().collect(),
        deployments: suspended.chain(fleet.held.deployments.keys()).cloned().collect(),
    }
}

fn with_recorded(mut current: Assignments, recorded: &Assignments) -> Assignments {
    for (id, hosts) in &recorded.hosts {
        current.hosts.insert(id.clone(), hosts.clone());
    }
    current
}

/// The newest commit of the rendered branch whose source is `base` or lies below it on its main line.
fn rendered_at(
    git: &Repository,
    branch: &str,
    base: Revision,
) -> Result<Option<Revision>, GitError> {
    let Some(tip) = git.head_of(branch)? else { return Ok(None) };
    let source = |revision: Revision| -> Result<Option<Revision>, GitError> {
        let commit = git.commit(revision)?;
        Ok(commit.trailer(SOURCE_TRAILER).and_then(|text| text.parse().ok()))
    };
    if source(tip)? == Some(base) {
        return Ok(Some(tip));
    }
    let below: BTreeSet<Revision> =
        git.first_parents(base, None, usize::MAX)?.into_iter().collect();
    let mut next = Some(tip);
    while let Some(revision) = next {
        if source(revision)?.is_some_and(|source| below.contains(&source)) {
            return Ok(Some(revision));
        }
        next = git.commit(revision)?.parents.first().copied();
    }
    Ok(None)
}
