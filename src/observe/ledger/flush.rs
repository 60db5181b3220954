//! From what is dirty to what is written, and back when it could not be.

use std::sync::Arc;

use super::dirty::Item;
use super::draft::Files;
use super::{Draft, Ledger};
use crate::git::{FleetRepository, GitError, Repository};
use crate::model::{Name, Revision, Timestamp, TreeId};

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
        let mut tries = 1;
        loop {
            let mut draft = self.draft(&fleet.repository, branch, now)?;
            let done = draft.write(fleet, branch, now);
            match self.ended(draft, done) {
                Err(GitError::Conflict { .. }) if tries < self.tries => {
                    tries += 1;
                    fleet.refresh()?;
                }
                other => return other,
            }
        }
    }

    /// How often a flush may lose a race.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// What is to be written on top of `branch`, after what others wrote there is taken over. It may be
    /// written anywhere, while this ledger goes on; there is no other draft until it has
    /// [`Ledger::ended`].
    ///
    /// # Errors
    /// When the branch cannot be read.
    pub fn draft(
        &mut self,
        repository: &Repository,
        branch: &str,
        now: Timestamp,
    ) -> Result<Draft, GitError> {
        let head = repository.branch(branch)?;
        if head != self.head {
            self.absorb(repository, head, now)?;
        }
        Ok(self.take_draft())
    }

    /// What is dirty; it counts as written until it turns out that it is not.
    pub(super) fn take_draft(&mut self) -> Draft {
        let fleet = self.fleet();
        let dirty = std::mem::take(&mut self.dirty);
        let share = |host| self.hosts.get_key_value(host);
        let hosts = dirty.hosts.iter().filter_map(share);
        let hosts = hosts.map(|(host, entry)| (host.clone(), Arc::clone(entry))).collect();
        let lost = dirty.leftovers.values().filter(
            |item| matches!(item, Item::Assignment(assignment) if self.record(assignment).is_none()),
        );
        let draft = Draft {
            head: self.head,
            tree: self.tree,
            written: self.written,
            round: self.round,
            lost: lost.count(),
            hosts,
            fleet,
            files: Vec::new(),
            diagnostics: self.diagnostics.clone().filter(|_| dirty.diagnostics),
            dirty,
        };
        self.round += 1;
        draft
    }

    /// The draft was written, or could not be: then all of it is dirty again.
    ///
    /// # Errors
    /// The one that is given.
    pub fn ended(
        &mut self,
        draft: Draft,
        done: Result<Option<(Revision, TreeId)>, GitError>,
    ) -> Result<Option<Revision>, GitError> {
        let Draft { dirty, hosts, round, files, .. } = draft;
        let commit = match done {
            Ok(commit) => commit,
            Err(error) => {
                self.dirty.add(dirty);
                return Err(error);
            }
        };
        // Whoever else has an entry copies it before a change.
        drop(hosts);
        self.written = round;
        self.know_files(files);
        for host in &dirty.hosts {
            if self.hosts.get(host).is_some_and(|entry| !entry.gone.is_empty())
                && let Some(entry) = self.entry(host)
            {
                entry.gone.retain(|_, changed| *changed > round);
            }
        }
        let Some((revision, tree)) = commit else { return Ok(None) };
        (self.head, self.tree) = (Some(revision), Some(tree));
        Ok(Some(revision))
    }

    /// The branch has these.
    fn know_files(&mut self, files: Vec<(Name, Files)>) {
        for (host, files) in files {
            let Some(entry) = self.entry(&host) else { continue };
            for (deployment, file) in files {
                if let Some(record) = entry.assignments.get_mut(&deployment) {
                    record.file = Some(file);
                }
            }
        }
    }
}
