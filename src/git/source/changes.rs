//! What differs between the source files of two revisions.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;

use super::{Interest, TreeReader, interest, refused_by_git, settings_entry};
use crate::git::compare::{self, Side};
use crate::git::read::{self, child};
use crate::git::{GitError, Repository};
use crate::model::{Content, Limits, RepoPath, Revision, SourceChanges, SourceFile};

/// Follows the source files from revision to revision: only trees that differ are read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    last: Option<Last>,
}

/// The files that were told last, all of which are what Git allows.
#[derive(Debug, Clone)]
struct Last {
    tree: ObjectId,
    /// The entry of `titan.yaml`, and the limits that follow from it.
    settings: Settings,
    limits: Limits,
    /// How many there are.
    files: usize,
}

impl Sources {
    /// What makes the files that were told last those of `revision`, exactly as
    /// [`Repository::source_files`] gives them. All files are told at first, where `limits` differ, and
    /// where either revision has what Git or titan refuses: what that hides cannot be known from a part.
    ///
    /// # Errors
    /// [`GitError::Object`]; the next call starts from where this one did.
    pub fn changes(
        &mut self,
        repository: &Repository,
        revision: Revision,
        limits: impl FnOnce(&[SourceFile]) -> Limits,
    ) -> Result<SourceChanges, GitError> {
        let tree = read::object(repository.commit(revision)?.tree);
        let settings = settings_entry(&repository.store(), tree)?;
        let limits = match &self.last {
            Some(last) if last.settings == settings => last.limits.clone(),
            _ => limits(&repository.settings_file(revision)?),
        };
        if let Some(last) = self.last.as_mut().filter(|last| last.limits == limits) {
            let walk = Walk {
                reader: TreeReader::new(repository, &limits),
                gone: BTreeMap::new(),
                clean: true,
            };
            if let Some((changes, files)) = walk.run(last, tree)? {
                (last.tree, last.settings, last.files) = (tree, settings, files);
                return Ok(SourceChanges::Some(changes));
            }
        }
        let files = repository.source_files(revision, |_| limits.clone())?;
        let clean = !files.iter().any(|file| matches!(file.content, Content::Malformed { .. }));
        self.last = clean.then_some(Last { tree, settings, limits, files: files.len() });
        Ok(SourceChanges::All(files))
    }
}

/// Mode and id of a tree's entry.
type Settings = Option<(Mode, ObjectId)>;

type Changes = BTreeMap<RepoPath, Option<Content>>;

/// Compares two trees, of which the first one is clean.
struct Walk<'a> {
    /// Collects what is new or different.
    reader: TreeReader<'a>,
    /// What is no longer there, or different.
    gone: Changes,
    /// Whether nothing was met that Git or titan refuses.
    clean: bool,
}

impl Walk<'_> {
    /// The changes, and the number of files after them, if all is clean.
    fn run(mut self, last: &Last, tree: ObjectId) -> Result<Option<(Changes, usize)>, GitError> {
        if last.tree == tree {
            return Ok(Some((self.gone, last.files)));
        }
        self.folder(None, [last.tree, tree])?;
        let most = self.reader.collector.most;
        let new = self.reader.finish()?;
        self.clean &= !new.iter().any(|file| matches!(file.content, Content::Malformed { .. }));
        if !self.clean || last.files + new.len() >= most {
            return Ok(None);
        }
        let files = last.files - self.gone.len() + new.len();
        let mut changes = self.gone;
        changes.extend(new.into_iter().map(|file| (file.path, Some(file.content))));
        Ok(Some((changes, files)))
    }

    fn folder(&mut self, parent: Option<&RepoPath>, sides: [ObjectId; 2]) -> Result<(), GitError> {
        let trees = compare::load(&self.reader.store, sides.map(Some))?;
        let found = compare::differing(&trees)?;
        self.clean &= !found.twice;
        for (name, [before, after]) in found.entries {
            if parent.is_none() && !self.concerns(name) {
                continue;
            }
            let Some(path) = child(parent, name) else {
                self.clean = false;
                continue;
            };
            match [before, after].map(|side| side.and_then(Side::tree)) {
                [Some(before), Some(after)] => self.folder(Some(&path), [before, after])?,
                _ => {
                    before.map_or(Ok(()), |side| self.remove(&path, side))?;
                    if let Some(Side { mode, id }) = after {
                        self.reader.entry(path, mode, id, Interest::All)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an entry of the root is one of titan's. Of a misspelled one only the first file is read,
    /// whichever that is then.
    fn concerns(&mut self, name: &[u8]) -> bool {
        let interest = interest(&String::from_utf8_lossy(name));
        self.clean &= interest != Interest::First && !refused_by_git(name);
        interest == Interest::All
    }

    /// Notes that a file, or all that is below a folder, is no longer there.
    fn remove(&mut self, path: &RepoPath, side: Side) -> Result<(), GitError> {
        if side.mode != Mode::Tree {
            self.gone.insert(path.clone(), None);
            return Ok(());
        }
        for entry in read::raw_entries(&self.reader.store, side.id)? {
            match child(Some(path), &entry.name) {
                Some(below) => self.remove(&below, Side { mode: entry.mode, id: entry.id })?,
                None => self.clean = false,
            }
        }
        Ok(())
    }
}
