//! The files of a config branch, or of a plain directory, for the parser.
//!
//! Both readers give the same: `titan.yaml`, everything below `hosts/`, `templates/` and
//! `workspaces/`, and what looks like a misspelling of one of them, so that the parser can say so.
//! Everything else at the root (a README, CI files, code) is none of titan's business.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gix::ObjectId;
use gix::objs::tree::EntryKind as Mode;

use super::pack::Store;
use super::read::{self, child};
use super::{GitError, Repository};
use crate::model::{Content, Limits, RepoPath, Revision, SourceFile};
use crate::parallel::share_out;

mod changes;
mod directory;
#[cfg(test)]
mod tests;

pub use changes::Sources;
pub use directory::directory_files;

const SETTINGS: &str = "titan.yaml";
const FOLDERS: [&str; 3] = ["hosts", "templates", "workspaces"];

/// Beginnings of names at the root that are taken for misspellings.
const NEAR: [&str; 4] = ["titan.", "host", "template", "workspace"];

/// How an entry of the root is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    All,
    /// One file is enough to point at it.
    First,
    None,
}

fn interest(name: &str) -> Interest {
    if name == SETTINGS || FOLDERS.contains(&name) {
        Interest::All
    } else if NEAR.iter().any(|near| name.to_ascii_lowercase().starts_with(near)) {
        Interest::First
    } else {
        Interest::None
    }
}

/// What was found at a path.
#[derive(Debug)]
enum Found {
    Content(Content),
    /// A blob that is still to be read.
    Blob(ObjectId),
}

/// Collects entries, within the limits.
struct Collector<'a> {
    limits: &'a Limits,
    files: BTreeMap<RepoPath, Found>,
    /// Most entries that a valid fleet can have by far; a few trees that contain each other many
    /// times over make more.
    most: usize,
}

impl<'a> Collector<'a> {
    fn new(limits: &'a Limits) -> Self {
        let objects = limits.objects as usize + limits.hosts as usize;
        Self { limits, files: BTreeMap::new(), most: objects.saturating_mul(4) }
    }

    /// Notes that the folder `parent` (`None`: the root, noted at `titan.yaml`) holds an entry that
    /// may not be. The first reason is kept, and it wins over what else is at that path.
    fn malformed(&mut self, parent: Option<&RepoPath>, reason: String) {
        let path = parent.cloned().unwrap_or_else(settings_path);
        let found = self.files.entry(path);
        found
            .and_modify(|found| {
                if !matches!(found, Found::Content(Content::Malformed { .. })) {
                    *found = Found::Content(Content::Malformed { reason: reason.clone() });
                }
            })
            .or_insert_with(|| Found::Content(Content::Malformed { reason: reason.clone() }));
    }

    fn add(&mut self, path: RepoPath, found: Found) {
        self.files.entry(path).or_insert(found);
    }

    /// Whether there is room for more; notes it where there is none.
    fn has_room(&mut self, parent: Option<&RepoPath>) -> bool {
        let room = self.files.len() < self.most;
        if !room {
            self.malformed(parent, format!("there are more than {} files", self.most));
        }
        room
    }

    /// All files; `read` reads all blobs.
    fn finish(
        self,
        read: impl FnOnce(Vec<ObjectId>) -> Result<HashMap<ObjectId, Content>, GitError>,
    ) -> Result<Vec<SourceFile>, GitError> {
        let blob = |found: &Found| match found {
            Found::Blob(id) => Some(*id),
            Found::Content(_) => None,
        };
        let blobs = read(self.files.values().filter_map(blob).collect())?;
        let file = |(path, found)| {
            let content = match found {
                Found::Content(content) => content,
                Found::Blob(id) => blobs.get(&id).expect("because all blobs were read").clone(),
            };
            SourceFile { path, content }
        };
        Ok(self.files.into_iter().map(file).collect())
    }
}

fn settings_path() -> RepoPath {
    RepoPath::new(SETTINGS).expect("because it is a plain name")
}

/// Why a name may not stand in a tree. The name is shown escaped: it may be made to mislead.
fn refusal(parent: Option<&RepoPath>, name: &[u8]) -> String {
    let shown = name.escape_ascii();
    let Ok(text) = std::str::from_utf8(name) else {
        return format!("the name `{shown}` is not UTF-8");
    };
    if text.contains('/') {
        return format!("the name `{shown}` contains a `/`");
    }
    let error = match parent {
        Some(parent) if !text.is_empty() => parent.join(text).err(),
        _ => RepoPath::new(text).err(),
    };
    let reason = error.map(|error| error.to_string()).unwrap_or_default();
    format!("the name `{shown}` is not allowed: {reason}")
}

/// Names that Git itself refuses in any tree, whether or not titan would read the entry.
fn refused_by_git(name: &[u8]) -> bool {
    match std::str::from_utf8(name) {
        Ok(name) if name.contains('/') => true,
        Ok(name) => matches!(
            RepoPath::new(name),
            Err(crate::model::PathError::Empty
                | crate::model::PathError::Escape
                | crate::model::PathError::Git(_))
        ),
        Err(_) => name.contains(&b'/'),
    }
}

