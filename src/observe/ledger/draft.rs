//! What one flush writes to the status branch, while the ledger goes on.
//!
//! ```text
//!  Ledger ──draft──▶ Draft ──write, on another thread──▶ one commit
//!     ▲  entries are shared, and copied by the ledger     │
//!     │  when they change meanwhile                       │
//!     └──────────────────ended────────────────────────────┘
//! ```
//! Host by host: a host's folder is written and forgotten before the next one, by as many threads as
//! there are cores when there are many. So a flush of everything is never in memory as a whole. What the
//! branch has of a host is known since it was written or read last, and not read again ([`Record::file`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dirty::{Dirty, Round};
use super::{HostEntry, Record};
use crate::git::{
    CommitDraft, EntryKind, FleetRepository, GitError, Objects, RefUpdate, Repository, Sibling,
    Signature, TreeEdit,
};
use crate::model::{
    Connection, DeploymentRef, DiagnosticsFile, FleetStatus, Name, Phase, RepoPath, Revision,
    Timestamp, TreeId,
};
use crate::observe::files;
use crate::parallel::share_out;

/// Files that become one pack; more of them are written in parts.
const PACK: usize = 100_000;

/// So many hosts are worth a thread of their own.
const SHARE: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct Draft {
    /// The branch as it is known to be, and its tree.
    pub(super) head: Option<Revision>,
    pub(super) tree: Option<TreeId>,
    /// What changed after this round is to be written.
    pub(super) written: Round,
    /// The last round whose changes are in here.
    pub(super) round: Round,
    pub(super) dirty: Dirty,
    pub(super) hosts: Vec<(Name, Arc<HostEntry>)>,
    /// So many of the leftovers are assignments without a status.
    pub(super) lost: usize,
    pub(super) fleet: Option<FleetStatus>,
    /// Where they changed.
    pub(super) diagnostics: Option<DiagnosticsFile>,
    /// Once it is written: the files of assignments.
    pub(super) files: Vec<(Name, Files)>,
}

/// Files of a host that were written, and the blobs that they became.
pub(super) type Files = Vec<(DeploymentRef, TreeId)>;

impl Draft {
    /// Writes changed files in one commit onto `branch`: the commit and its tree, or `None` when nothing
    /// differs from what is there.
    ///
    /// # Errors
    /// When Git fails; [`GitError::Conflict`] when another controller was faster.
    pub fn write(
        &mut self,
        fleet: &FleetRepository,
        branch: &str,
        now: Timestamp,
    ) -> Result<Option<(Revision, TreeId)>, GitError> {
        // A folder comes before what lies in it.
        self.hosts.sort_by(|(_, a), (_, b)| a.folder.cmp(&b.folder));
        let repository = &fleet.repository;
        let objects = repository.begin();
        let Some(tree) = self.tree(repository, objects.repository())? else { return Ok(None) };
        let new = self.commit(objects.repository(), tree, now)?;
        objects.finish()?;
        let update = RefUpdate { branch: branch.to_owned(), expected: self.head, new };
        fleet.publish(&[update])?;
        Ok(Some((new, tree)))
    }

