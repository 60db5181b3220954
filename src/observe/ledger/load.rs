//! Reading the status branch, on all cores.

use std::sync::Arc;

use super::dirty::Item;
use super::{HostEntry, Ledger};
use crate::git::{Entry, EntryKind, GitError, Reader, Repository};
use crate::model::{
    AssignmentStatus, DiagnosticsFile, FleetStatus, HostStatus, Limits, Name, RepoPath, Revision,
    Timestamp, TreeId,
};
use crate::observe::files::{self, Names};
use crate::observe::fold::ASSIGNMENT_KIND;
use crate::parallel::{processors, share_out};

/// Folders that are read in one go by one thread; what they hold is in memory until it is taken over.
const PART: usize = 128;

/// How deep the branch is opened before it is handed out in parts: `hosts/`, and folders of hosts.
const DEPTH: usize = 3;

/// A file that titan wrote.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are assignments")]
pub(super) enum File {
    Fleet(FleetStatus),
    Diagnostics(DiagnosticsFile),
    /// With the host's folder.
    Host(RepoPath, HostStatus),
    Assignment(RepoPath, AssignmentStatus),
}

impl File {
    /// `None`: titan did not write it.
    pub(super) fn read(path: &RepoPath, bytes: &[u8], names: &mut Names) -> Option<Self> {
        match files::kind(bytes)? {
            files::FLEET_KIND if *path == files::fleet_path() => {
                files::read(bytes).ok().map(Self::Fleet)
            }
            files::DIAGNOSTICS_KIND if *path == files::diagnostics_path() => {
                files::read(bytes).ok().map(Self::Diagnostics)
            }
            files::HOST_KIND => {
                let status = files::read::<HostStatus>(bytes).ok()?;
                Some(Self::Host(files::folder_of_host(path, &status.host)?, status))
            }
            ASSIGNMENT_KIND => {
                let status = files::read_assignment(bytes, names).ok()?;
                let folder = files::folder_of_assignment(path, &status.assignment)?;
                Some(Self::Assignment(folder, status))
            }
            _ => None,
        }
    }
}

impl Ledger {
    /// Reads the status branch at `head`. Files that titan did not write are left alone.
    ///
    /// # Errors
    /// When objects cannot be read.
    pub fn load(
        repository: &Repository,
        head: Option<Revision>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Self, GitError> {
        let mut ledger = Self::empty(limits, now);
        let Some(head) = head else { return Ok(ledger) };
        let tree = repository.commit(head)?.tree;
        let places = open(repository, tree)?;
        for round in places.chunks(PART * processors()) {
            let read = |(), part: Vec<_>| read_all(repository, &part);
            for part in share_out(round.iter().collect(), PART, || (), read) {
                for (path, blob, file) in part? {
                    ledger.take(&path, file, Some(blob));
                }
            }
        }
        (ledger.head, ledger.tree) = (Some(head), Some(tree));
        Ok(ledger)
    }

    /// Takes over one file of the branch, as it is. Its blob is needed for those of assignments.
    pub(super) fn take(&mut self, path: &RepoPath, file: File, blob: Option<TreeId>) {
        match file {
            File::Fleet(fleet) => self.fleet = Some(fleet),
            File::Diagnostics(diagnostics) => self.diagnostics = Some(diagnostics),
            File::Host(folder, status) => {
                if self.lies_here(&status.host, &folder) {
                    self.store_host(status);
                } else {
                    self.dirty.leftovers.insert(path.clone(), Item::Host(status.host));
                }
            }
            File::Assignment(folder, status) => {
                if self.lies_here(&status.assignment.host, &folder) {
                    self.store(status, blob);
                } else {
                    self.dirty.leftovers.insert(path.clone(), Item::Assignment(status.assignment));
                }
            }
        }
    }

    /// Makes sure that the host has an entry, and says whether it lies in `folder`. A file in another
    /// folder is a leftover: it will go.
    fn lies_here(&mut self, host: &Name, folder: &RepoPath) -> bool {
        if let Some(entry) = self.hosts.get(host) {
            return entry.folder == *folder;
        }
        let entry = HostEntry::new(host, folder.clone(), self.started);
        self.hosts.insert(host.clone(), Arc::new(entry));
        true
    }
}

type Place = (RepoPath, Entry);

/// The files and folders of the branch in the order of paths, opened until there are enough of them to
/// share out.
fn open(repository: &Repository, tree: TreeId) -> Result<Vec<Place>, GitError> {
    let reader = repository.reader();
    let mut places = Vec::new();
    list(&reader, None, tree, &mut places)?;
    // They are looked up one by one.
    places.retain(|(path, _)| path.as_str() != files::REQUESTS);
    for _ in 0..DEPTH {
        if places.len() > PART * 8 {
            break;
        }
        let mut next = Vec::new();
        for (path, entry) in places {
            match entry.kind {
                EntryKind::Tree => list(&reader, Some(&path), entry.id, &mut next)?,
                _ => next.push((path, entry)),
            }
        }
        places = next;
    }
    Ok(places)
}

/// What lies in one folder. Names that are no [`RepoPath`] are left out.
fn list(
    reader: &Reader,
    parent: Option<&RepoPath>,
    tree: TreeId,
    places: &mut Vec<Place>,
) -> Result<(), GitError> {
    for entry in reader.entries(tree)? {
        let path = match parent {
            Some(parent) => parent.join(&entry.name),
            None => RepoPath::new(&entry.name),
        };
        places.extend(path.ok().map(|path| (path, entry)));
    }
    Ok(())
}

/// titan's files at and below these places with their ids, in the order of paths.
fn read_all(
    repository: &Repository,
    places: &[&Place],
) -> Result<Vec<(RepoPath, TreeId, File)>, GitError> {
    let reader = repository.reader();
    let (mut names, mut found) = (Names::default(), Vec::new());
    let mut left: Vec<Place> = places.iter().rev().copied().cloned().collect();
    let mut inside = Vec::new();
    while let Some((path, entry)) = left.pop() {
        match entry.kind {
            EntryKind::Tree => {
                list(&reader, Some(&path), entry.id, &mut inside)?;
                left.extend(inside.drain(..).rev());
            }
            EntryKind::File => {
                let file = File::read(&path, &reader.blob(entry.id)?, &mut names);
                found.extend(file.map(|file| (path, entry.id, file)));
            }
            EntryKind::Symlink | EntryKind::Submodule => {}
        }
    }
    Ok(found)
}
