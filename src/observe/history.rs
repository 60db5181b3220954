//! What commits of the rendered branch changed, assignment by assignment.

use std::collections::BTreeMap;

use super::fold::Origin;
use crate::git::{Entry, EntryKind, GitError, Repository};
use crate::model::{AssignmentRef, DeploymentRef, Name, RepoPath, Revision, Timestamp, TreeId};

/// Trailer of a rendered commit that names its source commit.
pub(super) const SOURCE_TRAILER: &str = "Titan-Source-Commit";
/// The file that marks a folder as a host's.
pub(super) const MARK: &str = ".titan";
/// Most rendered commits that are walked for their origins; older ones are all taken for the tip's.
const LONGEST: usize = 1000;

/// What a rendered commit did to one assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The host's folder: where it is now, or where it was when it is gone.
    pub folder: RepoPath,
    /// `None`: it was removed.
    pub tree: Option<TreeId>,
}

/// Assignments whose manifests differ between a rendered commit and its first parent. Costs what
/// changed: equal trees are not entered. An assignment that only moved to another folder with its host
/// did not change.
///
/// # Errors
/// When objects cannot be read.
pub fn changes(
    repository: &Repository,
    revision: Revision,
) -> Result<BTreeMap<AssignmentRef, Change>, GitError> {
    let commit = repository.commit(revision)?;
    let parent = commit.parents.first().map(|parent| repository.commit(*parent)).transpose()?;
    let mut diff = Diff { repository, removed: BTreeMap::new(), added: BTreeMap::new() };
    let before = parent.map(|parent| hosts_of(repository, parent.tree)).transpose()?.flatten();
    diff.folders("hosts", None, before, hosts_of(repository, commit.tree)?)?;
    let Diff { removed, added, .. } = diff;
    let mut changes = BTreeMap::new();
    for (assignment, (folder, _)) in &removed {
        if !added.contains_key(assignment) {
            changes.insert(assignment.clone(), Change { folder: folder.clone(), tree: None });
        }
    }
    for (assignment, (folder, tree)) in added {
        if removed.get(&assignment).is_none_or(|(_, before)| *before != tree) {
            changes.insert(assignment, Change { folder, tree: Some(tree) });
        }
    }
    Ok(changes)
}

/// The commit that changed each assignment last, among those after `base` up to `tip` on the rendered
/// branch. `now` stands in for the time of their publication.
///
/// # Errors
/// When objects cannot be read.
pub fn origins(
    repository: &Repository,
    base: Option<Revision>,
    tip: Revision,
    now: Timestamp,
) -> Result<BTreeMap<AssignmentRef, Origin>, GitError> {
    let mut origins = BTreeMap::new();
    for revision in repository.first_parents(tip, base, LONGEST)? {
        let Some(origin) = origin(repository, revision, now)? else { continue };
        for assignment in changes(repository, revision)?.into_keys() {
            origins.entry(assignment).or_insert(origin);
        }
    }
    Ok(origins)
}

/// Where a rendered commit comes from; `None` when it names no source.
///
/// # Errors
/// When the commit cannot be read.
pub fn origin(
    repository: &Repository,
    rendered: Revision,
    now: Timestamp,
) -> Result<Option<Origin>, GitError> {
    let commit = repository.commit(rendered)?;
    let source = commit.trailer(SOURCE_TRAILER).and_then(|text| text.parse().ok());
    // The commit bears its source's dates, so that two controllers make the same one.
    let committed = commit.committer.time();
    Ok(source.map(|source| Origin { source, rendered, committed, published: now }))
}

/// Whether `revision` is a commit of the rendered branch, whose head is `head`.
///
/// # Errors
/// When the branch cannot be read.
pub fn is_issued(
    repository: &Repository,
    head: Revision,
    revision: Revision,
) -> Result<bool, GitError> {
    if head == revision {
        return Ok(true);
    }
    Ok(repository.commit(revision).is_ok() && repository.is_ancestor(revision, head)?)
}

fn hosts_of(repository: &Repository, root: TreeId) -> Result<Option<TreeId>, GitError> {
    let entries = repository.entries(root)?;
    Ok(entries.into_iter().find(|entry| entry.name == "hosts").and_then(|entry| tree_of(&entry)))
}

fn tree_of(entry: &Entry) -> Option<TreeId> {
    (entry.kind == EntryKind::Tree).then_some(entry.id)
}

/// A host's folder on the way down: its path, its name, and the names passed below it.
#[derive(Clone, Copy)]
struct Inside<'a> {
    folder: &'a str,
    host: &'a Name,
    names: &'a [Name],
}

impl Inside<'_> {
    /// The assignment whose folder this is, three names below the host's.
    fn assignment(self) -> Option<AssignmentRef> {
        let [workspace, workload, name] = self.names else { return None };
        let (workspace, workload, name) = (workspace.clone(), workload.clone(), name.clone());
        let deployment = DeploymentRef::new(workspace, workload, name);
        Some(AssignmentRef { deployment, host: self.host.clone() })
    }
}

type Found = BTreeMap<AssignmentRef, (RepoPath, TreeId)>;

struct Diff<'a> {
    repository: &'a Repository,
    removed: Found,
    added: Found,
}

impl Diff<'_> {
    /// Compares two versions of the folder at `path`.
    fn folders(
        &mut self,
        path: &str,
        inside: Option<Inside<'_>>,
        before: Option<TreeId>,
        after: Option<TreeId>,
    ) -> Result<(), GitError> {
        if before == after {
            return Ok(());
        }
        if let Some(assignment) = inside.and_then(Inside::assignment) {
            let folder = inside.and_then(|inside| RepoPath::new(inside.folder).ok());
            let at = |tree: Option<TreeId>| folder.clone().zip(tree);
            self.removed.extend(at(before).map(|found| (assignment.clone(), found)));
            self.added.extend(at(after).map(|found| (assignment, found)));
            return Ok(());
        }
        let (before, after) = (self.entries(before)?, self.entries(after)?);
        let is_host = before.contains_key(MARK) || after.contains_key(MARK);
        let own = path.rsplit('/').next().and_then(|name| Name::new(name).ok());
        let host = own.as_ref().filter(|_| is_host);
        let empty = [];
        let inside = match host {
            Some(host) => Some(Inside { folder: path, host, names: &empty }),
            None => inside,
        };
        let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            if before.map(|entry| entry.id) == after.map(|entry| entry.id) {
                continue;
            }
            let (before, after) = (before.and_then(tree_of), after.and_then(tree_of));
            let path = format!("{path}/{name}");
            let Some(Inside { folder, host, names: passed }) = inside else {
                self.folders(&path, None, before, after)?;
                continue;
            };
            let Ok(name) = Name::new(name) else { continue };
            let mut names = passed.to_vec();
            names.push(name);
            self.folders(&path, Some(Inside { folder, host, names: &names }), before, after)?;
        }
        Ok(())
    }

    fn entries(&self, tree: Option<TreeId>) -> Result<BTreeMap<String, Entry>, GitError> {
        let Some(tree) = tree else { return Ok(BTreeMap::new()) };
        let entries = self.repository.entries(tree)?;
        Ok(entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect())
    }
}
