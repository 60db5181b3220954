//! "What ran there, since when, from which commit, by whom?": from Git alone.
//!
//! ```text
//!  rendered branch, first parents:  r9 ── r8 ── r7 ── …     the tree id at one place, commit by commit
//!                                   │      ╰ same ╯
//!                                   ╰ differs ─▶ Titan-Source-Commit ─▶ author, reviewers, merge
//! ```
//! A host that moved to another folder is followed. Times are those of the source commits, which
//! rendered commits bear; when something was Deployed comes from the status branch.

mod deployed;
mod place;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::history::{SOURCE_TRAILER, changes};
use crate::git::{CommitInfo, GitError, Repository};
use crate::model::{AssignmentRef, DeploymentRef, Name, RepoPath, Revision, Timestamp, TreeId};
use place::{Seen, alive, look};

pub use deployed::add_deployed;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Assignment(AssignmentRef),
    /// All that runs on one host.
    Host(Name),
    /// One deployment on all its hosts.
    Deployment(DeploymentRef),
}

/// A point in the history of the rendered branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// By the times of the source commits.
    Time(Timestamp),
    /// A commit of the rendered branch, or of the config branch.
    Commit(Revision),
}

/// Something changed at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    pub assignment: AssignmentRef,
    /// The time of the source commit; of the rendered commit where that names no source.
    pub since: Timestamp,
    /// What it is since then; `None`: gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    /// The folder of the host then.
    pub folder: RepoPath,
    pub rendered: Revision,
    /// Who wrote the source commit; who changed the rendered branch where there is none.
    pub by: String,
    /// `None`: somebody else than titan wrote the rendered commit, or the source is not in this clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// When the host said that it runs well, as far as the status branch tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
}

/// The commit of the config branch behind a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub revision: Revision,
    pub subject: String,
    /// Who let it in, and how: reviewers, the merge, the person behind an API call.
    pub approvals: Vec<Approval>,
    /// What a merge brought in, newest first, at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Merged>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// A trailer such as `Reviewed-by`, or `Merged-by` for who made the merge.
    pub how: String,
    pub by: String,
}

/// A commit on the other side of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    pub revision: Revision,
    pub subject: String,
    pub author: String,
}

/// Trailers that say who let something in.
const APPROVALS: [&str; 7] = [
    "Approved-by",
    "Acked-by",
    "Merged-by",
    "Reviewed-by",
    "Titan-Actor",
    "Titan-Allow-Removals",
    "Titan-Resume",
];
/// Most commits of a merge that are named.
const MERGED: usize = 50;

/// What changed there, newest first, at most `limit` times.
///
/// # Errors
/// When objects cannot be read.
pub fn history(
    repository: &Repository,
    tip: Revision,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<Turn>, GitError> {
    let mut turns = Vec::new();
    let mut walk = Walk::new(repository, tip, subject)?;
    while turns.len() < limit
        && let Some(found) = walk.step()?
    {
        turns.extend(found);
    }
    turns.truncate(limit);
    Ok(turns)
}

/// What ran there at `tip`, each with the change that brought it there.
///
/// # Errors
/// When objects cannot be read.
pub fn running(
    repository: &Repository,
    tip: Revision,
    subject: &Subject,
) -> Result<Vec<Turn>, GitError> {
    let mut missing = alive(repository, tip, subject)?;
    let mut turns = Vec::new();
    let mut walk = Walk::new(repository, tip, subject)?;
    while !missing.is_empty()
        && let Some(found) = walk.step()?
    {
        turns.extend(found.into_iter().filter(|turn| missing.remove(&turn.assignment)));
    }
    turns.sort_by(|a, b| a.assignment.cmp(&b.assignment));
    Ok(turns)
}

/// The rendered commit that was in force at some point; `None`: there was none yet.
///
/// # Errors
/// When objects cannot be read.
pub fn commit_at(
    repository: &Repository,
    tip: Revision,
    at: At,
) -> Result<Option<Revision>, GitError> {
    if let At::Commit(revision) = at
        && repository.is_ancestor(revision, tip)?
    {
        return Ok(Some(revision));
    }
    for revision in repository.first_parents(tip, None, usize::MAX)? {
        let commit = repository.commit(revision)?;
        let fits = match at {
            At::Time(time) => commit.committer.time() <= time,
            At::Commit(source) => match source_of(&commit) {
                Some(origin) => repository.is_ancestor(origin, source)?,
                None => false,
            },
        };
        if fits {
            return Ok(Some(revision));
        }
    }
    Ok(None)
}

/// Goes down the rendered branch, commit by commit.
struct Walk<'a> {
    repository: &'a Repository,
    subject: &'a Subject,
    next: Option<CommitInfo>,
    /// What the next commit has; of no use for a deployment, which lies on many hosts.
    seen: Seen,
    sources: BTreeMap<Revision, Option<(Source, String)>>,
}

impl<'a> Walk<'a> {
    fn new(
        repository: &'a Repository,
        tip: Revision,
        subject: &'a Subject,
    ) -> Result<Self, GitError> {
        let commit = repository.commit(tip)?;
        let mut walk = Self {
            repository,
            subject,
            next: Some(commit.clone()),
            seen: Seen::default(),
            sources: BTreeMap::new(),
        };
        if let Some(host) = subject.host() {
            walk.seen = look(repository, Some(&commit), host, &Seen::default(), true)?;
        }
        Ok(walk)
    }

