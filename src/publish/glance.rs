//! A part of what the rendered branch holds, for those who look at two commits and go: reading all
//! of a large fleet's assignments takes longer than all that is done with them.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, read};
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{
    AssignmentRef, Assignments, DeploymentRef, Manifests, Name, RepoPath, Revision, TreeId,
};

/// Whose folders are looked into. The recorded choices are read in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub hosts: BTreeSet<Name>,
    /// On every host.
    pub deployments: BTreeSet<DeploymentRef>,
}

/// A part of what the rendered branch holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The choices that are recorded.
    pub recorded: Assignments,
    /// The assignments that were wanted and have a folder.
    pub assignments: Assignments,
    /// The folders of hosts that were looked into.
    pub folders: BTreeMap<Name, RepoPath>,
    /// Removals are held; the number of all assignments when that began.
    pub held_removals: Option<usize>,
}

/// Reads the recorded choices, and the folders that are `wanted`, at a commit of the rendered branch.
///
/// # Errors
/// When an object is missing or damaged.
pub fn glance(
    repository: &Repository,
    revision: Revision,
    wanted: &Wanted,
) -> Result<Glance, GitError> {
    let tree = repository.commit(revision)?.tree;
    let held_removals = read::origin(repository, revision)?.held_removals;
    let mut glance = Glance { held_removals, ..Glance::default() };
    for (deployment, blob) in read::recorded(repository, tree)? {
        if let Some(hosts) = files::read_assignment(&repository.blob(blob)?) {
            glance.recorded.hosts.insert(deployment, hosts);
        }
    }
    if *wanted != Wanted::default()
        && let Some(folder) = repository.entry(tree, &files::hosts_path())?
        && folder.kind == EntryKind::Tree
    {
        folders(repository, &files::hosts_path(), folder.id, wanted, &mut glance)?;
    }
    Ok(glance)
}

/// Looks for hosts' folders: those that hold a marker.
fn folders(
    repository: &Repository,
    folder: &RepoPath,
    tree: TreeId,
    wanted: &Wanted,
    glance: &mut Glance,
) -> Result<(), GitError> {
    for entry in repository.entries(tree)?.into_iter().filter(|one| one.kind == EntryKind::Tree) {
        let Ok(path) = folder.join(&entry.name) else { continue };
        let marked = repository.entries(entry.id)?.iter().any(|one| one.name == files::MARKER);
        match Name::new(&entry.name) {
            Ok(host) if marked => {
                assignments(repository, &host, entry.id, wanted, &mut glance.assignments)?;
                glance.folders.insert(host, path);
            }
            _ => folders(repository, &path, entry.id, wanted, glance)?,
        }
    }
    Ok(())
}

/// The wanted assignments of one host.
fn assignments(
    repository: &Repository,
    host: &Name,
    tree: TreeId,
    wanted: &Wanted,
    found: &mut Assignments,
) -> Result<(), GitError> {
    if wanted.hosts.contains(host) {
        for (file, _) in repository.walk(tree)? {
            let parts: Vec<&str> = file.segments().collect();
            if let [workspace, workload, name, _, ..] = parts[..]
                && let Ok(deployment) = format!("{workspace}/{workload}/{name}").parse()
            {
                found.insert(&deployment, host);
            }
        }
        return Ok(());
    }
    for deployment in &wanted.deployments {
        let place = RepoPath::new(&deployment.to_string()).expect("because it is made of names");
        let entry = repository.entry(tree, &place)?;
        if entry.is_some_and(|entry| entry.kind == EntryKind::Tree) {
            found.insert(deployment, host);
        }
    }
    Ok(())
}

/// The files of one assignment on a host whose folder is `folder`; `None`: it has none.
///
/// # Errors
/// When an object is missing or damaged.
pub fn manifests(
    repository: &Repository,
    revision: Revision,
    folder: &RepoPath,
    assignment: &AssignmentRef,
) -> Result<Option<Manifests>, GitError> {
    let tree = repository.commit(revision)?.tree;
    let place = files::assignment_path(folder, &assignment.deployment);
    let Some(entry) = repository.entry(tree, &place)? else { return Ok(None) };
    if entry.kind != EntryKind::Tree {
        return Ok(None);
    }
    let mut manifests = Manifests::default();
    for (path, entry) in repository.walk(entry.id)? {
        manifests.files.insert(path, repository.blob(entry.id)?);
    }
    Ok(Some(manifests))
}
