//! What one host is to run: what its folder on the rendered branch holds.
//!
//! ```text
//!  <folder>/.titan                                  ─┐
//!          /<workspace>/<workload>/<deployment>/**  ─┼─ host_folder ─▶ HostFolder ─▶ Changes
//!          /<other host>/.titan                     ─┘
//!   an assignment's tree ───────────────────────────── host_files ─▶ Manifests
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files;
use crate::git::{Entry, EntryKind, GitError, Reader, blob_id, folder_id};
use crate::model::{DeploymentRef, Limits, Manifests, Name, RepoPath, TreeId};

/// What the folder of a host holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFolder {
    /// The tree of each assignment.
    pub assignments: BTreeMap<DeploymentRef, TreeId>,
    /// Folders of other hosts in it.
    pub nested: BTreeMap<Name, TreeId>,
}

/// Why a folder is not taken for what a host is to run.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("the folder of `{host}` has no `.titan`")]
    NoMarker { host: Name },
    #[error("`.titan` in the folder of `{host}` names another host")]
    OtherHost { host: Name },
    /// It would look like a removal of all that was in it.
    #[error("`{path}` in the folder of `{host}` is no folder")]
    NoFolder { host: Name, path: String },
}

/// Why the files of an assignment are not acted upon. What was applied before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("`{path}` is larger than {limit} bytes")]
    FileSize { path: RepoPath, limit: u64 },
    #[error("the files have more than {limit} bytes")]
    Size { limit: u64 },
    #[error("there are more than {limit} files or folders")]
    Files { limit: usize },
    #[error("`{path}` is neither a file nor a folder")]
    Kind { path: String },
    #[error("the path `{path}` is not allowed")]
    Path { path: String },
    #[error("there are no files")]
    Empty,
    /// What somebody sent is not what it is said to be.
    #[error("the files are not those of the tree {}", .tree.short())]
    Tree { tree: TreeId },
    /// By whoever read them.
    #[error("{message}")]
    Told { reason: &'static str, message: String },
}

/// Why the files of an assignment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Refused {
    /// One word in CamelCase for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FileSize { .. } | Self::Size { .. } | Self::Files { .. } => "TooLarge",
            Self::Kind { .. } | Self::Path { .. } | Self::Empty | Self::Tree { .. } => "Malformed",
            Self::Told { reason, .. } => reason,
        }
    }
}

/// Reads the folder of `host`, whose tree is `tree`. It must name the host in its `.titan`. What has no
/// place of an assignment is none; what stands in the place of one counts, lest it be taken for gone.
///
/// # Errors
/// See [`FolderError`].
pub fn host_folder(reader: &Reader, host: &Name, tree: TreeId) -> Result<HostFolder, FolderError> {
    let entries = reader.entries(tree)?;
    let marker = entries.iter().find(|e| e.name == files::MARKER && e.kind == EntryKind::File);
    let Some(marker) = marker else { return Err(FolderError::NoMarker { host: host.clone() }) };
    if marker.id != blob_id(files::marker(host).as_bytes()) {
        return Err(FolderError::OtherHost { host: host.clone() });
    }
    let mut found = HostFolder::default();
    for (workspace, tree) in folders(&entries, host, "")? {
        let entries = reader.entries(tree)?;
        if entries.iter().any(|entry| entry.name == files::MARKER) {
            found.nested.insert(workspace, tree);
            continue;
        }
        for (workload, tree) in folders(&entries, host, &format!("{workspace}/"))? {
            for entry in reader.entries(tree)? {
                let Ok(name) = Name::new(&entry.name) else { continue };
                let id = DeploymentRef::new(workspace.clone(), workload.clone(), name);
                found.assignments.insert(id, entry.id);
            }
        }
    }
    Ok(found)
}

/// The folders of workspaces or workloads.
fn folders(
    entries: &[Entry],
    host: &Name,
    below: &str,
) -> Result<Vec<(Name, TreeId)>, FolderError> {
    let mut folders = Vec::new();
    for entry in entries {
        let Ok(name) = Name::new(&entry.name) else { continue };
        if entry.kind != EntryKind::Tree {
            let path = format!("{below}{name}");
            return Err(FolderError::NoFolder { host: host.clone(), path });
        }
        folders.push((name, entry.id));
    }
    Ok(folders)
}

/// How what a host is to run differs from what it was to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or different.
    pub changed: BTreeMap<DeploymentRef, TreeId>,
    pub removed: BTreeSet<DeploymentRef>,
}

