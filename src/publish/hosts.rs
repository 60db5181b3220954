//! The folders of hosts on the rendered branch, read and written on all processors.
//!
//! ```text
//!  hosts/[folder/…]<host>/.titan             ─ places ─▶ one Place for each host
//!                        /<workspace>/<workload>/<deployment>/ ─ of_host ─▶ Found, in any order
//!                                                             ─ take ─▶ Rendered, in the order of paths
//! ```

use std::collections::{BTreeSet, HashSet};

use super::{Changed, Rendered, files};
use crate::git::{
    Chunk, Entry, EntryKind, GitError, Objects, Reader, Repository, Sibling, blob_id,
};
use crate::model::{DeploymentRef, Name, RepoPath, TreeId};
use crate::parallel::share_out;

/// So many hosts are worth a thread of their own.
const SHARE: usize = 100;

/// A folder that is a host's, by its marker.
struct Place {
    host: Name,
    path: RepoPath,
    entries: Vec<Entry>,
}

/// What lies in it.
#[derive(Default)]
struct Found {
    trees: Vec<(DeploymentRef, TreeId)>,
    strangers: BTreeSet<RepoPath>,
    /// Hosts whose folder lies in this one.
    nested: Vec<(Place, Found)>,
}

/// Reads all hosts below `folder`, whose tree is `tree`.
pub(super) fn read(
    repository: &Repository,
    folder: &RepoPath,
    tree: TreeId,
    rendered: &mut Rendered,
) -> Result<(), GitError> {
    let mut places = Vec::new();
    let look = Look::new(repository);
    look.places(folder, look.reader.entries(tree)?, &mut places, &mut rendered.strangers)?;
    let found = read_all(repository, &places)?;
    for (place, found) in places.into_iter().zip(found) {
        take(rendered, place, found);
    }
    Ok(())
}

fn read_all(repository: &Repository, places: &[Place]) -> Result<Vec<Found>, GitError> {
    on_all_processors(places.iter().collect(), |places: Vec<&Place>| {
        let mut look = Look::new(repository);
        places.into_iter().map(|place| look.of_host(place)).collect()
    })
}

/// Writes the folders of `hosts` in which nothing is but what `changed` puts there; their trees.
pub(super) fn write(
    objects: &Objects,
    hosts: &[&Name],
    changed: &Changed,
) -> Result<Vec<TreeId>, GitError> {
    on_all_processors(hosts.to_vec(), |hosts| {
        let (mut chunk, mut trees) = (Chunk::new(), Vec::with_capacity(hosts.len()));
        let mut joined = 0;
        for host in hosts {
            let marker =
                chunk.blob(files::marker(host).as_bytes(), Some(Sibling::of(&files::MARKER)))?;
            let assigned = changed.hosts.get(host).into_iter().flatten();
            let paths: Vec<(String, TreeId)> = assigned
                .filter_map(|(deployment, tree)| Some((deployment.to_string(), (*tree)?)))
                .collect();
            let folders = paths.iter().map(|(path, tree)| (path.as_str(), EntryKind::Tree, *tree));
            let marker = (files::MARKER, EntryKind::File, marker);
            trees.push(chunk.tree(&std::iter::once(marker).chain(folders).collect::<Vec<_>>())?);
            if chunk.is_full() {
                objects.join(std::mem::take(&mut chunk), trees[joined..].iter().copied())?;
                joined = trees.len();
            }
        }
        objects.join(chunk, trees[joined..].iter().copied())?;
        Ok(trees)
    })
}

/// Shares work out; results in the order of `items`.
fn on_all_processors<I: Send, R: Send>(
    items: Vec<I>,
    work: impl Fn(Vec<I>) -> Result<Vec<R>, GitError> + Sync,
) -> Result<Vec<R>, GitError> {
    let mut all = Vec::with_capacity(items.len());
    let parts = share_out(items, SHARE, || (), |(), items| work(items));
    for part in parts {
        all.append(&mut part?);
    }
    Ok(all)
}

/// Notes a host, and those in its folder. A host has one folder: what comes later is a copy.
fn take(rendered: &mut Rendered, place: Place, found: Found) {
    let Place { host, path, .. } = place;
    if rendered.folders.contains_key(&host) {
        rendered.strangers.insert(path);
        return;
    }
    for (deployment, tree) in found.trees {
        rendered.trees.set(&deployment, &host, Some(tree));
    }
    rendered.folders.insert(host, path);
    rendered.strangers.extend(found.strangers);
    for (place, found) in found.nested {
        take(rendered, place, found);
    }
}

