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
use crate::plan::guard::{self, Allowance, Before};
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
    /// Commits of others on the rendered branch whose changes this pass took back, newest first.
    pub healed: Vec<Revision>,
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
pub(super) const TRIES: u32 = 16;

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
    let head = whole_head(repository)?;
    let settings = settings_at(git, head)?;
    repository.adopt(&settings.limits);
    let before = git.branch(&settings.branches.rendered)?;
    let mut rendered = publish::read_last(git, before)?;
    let foreign = rendered.foreign.clone();

    let mut commits = Vec::new();
    let mut step = None;
    let revisions = match backlog(git, &rendered, head, settings.limits.backlog)? {
        Backlog::Commits(revisions) => revisions,
        Backlog::Rewritten { last } => return rewritten(git, before, (head, settings), last),
    };
    // All that the pass writes becomes durable at once, before the branch moves.
    let objects = git.begin();
    for revision in revisions {
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
        let update =
            RefUpdate { branch: settings.branches.rendered.clone(), expected: before, new };
        repository.publish(&[update])?;
    }
    if commits.is_empty() && !foreign.is_empty() {
        // Somebody did by hand what titan would have done.
        rendered = publish::read(git, before)?;
    }
    let mut step = step.expect("the backlog holds at least the head");
    Arc::make_mut(&mut step.fleet).settings = settings;
    Ok(Pass {
        source: step.source,
        fleet: step.fleet,
        schedule: step.schedule,
        diagnostics: step.diagnostics,
        held: step.held,
        rendered,
        healed: if commits.is_empty() { Vec::new() } else { foreign },
        commits,
    })
}

/// A pass that does nothing: the config branch no longer holds what was rendered last. The fleet is
/// the one that was, as far as it is still known.
fn rewritten(
    git: &Repository,
    before: Option<Revision>,
    (head, settings): (Revision, FleetSpec),
    last: Revision,
) -> Result<Pass, GitError> {
    let now = parse(Some(head), &git.source_files(head, parse::limits)?);
    let mut fleet = match git.source_files(last, parse::limits) {
        Ok(files) => parse(Some(last), &files).fleet,
        // It may be gone from this clone already.
        Err(GitError::Object { .. }) => now.fleet,
        Err(error) => return Err(error),
    };
    Arc::make_mut(&mut fleet).settings = settings;
    let reason = format!(
        "the config branch was rewritten: it no longer contains {}, which was rendered last; fix: put it back, or `titan resume --accept {head}`",
        last.short()
    );
    Ok(Pass {
        source: git.commit(head)?,
        fleet,
        schedule: Schedule::default(),
        diagnostics: now.diagnostics,
        held: BTreeMap::from([("history".to_owned(), reason)]),
        rendered: publish::read(git, before)?,
        commits: Vec::new(),
        healed: Vec::new(),
    })
}

/// The head of the config branch, whose whole history must be there.
pub(super) fn whole_head(repository: &FleetRepository) -> Result<Revision, GitError> {
    let git = &repository.repository;
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() });
    }
    let head = git.branch(&repository.branch)?;
    head.ok_or_else(|| GitError::UnknownRevision { name: repository.branch.clone() })
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
            return Ok(fleet.settings.clone());
        }
        next = git.commit(revision)?.parents.first().copied();
    }
    Ok(FleetSpec::default())
}

/// What there is to do.
pub(super) enum Backlog {
    /// The source commits that are still to be rendered, oldest first. It always ends with the head,
    /// so that a pass also finds what a new renderer, or a hand on the rendered branch, made different.
    Commits(Vec<Revision>),
    /// The head does not descend from `last`, which was rendered last (or accepted by a person).
    Rewritten { last: Revision },
}

/// Finds the source commits to render. Those whose objects are those of the commit before are left
/// out, unless they allow removals. Too long a backlog is rendered as its head alone.
///
/// Where nothing was rendered they begin with the first commit: a clone, or a repository whose rendered
/// branch was deleted or replaced, gets the very commits that were made as the changes came, with their
/// generations and who stayed where.
///
/// # Errors
/// When history cannot be read.
pub(super) fn backlog(
    git: &Repository,
    rendered: &Rendered,
    head: Revision,
    most: u32,
) -> Result<Backlog, GitError> {
    let last = rendered.resume.or(rendered.source);
    let limit = most as usize;
    let mut chain = git.first_parents(head, last, limit + 1)?;
    let root = chain.last().copied().unwrap_or(head);
    let beside = last != Some(head) && git.commit(root)?.parents.first() != last.as_ref();
    if let Some(last) = last.filter(|_| beside)
        && !git.is_ancestor(last, head)?
    {
        return Ok(Backlog::Rewritten { last });
    }
    if chain.len() > limit {
        tracing::warn!(?last, %head, "too many commits are waiting; the last of them is rendered alone");
        return Ok(Backlog::Commits(vec![head]));
    }
    if let Some(last) = last.filter(|_| beside) {
        // A merge has it on its second side.
        let mut after = 0;
        while after < chain.len() && git.is_ancestor(last, chain[after])? {
            after += 1;
        }
        chain.truncate(after);
    }
    if let Some(last) = last.filter(|last| rendered.resume.is_some() || *last == head) {
        // What a person accepted has not been rendered yet.
        chain.push(last);
    }
    chain.reverse();
    let before = last.filter(|_| rendered.resume.is_none());
    let mut inputs = before.map_or_else(|| Ok(Vec::new()), |last| inputs_of(git, last))?;
    let mut pending = Vec::new();
    for revision in chain {
        let next = inputs_of(git, revision)?;
        let allows = || -> Result<bool, GitError> {
            Ok(Allowance::of(&git.commit(revision)?.trailers) != Allowance::Nothing)
        };
        if next != inputs || revision == head || allows()? {
            pending.push(revision);
        }
        inputs = next;
    }
    Ok(Backlog::Commits(pending))
}

/// The ids of all that a fleet is read from: equal ids, equal fleet.
fn inputs_of(git: &Repository, revision: Revision) -> Result<Vec<TreeId>, GitError> {
    let entries = git.entries(git.commit(revision)?.tree)?;
    let read = ["titan.yaml", "hosts", "templates", "workspaces"];
    Ok(entries.into_iter().filter(|e| read.contains(&e.name.as_str())).map(|e| e.id).collect())
}

/// One source commit, rendered on top of what was there before.
pub(super) struct Step {
    pub(super) source: CommitInfo,
    pub(super) fleet: Arc<Fleet>,
    pub(super) schedule: Schedule,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) held: BTreeMap<String, String>,
    pub(super) published: Published,
}

/// Renders one source commit; objects are written, no ref moves.
pub(super) fn render_commit(
    repository: &Repository,
    previous: &Rendered,
    revision: Revision,
) -> Result<Step, GitError> {
    let source = repository.commit(revision)?;
    let files = repository.source_files(revision, parse::limits)?;
    let Parsed { fleet, mut diagnostics } = parse(Some(revision), &files);
    let mut evaluation = evaluate(&fleet, &previous.current);
    let Rendered { trees, folders, held_removals, .. } = previous;
    let before = Before { trees, folders, held: *held_removals };
    let removals = guard::guard(&fleet, &mut evaluation, &before, &source.trailers);
    let Evaluation { schedule, manifests, held, diagnostics: found } = evaluation;
    diagnostics.extend(found);
    let plan = RenderedPlan {
        fleet: &fleet,
        schedule: &schedule,
        manifests,
        held: held.clone(),
        removals,
    };
    let published = publish::publish(repository, previous, &plan, &source)?;
    Ok(Step { source, schedule, diagnostics, held, published, fleet })
}
