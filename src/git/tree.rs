//! Editing trees in the object database.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::commit::write_object;
use super::read::{self, object, tree_id};
use super::{GitError, Repository};
use crate::model::{RepoPath, TreeId};

/// Changes to a tree, collected in memory and written together. Sub-trees that no edit touches keep
/// their ids and are not read. Folders that become empty vanish.
pub struct TreeEdit<'a> {
    repository: &'a Repository,
    local: gix::Repository,
    root: Folder,
}

/// The tree without entries.
#[must_use]
pub fn empty_tree() -> TreeId {
    tree_id(ObjectId::empty_tree(gix::hash::Kind::Sha1))
}

/// The id that a file with this content has.
#[must_use]
pub fn blob_id(bytes: &[u8]) -> TreeId {
    let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, bytes);
    tree_id(id.expect("because no text of ours is made to collide"))
}

/// What becomes of one name in a folder.
enum Node {
    Blob(ObjectId),
    Tree(ObjectId),
    Folder(Folder),
    Removed,
}

/// A folder with changes in it.
struct Folder {
    base: Base,
    changes: BTreeMap<String, Node>,
}

/// What a folder holds apart from its changes.
#[derive(Clone, Copy)]
enum Base {
    /// What is at this path in the tree that is edited.
    Inherited,
    /// Nothing: it replaces what was there.
    Empty,
    /// The entries of this tree.
    Tree(ObjectId),
}

impl Folder {
    fn new(base: Base) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// The folder called `name` in here, to put changes into.
    fn enter(&mut self, name: &str) -> &mut Self {
        let node = self
            .changes
            .entry(name.to_owned())
            .or_insert_with(|| Node::Folder(Self::new(Base::Inherited)));
        match node {
            Node::Folder(_) => {}
            Node::Tree(id) => *node = Node::Folder(Self::new(Base::Tree(*id))),
            Node::Blob(_) | Node::Removed => *node = Node::Folder(Self::new(Base::Empty)),
        }
        let Node::Folder(folder) = node else { unreachable!("made a folder above") };
        folder
    }

    fn set(&mut self, path: &RepoPath, node: Node) {
        let mut segments = path.segments();
        let last = segments.next_back().expect("because a path has a segment");
        let folder = segments.fold(self, |folder, name| folder.enter(name));
        folder.changes.insert(last.to_owned(), node);
    }
}

impl<'a> TreeEdit<'a> {
    /// Edits `base` (`None`: the empty tree).
    #[must_use]
    pub fn new(repository: &'a Repository, base: Option<TreeId>) -> Self {
        let base = base.map_or(Base::Empty, |id| Base::Tree(object(id)));
        Self { repository, local: repository.local(), root: Folder::new(base) }
    }

    /// Puts a file (mode 100644); replaces what is there, a folder included.
    ///
    /// # Errors
    /// When the blob cannot be written.
    pub fn put(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), GitError> {
        let id = write_object(&self.local, Kind::Blob, bytes)?;
        self.root.set(path, Node::Blob(id));
        Ok(())
    }

    /// Puts a whole tree that is already in the object database.
    ///
    /// # Errors
    /// None today; reading the tree may come to be needed.
    pub fn put_tree(&mut self, path: &RepoPath, tree: TreeId) -> Result<(), GitError> {
        self.root.set(path, Node::Tree(object(tree)));
        Ok(())
    }

    /// Removes a file or a folder with all that is below; no error when there is none.
    ///
    /// # Errors
    /// None today; see [`TreeEdit::put_tree`].
    pub fn remove(&mut self, path: &RepoPath) -> Result<(), GitError> {
        self.root.set(path, Node::Removed);
        Ok(())
    }

    /// Writes the new trees and blobs; returns the root.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree on the way to a change cannot be read, or when one cannot be
    /// written.
    pub fn write(self) -> Result<TreeId, GitError> {
        let id = match write_folder(&self.local, None, self.root)? {
            Some(id) => id,
            None => write_object(&self.local, Kind::Tree, b"")?,
        };
        Ok(tree_id(id))
    }
}

impl std::fmt::Debug for TreeEdit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let changes = self.root.changes.len();
        f.debug_struct("TreeEdit")
            .field("repository", &self.repository.git_dir())
            .field("changes", &changes)
            .finish_non_exhaustive()
    }
}

/// Writes a folder whose path holds the tree `inherited`; `None` when nothing is left in it.
fn write_folder(
    local: &gix::Repository,
    inherited: Option<ObjectId>,
    folder: Folder,
) -> Result<Option<ObjectId>, GitError> {
    let base = match folder.base {
        Base::Inherited => inherited,
        Base::Empty => None,
        Base::Tree(id) => Some(id),
    };
    let mut entries = BTreeMap::new();
    if let Some(base) = base {
        let old = read::raw_entries(local, base)?;
        entries.extend(old.into_iter().map(|entry| (entry.name, (entry.mode, entry.id))));
    }
    for (name, node) in folder.changes {
        let name = name.into_bytes();
        let new = match node {
            Node::Blob(id) => Some((Mode::Blob, id)),
            Node::Tree(id) => (!id.is_empty_tree()).then_some((Mode::Tree, id)),
            Node::Removed => None,
            Node::Folder(below) => {
                let old = entries.get(&name).copied();
                let inherits = matches!(below.base, Base::Inherited);
                let tree = old.filter(|(mode, _)| *mode == Mode::Tree).map(|(_, id)| id);
                match write_folder(local, tree, below)? {
                    Some(id) => Some((Mode::Tree, id)),
                    // Removing `a/b` where `a` is a file removes nothing.
                    None if inherits => old.filter(|(mode, _)| *mode != Mode::Tree),
                    None => None,
                }
            }
        };
        match new {
            Some(entry) => entries.insert(name, entry),
            None => entries.remove(&name),
        };
    }
    if entries.is_empty() {
        return Ok(None);
    }
    write_object(local, Kind::Tree, &encode(entries)).map(Some)
}

/// A tree object: `<mode> <name>\0<id>`, sorted as if the names of folders ended in `/`.
fn encode(entries: BTreeMap<Vec<u8>, (Mode, ObjectId)>) -> Vec<u8> {
    let mut sorted: Vec<_> = entries.into_iter().collect();
    sorted.sort_by_cached_key(|(name, (mode, _))| {
        let mut key = name.clone();
        key.extend((*mode == Mode::Tree).then_some(b'/'));
        key
    });
    let mut bytes = Vec::with_capacity(sorted.len() * 40);
    for (name, (mode, id)) in sorted {
        bytes.extend_from_slice(mode.as_octal_str());
        bytes.push(b' ');
        bytes.extend_from_slice(&name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}
