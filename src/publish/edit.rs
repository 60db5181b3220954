//! The new tree: the previous one with what differs put in its place.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::rendered::{Changed, Difference};
use super::{Rendered, RenderedPlan, files, hosts};
use crate::git::{GitError, Objects, TreeEdit, empty_tree};
use crate::model::{DeploymentRef, Host, Name, Pairs, RepoPath, TreeId};
use crate::parallel::share_out;

/// So many hosts are worth a thread of their own.
const SHARE: usize = 500;

/// The new tree, without a new `hydrator.metadata`, and how it differs.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) tree: TreeId,
    pub(super) difference: Difference,
}

/// Edits the tree that titan left last, where the plan says that it may differ.
pub(super) fn edit(
    objects: &Objects,
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
) -> Result<Edited, GitError> {
    let work = Work::new(objects, previous, plan);
    let mut edit = TreeEdit::new(objects.repository(), previous.tree);
    for path in &previous.strangers {
        edit.remove(path)?;
    }
    // All removals first: a folder may move into, or out of, another one's old place.
    work.remove_folders(&mut edit)?;
    work.put_folders(&mut edit)?;
    work.put_assignments(&mut edit);
    work.put_records(&mut edit)?;
    let tree = edit.write()?;
    Ok(Edited { tree, difference: work.difference })
}

/// How `after` differs from `before`, wherever that may be.
pub(super) fn compare(before: &Rendered, after: &Rendered) -> Difference {
    let mut difference = Difference::default();
    for (host, folder) in &after.folders {
        if before.folders.get(host) != Some(folder) {
            difference.folders.insert(host.clone(), Some(folder.clone()));
        }
    }
    let gone = before.folders.keys().filter(|host| !after.folders.contains_key(*host));
    difference.folders.extend(gone.map(|host| (host.clone(), None)));
    for (deployment, host, tree) in after.trees.iter() {
        let same = before.trees.get(deployment, host) == Some(tree);
        if !same || difference.folders.contains_key(host) {
            difference.changed.insert(deployment, host, Some(tree));
        }
    }
    for (deployment, host, _) in before.trees.iter() {
        if !after.trees.contains(deployment, host) {
            difference.changed.insert(deployment, host, None);
        }
    }
    difference
}

/// One edit of the tree, worked out before anything is written.
struct Work<'a> {
    objects: &'a Objects,
    previous: &'a Rendered,
    difference: Difference,
    /// Every host's folder as it will be, by its path: where one lies in another one's.
    folders: OnceCell<BTreeSet<RepoPath>>,
}

impl<'a> Work<'a> {
    fn new(objects: &'a Objects, previous: &'a Rendered, plan: &RenderedPlan<'_>) -> Self {
        let mut difference = Difference {
            folders: folders(previous, plan),
            records: records(previous, plan),
            ..Difference::default()
        };
        difference.changed = changed(previous, plan, &difference.folders);
        Self { objects, previous, difference, folders: OnceCell::new() }
    }

    /// Where the host's folder will be.
    fn folder(&self, host: &Name) -> Option<&RepoPath> {
        match self.difference.folders.get(host) {
            Some(folder) => folder.as_ref(),
            None => self.previous.folders.get(host),
        }
    }

    /// Whether another host's folder will lie in `folder`.
    fn has_nested(&self, folder: &RepoPath) -> bool {
        let all = self.folders.get_or_init(|| {
            let new = self.difference.folders.values().flatten();
            let old = self.previous.folders.iter();
            let stay = old.filter(|(host, _)| !self.difference.folders.contains_key(*host));
            stay.map(|(_, folder)| folder).chain(new).cloned().collect()
        });
        let below = all.range(folder.clone()..).filter(|other| *other != folder);
        let mut near = below.take_while(|other| other.as_str().starts_with(folder.as_str()));
        near.any(|other| other.strip_prefix(folder.as_str()).is_some())
    }

    /// Removes the old folders of hosts that go or move, but not the folders of others that lie in
    /// them; and what is no longer assigned to hosts that stay.
    fn remove_folders(&self, edit: &mut TreeEdit<'_>) -> Result<(), GitError> {
        for host in self.difference.folders.keys() {
            let Some(old) = self.previous.folders.get(host) else { continue };
            if !self.has_nested(old) {
                edit.remove(old)?;
                continue;
            }
            edit.remove(&files::marker_path(old))?;
            for deployment in self.previous.trees.of(host).keys() {
                edit.remove(&files::assignment_path(old, deployment))?;
            }
        }
        for (deployment, host, tree) in self.difference.changed.iter() {
            if tree.is_none() && !self.difference.folders.contains_key(host) {
                let folder = &self.previous.folders[host];
                edit.remove(&files::assignment_path(folder, deployment))?;
            }
        }
        Ok(())
    }

