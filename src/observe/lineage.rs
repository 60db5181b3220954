//! "What ran there, since when, from which commit, by whom?": from Git alone.
//!
//! ```text
//!  rendered branch, first parents:  r9 ── r8 ── r7 ── …     the tree id at one place, commit by commit
//!                                   │      ╰ same ╯
//!                                   ╰ differs ─▶ Titan-Source-Commit ─▶ author, reviewers, merge
//! ```
//! A host that moved to another folder is followed. Times are those of the source commits, which
//! rendered commits bear; when something was Deployed comes from the status branch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::files;
use super::history::{MARK, SOURCE_TRAILER, changes};
use crate::git::{CommitInfo, Entry, EntryKind, GitError, Repository};
use crate::model::{
    AssignmentRef, AssignmentStatus, DeploymentRef, Name, RepoPath, Revision, Timestamp, TreeId,
};

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
/// Most commits of the status branch that are looked through.
const STATUSES: usize = 10_000;

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

/// Adds when each of `turns` was Deployed, from the status branch's history.
///
/// # Errors
/// When objects cannot be read. Damaged status files are passed over.
pub fn add_deployed(
    repository: &Repository,
    status: Revision,
    turns: &mut [Turn],
) -> Result<(), GitError> {
    let Some(oldest) = turns.iter().map(|turn| turn.since).min() else { return Ok(()) };
    let mut places = BTreeMap::<RepoPath, (Option<TreeId>, Vec<usize>)>::new();
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.tree.is_some()) {
        if let Some(path) = files::assignment_path(&turn.folder, &turn.assignment.deployment) {
            places.entry(path).or_default().1.push(index);
        }
    }
    for revision in repository.first_parents(status, None, STATUSES)? {
        let commit = repository.commit(revision)?;
        if commit.committer.time() < oldest {
            break;
        }
        for (path, (seen, indices)) in &mut places {
            let entry = repository.entry(commit.tree, path)?;
            let Some(entry) = entry.filter(|entry| entry.kind == EntryKind::File) else { continue };
            if seen.replace(entry.id) == Some(entry.id) {
                continue;
            }
            let status = files::read::<AssignmentStatus>(&repository.blob(entry.id)?).ok();
            let Some((status, deployed)) =
                status.and_then(|status| status.trail.deployed.map(|time| (status, time)))
            else {
                continue;
            };
            for turn in indices.iter().map(|index| *index).collect::<Vec<_>>() {
                let turn = &mut turns[turn];
                let same = turn.assignment == status.assignment
                    && turn.rendered == status.desired.rendered;
                if same {
                    turn.deployed = Some(deployed);
                }
            }
        }
    }
    Ok(())
}

/// The folder of one host, and what is in it.
#[derive(Debug, Clone, Default)]
struct Seen {
    folder: Option<RepoPath>,
    /// The folder's own tree: equal trees need no second look.
    tree: Option<TreeId>,
    trees: BTreeMap<DeploymentRef, TreeId>,
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

/// What a host has at a commit. It is looked for where it was one commit later, and elsewhere only
/// with `search`.
fn look(
    repository: &Repository,
    commit: Option<&CommitInfo>,
    host: &Name,
    later: &Seen,
    search: bool,
) -> Result<Seen, GitError> {
    let Some(commit) = commit else { return Ok(Seen::default()) };
    if let Some(folder) = &later.folder
        && let Some(entry) = repository.entry(commit.tree, folder)?
        && is_host(repository, &entry)?
    {
        if later.tree == Some(entry.id) {
            return Ok(later.clone());
        }
        let trees = inside(repository, entry.id)?;
        return Ok(Seen { folder: Some(folder.clone()), tree: Some(entry.id), trees });
    }
    if !search {
        return Ok(Seen::default());
    }
    let mut found = None;
    hosts(repository, commit.tree, &mut |name, folder, tree| {
        if name == host {
            found = Some((folder.clone(), tree));
        }
        found.is_none()
    })?;
    let Some((folder, tree)) = found else { return Ok(Seen::default()) };
    Ok(Seen { trees: inside(repository, tree)?, folder: Some(folder), tree: Some(tree) })
}

/// What is to be found at a commit.
fn alive(
    repository: &Repository,
    tip: Revision,
    subject: &Subject,
) -> Result<BTreeSet<AssignmentRef>, GitError> {
    let commit = repository.commit(tip)?;
    if let Some(host) = subject.host() {
        let seen = look(repository, Some(&commit), host, &Seen::default(), true)?;
        let all = seen.trees.keys().map(|deployment| deployment.on(host));
        return Ok(all.filter(|assignment| subject.holds(assignment)).collect());
    }
    let Subject::Deployment(deployment) = subject else { return Ok(BTreeSet::new()) };
    let mut all = Vec::new();
    hosts(repository, commit.tree, &mut |name, _, tree| {
        all.push((name.clone(), tree));
        true
    })?;
    let mut alive = BTreeSet::new();
    let path = RepoPath::new(&deployment.to_string()).expect("because it is made of names");
    for (host, tree) in all {
        if repository.entry(tree, &path)?.is_some_and(|entry| entry.kind == EntryKind::Tree) {
            alive.insert(deployment.on(&host));
        }
    }
    Ok(alive)
}

fn is_host(repository: &Repository, entry: &Entry) -> Result<bool, GitError> {
    let is_mark = |entry: &Entry| entry.name == MARK;
    Ok(entry.kind == EntryKind::Tree && repository.entries(entry.id)?.iter().any(is_mark))
}

/// Shows every host's folder below a root, until `visit` says that it has seen enough.
fn hosts(
    repository: &Repository,
    root: TreeId,
    visit: &mut dyn FnMut(&Name, &RepoPath, TreeId) -> bool,
) -> Result<(), GitError> {
    let top = RepoPath::new("hosts").expect("because it is a plain name");
    let Some(entry) = repository.entry(root, &top)? else { return Ok(()) };
    let mut folders = vec![(top, entry, false)];
    while let Some((folder, entry, in_host)) = folders.pop() {
        if entry.kind != EntryKind::Tree {
            continue;
        }
        let entries = repository.entries(entry.id)?;
        let name = Name::new(folder.file_name()).ok();
        let is_host = entries.iter().any(|entry| entry.name == MARK);
        match name.filter(|_| is_host) {
            Some(name) if !visit(&name, &folder, entry.id) => return Ok(()),
            // A host's own folder holds other hosts at its first level alone.
            None if in_host => continue,
            _ => {}
        }
        for entry in entries {
            if let Ok(path) = folder.join(&entry.name) {
                folders.push((path, entry, is_host));
            }
        }
    }
    Ok(())
}

/// The deployments in a host's folder.
fn inside(
    repository: &Repository,
    host: TreeId,
) -> Result<BTreeMap<DeploymentRef, TreeId>, GitError> {
    let folders = |tree: TreeId| -> Result<Vec<(Name, TreeId)>, GitError> {
        let entries = repository.entries(tree)?.into_iter();
        let trees = entries.filter(|entry| entry.kind == EntryKind::Tree);
        Ok(trees.filter_map(|entry| Some((Name::new(&entry.name).ok()?, entry.id))).collect())
    };
    let mut found = BTreeMap::new();
    for (workspace, tree) in folders(host)? {
        let nested = repository.entries(tree)?.iter().any(|entry| entry.name == MARK);
        if nested {
            continue;
        }
        for (workload, tree) in folders(tree)? {
            for (name, tree) in folders(tree)? {
                let (workspace, workload) = (workspace.clone(), workload.clone());
                found.insert(DeploymentRef { workspace, workload, name }, tree);
            }
        }
    }
    Ok(found)
}
