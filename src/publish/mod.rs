//! Manifests → objects → a commit for the rendered branch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::git::{CommitInfo, GitError, Repository};
use crate::model::{AssignmentRef, Assignments, Fleet, Manifests, Revision, Schedule, TreeId};

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
    pub folders: BTreeMap<crate::model::Name, crate::model::RepoPath>,
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
    /// Assignments whose folder is new, different (`after`) or gone (`None`).
    pub changed: BTreeMap<AssignmentRef, Option<TreeId>>,
}

/// Reads the rendered branch's commit `revision` (`None`: the branch does not exist).
pub fn read(repository: &Repository, revision: Option<Revision>) -> Result<Rendered, GitError> {
    let _ = (repository, revision);
    unimplemented!()
}

/// Writes the objects and, if anything differs from `previous`, the commit for `source`. Moves no ref.
pub fn publish(
    repository: &Repository,
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
    source: &CommitInfo,
) -> Result<Published, GitError> {
    let _ = (repository, previous, plan, source);
    unimplemented!()
}
