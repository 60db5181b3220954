//! Writing what is dirty to the status branch.
//!
//! Host by host: a host's folder is written and forgotten before the next one, by as many threads as
//! there are cores when there are many. So a flush of everything is never in memory as a whole.

use std::collections::BTreeMap;

use super::dirty::Item;
use super::{HostEntry, Ledger};
use crate::git::{
    CommitDraft, EntryKind, FleetRepository, GitError, Objects, RefUpdate, Repository, Sibling,
    Signature, TreeEdit,
};
use crate::model::{Connection, DeploymentRef, Name, Phase, RepoPath, Revision, Timestamp, TreeId};
use crate::observe::files;
use crate::parallel::share_out;

/// Files that become one pack; more of them are written in parts.
const PACK: usize = 100_000;

/// So many hosts are worth a thread of their own.
const SHARE: usize = 500;

impl Ledger {
    /// Writes changed files in one commit onto `branch`; `None` when nothing differs from what is
    /// there. Where another controller was faster, its newer observations are taken over and the rest
    /// is redone on top.
    ///
    /// # Errors
    /// When Git fails, or after `limits.pushTries` lost races; everything stays dirty then.
    pub fn flush(
        &mut self,
        fleet: &FleetRepository,
        branch: &str,
        now: Timestamp,
    ) -> Result<Option<Revision>, GitError> {
        let repository = &fleet.repository;
        let mut tries = 1;
        loop {
            let head = repository.branch(branch)?;
            if head != self.head {
                self.absorb(repository, head, now)?;
            }
            let objects = repository.begin();
            let Some(tree) = self.write(repository, objects.repository())? else {
                self.written();
                return Ok(None);
            };
            let new = self.commit(objects.repository(), tree, now)?;
            objects.finish()?;
            let update = RefUpdate { branch: branch.to_owned(), expected: self.head, new };
            match fleet.publish(&[update]) {
                Ok(()) => {
                    (self.head, self.tree) = (Some(new), Some(tree));
                    self.written();
                    return Ok(Some(new));
                }
                Err(GitError::Conflict { .. }) if tries < self.tries => {
                    tries += 1;
                    fleet.refresh()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The branch's tree with what is dirty; `None` when that is the tree that it has.
    /// Joins `objects` what is not written as a pack of its own.
    fn write(
        &self,
        repository: &Repository,
        objects: &Repository,
    ) -> Result<Option<TreeId>, GitError> {
        if self.dirty.is_empty() {
            return Ok(None);
        }
        let base = self.without_leftovers(repository)?;
        let mut edit = TreeEdit::new(objects, base);
        let hosts = self.dirty_hosts();
        let mut inner = Vec::new();
        for (folder, tree) in self.folders((repository, objects), base, &hosts, &mut inner)? {
            edit.put_tree(&folder, tree)?;
        }
        for (host, entry) in inner {
            entry.write(host, None, &mut edit)?;
        }
        for (_, entry) in hosts.iter().filter(|(_, entry)| entry.dirty) {
            if let Some(path) = files::host_path(&entry.folder) {
                edit.put_sibling(&path, &files::write(&entry.status), Sibling::of(&"host"))?;
            }
        }
        if let Some(fleet) = self.fleet().filter(|_| self.dirty.fleet) {
            edit.put(&files::fleet_path(), &files::write(&fleet))?;
        }
        if let Some(diagnostics) = self.diagnostics.as_ref().filter(|_| self.dirty.diagnostics) {
            edit.put(&files::diagnostics_path(), &files::write(diagnostics))?;
        }
        for request in self.dirty.requests.values() {
            let path = files::request_path(&request.id);
            edit.put_sibling(&path, &files::write(request), Sibling::of(&"request"))?;
        }
        let tree = edit.write()?;
        Ok((Some(tree) != self.tree).then_some(tree))
    }

    /// The branch's tree without files that lie where nothing belongs; should something belong there
    /// after all, it is dirty, and written afterwards.
    fn without_leftovers(&self, repository: &Repository) -> Result<Option<TreeId>, GitError> {
        if self.dirty.leftovers.is_empty() {
            return Ok(self.tree);
        }
        let mut edit = TreeEdit::new(repository, self.tree);
        for path in self.dirty.leftovers.keys() {
            edit.remove(path)?;
        }
        edit.write().map(Some)
    }

    /// The new folders of hosts with dirty assignments. A host whose folder lies in that of another one
    /// is left to `inner`.
    fn folders<'a>(
        &'a self,
        (repository, objects): (&Repository, &Repository),
        base: Option<TreeId>,
        hosts: &[(&'a Name, &'a HostEntry)],
        inner: &mut Vec<(&'a Name, &'a HostEntry)>,
    ) -> Result<Vec<(RepoPath, TreeId)>, GitError> {
        let mut known = Folders { repository, base, below: BTreeMap::new() };
        let mut work = Vec::new();
        let mut outer: Option<&RepoPath> = None;
        for (host, entry) in hosts.iter().filter(|(_, entry)| entry.has_dirty_assignments()) {
            if outer.is_some_and(|outer| entry.folder.strip_prefix(outer.as_str()).is_some()) {
                inner.push((host, entry));
                continue;
            }
            outer = Some(&entry.folder);
            work.push(Work { host, entry, before: known.tree(&entry.folder)? });
        }
        let files: usize = work.iter().map(Work::files).sum();
        if files > PACK {
            let hosts = work.len().div_ceil(files.div_ceil(PACK));
            return in_parts(repository, &work, hosts);
        }
        let write = |(), part: Vec<&Work<'_>>| -> Result<Vec<_>, GitError> {
            part.into_iter().map(|work| work.write(objects)).collect()
        };
        let mut written = Vec::with_capacity(work.len());
        for part in share_out(work.iter().collect(), SHARE, || (), write) {
            written.append(&mut part?);
        }
        Ok(written)
    }

    fn commit(
        &self,
        repository: &Repository,
        tree: TreeId,
        now: Timestamp,
    ) -> Result<Revision, GitError> {
        let titan = Signature {
            name: "titan".to_owned(),
            email: "titan@titan.dev".to_owned(),
            seconds: now.as_second(),
            offset: 0,
        };
        repository.write_commit(&CommitDraft {
            tree,
            parents: self.head.into_iter().collect(),
            author: titan.clone(),
            committer: titan,
            message: format!("status: {}\n", self.subject()),
        })
    }

    /// What happened: assignments by phase, else hosts by connection, else refused requests, else the
    /// source revision.
    fn subject(&self) -> String {
        let mut phases = BTreeMap::<Phase, usize>::new();
        let mut hosts = BTreeMap::<Connection, usize>::new();
        for (_, entry) in self.dirty_hosts() {
            let changed = entry.assignments.values().filter(|record| record.dirty);
            let gone = entry.gone.iter().map(|_| Phase::Removed);
            for phase in changed.map(super::Record::phase).chain(gone) {
                *phases.entry(phase).or_default() += 1;
            }
            if entry.dirty {
                *hosts.entry(entry.status.connection).or_default() += 1;
            }
        }
        let lost = self.dirty.leftovers.values().filter(
            |item| matches!(item, Item::Assignment(assignment) if self.record(assignment).is_none()),
        );
        match lost.count() {
            0 => {}
            count => *phases.entry(Phase::Removed).or_default() += count,
        }
        let list = |parts: Vec<(usize, String)>, noun: &str| {
            let parts: Vec<_> =
                parts.into_iter().map(|(count, what)| format!("{count} {noun}{what}")).collect();
            parts.join(", ").to_lowercase()
        };
        if !phases.is_empty() {
            return list(phases.into_iter().map(|(p, n)| (n, p.to_string())).collect(), "");
        }
        if !hosts.is_empty() {
            return list(hosts.into_iter().map(|(c, n)| (n, c.to_string())).collect(), "hosts ");
        }
        match self.dirty.requests.len() {
            0 => {}
            1 => return "1 request refused".to_owned(),
            count => return format!("{count} requests refused"),
        }
        match &self.fleet {
            Some(fleet) => format!("source {}", fleet.source.short()),
            None => "nothing is known".to_owned(),
        }
    }
}

/// A host's folder that is to be written.
struct Work<'a> {
    host: &'a Name,
    entry: &'a HostEntry,
    /// What the branch has there.
    before: Option<TreeId>,
}

impl Work<'_> {
    /// How many files are to be written or removed.
    fn files(&self) -> usize {
        let HostEntry { assignments, gone, .. } = self.entry;
        gone.len() + assignments.values().filter(|record| record.dirty).count()
    }