    /// The branch's tree with what is dirty; `None` when that is the tree that it has.
    /// Joins `objects` what is not written as a pack of its own.
    fn tree(
        &mut self,
        repository: &Repository,
        objects: &Repository,
    ) -> Result<Option<TreeId>, GitError> {
        if self.dirty.is_empty() {
            return Ok(None);
        }
        let base = self.without_leftovers(repository)?;
        let mut edit = TreeEdit::new(objects, base);
        let (mut inner, mut files) = (Vec::new(), Vec::new());
        for folder in self.folders((repository, objects), base, &mut inner)? {
            edit.put_tree(folder.path, folder.tree)?;
            files.push((folder.host.clone(), folder.files));
        }
        for work in inner {
            files.push((work.host.clone(), work.put(None, &mut edit)?));
        }
        for (_, entry) in self.hosts.iter().filter(|(_, entry)| entry.changed > self.written) {
            if let Some(path) = files::host_path(&entry.folder) {
                edit.put_sibling(&path, &files::write(&entry.status), Sibling::of(&"host"))?;
            }
        }
        if let Some(fleet) = self.fleet.as_ref().filter(|_| self.dirty.fleet) {
            edit.put(&files::fleet_path(), &files::write(fleet))?;
        }
        if let Some(diagnostics) = &self.diagnostics {
            edit.put(&files::diagnostics_path(), &files::write(diagnostics))?;
        }
        self.put_requests(repository, base, &mut edit)?;
        let tree = edit.write()?;
        self.files = files;
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
        inner: &mut Vec<Work<'a>>,
    ) -> Result<Vec<Folder<'a>>, GitError> {
        let mut known = Folders { repository, base, below: BTreeMap::new() };
        let mut work = Vec::new();
        let mut outer: Option<&RepoPath> = None;
        let written = self.written;
        for (host, entry) in &self.hosts {
            let mut one = Work { host, entry, written, before: None };
            if one.files() == 0 {
                continue;
            }
            if outer.is_some_and(|outer| entry.folder.strip_prefix(outer.as_str()).is_some()) {
                inner.push(one);
                continue;
            }
            outer = Some(&entry.folder);
            one.before = known.tree(&entry.folder)?;
            work.push(one);
        }
        let files: usize = work.iter().map(Work::files).sum();
        if files > PACK {
            let hosts = work.len().div_ceil(files.div_ceil(PACK));
            return in_parts(repository, &work, hosts);
        }
        let write = |(), part: Vec<Work<'a>>| -> Result<Vec<_>, GitError> {
            part.into_iter().map(|work| work.write(objects)).collect()
        };
        let mut written = Vec::with_capacity(work.len());
        for part in share_out(work, SHARE, || (), write) {
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
        for (host, entry) in &self.hosts {
            let work = Work { host, entry, written: self.written, before: None };
            let changed = work.changed().map(|(_, record)| record);
            let gone = entry.gone.iter().map(|_| Phase::Removed);
            for phase in changed.map(super::Record::phase).chain(gone) {
                *phases.entry(phase).or_default() += 1;
            }
            if entry.changed > self.written {
                *hosts.entry(entry.status.connection).or_default() += 1;
            }
        }
        if self.lost > 0 {
            *phases.entry(Phase::Removed).or_default() += self.lost;
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
    written: Round,
    /// What the branch has there.
    before: Option<TreeId>,
}

impl<'a> Work<'a> {
    /// How many files are to be written or removed.
    fn files(&self) -> usize {
        self.entry.gone.len() + self.changed().count()
    }

    fn changed(&self) -> impl Iterator<Item = (&'a DeploymentRef, &'a Record)> + use<'a> {
        let (assignments, written) = (&self.entry.assignments, self.written);
        assignments.iter().filter(move |(_, record)| record.changed > written)
    }

    fn write(&self, repository: &Repository) -> Result<Folder<'a>, GitError> {
        let (host, path) = (self.host, &self.entry.folder);
        let mut edit = TreeEdit::new(repository, self.before);
        if self.before.is_some() {
            self.know(&mut edit)?;
        }
        let files = self.put(Some(path), &mut edit)?;
        Ok(Folder { host, path, files, tree: edit.write()? })
    }

    /// What the branch has there, by what was written last.
    fn know(&self, edit: &mut TreeEdit<'_>) -> Result<(), GitError> {
        let files = self.entry.files();
        let leaves = files.iter().map(|(path, blob)| (path.as_str(), EntryKind::File, *blob));
        edit.know(&leaves.collect::<Vec<_>>())
    }

    /// Puts what changed into a tree that begins at `root`.
    fn put(&self, root: Option<&RepoPath>, edit: &mut TreeEdit<'_>) -> Result<Files, GitError> {
        let place = |deployment: &DeploymentRef| {
            let path = files::assignment_path(&self.entry.folder, deployment)?;
            match root {
                Some(root) => RepoPath::new(path.strip_prefix(root.as_str())?).ok(),
                None => Some(path),
            }
        };
        for path in self.entry.gone.keys().filter_map(place) {
            edit.remove(&path)?;
        }
        let mut files = Vec::new();
        for (deployment, record) in self.changed() {
            if let Some(path) = place(deployment) {
                let content = files::write_assignment(&record.status(deployment.on(self.host)));
                let blob = edit.put_sibling(&path, &content, Sibling::of(deployment))?;
                files.push((deployment.clone(), blob));
            }
        }
        Ok(files)
    }
}

impl HostEntry {
    /// The files that the branch has of its assignments, below its folder, as far as they are known.
    pub(super) fn files(&self) -> Vec<(String, TreeId)> {
        let known = self.assignments.iter().filter_map(|(deployment, record)| {
            Some((files::assignment_file(deployment), record.file?))
        });
        known.collect()
    }
}

/// A host's folder as it is written.
struct Folder<'a> {
    host: &'a Name,
    path: &'a RepoPath,
    tree: TreeId,
    files: Files,
}

/// Writes very many folders, each part of so many `hosts` as a pack of its own: it is in memory only
/// until then.
fn in_parts<'a>(
    repository: &Repository,
    work: &[Work<'a>],
    hosts: usize,
) -> Result<Vec<Folder<'a>>, GitError> {
    let write = |(), parts: Vec<&[Work<'a>]>| -> Result<Vec<_>, GitError> {
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
