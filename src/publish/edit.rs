//! The new tree: the previous one with what differs put in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Rendered, RenderedPlan, files, read};
use crate::git::{GitError, Repository, Sibling, TreeEdit, empty_tree};
use crate::model::{AssignmentRef, DeploymentRef, Host, Manifests, Name, RepoPath, TreeId};

/// The new tree, without a new `hydrator.metadata`, and how it differs.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) tree: TreeId,
    /// As in [`super::Commit::changed`].
    pub(super) changed: BTreeMap<AssignmentRef, Option<TreeId>>,
    /// Hosts whose folder is new.
    pub(super) added: BTreeSet<Name>,
    /// Hosts whose folder is somewhere else now.
    pub(super) moved: BTreeSet<Name>,
    /// Hosts whose folder is gone.
    pub(super) removed: BTreeSet<Name>,
    /// Somebody else had put files there.
    pub(super) defaced: bool,
}

impl Edited {
    /// Every host whose folder differs.
    pub(super) fn hosts(&self) -> BTreeSet<&Name> {
        let pairs = self.changed.keys().map(|pair| &pair.host);
        pairs.chain(&self.added).chain(&self.moved).chain(&self.removed).collect()
    }
}

/// Edits the tree that titan left last. `seen` is what others made of it, if they did: then that is
/// what the result is compared with.
pub(super) fn edit(
    repository: &Repository,
    previous: &Rendered,
    seen: Option<&Rendered>,
    plan: &RenderedPlan<'_>,
) -> Result<Edited, GitError> {
    let base = previous.tree;
    let folders = folders(previous, plan);
    let after = trees(repository, previous, plan, &folders)?;
    let mut edited = compare(previous, &folders, &after);
    let mut edit = TreeEdit::new(repository, base);
    for path in &previous.strangers {
        edit.remove(path)?;
    }
    // All removals first: a folder may move into, or out of, another one's old place.
    for host in edited.removed.iter().chain(&edited.moved) {
        remove_host(&mut edit, host, previous, &folders)?;
    }
    for (pair, _) in edited.changed.iter().filter(|(_, tree)| tree.is_none()) {
        edit.remove(&files::assignment_path(&previous.folders[&pair.host], pair))?;
    }
    let defaced = folders
        .iter()
        .filter(|(_, folder)| previous.strangers.contains(&files::marker_path(folder)));
    let new = edited.added.iter().chain(&edited.moved);
    for host in new.chain(defaced.map(|(host, _)| host)) {
        let marker = files::marker(host);
        edit.put(&files::marker_path(&folders[host]), marker.as_bytes())?;
    }
    for (pair, tree) in &edited.changed {
        if let Some(tree) = tree {
            edit.put_tree(&files::assignment_path(&folders[&pair.host], pair), *tree)?;
        }
    }
    record(repository, base, plan, &mut edit)?;
    let tree = edit.write()?;
    if let Some(seen) = seen {
        edited = compare(seen, &folders, &after);
    }
    Ok(Edited { tree, ..edited })
}

/// Where every host's folder is to be. A host that is gone from the fleet keeps its folder while it
/// is held, or something on it is.
fn folders(previous: &Rendered, plan: &RenderedPlan<'_>) -> BTreeMap<Name, RepoPath> {
    let kept: BTreeSet<&Name> = plan.schedule.kept.iter().map(|(_, host)| host).collect();
    let stays = |host: &Name| plan.fleet.held.hosts.contains_key(host) || kept.contains(host);
    let old = previous.folders.iter().filter(|(host, _)| stays(host));
    let mut folders: BTreeMap<Name, RepoPath> =
        old.map(|(host, folder)| (host.clone(), folder.clone())).collect();
    for (name, host) in &plan.fleet.hosts {
        let folder = host.folder();
        let stays = plan.removals.as_ref().is_some_and(|held| held.unmoved.contains(name));
        if folder.as_str().len() <= Host::LONGEST_FOLDER && !stays {
            folders.insert(name.clone(), folder);
        } else if let Some(old) = previous.folders.get(name) {
            folders.insert(name.clone(), old.clone());
        }
    }
    folders
}