/// One thread's view of the repository.
struct Look {
    reader: Reader,
    /// A fleet repeats few names very often.
    names: HashSet<Name>,
    deployments: HashSet<DeploymentRef>,
}

impl Look {
    fn new(repository: &Repository) -> Self {
        Self { reader: repository.reader(), names: HashSet::new(), deployments: HashSet::new() }
    }

    /// Looks for hosts' folders in `folder`, which is no host's.
    fn places(
        &self,
        folder: &RepoPath,
        entries: Vec<Entry>,
        places: &mut Vec<Place>,
        strangers: &mut BTreeSet<RepoPath>,
    ) -> Result<(), GitError> {
        for (path, entry) in folders(folder, &entries, strangers) {
            let below = self.reader.entries(entry.id)?;
            match host(entry, &below) {
                Some(host) => places.push(Place { host, path, entries: below }),
                None => self.places(&path, below, places, strangers)?,
            }
        }
        Ok(())
    }

    fn of_host(&mut self, place: &Place) -> Result<Found, GitError> {
        let mut found = Found::default();
        let right = blob_id(files::marker(&place.host).as_bytes());
        let fine = place.entries.iter().any(|entry| is_marker(entry) && entry.id == right);
        let below = folders(&place.path, &place.entries, &mut found.strangers);
        if fine {
            found.strangers.remove(&files::marker_path(&place.path));
        } else {
            found.strangers.insert(files::marker_path(&place.path));
        }
        for (path, entry) in below {
            let below = self.reader.entries(entry.id)?;
            if let Some(host) = host(entry, &below) {
                // `hosts/a.yaml` and `hosts/a/b.yaml`: then b's folder lies in a's.
                let nested = Place { host, path, entries: below };
                let inside = self.of_host(&nested)?;
                found.nested.push((nested, inside));
            } else if let Some(workspace) = self.name(&entry.name) {
                self.assignments((&workspace, &path), &below, &mut found)?;
            } else {
                found.strangers.insert(path);
            }
        }
        Ok(found)
    }

    /// Notes the deployments in the folder of one workspace of one host.
    fn assignments(
        &mut self,
        (workspace, path): (&Name, &RepoPath),
        entries: &[Entry],
        found: &mut Found,
    ) -> Result<(), GitError> {
        for (path, workload) in folders(path, entries, &mut found.strangers) {
            let below = self.reader.entries(workload.id)?;
            for (path, deployment) in folders(&path, &below, &mut found.strangers) {
                let names = (self.name(&workload.name), self.name(&deployment.name));
                let (Some(workload), Some(name)) = names else {
                    found.strangers.insert(path);
                    continue;
                };
                let id = DeploymentRef::new(workspace.clone(), workload, name);
                found.trees.push((self.known(id), deployment.id));
            }
        }
        Ok(())
    }

    /// The one that is used for all hosts.
    fn known(&mut self, id: DeploymentRef) -> DeploymentRef {
        match self.deployments.get(&id) {
            Some(known) => known.clone(),
            None => {
                self.deployments.insert(id.clone());
                id
            }
        }
    }

    fn name(&mut self, text: &str) -> Option<Name> {
        if let Some(known) = self.names.get(text) {
            return Some(known.clone());
        }
        let name = Name::new(text).ok()?;
        self.names.insert(name.clone());
        Some(name)
    }
}

/// The host whose folder this is: it has a name, and the marker in it.
fn host(folder: &Entry, entries: &[Entry]) -> Option<Name> {
    let marked = entries.iter().any(|entry| entry.name == files::MARKER);
    Name::new(&folder.name).ok().filter(|_| marked)
}

fn is_marker(entry: &Entry) -> bool {
    entry.kind == EntryKind::File && entry.name == files::MARKER
}

/// The folders in the folder `path`. Its files are strangers: titan puts none there.
fn folders<'e>(
    path: &RepoPath,
    entries: &'e [Entry],
    strangers: &mut BTreeSet<RepoPath>,
) -> Vec<(RepoPath, &'e Entry)> {
    let mut found = Vec::new();
    for entry in entries {
        let Ok(path) = path.join(&entry.name) else { continue };
        if entry.kind == EntryKind::Tree {
            found.push((path, entry));
        } else {
            strangers.insert(path);
        }
    }
    found
}