    /// What the next commit changed; `None` at the end of history.
    fn step(&mut self) -> Result<Option<Vec<Turn>>, GitError> {
        let Some(commit) = self.next.take() else { return Ok(None) };
        let parent = commit.parents.first().map(|parent| self.repository.commit(*parent));
        let parent = parent.transpose()?;
        let mut found = Vec::new();
        let same = parent.as_ref().is_some_and(|parent| parent.tree == commit.tree);
        if !same {
            found = match self.subject.host() {
                Some(host) => self.on_host(host, &commit, parent.as_ref())?,
                None => self.anywhere(commit.id)?,
            };
        }
        self.next = parent;
        let turns = found
            .into_iter()
            .map(|(assignment, folder, tree)| self.turn(&commit, assignment, folder, tree));
        turns.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Compares the host's folder alone.
    fn on_host(
        &mut self,
        host: &Name,
        commit: &CommitInfo,
        parent: Option<&CommitInfo>,
    ) -> Result<Vec<(AssignmentRef, RepoPath, Option<TreeId>)>, GitError> {
        let after = std::mem::take(&mut self.seen);
        let mut hint = after.clone();
        if after.folder.is_none() {
            // Where nothing is, something can only have been removed.
            let gone = changes(self.repository, commit.id)?.into_iter();
            let gone = gone.filter(|(assignment, _)| assignment.host == *host);
            hint.folder = gone.map(|(_, change)| change.folder).next();
        }
        let before = look(self.repository, parent, host, &hint, after.folder.is_some())?;
        let folder = after.folder.as_ref().or(before.folder.as_ref()).cloned();
        let names: BTreeSet<_> = before.trees.keys().chain(after.trees.keys()).collect();
        let mut found = Vec::new();
        for deployment in names {
            let tree = after.trees.get(deployment);
            let assignment = deployment.on(host);
            if before.trees.get(deployment) != tree && self.subject.holds(&assignment) {
                let folder = folder.clone().expect("something is there before or after");
                found.push((assignment, folder, tree.copied()));
            }
        }
        self.seen = before;
        Ok(found)
    }

    fn anywhere(
        &self,
        revision: Revision,
    ) -> Result<Vec<(AssignmentRef, RepoPath, Option<TreeId>)>, GitError> {
        let all = changes(self.repository, revision)?.into_iter();
        let own = all.filter(|(assignment, _)| self.subject.holds(assignment));
        Ok(own.map(|(assignment, change)| (assignment, change.folder, change.tree)).collect())
    }

    fn turn(
        &mut self,
        commit: &CommitInfo,
        assignment: AssignmentRef,
        folder: RepoPath,
        tree: Option<TreeId>,
    ) -> Result<Turn, GitError> {
        let source = match source_of(commit) {
            Some(source) => self.source(source)?,
            None => None,
        };
        let (source, by) = match source {
            Some((source, by)) => (Some(source), by),
            None => (None, person(commit)),
        };
        let since = commit.committer.time();
        Ok(Turn {
            assignment,
            since,
            tree,
            folder,
            rendered: commit.id,
            by,
            source,
            deployed: None,
        })
    }

    /// The source commit, and its author.
    fn source(&mut self, revision: Revision) -> Result<Option<(Source, String)>, GitError> {
        if let Some(known) = self.sources.get(&revision) {
            return Ok(known.clone());
        }
        // It may be gone after the config branch was rewritten.
        let source = match self.repository.commit(revision) {
            Ok(commit) => Some((read_source(self.repository, &commit)?, person(&commit))),
            Err(GitError::Object { .. }) => None,
            Err(error) => return Err(error),
        };
        self.sources.insert(revision, source.clone());
        Ok(source)
    }
}

impl Subject {
    fn host(&self) -> Option<&Name> {
        match self {
            Self::Assignment(assignment) => Some(&assignment.host),
            Self::Host(host) => Some(host),
            Self::Deployment(_) => None,
        }
    }

    fn holds(&self, assignment: &AssignmentRef) -> bool {
        match self {
            Self::Assignment(own) => assignment == own,
            Self::Host(host) => assignment.host == *host,
            Self::Deployment(deployment) => assignment.deployment == *deployment,
        }
    }
}

fn source_of(commit: &CommitInfo) -> Option<Revision> {
    commit.trailer(SOURCE_TRAILER).and_then(|text| text.parse().ok())
}

fn person(commit: &CommitInfo) -> String {
    format!("{} <{}>", commit.author.name, commit.author.email)
}

fn read_source(repository: &Repository, commit: &CommitInfo) -> Result<Source, GitError> {
    let mut approvals = BTreeSet::new();
    let mut merged = Vec::new();
    note_approvals(commit, &mut approvals);
    if let [first, others @ ..] = commit.parents.as_slice()
        && !others.is_empty()
    {
        approvals.insert(Approval { how: "Merged-by".into(), by: person(commit) });
        for other in others {
            for revision in repository.first_parents(*other, None, MERGED)? {
                if merged.len() == MERGED || repository.is_ancestor(revision, *first)? {
                    break;
                }
                let commit = repository.commit(revision)?;
                note_approvals(&commit, &mut approvals);
                let (author, subject) = (person(&commit), commit.subject);
                merged.push(Merged { revision, subject, author });
            }
        }
    }
    let (revision, subject) = (commit.id, commit.subject.clone());
    Ok(Source { revision, subject, approvals: approvals.into_iter().collect(), merged })
}

fn note_approvals(commit: &CommitInfo, approvals: &mut BTreeSet<Approval>) {
    for (key, value) in &commit.trailers {
        let known = APPROVALS.iter().find(|known| known.eq_ignore_ascii_case(key));
        if let Some(how) = known {
            approvals.insert(Approval { how: (*how).to_owned(), by: value.clone() });
        }
    }
}