/// The tree of every assignment that is to be there.
fn trees(
    repository: &Repository,
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
    folders: &BTreeMap<Name, RepoPath>,
) -> Result<BTreeMap<AssignmentRef, TreeId>, GitError> {
    let schedule = plan.schedule;
    let held = &plan.fleet.held;
    let stays = |pair: &AssignmentRef| {
        let (deployment, host) = (&pair.deployment, &pair.host);
        schedule.kept.contains(deployment, host)
            || schedule.assignments.contains(deployment, host)
            || held.hosts.contains_key(host)
            || held.deployments.contains_key(deployment)
    };
    let old = previous.trees.iter().filter(|(pair, _)| stays(pair));
    let mut trees: BTreeMap<AssignmentRef, TreeId> =
        old.map(|(pair, tree)| (pair.clone(), *tree)).collect();
    // Hosts often share one result: it is written once.
    let mut written: BTreeMap<*const Manifests, TreeId> = BTreeMap::new();
    for (pair, manifests) in &plan.manifests {
        let key = Arc::as_ptr(manifests);
        let tree = match written.get(&key) {
            Some(tree) => *tree,
            None => write_manifests(repository, &pair.deployment, manifests)?,
        };
        written.insert(key, tree);
        trees.insert(pair.clone(), tree);
    }
    // An assignment without a single file has no folder.
    trees.retain(|pair, tree| *tree != empty_tree() && folders.contains_key(&pair.host));
    Ok(trees)
}

/// Every file is a sibling of the same file of the same deployment on other hosts.
fn write_manifests(
    repository: &Repository,
    deployment: &DeploymentRef,
    manifests: &Manifests,
) -> Result<TreeId, GitError> {
    if manifests.files.is_empty() {
        return Ok(empty_tree());
    }
    let mut edit = TreeEdit::new(repository, None);
    for (path, bytes) in &manifests.files {
        edit.put_sibling(path, bytes, Sibling::of(&(deployment, path)))?;
    }
    edit.write()
}

fn compare(
    previous: &Rendered,
    folders: &BTreeMap<Name, RepoPath>,
    after: &BTreeMap<AssignmentRef, TreeId>,
) -> Edited {
    let old = |host: &Name| previous.folders.get(host);
    let names = |filter: &dyn Fn(&Name, &RepoPath) -> bool| -> BTreeSet<Name> {
        let chosen = folders.iter().filter(|(host, folder)| filter(host, folder));
        chosen.map(|(host, _)| host.clone()).collect()
    };
    let added = names(&|host, _| old(host).is_none());
    let moved = names(&|host, folder| old(host).is_some_and(|old| old != folder));
    let gone = previous.folders.keys().filter(|host| !folders.contains_key(*host));
    let mut changed = BTreeMap::new();
    for (pair, tree) in after {
        if previous.trees.get(pair) != Some(tree) || moved.contains(&pair.host) {
            changed.insert(pair.clone(), Some(*tree));
        }
    }
    for pair in previous.trees.keys().filter(|pair| !after.contains_key(*pair)) {
        changed.insert(pair.clone(), None);
    }
    // Written last.
    let tree = empty_tree();
    Edited {
        tree,
        changed,
        added,
        moved,
        removed: gone.cloned().collect(),
        defaced: !previous.strangers.is_empty(),
    }
}

/// Removes a host's old folder, but not the folders of others that lie in it.
fn remove_host(
    edit: &mut TreeEdit<'_>,
    host: &Name,
    previous: &Rendered,
    folders: &BTreeMap<Name, RepoPath>,
) -> Result<(), GitError> {
    let folder = &previous.folders[host];
    let inside = |other: &RepoPath| other.strip_prefix(folder.as_str()).is_some();
    let nested = previous
        .folders
        .iter()
        .any(|(name, other)| inside(other) && folders.get(name) == Some(other));
    if !nested {
        return edit.remove(folder);
    }
    edit.remove(&files::marker_path(folder))?;
    let mut pairs = previous.trees.keys().filter(|pair| pair.host == *host);
    pairs.try_for_each(|pair| edit.remove(&files::assignment_path(folder, pair)))
}

/// Records the hosts chosen for deployments with `replicas`. What is recorded for a deployment that
/// is held or suspended stays as it is.
fn record(
    repository: &Repository,
    base: Option<TreeId>,
    plan: &RenderedPlan<'_>,
    edit: &mut TreeEdit<'_>,
) -> Result<(), GitError> {
    let fixed = |deployment: &DeploymentRef| {
        let suspended = plan.fleet.deployments.get(deployment).is_some_and(|d| d.spec.suspend);
        suspended || plan.fleet.held.deployments.contains_key(deployment)
    };
    let old = match base {
        Some(base) => read::recorded(repository, base)?,
        None => Vec::new(),
    };
    let new = &plan.schedule.recorded.hosts;
    for (deployment, _) in old {
        if !new.contains_key(&deployment) && !fixed(&deployment) {
            edit.remove(&files::recorded_path(&deployment))?;
        }
    }
    for (deployment, hosts) in new.iter().filter(|(deployment, _)| !fixed(deployment)) {
        let text = files::write_assignment(deployment, hosts);
        edit.put(&files::recorded_path(deployment), text.as_bytes())?;
    }
    Ok(())
}
