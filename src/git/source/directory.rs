//! The files of a plain directory, read like those of a commit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{Collector, Found, Interest, SETTINGS, interest, refusal, settings_path};
use crate::git::GitError;
use crate::git::read::child;
use crate::model::{Content, Limits, RepoPath, SourceFile};

/// The same as [`crate::git::Repository::source_files`] from a plain directory, whether or not it is a checkout.
///
/// # Errors
/// [`GitError::Io`].
pub fn directory_files(
    root: &Path,
    limits: impl FnOnce(&[SourceFile]) -> Limits,
) -> Result<Vec<SourceFile>, GitError> {
    let limits = limits(&directory_settings(root)?);
    let mut collector = Collector::new(&limits);
    let walk = walkdir::WalkDir::new(root).follow_links(false).min_depth(1).sort_by_file_name();
    let mut walk = walk.into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            GitError::io("read", &path, error.into())
        })?;
        let kind = entry.file_type();
        let inside = entry.path().strip_prefix(root).expect("because the walk stays below it");
        let top = inside.iter().next().unwrap_or_default().to_string_lossy();
        let wanted = interest(&top);
        let seen = wanted == Interest::First
            && collector.files.keys().any(|path| path.segments().next() == Some(&*top));
        if wanted == Interest::None || seen {
            skip(&mut walk, kind);
            continue;
        }
        let parent = inside.parent().and_then(|parent| RepoPath::new(parent.to_str()?).ok());
        if !collector.has_room(parent.as_ref()) {
            break;
        }
        let name = entry.file_name().as_encoded_bytes();
        let Some(path) = child(parent.as_ref(), name) else {
            collector.malformed(parent.as_ref(), refusal(parent.as_ref(), name));
            skip(&mut walk, kind);
            continue;
        };
        if kind.is_symlink() {
            collector.add(path, Found::Content(Content::Symlink));
        } else if kind.is_dir() {
            if entry.path().join(".git").exists() {
                collector.add(path, Found::Content(Content::Submodule));
                walk.skip_current_dir();
            }
        } else {
            collector.add(path, Found::Content(read_file(entry.path(), &limits)?));
        }
    }
    collector.finish(|_| Ok(HashMap::new()))
}

/// `titan.yaml` alone; nothing where there is none, or something else in its place.
fn directory_settings(root: &Path) -> Result<Vec<SourceFile>, GitError> {
    let path = root.join(SETTINGS);
    if path.is_symlink() || !path.is_file() {
        return Ok(Vec::new());
    }
    let content = read_file(&path, &Limits::default())?;
    Ok(vec![SourceFile { path: settings_path(), content }])
}

fn skip(walk: &mut walkdir::IntoIter, kind: std::fs::FileType) {
    if kind.is_dir() {
        walk.skip_current_dir();
    }
}

/// Reads a regular file; other kinds (a pipe, a device) could block or never end.
fn read_file(path: &Path, limits: &Limits) -> Result<Content, GitError> {
    let failed = |source| GitError::io("read", path, source);
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Ok(Content::Malformed { reason: "it is no regular file".into() });
    }
    if metadata.len() > limits.blob_size.0 {
        return Ok(Content::TooLarge { bytes: metadata.len() });
    }
    Ok(Content::Bytes(Arc::from(std::fs::read(path).map_err(failed)?)))
}
