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
    AssignmentRef, Branches, Diagnostic, Fleet, Limits, RepoPath, Revision, Schedule, SourceFile,
    TreeId,
};
use crate::parse::{Parsed, parse};
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
    let branches = branches_at(repository, head)?;
    let before = git.branch(&branches.rendered)?;
    let mut rendered = publish::read(git, before)?;

    let mut commits = Vec::new();
    let mut step = None;
    // All that the pass writes becomes durable at once, before the branch moves.
    let objects = git.begin();
    for revision in backlog(repository, &rendered, head)? {
        let done = render_commit(objects.repository(), &rendered, revision)?;
        if let Published::Committed(commit) = &done.published {
            rendered = publish::read(objects.repository(), Some(commit.revision))?;
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
        objects.finish()?;
        let update = RefUpdate { branch: branches.rendered, expected: before, new };
        repository.publish(&[update])?;
    }
    let step = step.expect("the backlog holds at least the head");
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

/// The names of titan's branches, as the fleet's settings at `head` have them.
fn branches_at(repository: &FleetRepository, head: Revision) -> Result<Branches, GitError> {
    let git = &repository.repository;
    let path = RepoPath::new("titan.yaml").expect("it is a path");
    let file = git.file(git.commit(head)?.tree, &path)?;
    let files: Vec<_> =
        file.into_iter().map(|bytes| SourceFile::regular(path.clone(), bytes)).collect();
    Ok(parse(Some(head), &files).fleet.settings.branches)
}

/// The source commits that are still to be rendered, oldest first; always ends with the head, so that
/// a pass also finds what a new renderer, or a hand on the rendered branch, made different.
///
/// Commits whose objects are those of the commit before are left out. A head that does not descend
/// from the last rendered source, or too long a backlog, is rendered alone.
fn backlog(
    repository: &FleetRepository,
    rendered: &Rendered,
    head: Revision,
) -> Result<Vec<Revision>, GitError> {
    let git = &repository.repository;
    let Some(last) = rendered.source.filter(|last| *last != head) else { return Ok(vec![head]) };
    let limit = Limits::default().backlog as usize;
    let mut chain = git.first_parents(head, Some(last), limit + 1)?;
    let root = chain.last().copied().unwrap_or(head);
    if chain.len() > limit || git.commit(root)?.parents.first() != Some(&last) {
        tracing::warn!(%last, %head, "the config branch does not continue from the last rendered commit; rendering its head alone");
        return Ok(vec![head]);
    }
    chain.reverse();
    let mut inputs = inputs_of(repository, last)?;
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
    git: &Repository,
    previous: &Rendered,
    revision: Revision,
) -> Result<Step, GitError> {
    let source = git.commit(revision)?;
    let files = git.source_files(revision, &Limits::default())?;
    let Parsed { fleet, mut diagnostics } = parse(Some(revision), &files);
    let Evaluation { schedule, manifests, held, diagnostics: found } =
        evaluate(&fleet, &previous.current);
    diagnostics.extend(found);
    let plan = RenderedPlan { fleet: &fleet, schedule: &schedule, manifests, held: held.clone() };
    let published = publish::publish(git, previous, &plan, &source)?;
    Ok(Step { source, schedule, diagnostics, held, published, fleet })
}
