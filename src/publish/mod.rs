//! Manifests → objects → a commit for the rendered branch.
//!
//! ```text
//!  previous tree ──┐
//!  schedule ───────┼─▶ [edit] new tree ─┬─ same as before? ─▶ Unchanged
//!  manifests ──────┘                    └─▶ hydrator.metadata ─▶ [message] ─▶ commit object
//! ```
//!
//! The commit is a pure function of its parent, the source commit and the plan: no clock, no
//! configuration and no machine has a say (invariant I3), so any number of controllers write the
//! same commit. What is held back keeps its sub-tree because nobody edits it. No ref moves here.

mod edit;
mod files;
mod glance;
mod message;
mod read;
mod resume;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use glance::{Glance, Wanted, glance, manifests};
pub use message::{
    GENERATION_TRAILER, HEALED_TRAILER, HELD_REMOVALS_TRAILER, RENDERER_TRAILER, RESUME_TRAILER,
    SOURCE_TRAILER,
};
pub use read::{is_titans, is_titans_path, read, read_last};
pub use resume::{Resume, resume};

use crate::git::{CommitDraft, CommitInfo, GitError, Repository, Signature, TreeEdit, empty_tree};
use crate::model::{
    AssignmentRef, Assignments, Fleet, Manifests, Name, RepoPath, Revision, Schedule, TreeId,
};
use crate::plan::HeldRemovals;

/// What the rendered branch holds at one of its commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub revision: Option<Revision>,
    /// `Titan-Source-Commit` of that commit.
    pub source: Option<Revision>,
    /// `Titan-Generation` of that commit; 0 before the first.
    pub generation: u64,
    /// For the scheduler: recorded hosts for deployments with `replicas`, folders for the others.
    pub current: Assignments,
    /// The tree id of each assignment's folder.
    pub trees: BTreeMap<AssignmentRef, TreeId>,
    /// Where each host's folder lies.
    pub folders: BTreeMap<Name, RepoPath>,
    /// The tree that all this was read from.
    pub tree: Option<TreeId>,
    /// `Titan-Resume`: the source commit from which to go on after the config branch was rewritten.
    pub resume: Option<Revision>,
    /// Removals are held; the number of all assignments when that began.
    pub held_removals: Option<usize>,
    /// Commits of others on top of what was read, newest first; `revision` is the newest of them.
    pub foreign: Vec<Revision>,
    /// What lies below `hosts/` and `assignments/` and is not titan's: a hand put it there. A GitOps
    /// tool would apply it, so the next commit leaves it out.
    pub strangers: BTreeSet<RepoPath>,
}

/// What is to be on the rendered branch, for one source commit.
#[derive(Debug)]
pub struct RenderedPlan<'a> {
    pub fleet: &'a Fleet,
    pub schedule: &'a Schedule,
    /// For every pair of `schedule.assignments` that could be rendered.
    pub manifests: BTreeMap<AssignmentRef, Arc<Manifests>>,
    /// What is held back → why: objects (`deployment a/b/c`, `host x`) and assignments.
    pub held: BTreeMap<String, String>,
    /// Removals that are held back; the schedule keeps them already.
    pub removals: Option<HeldRemovals>,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Nothing differs: no commit.
    Unchanged,
    /// A commit object was written (no ref has moved yet).
    Committed(Commit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub revision: Revision,
    pub generation: u64,
    /// Assignments whose folder is new (also: moved with its host), different (`after`) or gone (`None`).
    pub changed: BTreeMap<AssignmentRef, Option<TreeId>>,
}

/// Writes the objects and, if anything differs from `previous`, the commit for `source`. Moves no ref.
/// `repository` is the view of [`crate::git::Objects`] that several commits may share.
///
/// # Errors
/// When an object of the previous tree cannot be read, or a new one cannot be written.
pub fn publish(
    repository: &Repository,
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
    source: &CommitInfo,
) -> Result<Published, GitError> {
    if plan.fleet.held.all.is_some() {
        return Ok(Published::Unchanged);
    }
    let tip = previous.revision.map(|revision| repository.commit(revision)).transpose()?;
    let tip = tip.map_or_else(empty_tree, |commit| commit.tree);
    let seen = match previous.tree {
        Some(tree) if tree != tip => Some(read(repository, previous.revision)?),
        _ => None,
    };
    let edited = edit::edit(repository, previous, seen.as_ref(), plan)?;
    // `hydrator.metadata` names the source commit: a new one alone is no reason for a commit. That
    // removals begin or end to be held is one, because later commits build on it.
    let named = previous.source == Some(source.id);
    let holding = previous.held_removals.is_some() != plan.removals.is_some();
    if edited.tree == tip && !named && !holding {
        return Ok(Published::Unchanged);
    }
    let mut edit = TreeEdit::new(repository, Some(edited.tree));
    let metadata = files::hydrator_metadata(plan.fleet.settings.repo_url.as_deref(), source);
    edit.put(&files::hydrator_path(), metadata.as_bytes())?;
    let tree = edit.write()?;
    if tree == tip && !holding {
        return Ok(Published::Unchanged);
    }
    let generation = previous.generation + 1;
    let titan = titan(source);
    let draft = CommitDraft {
        tree,
        parents: previous.revision.into_iter().collect(),
        author: titan.clone(),
        committer: titan,
        message: message::message(&edited, generation, previous, plan, source),
    };
    let revision = repository.write_commit(&draft)?;
    Ok(Published::Committed(Commit { revision, generation, changed: edited.changed }))
}

/// The author of all that titan renders, at the time of the source commit.
fn titan(source: &CommitInfo) -> Signature {
    Signature {
        name: "titan".into(),
        email: EMAIL.into(),
        seconds: source.committer.seconds,
        offset: source.committer.offset,
    }
}

/// By which titan knows its own commits.
const EMAIL: &str = "titan@titan.dev";

#[cfg(test)]
mod tests;