impl HostFolder {
    /// The id of the tree that the folder of `host` is when it holds this and nothing else.
    ///
    /// # Errors
    /// When a tree is made to have the id of another.
    pub fn tree(&self, host: &Name) -> Result<TreeId, GitError> {
        let marker = blob_id(files::marker(host).as_bytes());
        let nested = self.nested.iter().map(|(name, tree)| (name.to_string(), *tree));
        let assigned = self.assignments.iter().map(|(name, tree)| (name.to_string(), *tree));
        // In the order of paths, so that what shares a folder stands together.
        let folders: BTreeMap<String, TreeId> = nested.chain(assigned).collect();
        let folders = folders.iter().map(|(path, tree)| (path.as_str(), EntryKind::Tree, *tree));
        let leaves = std::iter::once((files::MARKER, EntryKind::File, marker)).chain(folders);
        folder_id(&leaves.collect::<Vec<_>>())
    }

    /// What makes `before` this.
    #[must_use]
    pub fn changes(&self, before: &Self) -> Changes {
        let differs = |deployment: &DeploymentRef, tree: &TreeId| {
            before.assignments.get(deployment) != Some(tree)
        };
        let changed =
            self.assignments.iter().filter(|(deployment, tree)| differs(deployment, tree));
        let gone = before.assignments.keys().filter(|one| !self.assignments.contains_key(*one));
        Changes {
            changed: changed.map(|(deployment, tree)| (deployment.clone(), *tree)).collect(),
            removed: gone.cloned().collect(),
        }
    }
}

/// Reads the files of one assignment, and no more than the limits allow. `withheld` are files that are
/// known to be larger.
///
/// # Errors
/// See [`FilesError`].
pub fn host_files(
    reader: &Reader,
    withheld: &BTreeSet<TreeId>,
    limits: &Limits,
    tree: TreeId,
) -> Result<Manifests, FilesError> {
    if !reader.is_tree(tree)? {
        return Err(Refused::Kind { path: ".".to_owned() }.into());
    }
    let mut gathering = Gathering { reader, withheld, gathered: Gathered::new(limits), folders: 0 };
    gathering.folder(tree, None)?;
    Ok(gathering.gathered.finish()?)
}

/// The files of one assignment, within the limits, wherever they come from.
#[derive(Debug)]
pub struct Gathered<'a> {
    limits: &'a Limits,
    manifests: Manifests,
    bytes: u64,
}

impl<'a> Gathered<'a> {
    #[must_use]
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, manifests: Manifests::default(), bytes: 0 }
    }

    fn most(&self) -> usize {
        self.limits.assignment_files as usize
    }

    /// Whether one more of `size` bytes may come to `path`.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub fn admit(&mut self, path: &RepoPath, size: u64) -> Result<(), Refused> {
        let Limits { blob_size, assignment_size, .. } = self.limits;
        if self.manifests.files.len() >= self.most() {
            return Err(Refused::Files { limit: self.most() });
        }
        if size > blob_size.0 {
            return Err(Refused::FileSize { path: path.clone(), limit: blob_size.0 });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > assignment_size.0 {
            return Err(Refused::Size { limit: assignment_size.0 });
        }
        Ok(())
    }

    /// Takes a file that was admitted.
    ///
    /// # Errors
    /// When there is one at that path.
    pub fn put(&mut self, path: RepoPath, bytes: Arc<[u8]>) -> Result<(), Refused> {
        if self.manifests.files.contains_key(&path) {
            return Err(Refused::Path { path: path.to_string() });
        }
        self.manifests.files.insert(path, bytes);
        Ok(())
    }

    /// # Errors
    /// When there are none.
    pub fn finish(self) -> Result<Manifests, Refused> {
        if self.manifests.files.is_empty() { Err(Refused::Empty) } else { Ok(self.manifests) }
    }
}

/// Reads them from Git.
struct Gathering<'a> {
    reader: &'a Reader,
    withheld: &'a BTreeSet<TreeId>,
    gathered: Gathered<'a>,
    folders: usize,
}

impl Gathering<'_> {
    /// As deep as a path can be.
    fn folder(&mut self, tree: TreeId, folder: Option<&RepoPath>) -> Result<(), FilesError> {
        self.folders += 1;
        for entry in self.reader.entries(tree)? {
            let most = self.gathered.most();
            if self.folders > most {
                return Err(Refused::Files { limit: most }.into());
            }
            let path = match folder {
                Some(folder) => folder.join(&entry.name),
                None => RepoPath::new(&entry.name),
            };
            let shown = || {
                let above = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
                format!("{above}{}", entry.name.escape_default())
            };
            let path = path.map_err(|_| Refused::Path { path: shown() })?;
            match entry.kind {
                EntryKind::Tree => self.folder(entry.id, Some(&path))?,
                EntryKind::File => self.file(path, entry.id)?,
                _ => return Err(Refused::Kind { path: shown() }.into()),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: RepoPath, id: TreeId) -> Result<(), FilesError> {
        let size = if self.withheld.contains(&id) { u64::MAX } else { self.reader.size(id)? };
        self.gathered.admit(&path, size)?;
        let bytes = self.reader.blob(id)?;
        Ok(self.gathered.put(path, bytes)?)
    }
}
