//! Manifests → objects → a commit for the rendered branch.
//!
//! ```text
//!  [rendered] ─────┐
//!  schedule ───────┼─▶ [edit] new tree ─┬─ same as before? ─▶ Unchanged
//!  trees made ─────┘                    └─▶ hydrator.metadata ─▶ [message] ─▶ commit object
//! ```
//!
//! The commit is a pure function of its parent, the source commit and the plan: no clock, no
//! configuration and no machine has a say (invariant I3), so any number of controllers write the
//! same commit. What is held back keeps its sub-tree because nobody edits it. No ref moves here.

mod edit;
mod files;
pub mod forecast;
mod glance;
mod host;
mod hosts;
mod message;
mod places;
mod read;
mod rendered;
mod resume;

use std::collections::{BTreeMap, BTreeSet};

pub use files::assignment_path;
pub use glance::{Glance, Wanted, glance, manifests};
pub use host::{
    Changes, FilesError, FolderError, Gathered, HostFolder, Refused, host_files, host_folder,
};
pub use message::{
    GENERATION_TRAILER, HEALED_TRAILER, HELD_REMOVALS_TRAILER, RENDERER_TRAILER, RESUME_TRAILER,
    SOURCE_TRAILER,
};
pub use places::Places;
pub use read::{is_titans, is_titans_path, read, read_last};
pub use rendered::{Changed, Rendered};
pub use resume::{Resume, resume};

use crate::git::{CommitDraft, CommitInfo, GitError, Objects, Signature, TreeEdit, empty_tree};
use crate::model::{
    DeploymentRef, Fleet, Name, Pairs, RepoPath, Revision, Schedule, TreeId, Trees,
};
use crate::plan::HeldRemovals;

use edit::Edited;
use message::Shown;
use rendered::Difference;

/// What is to be on the rendered branch for one source commit, as far as it may differ from what is
/// there: what is not named stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct RenderedPlan<'a> {
    pub fleet: &'a Fleet,
    pub schedule: &'a Schedule,
    /// Assignments whose folder may come, go or differ.
    pub touched: [&'a Pairs; 2],
    /// Hosts whose folder may come, go or move.
    pub hosts: &'a BTreeSet<Name>,
    /// Deployments whose chosen hosts may differ from what is recorded.
    pub recorded: &'a BTreeSet<DeploymentRef>,
    /// The trees of the assignments that were rendered.
    pub made: &'a Trees,
    /// What this commit holds back → why: objects (`deployment a/b/c`, `host x`) and assignments.
    pub held: &'a BTreeMap<String, String>,
    /// Removals that are held back.
    pub removals: Option<&'a HeldRemovals>,
}

impl RenderedPlan<'_> {
    /// Hosts that a deployment keeps because removals are held.
    fn kept_by_guard(&self, deployment: &DeploymentRef) -> impl Iterator<Item = &Name> {
        let kept = self.removals.iter().flat_map(|removals| &removals.kept.hosts);
        kept.filter(move |(_, of_host)| of_host.contains(deployment)).map(|(host, _)| host)
    }
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
    pub tree: TreeId,
    pub source: Revision,
    pub generation: u64,
    /// Removals are held; the number of all assignments when that began.
    pub held_removals: Option<usize>,
    /// What differs from the commit before.
    pub changed: Changed,
    /// Hosts whose folder came, moved (`Some`) or went.
    pub folders: BTreeMap<Name, Option<RepoPath>>,
    /// Assignments whose place among the current ones may be another now.
    pub moved: Pairs,
}

/// Writes the objects and, if anything differs from `rendered`, the commit for `source`; then `rendered`
/// is what that commit holds. Moves no ref; several commits may share `objects`.
///
/// # Errors
/// When an object of the previous tree cannot be read, or a new one cannot be written; `rendered` is as
/// it was.
pub fn publish(
    objects: &Objects,
    rendered: &mut Rendered,
    plan: &RenderedPlan<'_>,
    source: &CommitInfo,
) -> Result<Published, GitError> {
    if plan.fleet.held.all.is_some() {
        return Ok(Published::Unchanged);
    }
    let repository = objects.repository();
    let tip = rendered.revision.map(|revision| repository.commit(revision)).transpose()?;
    let tip = tip.map_or_else(empty_tree, |commit| commit.tree);
    let Edited { tree, difference } = edit::edit(objects, rendered, plan)?;
    // `hydrator.metadata` names the source commit: a new one alone is no reason for a commit. That
    // removals begin or end to be held is one, because later commits build on it.
    let named = rendered.source == Some(source.id);
    let holding = rendered.held_removals.is_some() != plan.removals.is_some();
    if tree == tip && !named && !holding {
        return Ok(Published::Unchanged);
    }
    let mut edit = TreeEdit::new(repository, Some(tree));
    let metadata = files::hydrator_metadata(plan.fleet.settings.repo_url.as_deref(), source);
    edit.put(&files::hydrator_path(), metadata.as_bytes())?;
    let tree = edit.write()?;
    if tree == tip && !holding {
        return Ok(Published::Unchanged);
    }
    // What people see is how it differs from what others made of the branch, if they did.
    let seen = match rendered.tree {
        Some(own) if own != tip => Some(read(repository, rendered.revision)?),
        _ => None,
    };
    let shown = seen.as_ref().map(|seen| {
        let mut after = rendered.clone();
        after.take(&difference);
        edit::compare(seen, &after)
    });
    let message = {
        let before = seen.as_ref().unwrap_or(rendered);
        let difference = shown.as_ref().unwrap_or(&difference);
        message::message(&Shown { rendered, before, difference }, plan, source)
    };
    let titan = titan(source);
    let draft = CommitDraft {
        tree,
        parents: rendered.revision.into_iter().collect(),
        author: titan.clone(),
        committer: titan,
        message,
    };
    let mut commit = Commit {
        revision: repository.write_commit(&draft)?,
        tree,
        source: source.id,
        generation: rendered.generation + 1,
        held_removals: plan.removals.map(|removals| removals.of),
        changed: Changed::default(),
        folders: BTreeMap::new(),
        moved: difference.moved(&rendered.current),
    };
    rendered.advance(&commit, &difference);
    let Difference { changed, folders, .. } = shown.unwrap_or(difference);
    (commit.changed, commit.folders) = (changed, folders);
    Ok(Published::Committed(commit))
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
