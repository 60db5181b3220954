//! One pass: from the head of the config branch to the head of the rendered branch.
//!
//! ```text
//!  last rendered source ──▶ c1 ──▶ c2 ──▶ head          config branch, first parents
//!           │               │      │       │            parse → schedule → render → publish, in order
//!           ▼               ▼      ▼       ▼
//!        rendered ───────▶ r1 ──▶ (none) ─▶ r3          the branch moves once, to r3
//! ```
//! Every commit is rendered on top of what the one before left, so the rendered history follows from
//! the source history alone, whoever renders it and whenever (invariant I3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::git::{CommitInfo, FleetRepository, GitError, RefUpdate, Repository};
use crate::model::{
    AssignmentRef, Diagnostic, Fleet, FleetSpec, Limits, Revision, Schedule, TreeId,
};
use crate::parse::{self, Parsed, parse};
use crate::plan::{Evaluation, evaluate};
use crate::publish::{self, Published, Rendered, RenderedPlan};

/// What one pass found and did.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The head of the config branch.
    pub source: CommitInfo,
    /// The fleet at that head.
    pub fleet: Arc<Fleet>,
    pub schedule: Schedule,
    /// All problems at that head, those of rendering included.
    pub diagnostics: Vec<Diagnostic>,
    /// What is held back → why.
    pub held: BTreeMap<String, String>,
    /// The rendered branch as this pass leaves it.
    pub rendered: Rendered,
    /// The commits that this pass put there, oldest first; none when nothing differs.
    pub commits: Vec<NewCommit>,
}

/// A commit that a pass put on the rendered branch.
#[derive(Debug, Clone)]
pub struct NewCommit {
    pub source: CommitInfo,
    pub revision: Revision,
    pub generation: u64,
    /// Assignments that are new or different (their tree) or gone (`None`).
    pub changed: BTreeMap<AssignmentRef, Option<TreeId>>,
}

/// How often a pass is redone because somebody else moved the rendered branch.
const TRIES: u32 = 16;

/// Brings the rendered branch up to the head of the config branch.
///
/// # Errors
/// [`GitError`] when Git or the remote fails, or the config branch does not exist. Nothing is half
/// done then: the branch is where it was, or where another controller has put it.
pub fn reconcile(repository: &FleetRepository) -> Result<Pass, GitError> {
    let mut tries = 0;
    loop {
        match attempt(repository) {
            Err(GitError::Conflict { .. }) if tries < TRIES => {
                tries += 1;
                repository.refresh()?;
            }
            outcome => return outcome,
        }
    }
}

fn attempt(repository: &FleetRepository) -> Result<Pass, GitError> {
    let git = &repository.repository;
    let head = git
        .branch(&repository.branch)?
        .ok_or_else(|| GitError::UnknownRevision { name: repository.branch.clone() })?;
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() });
    }
    let settings = settings_at(git, head)?;
    repository.adopt(&settings.limits);
    let before = git.branch(&settings.branches.rendered)?;
    let mut rendered = publish::read(git, before)?;

    let mut commits = Vec::new();
    let mut step = None;
    for revision in backlog(repository, &rendered, head, settings.limits.backlog)? {
        let done = render_commit(repository, &rendered, revision)?;
        if let Published::Committed(commit) = &done.published {
            rendered = publish::read(git, Some(commit.revision))?;
            commits.push(NewCommit {
                source: done.source.clone(),
                revision: commit.revision,
                generation: commit.generation,
                changed: commit.changed.clone(),
            });
        }
        step = Some(done);
    }
    if let Some(new) = rendered.revision.filter(|_| !commits.is_empty()) {
        let update =
            RefUpdate { branch: settings.branches.rendered.clone(), expected: before, new };
        repository.publish(&[update])?;
    }
    let mut step = step.expect("the backlog holds at least the head");
    step.fleet.settings = settings;
    Ok(Pass {
        source: step.source,
        fleet: Arc::new(step.fleet),
        schedule: step.schedule,
        diagnostics: step.diagnostics,
        held: step.held,
        rendered,
        commits,
    })
}

