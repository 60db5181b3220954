//! What the rendered branch holds now.

use super::{Rendered, files};
use crate::git::{Entry, EntryKind, GitError, Repository, blob_id};
use crate::model::{DeploymentRef, Name, RepoPath, Revision, TreeId};

/// How many commits of others on top of titan's are looked through.
const FOREIGN: usize = 1000;

/// Reads the rendered branch's commit `revision` (`None`: the branch does not exist). Only the
/// folders down to the assignments and the recorded choices are read, no manifest.
///
/// A folder below `hosts/` is a host's when it holds `.titan`. Recorded choices that cannot be read
/// (nobody but titan should write them) count as absent: then the folders tell.
///
/// # Errors
/// When an object is missing or damaged.
pub fn read(repository: &Repository, revision: Option<Revision>) -> Result<Rendered, GitError> {
    let Some(revision) = revision else { return Ok(Rendered::default()) };
    let commit = repository.commit(revision)?;
    let (source, generation) = origin(repository, revision)?;
    let mut rendered =
        Rendered { revision: Some(revision), source, generation, ..Rendered::default() };
    match repository.entry(commit.tree, &files::hosts_path())? {
        Some(folder) if folder.kind == EntryKind::Tree => {
            hosts(repository, &files::hosts_path(), folder.id, &mut rendered)?;
        }
        Some(_) => drop(rendered.strangers.insert(files::hosts_path())),
        None => {}
    }
    for pair in rendered.trees.keys() {
        rendered.current.insert(&pair.deployment, &pair.host);
    }
    for (deployment, blob) in recorded(repository, commit.tree)? {
        if let Some(hosts) = files::read_assignment(&repository.blob(blob)?) {
            rendered.current.hosts.insert(deployment, hosts);
        }
    }
    rendered.strangers.extend(unrecorded(repository, commit.tree)?);
    Ok(rendered)
}

/// Source commit and generation of the newest commit that names them: somebody else may have
/// committed on top, and generations may not go back (invariant I4).
fn origin(
    repository: &Repository,
    revision: Revision,
) -> Result<(Option<Revision>, u64), GitError> {
    let mut next = Some(revision);
    for _ in 0..FOREIGN {
        let Some(revision) = next else { break };
        let commit = repository.commit(revision)?;
        let source = commit.trailer("Titan-Source-Commit").and_then(|id| id.parse().ok());
        let generation = commit.trailer("Titan-Generation").and_then(|n| n.parse().ok());
        if let (Some(source), Some(generation)) = (source, generation) {
            return Ok((Some(source), generation));
        }
        next = commit.parents.first().copied();
    }
    Ok((None, 0))
}

/// The blobs of the recorded choices.
pub(super) fn recorded(
    repository: &Repository,
    tree: TreeId,
) -> Result<Vec<(DeploymentRef, TreeId)>, GitError> {
    let Some(folder) = repository.entry(tree, &files::assignments_path())? else {
        return Ok(Vec::new());
    };
    if folder.kind != EntryKind::Tree {
        return Ok(Vec::new());
    }
    let all = repository.walk(folder.id)?.into_iter();
    Ok(all.filter_map(|(path, entry)| Some((files::recorded_name(&path)?, entry.id))).collect())
}

/// What lies below `assignments/` and records nothing.
fn unrecorded(repository: &Repository, tree: TreeId) -> Result<Vec<RepoPath>, GitError> {
    let root = files::assignments_path();
    match repository.entry(tree, &root)? {
        Some(folder) if folder.kind == EntryKind::Tree => {
            let all = repository.walk(folder.id)?.into_iter().map(|(path, _)| path);
            let strange = all.filter(|path| files::recorded_name(path).is_none());
            Ok(strange.filter_map(|path| root.join(path.as_str()).ok()).collect())
        }
        Some(_) => Ok(vec![root]),
        None => Ok(Vec::new()),
    }
}

/// Looks for hosts' folders in `folder`, which is no host's.
fn hosts(
    repository: &Repository,
    folder: &RepoPath,
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    for (path, entry) in folders(repository, folder, tree, rendered)? {
        below_hosts(repository, &path, &entry, rendered)?;
    }
    Ok(())
}

fn below_hosts(
    repository: &Repository,
    path: &RepoPath,
    entry: &Entry,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    let marker_name = RepoPath::new(files::MARKER).expect("because it is a plain name");
    let marker = repository.entry(entry.id, &marker_name)?;
    let Some((host, marker)) = Name::new(&entry.name).ok().zip(marker) else {
        return hosts(repository, path, entry.id, rendered);
    };
    if rendered.folders.contains_key(&host) {
        // A host has one folder: this is a copy.
        rendered.strangers.insert(path.clone());
        return Ok(());
    }
    rendered.folders.insert(host.clone(), path.clone());
    let below = folders(repository, path, entry.id, rendered)?;
    if marker.kind == EntryKind::File && marker.id == blob_id(files::marker(&host).as_bytes()) {
        rendered.strangers.remove(&files::marker_path(path));
    } else {
        rendered.strangers.insert(files::marker_path(path));
    }
    for (path, entry) in below {
        // `hosts/a.yaml` and `hosts/a/b.yaml` are both fine: then b's folder lies in a's.
        if repository.entry(entry.id, &marker_name)?.is_some() {
            below_hosts(repository, &path, &entry, rendered)?;
        } else if let Ok(workspace) = Name::new(&entry.name) {
            assignments(repository, &host, (&workspace, &path), entry.id, rendered)?;
        } else {
            rendered.strangers.insert(path);
        }
    }
    Ok(())
}

/// Notes the deployments in the folder of one workspace of one host.
fn assignments(
    repository: &Repository,
    host: &Name,
    (workspace, path): (&Name, &RepoPath),
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    for (path, workload) in folders(repository, path, tree, rendered)? {
        for (path, deployment) in folders(repository, &path, workload.id, rendered)? {
            let names = (Name::new(&workload.name), Name::new(&deployment.name));
            let (Ok(workload), Ok(name)) = names else {
                rendered.strangers.insert(path);
                continue;
            };
            let deployment_ref = DeploymentRef { workspace: workspace.clone(), workload, name };
            rendered.trees.insert(deployment_ref.on(host), deployment.id);
        }
    }
    Ok(())
}

/// The folders in the folder `path`. Its files are strangers: titan puts none there.
fn folders(
    repository: &Repository,
    path: &RepoPath,
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<Vec<(RepoPath, Entry)>, GitError> {
    let mut found = Vec::new();
    for entry in repository.entries(tree)? {
        let Ok(path) = path.join(&entry.name) else { continue };
        if entry.kind == EntryKind::Tree {
            found.push((path, entry));
        } else {
            rendered.strangers.insert(path);
        }
    }
    Ok(found)
}
