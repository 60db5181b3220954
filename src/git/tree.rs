//! Editing trees in the object database.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::pack::{Objects, Sibling, Store};
use super::raw::{self, New, Slot, Tree};
use super::read::{self, object, tree_id};
use super::{GitError, Repository};
use crate::model::{RepoPath, TreeId};
use crate::parallel::share_out;

/// Changes to a tree, collected in memory and written together. Sub-trees that no edit touches keep
/// their ids and are not read. Folders that become empty vanish.
pub struct TreeEdit<'a> {
    repository: &'a Repository,
    store: Store,
    /// For a repository where nothing is staged: what is written here, until the end.
    own: Option<Objects>,
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
        // Most often it is there: a name is copied only for a new one.
        if !self.changes.contains_key(name) {
            let folder = Node::Folder(Self::new(Base::Inherited));
            self.changes.insert(name.to_owned(), folder);
        }
        let node = self.changes.get_mut(name).expect("because it was put there");
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
        let own = (!repository.is_staged()).then(|| repository.begin());
        let store = own.as_ref().map_or(repository, Objects::repository).store();
        Self { repository, store, own, root: Folder::new(base) }
    }

    /// Puts a file (mode 100644); replaces what is there, a folder included.
    ///
    /// # Errors
    /// When the blob cannot be written.
    pub fn put(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), GitError> {
        self.put_blob(path, bytes, None)
    }

    /// The same for a file that resembles others in the same set of objects.
    ///
    /// # Errors
    /// As [`TreeEdit::put`].
    pub fn put_sibling(
        &mut self,
        path: &RepoPath,
        bytes: &[u8],
        sibling: Sibling,
    ) -> Result<(), GitError> {
        self.put_blob(path, bytes, Some(sibling))
    }

    fn put_blob(
        &mut self,
        path: &RepoPath,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> Result<(), GitError> {
        let id = self.store.write(Kind::Blob, bytes, sibling)?;
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

    /// Writes the new trees and blobs, durably unless they join others ([`super::Objects`]); returns the
    /// root.
    ///
    /// # Errors
    /// [`GitError::Object`] when a tree on the way to a change cannot be read, or when one cannot be
    /// written.
    pub fn write(self) -> Result<TreeId, GitError> {
        let id = match write_folder(&self.store, None, self.root)? {
            Some(id) => id,
            None => self.store.write(Kind::Tree, b"", None)?,
        };
        if let Some(own) = self.own {
            own.finish()?;
        }
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
    store: &Store,
    inherited: Option<ObjectId>,
    folder: Folder,
) -> Result<Option<ObjectId>, GitError> {
    let base = match folder.base {
        Base::Inherited => inherited,
        Base::Empty => None,
        Base::Tree(id) => Some(id),
    };
    let tree = match base {
        Some(base) => read_tree(store, base)?,
        None => Tree::parse(Vec::new()).expect("because nothing is sorted"),
    };
    let find = |name: &str| tree.find(name.as_bytes());
    let entry = |name: &str| find(name).map(|(_, slot)| (slot.mode, slot.id));
    let changes = folder.changes.into_iter().map(|(name, node)| (entry(&name), name, node));
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (name, new) in write_all(store, changes.collect())? {
        if new == entry(&name) {
            continue;
        }
        removed.extend(find(&name).map(|(place, _)| place));
        added.extend(new.map(|(mode, id)| New { name, mode, id }));
    }
    if tree.len() + added.len() == removed.len() {
        return Ok(None);
    }
    if let (Some(base), true, true) = (base, removed.is_empty(), added.is_empty()) {
        return Ok(Some(base));
    }
    store.write(Kind::Tree, &tree.splice(removed, added), None).map(Some)
}

/// What a tree has under a name.
type Held = Option<(Mode, ObjectId)>;

/// So many changes in one folder are worth a thread of their own.
const SHARE: usize = 500;

/// Writes what is to be under each name, where something may be already; very many on all processors.
fn write_all(
    store: &Store,
    changes: Vec<(Held, String, Node)>,
) -> Result<Vec<(String, Held)>, GitError> {
    let write = |store: &Store, changes: Vec<(Held, String, Node)>| {
        let each = changes.into_iter();
        each.map(|(old, name, node)| Ok((name, write_node(store, old, node)?))).collect()
    };
    if changes.len() <= SHARE {
        return write(store, changes);
    }
    let parts = share_out(changes, SHARE, || store.another(), |store, part| write(&store, part));
    parts.into_iter().collect::<Result<Vec<Vec<_>>, _>>().map(|parts| parts.into_iter().flatten().collect())
}

fn write_node(store: &Store, old: Held, node: Node) -> Result<Held, GitError> {
    Ok(match node {
        Node::Blob(id) => Some((Mode::Blob, id)),
        Node::Tree(id) => (!id.is_empty_tree()).then_some((Mode::Tree, id)),
        Node::Removed => None,
        Node::Folder(below) => {
            let inherits = matches!(below.base, Base::Inherited);
            let inherited = old.filter(|(mode, _)| *mode == Mode::Tree).map(|(_, id)| id);
            match write_folder(store, inherited, below)? {
                Some(id) => Some((Mode::Tree, id)),
                // Removing `a/b` where `a` is a file removes nothing.
                None if inherits => old.filter(|(mode, _)| *mode != Mode::Tree),
                None => None,
            }
        }
    })
}

/// A tree as it should be. What others wrote may be out of order or have a name twice: it is put right
/// where it is changed, and the last of several counts.
fn read_tree(store: &Store, id: ObjectId) -> Result<Tree, GitError> {
    if let Ok(tree) = Tree::parse(store.data(id, Kind::Tree)?) {
        return Ok(tree);
    }
    let entries = read::raw_entries(store, id)?;
    let entries: BTreeMap<_, _> =
        entries.iter().map(|entry| (&entry.name, (entry.mode, entry.id))).collect();
    let mut slots: Vec<Slot<'_>> =
        entries.into_iter().map(|(name, (mode, id))| Slot { name, mode, id }).collect();
    slots.sort_by(|a, b| raw::order(a.key(), b.key()));
    let mut bytes = Vec::new();
    slots.iter().for_each(|slot| slot.write(&mut bytes));
    Ok(Tree::parse(bytes).expect("because it is sorted, and has each name once"))
}

#[cfg(test)]
mod tests;