/// The fleet's settings at `head`, or those before they became unreadable: a broken `titan.yaml` is no
/// wish for the defaults, which name other branches.
///
/// # Errors
/// [`GitError::Object`].
pub fn settings_at(git: &Repository, head: Revision) -> Result<FleetSpec, GitError> {
    let mut next = Some(head);
    for _ in 0..Limits::default().backlog {
        let Some(revision) = next else { break };
        let fleet = parse(Some(revision), &git.settings_file(revision)?).fleet;
        if fleet.held.all.is_none() {
            return Ok(fleet.settings);
        }
        next = git.commit(revision)?.parents.first().copied();
    }
    Ok(FleetSpec::default())
}

/// The source commits that are still to be rendered, oldest first; always ends with the head, so that
/// a pass also finds what a new renderer, or a hand on the rendered branch, made different.
///
/// Where nothing was rendered they begin with the first commit: a clone, or a repository whose rendered
/// branch was deleted or replaced, gets the very commits that were made as the changes came, with their
/// generations and who stayed where. Commits whose objects are those of the commit before are left
/// out. A head that does not descend from the last rendered source, or too long a backlog, is
/// rendered alone.
fn backlog(
    repository: &FleetRepository,
    rendered: &Rendered,
    head: Revision,
    most: u32,
) -> Result<Vec<Revision>, GitError> {
    let git = &repository.repository;
    let last = rendered.source;
    if last == Some(head) {
        return Ok(vec![head]);
    }
    let limit = most as usize;
    let mut chain = git.first_parents(head, last, limit + 1)?;
    let root = chain.last().copied().unwrap_or(head);
    if chain.len() > limit || git.commit(root)?.parents.first() != last.as_ref() {
        tracing::warn!(?last, %head, "the config branch does not continue from the last rendered commit, or is too far ahead of it; rendering its head alone");
        return Ok(vec![head]);
    }
    chain.reverse();
    let mut inputs = last.map_or_else(|| Ok(Vec::new()), |last| inputs_of(repository, last))?;
    let mut pending = Vec::new();
    for revision in chain {
        let next = inputs_of(repository, revision)?;
        if next != inputs || revision == head {
            pending.push(revision);
        }
        inputs = next;
    }
    Ok(pending)
}

/// The ids of all that a fleet is read from: equal ids, equal fleet.
fn inputs_of(repository: &FleetRepository, revision: Revision) -> Result<Vec<TreeId>, GitError> {
    let git = &repository.repository;
    let entries = git.entries(git.commit(revision)?.tree)?;
    let read = ["titan.yaml", "hosts", "templates", "workspaces"];
    Ok(entries.into_iter().filter(|e| read.contains(&e.name.as_str())).map(|e| e.id).collect())
}

/// One source commit, rendered on top of what was there before.
struct Step {
    source: CommitInfo,
    fleet: Fleet,
    schedule: Schedule,
    diagnostics: Vec<Diagnostic>,
    held: BTreeMap<String, String>,
    published: Published,
}

fn render_commit(
    repository: &FleetRepository,
    previous: &Rendered,
    revision: Revision,
) -> Result<Step, GitError> {
    let git = &repository.repository;
    let source = git.commit(revision)?;
    let files = git.source_files(revision, parse::limits)?;
    let Parsed { fleet, mut diagnostics } = parse(Some(revision), &files);
    let Evaluation { schedule, manifests, held, diagnostics: found } =
        evaluate(&fleet, &previous.current);
    diagnostics.extend(found);
    let plan = RenderedPlan { fleet: &fleet, schedule: &schedule, manifests, held: held.clone() };
    let published = publish::publish(git, previous, &plan, &source)?;
    Ok(Step { source, schedule, diagnostics, held, published, fleet })
}
