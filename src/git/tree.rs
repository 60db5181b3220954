//! Editing trees in the object database.

mod changes;

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::name::{name, trees};
use super::pack::{Objects, Sibling, Store};
use super::raw::{self, New, Slot, Tree};
use super::read::{self, object, tree_id};
use super::{EntryKind, GitError, Repository};
use crate::model::{Name, RepoPath, TreeId};
use crate::parallel::share_out;
use changes::Changes;

/// Changes to a tree, collected in memory and written together. Sub-trees that no edit touches keep
/// their ids and are not read. Folders that become empty vanish.
pub struct TreeEdit<'a> {
    repository: &'a Repository,
    store: Store,
    /// For a repository where nothing is staged: what is written here, until the end.
    own: Option<Objects>,
    root: Folder,
    known: Known,
}

/// Trees that need not be read: their bytes, by id.
type Known = HashMap<ObjectId, Vec<u8>>;

/// Changes in one folder of a [`TreeEdit`]; see [`TreeEdit::put_in_folders`].
pub struct FolderEdit(Folder);

impl FolderEdit {
    /// As [`TreeEdit::put_tree`]: the tree becomes `name` in the folder `folders`, one in the other.
    pub fn put_tree(&mut self, folders: &[&Name], name: &Name, tree: TreeId) {
        let folders = folders.iter().map(|name| name.as_str());
        self.0.set_in(folders, name.as_str(), Node::Tree(object(tree)));
    }
}

impl std::fmt::Debug for FolderEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderEdit").field("changes", &self.0.changes.len()).finish()
    }
}

/// The tree without entries.
#[must_use]
pub fn empty_tree() -> TreeId {
    tree_id(ObjectId::empty_tree(gix::hash::Kind::Sha1))
}

/// The id that a file with this content has.
#[must_use]
pub fn blob_id(bytes: &[u8]) -> TreeId {
    tree_id(name(Kind::Blob, bytes).expect("because no text of ours is made to collide"))
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
    changes: Changes,
    /// What it holds apart from them, once that is read; `None`: nothing.
    held: Option<(ObjectId, Tree)>,
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
        Self { base, changes: Changes::None, held: None }
    }

    /// The tree that it holds apart from its changes, where its path holds `inherited`.
    fn base(&self, inherited: Option<ObjectId>) -> Option<ObjectId> {
        match self.base {
            Base::Inherited => inherited,
            Base::Empty => None,
            Base::Tree(id) => Some(id),
        }
    }

    /// The folder called `name` in here, to put changes into.
    fn enter(&mut self, name: &str) -> &mut Self {
        let new = || Node::Folder(Self::new(Base::Inherited));
        let node = self.changes.get_or_insert_with(name, new);
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
        self.set_in(segments, last, node);
    }

    fn set_in<'s>(&mut self, folders: impl IntoIterator<Item = &'s str>, name: &str, node: Node) {
        let folder = folders.into_iter().fold(self, |folder, name| folder.enter(name));
        folder.changes.insert(name.to_owned(), node);
    }

    /// Puts many folders with changes into this one; each name comes once.
    fn put_all(&mut self, folders: Vec<(&str, Changes)>) {
        if self.changes.is_empty() {
            let folder = |(name, changes): (&str, _)| {
                let folder = Self { changes, ..Self::new(Base::Inherited) };
                (name.to_owned(), Node::Folder(folder))
            };
            self.changes = Changes::Many(folders.into_iter().map(folder).collect());
            return;
        }
        folders.into_iter().for_each(|(name, changes)| self.enter(name).add(changes));
    }

    /// Adds later changes of the same folder.
    fn add(&mut self, later: Changes) {
        if self.changes.is_empty() {
            self.changes = later;
            return;
        }
        for (name, node) in later {
            match node {
                Node::Folder(Self { base: Base::Inherited, changes, .. }) => {
                    self.enter(&name).add(changes);
                }
                node => self.changes.insert(name, node),
            }
        }
    }
}

impl<'a> TreeEdit<'a> {
    /// Edits `base` (`None`: the empty tree).
    #[must_use]
    pub fn new(repository: &'a Repository, base: Option<TreeId>) -> Self {
        let base = base.map_or(Base::Empty, |id| Base::Tree(object(id)));
        let own = (!repository.is_staged()).then(|| repository.begin());
        let store = own.as_ref().map_or(repository, Objects::repository).store();
        Self { repository, store, own, root: Folder::new(base), known: Known::new() }
    }

    /// Says what lies in a folder, by paths from there; those that share a folder stand together. What of it
    /// turns out to be there is not read. The rest is, so nothing depends on whether it is true.
    ///
    /// # Errors
    /// When a tree is made to have the id of another.
    pub fn know(&mut self, leaves: &[(&str, EntryKind, TreeId)]) -> Result<(), GitError> {
        let known = &mut self.known;
        let made = &mut |id, bytes| drop(known.insert(object(id), bytes));
        trees(leaves, made).map(drop)
    }