impl Repository {
    /// All files below a commit's tree for the parser, in the order of paths (which ones: see the
    /// module). `limits` says what is allowed, seeing the settings' file. Blobs over
    /// `limits.blob_size` are not read; links and submodules are named, not
    /// followed. A name that Git itself would refuse (`.git`, `..`, `a/b`, a duplicate), or that is
    /// no [`RepoPath`], gives `Content::Malformed` at the path of its parent folder (`titan.yaml` for
    /// the root); that entry is not entered, its siblings are.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn source_files(
        &self,
        revision: Revision,
        limits: impl FnOnce(&[SourceFile]) -> Limits,
    ) -> Result<Vec<SourceFile>, GitError> {
        let limits = limits(&self.settings_file(revision)?);
        let mut reader = TreeReader::new(self, &limits);
        reader.root(read::object(self.commit(revision)?.tree))?;
        reader.finish()
    }

    /// `titan.yaml` alone, as [`Repository::source_files`] gives it; nothing where there is none.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn settings_file(&self, revision: Revision) -> Result<Vec<SourceFile>, GitError> {
        let tree = read::object(self.commit(revision)?.tree);
        let limits = Limits::default();
        let mut reader = TreeReader::new(self, &limits);
        if let Some((mode, id)) = settings_entry(&reader.store, tree)?
            && mode != Mode::Tree
        {
            reader.entry(settings_path(), mode, id, Interest::All)?;
        }
        reader.finish()
    }
}

/// The entry of `titan.yaml` in a root tree.
fn settings_entry(store: &Store, root: ObjectId) -> Result<Option<(Mode, ObjectId)>, GitError> {
    let mut entries = read::raw_entries(store, root)?.into_iter();
    let found = entries.find(|entry| entry.name == SETTINGS.as_bytes());
    Ok(found.map(|entry| (entry.mode, entry.id)))
}

/// Reads trees of the object database.
struct TreeReader<'a> {
    repository: &'a Repository,
    store: Store,
    collector: Collector<'a>,
}

impl<'a> TreeReader<'a> {
    fn new(repository: &'a Repository, limits: &'a Limits) -> Self {
        let collector = Collector::new(limits);
        Self { repository, store: repository.store(), collector }
    }

    fn finish(self) -> Result<Vec<SourceFile>, GitError> {
        let limits = self.collector.limits;
        self.collector.finish(|blobs| read_blobs(self.repository, blobs, limits))
    }

    fn root(&mut self, tree: ObjectId) -> Result<(), GitError> {
        let mut names = BTreeSet::new();
        for entry in read::raw_entries(&self.store, tree)? {
            if refused_by_git(&entry.name) {
                self.collector.malformed(None, refusal(None, &entry.name));
                continue;
            }
            let interest = interest(&String::from_utf8_lossy(&entry.name));
            if interest == Interest::None {
                continue;
            }
            if !names.insert(entry.name.clone()) {
                self.collector.malformed(None, duplicate(&entry.name));
                continue;
            }
            let Some(path) = child(None, &entry.name) else {
                self.collector.malformed(None, refusal(None, &entry.name));
                continue;
            };
            self.entry(path, entry.mode, entry.id, interest)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: RepoPath,
        mode: Mode,
        id: ObjectId,
        interest: Interest,
    ) -> Result<(), GitError> {
        let found = match mode {
            Mode::Tree => return self.folder(&path, id, interest),
            Mode::Link => Found::Content(Content::Symlink),
            Mode::Commit => Found::Content(Content::Submodule),
            Mode::Blob | Mode::BlobExecutable => Found::Blob(id),
        };
        self.collector.add(path, found);
        Ok(())
    }

    fn folder(
        &mut self,
        path: &RepoPath,
        tree: ObjectId,
        interest: Interest,
    ) -> Result<(), GitError> {
        let before = self.collector.files.len();
        let mut names = BTreeSet::new();
        for entry in read::raw_entries(&self.store, tree)? {
            if !self.collector.has_room(Some(path)) {
                break;
            }
            match child(Some(path), &entry.name) {
                Some(below) if names.insert(entry.name.clone()) => {
                    self.entry(below, entry.mode, entry.id, interest)?;
                }
                Some(_) => self.collector.malformed(Some(path), duplicate(&entry.name)),
                None => self.collector.malformed(Some(path), refusal(Some(path), &entry.name)),
            }
            if interest == Interest::First && self.collector.files.len() > before {
                break;
            }
        }
        Ok(())
    }
}

/// So many blobs are worth a thread of their own.
const SHARE: usize = 500;

/// Reads blobs, each once (the same one may stand at many paths), many of them on all processors.
fn read_blobs(
    repository: &Repository,
    mut blobs: Vec<ObjectId>,
    limits: &Limits,
) -> Result<HashMap<ObjectId, Content>, GitError> {
    blobs.sort_unstable();
    blobs.dedup();
    let read = |blobs: &[ObjectId]| -> Result<Vec<(ObjectId, Content)>, GitError> {
        let store = repository.store();
        blobs.iter().map(|id| Ok((*id, blob(&store, *id, limits)?))).collect()
    };
    let mut all = HashMap::with_capacity(blobs.len());
    for part in share_out(blobs, SHARE, || (), |(), blobs| read(&blobs)) {
        all.extend(part?);
    }
    Ok(all)
}

fn blob(store: &Store, id: ObjectId, limits: &Limits) -> Result<Content, GitError> {
    let bytes = store.size(id)?;
    if bytes > limits.blob_size.0 {
        return Ok(Content::TooLarge { bytes });
    }
    Ok(Content::Bytes(read::read_blob(store, id)?))
}

fn duplicate(name: &[u8]) -> String {
    format!("the name `{}` stands there twice", name.escape_ascii())
}