    /// New folders are made as a whole.
    fn put_folders(&self, edit: &mut TreeEdit<'_>) -> Result<(), GitError> {
        let mut whole = Vec::new();
        for (host, folder) in &self.difference.folders {
            let Some(folder) = folder else { continue };
            if self.has_nested(folder) {
                self.put_marker(host, folder, edit)?;
                self.put_of_host(host, folder, edit)?;
            } else {
                whole.push((host, folder));
            }
        }
        let hosts: Vec<&Name> = whole.iter().map(|(host, _)| *host).collect();
        let trees = hosts::write(self.objects, &hosts, &self.difference.changed)?;
        for ((_, folder), tree) in whole.into_iter().zip(trees) {
            edit.put_tree(folder, tree)?;
        }
        let defaced = |folder| self.previous.strangers.contains(&files::marker_path(folder));
        if !self.previous.strangers.is_empty() {
            for (host, folder) in self.previous.folders.iter().filter(|(_, f)| defaced(f)) {
                if self.folder(host) == Some(folder) {
                    self.put_marker(host, folder, edit)?;
                }
            }
        }
        Ok(())
    }

    fn put_marker(
        &self,
        host: &Name,
        folder: &RepoPath,
        edit: &mut TreeEdit<'_>,
    ) -> Result<(), GitError> {
        edit.put(&files::marker_path(folder), files::marker(host).as_bytes())
    }

    /// What differs on hosts whose folder stays where it is.
    fn put_assignments(&self, edit: &mut TreeEdit<'_>) {
        let Difference { changed, folders, .. } = &self.difference;
        let stay = changed.hosts.iter().filter(|(host, _)| !folders.contains_key(*host));
        let stay = stay.map(|(host, pairs)| (&self.previous.folders[host], pairs));
        edit.put_in_folders(stay.collect(), |pairs, folder| {
            for (id, tree) in pairs {
                if let Some(tree) = tree {
                    folder.put_tree(&[&id.workspace, &id.workload], &id.name, *tree);
                }
            }
        });
    }

    fn put_of_host(
        &self,
        host: &Name,
        folder: &RepoPath,
        edit: &mut TreeEdit<'_>,
    ) -> Result<(), GitError> {
        for (deployment, tree) in self.difference.changed.hosts.get(host).into_iter().flatten() {
            if let Some(tree) = tree {
                edit.put_tree(&files::assignment_path(folder, deployment), *tree)?;
            }
        }
        Ok(())
    }

    fn put_records(&self, edit: &mut TreeEdit<'_>) -> Result<(), GitError> {
        for (deployment, hosts) in &self.difference.records {
            let path = files::recorded_path(deployment);
            match hosts {
                Some(hosts) => {
                    edit.put(&path, files::write_assignment(deployment, hosts).as_bytes())?;
                }
                None => edit.remove(&path)?,
            }
        }
        Ok(())
    }
}

/// Where the folders of hosts come to lie that may be somewhere else now.
fn folders(previous: &Rendered, plan: &RenderedPlan<'_>) -> BTreeMap<Name, Option<RepoPath>> {
    let hosts = union(plan.hosts.iter(), plan.touched);
    let of_host = |host: &Name| {
        let (old, new) = (previous.folders.get(host), folder(host, previous, plan));
        (old != new.as_ref()).then(|| (host.clone(), new))
    };
    let of_hosts = |(), hosts: Vec<_>| hosts.into_iter().filter_map(of_host).collect::<Vec<_>>();
    let all = share_out(hosts, SHARE, || (), of_hosts);
    all.into_iter().flatten().collect()
}