    /// Puts a file (mode 100644); replaces what is there, a folder included.
    ///
    /// # Errors
    /// When the blob cannot be written.
    pub fn put(&mut self, path: &RepoPath, bytes: &[u8]) -> Result<(), GitError> {
        self.put_blob(path, bytes, None).map(drop)
    }

    /// The same for a file that resembles others in the same set of objects; gives its blob.
    ///
    /// # Errors
    /// As [`TreeEdit::put`].
    pub fn put_sibling(
        &mut self,
        path: &RepoPath,
        bytes: &[u8],
        sibling: Sibling,
    ) -> Result<TreeId, GitError> {
        self.put_blob(path, bytes, Some(sibling))
    }

    fn put_blob(
        &mut self,
        path: &RepoPath,
        bytes: &[u8],
        sibling: Option<Sibling>,
    ) -> Result<TreeId, GitError> {
        let id = self.store.write(Kind::Blob, bytes, sibling)?;
        self.root.set(path, Node::Blob(id));
        Ok(tree_id(id))
    }

    /// Puts a whole tree that is already in the object database.
    ///
    /// # Errors
    /// None today; reading the tree may come to be needed.
    pub fn put_tree(&mut self, path: &RepoPath, tree: TreeId) -> Result<(), GitError> {
        self.root.set(path, Node::Tree(object(tree)));
        Ok(())
    }

