//! Where a host's folder lies at a commit, and what is in it.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use crate::git::{CommitInfo, Entry, EntryKind, GitError, Repository};
use crate::model::{AssignmentRef, DeploymentRef, Name, RepoPath, Revision, TreeId};
use crate::observe::history::MARK;

/// The folder of one host, and what is in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) folder: Option<RepoPath>,
    /// The folder's own tree: equal trees need no second look.
    pub(super) tree: Option<TreeId>,
    pub(super) trees: BTreeMap<DeploymentRef, TreeId>,
}

/// What a host has at a commit. It is looked for where it was one commit later, and elsewhere only
/// with `search`.
pub(super) fn look(
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
pub(super) fn alive(
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
                found.insert(DeploymentRef::new(workspace, workload, name), tree);
            }
        }
    }
    Ok(found)
}
