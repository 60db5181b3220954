//! What the rendered branch holds now.

use super::{
    EMAIL, GENERATION_TRAILER, HELD_REMOVALS_TRAILER, RESUME_TRAILER, Rendered, SOURCE_TRAILER,
    files,
};
use crate::git::{CommitInfo, Entry, EntryKind, GitError, Repository};
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
    let origin = origin(repository, revision)?;
    contents(repository, repository.commit(revision)?.tree, revision, origin)
}

/// As [`read()`], but what titan itself left there last: what others did to the tree after that is
/// not seen, and only [`Rendered::foreign`] tells of it. The next commit is built on this, so that it
/// takes back what others did.
///
/// # Errors
/// When an object is missing or damaged.
pub fn read_last(
    repository: &Repository,
    revision: Option<Revision>,
) -> Result<Rendered, GitError> {
    let Some(revision) = revision else { return Ok(Rendered::default()) };
    let origin = origin(repository, revision)?;
    let tree = origin.own.map_or_else(|| repository.commit(revision).map(|tip| tip.tree), Ok)?;
    contents(repository, tree, revision, origin)
}

fn contents(
    repository: &Repository,
    tree: TreeId,
    revision: Revision,
    origin: Origin,
) -> Result<Rendered, GitError> {
    let Origin { source, generation, resume, held_removals, foreign, .. } = origin;
    let mut rendered = Rendered {
        revision: Some(revision),
        tree: Some(tree),
        source,
        generation,
        resume,
        held_removals,
        foreign,
        ..Rendered::default()
    };
    for entry in repository.entries(tree)? {
        if entry.kind == EntryKind::Tree && entry.name == files::HOSTS {
            hosts(repository, &files::hosts_path(), entry.id, &mut rendered)?;
        }
    }
    for pair in rendered.trees.keys() {
        rendered.current.insert(&pair.deployment, &pair.host);
    }
    for (deployment, blob) in recorded(repository, tree)? {
        if let Some(hosts) = files::read_assignment(&repository.blob(blob)?) {
            rendered.current.hosts.insert(deployment, hosts);
        }
    }
    Ok(rendered)
}

/// What the commits at the tip of the rendered branch say of themselves.
#[derive(Debug, Default)]
struct Origin {
    /// Of the newest commit that names them: generations may not go back (invariant I4).
    source: Option<Revision>,
    generation: u64,
    resume: Option<Revision>,
    /// Of the newest commit that is titan's own.
    own: Option<TreeId>,
    held_removals: Option<usize>,
    /// What lies on top of that one and has another tree than the commit below it.
    foreign: Vec<Revision>,
}

/// Looks down from `tip` to the newest commit that is titan's own. Where there is none within
/// reach, somebody has rewritten all of them, and what is there is taken as it is.
fn origin(repository: &Repository, tip: Revision) -> Result<Origin, GitError> {
    let mut origin = Origin::default();
    let mut next = Some(tip);
    for _ in 0..FOREIGN {
        let Some(revision) = next else { break };
        let commit = repository.commit(revision)?;
        let source = commit.trailer(SOURCE_TRAILER).and_then(|id| id.parse().ok());
        let generation = commit.trailer(GENERATION_TRAILER).and_then(|n| n.parse().ok());
        if let (None, Some(source), Some(generation)) = (origin.source, source, generation) {
            origin.source = Some(source);
            origin.generation = generation;
            origin.resume = commit.trailer(RESUME_TRAILER).and_then(|id| id.parse().ok());
        }
        if is_titans(&commit) {
            origin.own = Some(commit.tree);
            if repository.commit(tip)?.tree == commit.tree {
                origin.foreign.clear();
            }
            let held = commit.trailer(HELD_REMOVALS_TRAILER);
            let of = held.and_then(|held| held.rsplit(' ').next()?.parse().ok());
            origin.held_removals = of;
            return Ok(origin);
        }
        next = commit.parents.first().copied();
        let below = next.map(|next| repository.commit(next)).transpose()?;
        if below.is_none_or(|below| below.tree != commit.tree) {
            origin.foreign.push(revision);
        }
    }
    origin.foreign.clear();
    Ok(origin)
}

/// Whether titan says that it rendered this commit: it names its source and its generation, and has
/// titan as its committer. Whether that is true, only rendering again can tell.
#[must_use]
pub fn is_titans(commit: &CommitInfo) -> bool {
    let named =
        [SOURCE_TRAILER, GENERATION_TRAILER].iter().all(|key| commit.trailer(key).is_some());
    named && commit.trailer(RESUME_TRAILER).is_none() && commit.committer.email == EMAIL
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