/// These hosts and those that `touched` names, each once and in order. Sorted parts are merged, which takes
/// less than a set of them.
fn union<'a>(hosts: impl Iterator<Item = &'a Name>, touched: [&'a Pairs; 2]) -> Vec<&'a Name> {
    let mut all: Vec<&Name> =
        hosts.chain(touched.into_iter().flat_map(|pairs| pairs.hosts.keys())).collect();
    all.sort();
    all.dedup();
    all
}

/// Where a host's folder is to be. A host that is gone from the fleet keeps its folder while it is
/// held, or something on it is.
fn folder(name: &Name, previous: &Rendered, plan: &RenderedPlan<'_>) -> Option<RepoPath> {
    let old = || previous.folders.get(name).cloned();
    let Some(host) = plan.fleet.hosts.get(name) else {
        let held = plan.fleet.held.hosts.contains_key(name);
        let keeps = plan.schedule.kept.hosts.values().any(|hosts| hosts.contains(name))
            || plan.removals.is_some_and(|removals| removals.kept.hosts.contains_key(name));
        return if held || keeps { old() } else { None };
    };
    let new = host.folder();
    let stays = plan.removals.is_some_and(|removals| removals.unmoved.contains(name));
    if new.as_str().len() > Host::LONGEST_FOLDER || stays { old() } else { Some(new) }
}

/// The assignments that differ, host by host. Where a folder comes, goes or moves, all that is in it
/// counts.
fn changed(
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
    folders: &BTreeMap<Name, Option<RepoPath>>,
) -> Changed {
    let touched = union(folders.keys(), plan.touched);
    let of_host = |host: &Name| {
        let differing: BTreeMap<_, _> = on_host(previous, plan, host, folders.get(host)).collect();
        (!differing.is_empty()).then(|| (host.clone(), differing))
    };
    let of_hosts = |(), hosts: Vec<_>| hosts.into_iter().filter_map(of_host).collect::<Vec<_>>();
    let all = share_out(touched, SHARE, || (), of_hosts);
    Changed { hosts: all.into_iter().flatten().collect() }
}

/// What differs on one host, whose folder may come to be a `new` one, or none.
fn on_host<'a>(
    previous: &'a Rendered,
    plan: &'a RenderedPlan<'_>,
    host: &'a Name,
    new: Option<&'a Option<RepoPath>>,
) -> impl Iterator<Item = (DeploymentRef, Option<TreeId>)> {
    let there = new.map_or_else(|| previous.folders.contains_key(host), Option::is_some);
    let (before, made) = (previous.trees.of(host), plan.made.of(host));
    let of_touched = plan.touched.iter().filter_map(|pairs| pairs.hosts.get(host)).flatten();
    let moving = before.keys().filter(move |_| new.is_some());
    of_touched.chain(moving).filter_map(move |deployment| {
        let old = before.get(deployment).copied();
        let made = made.get(deployment).copied();
        let stays = || old.filter(|_| stays(plan, deployment, host));
        // An assignment without a single file has no folder.
        let tree = made.or_else(stays).filter(|tree| there && *tree != empty_tree());
        let differs = old != tree || (new.is_some() && old.is_some());
        differs.then(|| (deployment.clone(), tree))
    })
}

/// Whether what an assignment has stays, where nothing new was made for it.
fn stays(plan: &RenderedPlan<'_>, deployment: &DeploymentRef, host: &Name) -> bool {
    let (schedule, held) = (plan.schedule, &plan.fleet.held);
    schedule.kept.contains(deployment, host)
        || schedule.assignments.contains(deployment, host)
        || held.hosts.contains_key(host)
        || held.deployments.contains_key(deployment)
        || plan.removals.is_some_and(|removals| removals.kept.contains(deployment, host))
}

/// The hosts chosen for deployments with `replicas`, where that may differ. What is recorded for a
/// deployment that is held or suspended stays as it is.
fn records(
    previous: &Rendered,
    plan: &RenderedPlan<'_>,
) -> BTreeMap<DeploymentRef, Option<BTreeSet<Name>>> {
    let fixed = |deployment: &DeploymentRef| {
        let suspended = plan.fleet.deployments.get(deployment).is_some_and(|d| d.spec.suspend);
        suspended || plan.fleet.held.deployments.contains_key(deployment)
    };
    let mut records = BTreeMap::new();
    for deployment in plan.recorded.iter().filter(|deployment| !fixed(deployment)) {
        let known = previous.records.contains(deployment);
        match plan.schedule.recorded.hosts.get(deployment) {
            Some(chosen) => {
                let mut chosen = chosen.clone();
                chosen.extend(plan.kept_by_guard(deployment).cloned());
                if !known || *previous.current.of(deployment) != chosen {
                    records.insert(deployment.clone(), Some(chosen));
                }
            }
            None if known => drop(records.insert(deployment.clone(), None)),
            None => {}
        }
    }
    records
}