    fn write(&self, repository: &Repository) -> Result<(RepoPath, TreeId), GitError> {
        let mut edit = TreeEdit::new(repository, self.before);
        self.entry.write(self.host, Some(&self.entry.folder), &mut edit)?;
        Ok((self.entry.folder.clone(), edit.write()?))
    }
}

/// Writes very many folders, each part of so many `hosts` as a pack of its own: it is in memory only
/// until then.
fn in_parts(
    repository: &Repository,
    work: &[Work<'_>],
    hosts: usize,
) -> Result<Vec<(RepoPath, TreeId)>, GitError> {
    let write = |(), parts: Vec<&[Work<'_>]>| -> Result<Vec<_>, GitError> {
        let mut written = Vec::new();
        for part in parts {
            let objects: Objects = repository.begin();
            for work in part {
                written.push(work.write(objects.repository())?);
            }
            objects.finish()?;
        }
        Ok(written)
    };
    let mut written = Vec::with_capacity(work.len());
    for part in share_out(work.chunks(hosts).collect(), 1, || (), write) {
        written.append(&mut part?);
    }
    Ok(written)
}

impl HostEntry {
    fn has_dirty_assignments(&self) -> bool {
        !self.gone.is_empty() || self.assignments.values().any(|record| record.dirty)
    }

    /// Puts the dirty assignments into a tree that begins at `root`.
    fn write(
        &self,
        host: &Name,
        root: Option<&RepoPath>,
        edit: &mut TreeEdit<'_>,
    ) -> Result<(), GitError> {
        let place = |deployment: &DeploymentRef| {
            let path = files::assignment_path(&self.folder, deployment)?;
            match root {
                Some(root) => RepoPath::new(path.strip_prefix(root.as_str())?).ok(),
                None => Some(path),
            }
        };
        for path in self.gone.iter().filter_map(place) {
            edit.remove(&path)?;
        }
        for (deployment, record) in self.assignments.iter().filter(|(_, record)| record.dirty) {
            if let Some(path) = place(deployment) {
                let content = files::write_assignment(&record.status(deployment.on(host)));
                edit.put_sibling(&path, &content, Sibling::of(deployment))?;
            }
        }
        Ok(())
    }
}

/// Which trees hosts have on the branch; each folder of hosts is read once.
struct Folders<'a> {
    repository: &'a Repository,
    base: Option<TreeId>,
    /// The trees in a folder, by name.
    below: BTreeMap<RepoPath, BTreeMap<String, TreeId>>,
}

impl Folders<'_> {
    fn tree(&mut self, path: &RepoPath) -> Result<Option<TreeId>, GitError> {
        let Some((parent, name)) = path.as_str().rsplit_once('/') else {
            let Some(base) = self.base else { return Ok(None) };
            let found = self.repository.entry(base, path)?;
            return Ok(found.filter(|entry| entry.kind == EntryKind::Tree).map(|entry| entry.id));
        };
        let parent = RepoPath::new(parent).expect("because a part of a path is a path");
        if !self.below.contains_key(&parent) {
            let tree = self.tree(&parent)?;
            let entries = tree.map(|tree| self.repository.entries(tree)).transpose()?;
            let trees = entries.into_iter().flatten().filter(|e| e.kind == EntryKind::Tree);
            self.below.insert(parent.clone(), trees.map(|e| (e.name, e.id)).collect());
        }
        Ok(self.below.get(&parent).and_then(|trees| trees.get(name)).copied())
    }
}
