//! Writing what is dirty to the status branch.

use std::collections::BTreeMap;

use super::{Item, Ledger};
use crate::git::{
    CommitDraft, FleetRepository, GitError, RefUpdate, Repository, Sibling, Signature, TreeEdit,
};
use crate::model::{Connection, Phase, RepoPath, Revision, Timestamp, TreeId};
use crate::observe::files;

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
            let Some(tree) = self.write(objects.repository())? else {
                self.dirty.clear();
                return Ok(None);
            };
            let new = self.commit(objects.repository(), tree, now)?;
            objects.finish()?;
            let update = RefUpdate { branch: branch.to_owned(), expected: self.head, new };
            match fleet.publish(&[update]) {
                Ok(()) => {
                    (self.head, self.tree) = (Some(new), Some(tree));
                    self.dirty.clear();
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
    fn write(&self, repository: &Repository) -> Result<Option<TreeId>, GitError> {
        if self.dirty.is_empty() {
            return Ok(None);
        }
        let mut edit = TreeEdit::new(repository, self.tree);
        let contents = self.dirty.iter().map(|(path, item)| (path, item, self.content(path, item)));
        let contents: Vec<_> = contents.collect();
        for (path, _, _) in contents.iter().filter(|(_, _, content)| content.is_none()) {
            edit.remove(path)?;
        }
        for (path, item, content) in &contents {
            let Some(content) = content else { continue };
            match item {
                Item::Assignment(assignment) => {
                    let sibling = Sibling::of(&assignment.deployment);
                    edit.put_sibling(path, content, sibling)?;
                }
                Item::Host(_) => edit.put_sibling(path, content, Sibling::of(&"host"))?,
                Item::Fleet | Item::Diagnostics => edit.put(path, content)?,
            }
        }
        let tree = edit.write()?;
        Ok((Some(tree) != self.tree).then_some(tree))
    }

    /// What is to be at `path`; `None` for nothing. An item that lies elsewhere by now leaves nothing.
    pub(super) fn content(&self, path: &RepoPath, item: &Item) -> Option<Vec<u8>> {
        match item {
            Item::Fleet => self.fleet().map(|fleet| files::write(&fleet)),
            Item::Diagnostics => self.diagnostics.as_ref().map(files::write),
            Item::Host(host) => {
                let entry = self.hosts.get(host)?;
                let here = files::host_path(&entry.folder)? == *path;
                here.then(|| files::write(&entry.status))
            }
            Item::Assignment(assignment) => {
                let entry = self.hosts.get(&assignment.host)?;
                let here = files::assignment_path(&entry.folder, &assignment.deployment)? == *path;
                let status = entry.assignments.get(&assignment.deployment)?;
                here.then(|| files::write(status))
            }
        }
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

    /// What happened: assignments by phase, else hosts by connection, else the source revision.
    fn subject(&self) -> String {
        let mut phases = BTreeMap::<Phase, usize>::new();
        let mut hosts = BTreeMap::<Connection, usize>::new();
        for item in self.dirty.values() {
            match item {
                Item::Assignment(assignment) => {
                    let phase = self.assignment(assignment).map_or(Phase::Removed, |s| s.phase);
                    *phases.entry(phase).or_default() += 1;
                }
                Item::Host(host) => {
                    if let Some(status) = self.host(host) {
                        *hosts.entry(status.connection).or_default() += 1;
                    }
                }
                Item::Fleet | Item::Diagnostics => {}
            }
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
        match &self.fleet {
            Some(fleet) => format!("source {}", fleet.source.short()),
            None => "nothing is known".to_owned(),
        }
    }
}