    /// Changes many folders, each named once, with what `change` is told of it: on all processors where
    /// there are very many. The changes of a folder come after those that were made before.
    pub fn put_in_folders<I: Send>(
        &mut self,
        folders: Vec<(&RepoPath, I)>,
        change: impl Fn(I, &mut FolderEdit) + Sync,
    ) {
        let change_all = |(), part: Vec<(_, I)>| -> Vec<_> {
            let each = part.into_iter().map(|(path, item)| {
                let mut folder = FolderEdit(Folder::new(Base::Inherited));
                change(item, &mut folder);
                (path, folder.0.changes)
            });
            each.collect()
        };
        let mut changed = share_out(folders, SHARE, || (), change_all).into_iter().flatten();
        // Those beside each other are put there together.
        let mut next = changed.next();
        while let Some((path, changes)) = next {
            let parent = path.parent();
            let mut beside = vec![(path.file_name(), changes)];
            next = loop {
                match changed.next() {
                    Some((path, changes)) if path.parent() == parent => {
                        beside.push((path.file_name(), changes));
                    }
                    other => break other,
                }
            };
            let above = parent.into_iter().flat_map(|parent| parent.split('/'));
            above.fold(&mut self.root, |folder, name| folder.enter(name)).put_all(beside);
        }
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
    pub fn write(mut self) -> Result<TreeId, GitError> {
        read_folders(&self.store, &self.known, &mut self.root)?;
        let mut out = Out::new(&self.store);
        let id = match write_folder(&mut out, self.root)? {
            Some(id) => id,
            None => out.tree(Vec::new())?,
        };
        out.finish()?;
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

/// Reads what the folders hold, level by level and in the order of ids: those of a level were mostly
/// written together, so that each is found in the pack, and near the place, where the one before was.
fn read_folders(store: &Store, known: &Known, root: &mut Folder) -> Result<(), GitError> {
    let mut level = vec![(root.base(None), root)];
    while !level.is_empty() {
        level.sort_unstable_by_key(|(id, _)| *id);
        let read = |store: &Store, part: Vec<(Option<ObjectId>, _)>| {
            let mut next = Vec::new();
            for (id, folder) in part {
                read_folder((store, known), id, folder, &mut next)?;
            }
            Ok(next)
        };
        level = on_all_processors(store, level, read)?;
    }
    Ok(())
}

/// Reads what one folder holds; the folders in it come `next`.
fn read_folder<'f>(
    (store, known): (&Store, &Known),
    id: Option<ObjectId>,
    folder: &'f mut Folder,
    next: &mut Vec<(Option<ObjectId>, &'f mut Folder)>,
) -> Result<(), GitError> {
    let Folder { changes, held, .. } = folder;
    *held = id.map(|id| Ok::<_, GitError>((id, read_tree(store, known, id)?))).transpose()?;
    let mut near = 0;
    for (name, node) in changes.iter_mut() {
        let Node::Folder(below) = node else { continue };
        let found = held.as_ref().and_then(|(_, tree)| tree.find(name.as_bytes(), near));
        near = found.map_or(near, |(place, _)| place + 1);
        let inherited = found.filter(|(_, slot)| slot.is_tree()).map(|(_, slot)| slot.id);
        next.push((below.base(inherited), below));
    }
    Ok(())
}

/// Trees on their way into the store, many at a time: threads would wait for each other with each of them.
struct Out<'s> {
    store: &'s Store,
    trees: Vec<(ObjectId, Vec<u8>)>,
    bytes: usize,
}

impl<'s> Out<'s> {
    /// So many bytes go together.
    const FULL: usize = 1 << 19;

    fn new(store: &'s Store) -> Self {
        Self { store, trees: Vec::new(), bytes: 0 }
    }

    fn tree(&mut self, bytes: Vec<u8>) -> Result<ObjectId, GitError> {
        let id = name(Kind::Tree, &bytes)?;
        self.bytes += bytes.len();
        self.trees.push((id, bytes));
        if self.bytes >= Self::FULL {
            self.bytes = 0;
            self.store.write_trees(&mut self.trees)?;
        }
        Ok(id)
    }

    fn finish(mut self) -> Result<(), GitError> {
        self.store.write_trees(&mut self.trees)
    }
}

/// Writes a folder that was read; `None` when nothing is left in it.
fn write_folder(out: &mut Out<'_>, folder: Folder) -> Result<Option<ObjectId>, GitError> {
    let (base, tree) = match folder.held {
        Some((base, tree)) => (Some(base), tree),
        None => (None, Tree::parse(Vec::new()).expect("because nothing is sorted")),
    };
    let (mut places, mut changes) = (Vec::new(), Vec::with_capacity(folder.changes.len()));
    let mut near = 0;
    for (name, node) in folder.changes {
        let found = tree.find(name.as_bytes(), near);
        near = found.as_ref().map_or(near, |(place, _)| place + 1);
        let held = found.as_ref().map(|(_, slot)| (slot.mode, slot.id));
        places.push(found.map(|(place, _)| place));
        changes.push((held, name, node));
    }
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (place, Written { name, old, new }) in places.into_iter().zip(write_all(out, changes)?) {
        if new != old {
            removed.extend(place);
            added.extend(new.map(|(mode, id)| New { name, mode, id }));
        }
    }
    if tree.len() + added.len() == removed.len() {
        return Ok(None);
    }
    if let (Some(base), true, true) = (base, removed.is_empty(), added.is_empty()) {
        return Ok(Some(base));
    }
    out.tree(tree.splice(removed, added)).map(Some)
}

/// What a tree has under a name.
type Held = Option<(Mode, ObjectId)>;

/// What became of a name.
struct Written {
    name: String,
    old: Held,
    new: Held,
}

/// So many folders are worth a thread of their own.
const SHARE: usize = 500;

/// Writes what is to be under each name, where something may be already.
fn write_all(
    out: &mut Out<'_>,
    changes: Vec<(Held, String, Node)>,
) -> Result<Vec<Written>, GitError> {
    let write = |out: &mut Out<'_>, changes: Vec<(Held, String, Node)>| {
        let each = changes.into_iter().map(|(old, name, node)| {
            let new = write_node(out, old, node)?;
            Ok::<_, GitError>(Written { name, old, new })
        });
        each.collect::<Result<Vec<_>, _>>()
    };
    if changes.len() <= SHARE {
        return write(out, changes);
    }
    on_all_processors(out.store, changes, |store, changes| {
        let mut out = Out::new(store);
        let written = write(&mut out, changes)?;
        out.finish().map(|()| written)
    })
}

/// Shares very much work out, and does a little right here; results in the order of `items`.
fn on_all_processors<I: Send, R: Send>(
    store: &Store,
    items: Vec<I>,
    work: impl Fn(&Store, Vec<I>) -> Result<Vec<R>, GitError> + Sync,
) -> Result<Vec<R>, GitError> {
    if items.len() <= SHARE {
        return work(store, items);
    }
    let mut all = Vec::with_capacity(items.len());
    for part in share_out(items, SHARE, || store.another(), |store, part| work(&store, part)) {
        all.append(&mut part?);
    }
    Ok(all)
}

fn write_node(out: &mut Out<'_>, old: Held, node: Node) -> Result<Held, GitError> {
    Ok(match node {
        Node::Blob(id) => Some((Mode::Blob, id)),
        Node::Tree(id) => (!id.is_empty_tree()).then_some((Mode::Tree, id)),
        Node::Removed => None,
        Node::Folder(below) => {
            let inherits = matches!(below.base, Base::Inherited);
            match write_folder(out, below)? {
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
fn read_tree(store: &Store, known: &Known, id: ObjectId) -> Result<Tree, GitError> {
    let bytes = match known.get(&id) {
        Some(bytes) => bytes.clone(),
        None => store.data(id, Kind::Tree)?,
    };
    if let Ok(tree) = Tree::parse(bytes) {
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
