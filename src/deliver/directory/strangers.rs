//! What others put into an assignment's folder: found, judged, and carried over.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::folder::Folder;
use super::super::{DeliverError, Digest, Owned};
use crate::model::{Manifests, RepoPath};

/// Something that is not titan's: a file, a link, or a directory with all that is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Below the assignment's folder.
    pub(super) path: PathBuf,
    pub(super) kind: FileType,
}

/// By what a file is recognised as titan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// In the live folder: a path that was applied, or a content that was about to be.
    Content,
    /// In a folder that was swapped out or never in: the path alone (a write may have been cut short).
    Path,
}

/// What is in `folder` and not titan's, in the order of paths. Directories that lead to paths of
/// `owned` or `manifests` are looked into, others are one stranger each.
pub(super) fn strangers(
    folder: &Folder,
    owned: &Owned,
    manifests: &Manifests,
    proof: Proof,
) -> Result<Vec<Stranger>, DeliverError> {
    let ways = owned.paths().chain(manifests.files.keys()).flat_map(ancestors).collect();
    let mut found = Vec::new();
    collect(folder, Path::new(""), &Search { owned, ways, proof }, &mut found)?;
    Ok(found)
}

struct Search<'a> {
    owned: &'a Owned,
    ways: BTreeSet<&'a str>,
    proof: Proof,
}

fn collect(
    folder: &Folder,
    below: &Path,
    search: &Search<'_>,
    found: &mut Vec<Stranger>,
) -> Result<(), DeliverError> {
    for (name, kind) in folder.entries()? {
        let path = below.join(&name);
        let text = path.to_str();
        if kind == FileType::Directory && text.is_some_and(|path| search.ways.contains(path)) {
            if let Some(child) = folder.child(&name)? {
                collect(&child, &path, search, found)?;
            }
            continue;
        }
        if kind == FileType::Directory || !is_owned(folder, &name, text, search)? {
            found.push(Stranger { path, kind });
        }
    }
    Ok(())
}

fn is_owned(
    folder: &Folder,
    name: &OsStr,
    path: Option<&str>,
    search: &Search<'_>,
) -> Result<bool, DeliverError> {
    let Some(Ok(path)) = path.map(RepoPath::new) else { return Ok(false) };
    match search.proof {
        Proof::Path => Ok(search.owned.paths().any(|owned| *owned == path)),
        Proof::Content => {
            let mut failed = None;
            let owns = search.owned.owns(&path, || {
                folder.digest(name).unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                })
            });
            failed.map_or(Ok(owns), Err)
        }
    }
}

/// Refuses manifests that would overwrite or bury something that others put into the live folder.
/// A file that has the desired content already is adopted.
pub(super) fn refuse_conflicts(
    live: &Folder,
    strangers: &[Stranger],
    manifests: &Manifests,
) -> Result<(), DeliverError> {
    let ways: BTreeSet<&str> = manifests.files.keys().flat_map(ancestors).collect();
    let files: BTreeSet<&str> = manifests.files.keys().map(RepoPath::as_str).collect();
    for stranger in strangers {
        let Some(path) = stranger.path.to_str() else { continue };
        let is_way = ways.contains(path);
        let is_buried = parents(path).any(|parent| files.contains(parent));
        let differs = files.contains(path) && !is_same(live, stranger, path, manifests)?;
        if is_way || is_buried || differs {
            return Err(DeliverError::Conflict { path: live.path().join(path) });
        }
    }
    Ok(())
}

fn is_same(
    live: &Folder,
    stranger: &Stranger,
    path: &str,
    manifests: &Manifests,
) -> Result<bool, DeliverError> {
    let (Ok(path), FileType::RegularFile) = (RepoPath::new(path), stranger.kind) else {
        return Ok(false);
    };
    let Some(bytes) = manifests.files.get(&path) else { return Ok(false) };
    let Some(folder) = live.descend(parent_of(&stranger.path))? else { return Ok(false) };
    Ok(folder.digest(path.file_name())? == Some(Digest::of(bytes)))
}

/// Moves strangers from a folder that was swapped out into the live one. Where something stands in
/// the way there, they go to `kept`, so that nothing of others is ever lost.
pub(super) fn carry_over(
    strangers: &[Stranger],
    old: &Folder,
    live: &Folder,
    kept: impl Fn() -> Result<Folder, DeliverError>,
) -> Result<(), DeliverError> {
    for Stranger { path, .. } in strangers {
        let Some(name) = path.file_name() else { continue };
        let Some(from) = old.descend(parent_of(path))? else { continue };
        let moved = match live.make_all(parent_of(path)) {
            Ok(to) => from.rename_to_free(name, &to, name)?,
            Err(DeliverError::NotADirectory { .. }) => false,
            Err(error) => return Err(error),
        };
        if !moved {
            let to = kept()?.make_all(parent_of(path))?;
            tracing::warn!(path = %to.path().join(name).display(), "kept a file that is not titan's");
            from.rename(name, &to, name)?;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The directories that lead to a path.
pub(super) fn ancestors(path: &RepoPath) -> impl Iterator<Item = &str> {
    parents(path.as_str())
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
