//! What the rendered branch holds now.

use super::{Rendered, files};
use crate::git::{Entry, EntryKind, GitError, Repository};
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
    for entry in repository.entries(commit.tree)? {
        if entry.kind == EntryKind::Tree && entry.name == files::HOSTS {
            hosts(repository, &files::hosts_path(), entry.id, &mut rendered)?;
        }
    }
    for pair in rendered.trees.keys() {
        rendered.current.insert(&pair.deployment, &pair.host);
    }
    for (deployment, blob) in recorded(repository, commit.tree)? {
        if let Some(hosts) = files::read_assignment(&repository.blob(blob)?) {
            rendered.current.hosts.insert(deployment, hosts);
        }
    }
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

/// Looks for hosts' folders in `folder`, which is no host's.
fn hosts(
    repository: &Repository,
    folder: &RepoPath,
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    for entry in folders(repository, tree)? {
        let Ok(path) = folder.join(&entry.name) else { continue };
        below_hosts(repository, &path, &entry, rendered)?;
    }
    Ok(())
}

fn below_hosts(
    repository: &Repository,
    path: &RepoPath,
    entry: &Entry,
    rendered: &mut Rendered,
) -> Result<bool, GitError> {
    let entries = repository.entries(entry.id)?;
    let is_host = entries.iter().any(|entry| entry.name == files::MARKER);
    let Some(host) = Name::new(&entry.name).ok().filter(|_| is_host) else {
        hosts(repository, path, entry.id, rendered)?;
        return Ok(false);
    };
    rendered.folders.insert(host.clone(), path.clone());
    for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Tree) {
        // `hosts/a.yaml` and `hosts/a/b.yaml` are both fine: then b's folder lies in a's.
        let marker = RepoPath::new(files::MARKER).expect("because it is a plain name");
        if repository.entry(entry.id, &marker)?.is_some() {
            if let Ok(path) = path.join(&entry.name) {
                below_hosts(repository, &path, &entry, rendered)?;
            }
            continue;
        }
        if let Ok(workspace) = Name::new(&entry.name) {
            assignments(repository, &host, &workspace, entry.id, rendered)?;
        }
    }
    Ok(true)
}

/// Notes the deployments in the folder of one workspace of one host.
fn assignments(
    repository: &Repository,
    host: &Name,
    workspace: &Name,
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    for workload in folders(repository, tree)? {
        for deployment in folders(repository, workload.id)? {
            let names = (Name::new(&workload.name), Name::new(&deployment.name));
            let (Ok(workload), Ok(name)) = names else { continue };
            let deployment_ref = DeploymentRef { workspace: workspace.clone(), workload, name };
            rendered.trees.insert(deployment_ref.on(host), deployment.id);
        }
    }
    Ok(())
}

fn folders(
    repository: &Repository,
    tree: TreeId,
) -> Result<impl Iterator<Item = Entry> + use<>, GitError> {
    let entries = repository.entries(tree)?;
    Ok(entries.into_iter().filter(|entry| entry.kind == EntryKind::Tree))
}
