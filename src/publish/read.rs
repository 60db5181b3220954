//! What the rendered branch holds now.

use super::{
    EMAIL, GENERATION_TRAILER, HELD_REMOVALS_TRAILER, RENDERER_TRAILER, RESUME_TRAILER, Rendered,
    SOURCE_TRAILER, files,
};
use crate::git::{CommitInfo, Entry, EntryKind, GitError, Repository, TreeEdit, blob_id};
use crate::model::{DeploymentRef, Name, RepoPath, Revision, TreeId};

/// How many commits of others on top of titan's are looked through.
const FOREIGN: usize = 1000;

/// Reads the rendered branch's commit `revision` (`None`: the branch does not exist). Only the
/// folders down to the assignments and the recorded choices are read, no manifest.
///
/// A folder below `hosts/` is a host's when it holds `.titan`. Recorded choices that cannot be read
/// (nobody but titan should write them) are strangers' files: until they are gone the folders tell.
///
/// # Errors
/// When an object is missing or damaged.
pub fn read(repository: &Repository, revision: Option<Revision>) -> Result<Rendered, GitError> {
    let Some(revision) = revision else { return Ok(Rendered::default()) };
    let origin = origin(repository, revision)?;
    contents(repository, repository.commit(revision)?.tree, revision, origin)
}

/// As [`read()`], but what titan itself left there last: what others did to titan's files after that
/// is not seen, and only [`Rendered::foreign`] tells of it. The next commit is built on this, so that
/// it takes back what others did. What they keep beside titan's files stays.
///
/// # Errors
/// When an object is missing or damaged.
pub fn read_last(
    repository: &Repository,
    revision: Option<Revision>,
) -> Result<Rendered, GitError> {
    let Some(revision) = revision else { return Ok(Rendered::default()) };
    let origin = origin(repository, revision)?;
    let tip = repository.commit(revision)?.tree;
    let tree = match origin.own {
        Some(own) => with_titans_files(repository, tip, own)?,
        None => tip,
    };
    contents(repository, tree, revision, origin)
}

/// What titan writes at the top of the tree.
fn titans() -> [RepoPath; 3] {
    [files::hosts_path(), files::assignments_path(), files::hydrator_path()]
}

/// Whether a file of the rendered branch is for titan to write.
#[must_use]
pub fn is_titans_path(path: &RepoPath) -> bool {
    let top = path.segments().next();
    titans().iter().any(|own| Some(own.as_str()) == top)
}

fn titans_files(repository: &Repository, tree: TreeId) -> Result<Vec<Option<Entry>>, GitError> {
    titans().iter().map(|path| repository.entry(tree, path)).collect()
}

/// The tree `tip`, in which titan's files are those of `own`.
fn with_titans_files(
    repository: &Repository,
    tip: TreeId,
    own: TreeId,
) -> Result<TreeId, GitError> {
    if tip == own || titans_files(repository, tip)? == titans_files(repository, own)? {
        return Ok(tip);
    }
    let mut edit = TreeEdit::new(repository, Some(tip));
    for (path, entry) in titans().iter().zip(titans_files(repository, own)?) {
        match entry {
            Some(entry) if entry.kind == EntryKind::Tree => edit.put_tree(path, entry.id)?,
            Some(entry) => edit.put(path, &repository.blob(entry.id)?)?,
            None => edit.remove(path)?,
        }
    }
    edit.write()
}

fn contents(
    repository: &Repository,
    tree: TreeId,
    revision: Revision,
    origin: Origin,
) -> Result<Rendered, GitError> {
    let Origin { source, generation, renderer, resume, held_removals, foreign, .. } = origin;
    let mut rendered = Rendered {
        revision: Some(revision),
        tree: Some(tree),
        source,
        generation,
        renderer,
        resume,
        held_removals,
        foreign,
        ..Rendered::default()
    };
    match repository.entry(tree, &files::hosts_path())? {
        Some(folder) if folder.kind == EntryKind::Tree => {
            hosts(repository, &files::hosts_path(), folder.id, &mut rendered)?;
        }
        Some(_) => drop(rendered.strangers.insert(files::hosts_path())),
        None => {}
    }
    for (deployment, host, _) in rendered.trees.iter() {
        rendered.current.insert(deployment, host);
    }
    for (deployment, blob) in recorded(repository, tree)? {
        match files::read_assignment(&repository.blob(blob)?) {
            Some(hosts) => {
                rendered.records.insert(deployment.clone());
                rendered.current.hosts.insert(deployment, hosts);
            }
            None => drop(rendered.strangers.insert(files::recorded_path(&deployment))),
        }
    }
    rendered.strangers.extend(unrecorded(repository, tree)?);
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
    renderer: Option<String>,
    held_removals: Option<usize>,
    /// What lies on top of that one and has other files of titan than the commit below it.
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
            origin.renderer = commit.trailer(RENDERER_TRAILER).map(str::to_owned);
            let now = repository.commit(tip)?.tree;
            if titans_files(repository, now)? == titans_files(repository, commit.tree)? {
                origin.foreign.clear();
            }
            let held = commit.trailer(HELD_REMOVALS_TRAILER);
            let of = held.and_then(|held| held.rsplit(' ').next()?.parse().ok());
            origin.held_removals = of;
            return Ok(origin);
        }
        next = commit.parents.first().copied();
        let below = next.map(|next| repository.commit(next)).transpose()?;
        let below = below.map(|below| titans_files(repository, below.tree)).transpose()?;
        if below != Some(titans_files(repository, commit.tree)?) {
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
fn recorded(
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
            rendered.trees.set(&deployment_ref, host, Some(deployment.id));
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
