//! The ids of objects, and of trees that nobody writes here: to check what somebody says that they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind as Mode;

use super::error::gix_error;
use super::raw::{self, Slot};
use super::read::{object, tree_id};
use super::{EntryKind, GitError};
use crate::model::{RepoPath, TreeId};

/// The tree that these files (mode 100644) make.
///
/// # Errors
/// When a file is made to have the id of another.
pub fn files_id(files: &BTreeMap<RepoPath, Arc<[u8]>>) -> Result<TreeId, GitError> {
    let blob = |(path, bytes)| {
        let (path, bytes): (&RepoPath, &Arc<[u8]>) = (path, bytes);
        Ok((path.as_str(), EntryKind::File, tree_id(name(Kind::Blob, bytes)?)))
    };
    let leaves: Vec<_> = files.iter().map(blob).collect::<Result<_, GitError>>()?;
    folder_id(&leaves)
}

/// The tree in which these files and folders lie at these paths. Those that share a folder stand
/// together.
///
/// # Errors
/// When a tree is made to have the id of another.
pub fn folder_id(leaves: &[(&str, EntryKind, TreeId)]) -> Result<TreeId, GitError> {
    trees(leaves, &mut |_, _| {})
}

/// The same; each tree is given away with its id, the inner ones first.
pub(super) fn trees(
    leaves: &[(&str, EntryKind, TreeId)],
    made: &mut impl FnMut(TreeId, Vec<u8>),
) -> Result<TreeId, GitError> {
    let mut slots = Vec::with_capacity(leaves.len());
    let mut rest = leaves;
    while let [(path, kind, id), after @ ..] = rest {
        let Some((folder, _)) = path.split_once('/') else {
            slots.push(Slot { name: path.as_bytes(), mode: mode(*kind), id: object(*id) });
            rest = after;
            continue;
        };
        let below = |path: &'_ str| Some(path.strip_prefix(folder)?.strip_prefix('/')?.len());
        let inside = rest
            .iter()
            .map_while(|(path, kind, id)| Some((&path[path.len() - below(path)?..], *kind, *id)));
        let inside: Vec<_> = inside.collect();
        rest = &rest[inside.len()..];
        let id = object(trees(&inside, made)?);
        slots.push(Slot { name: folder.as_bytes(), mode: Mode::Tree, id });
    }
    slots.sort_unstable_by(|a, b| raw::order(a.key(), b.key()));
    let mut tree = Vec::with_capacity(slots.len() * 48);
    slots.iter().for_each(|slot| slot.write(&mut tree));
    let id = tree_id(name(Kind::Tree, &tree)?);
    made(id, tree);
    Ok(id)
}

fn mode(kind: EntryKind) -> Mode {
    match kind {
        EntryKind::Tree => Mode::Tree,
        EntryKind::File => Mode::Blob,
        EntryKind::Symlink => Mode::Link,
        EntryKind::Submodule => Mode::Commit,
    }
}

/// The id of an object.
pub(super) fn name(kind: Kind, bytes: &[u8]) -> Result<ObjectId, GitError> {
    gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, bytes).map_err(gix_error("name an object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{Repository, TreeEdit};

    #[test]
    fn the_ids_are_those_that_git_gives() {
        let folder = tempfile::tempdir().expect("a folder");
        Repository::init(folder.path(), "main").expect("a repository");
        let repository = Repository::open(folder.path()).expect("it opens");
        let mut edit = TreeEdit::new(&repository, None);
        let mut files = BTreeMap::new();
        for (path, text) in [("a-b", "1"), ("a/x", "2"), ("a/y/z", ""), ("a0", "3"), ("b/a", "2")] {
            let path = RepoPath::new(path).expect("a path");
            edit.put(&path, text.as_bytes()).expect("it is put");
            files.insert(path, Arc::from(text.as_bytes()));
        }
        let tree = edit.write().expect("it is written");
        assert_eq!(files_id(&files).expect("an id"), tree);
        let entries = repository.entries(tree).expect("it is read");
        let leaves: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind, e.id)).collect();
        assert_eq!(folder_id(&leaves).expect("an id"), tree);
        assert_eq!(folder_id(&[]).expect("an id"), crate::git::empty_tree());
    }
}
