//! Reading what this host must run, and nothing of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::git::{self, EntryKind, GitError, HostSource, HostView, Location, Repository, Watch};
use crate::model::{DeploymentRef, Limits, Manifests, Name, RepoPath, Revision, TreeId};

/// Where and for whom to look.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) host: Name,
    pub(super) location: Location,
    pub(super) branch: String,
    /// Where the clone of a remote goes.
    pub(super) cache: PathBuf,
    /// Told when a local repository's refs may have moved.
    pub(super) wake: Arc<Notify>,
    /// What an assignment may hold at most: the defaults, as the settings of the fleet are no part of
    /// what is rendered.
    limits: Limits,
    source: Option<Source>,
    view: Option<HostView>,
    last: Option<Arc<Seen>>,
}

/// How the host's folder is reached: in place, or through a clone that holds little else.
#[derive(Debug)]
struct Source {
    host: HostSource,
    /// Wakes the agent while it lives.
    _watch: Option<Watch>,
}

/// The host's folder at one rendered revision.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rendered: Revision,
    pub(super) generation: u64,
    pub(super) tree: TreeId,
    pub(super) assignments: BTreeMap<DeploymentRef, TreeId>,
}

/// Why there is no desired state to act upon. Nothing is applied or pruned then.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error("cannot read the fleet: {}", causes(.0))]
    Git(#[from] GitError),
    #[error("cannot read the fleet: it has no branch `{branch}`")]
    NoBranch { branch: String },
    #[error("the rendered commit {} does not state its `Titan-Generation`", .revision.short())]
    NoGeneration { revision: Revision },
    #[error(
        "generation {got} is older than {seen}, which was seen before; everything stays as it is"
    )]
    OldGeneration { got: u64, seen: u64 },
    #[error("the fleet has no host `{host}` any more; everything stays as it is")]
    Gone { host: Name },
    #[error("`{folder}` has no `.titan`; everything stays as it is")]
    NoMarker { folder: RepoPath },
    #[error("`{folder}/.titan` names another host; everything stays as it is")]
    OtherHost { folder: RepoPath },
    #[error("`{path}` is no folder; everything stays as it is")]
    NoFolder { path: String },
    /// Concerns one assignment; the others go on.
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the task that reads the fleet ended early")]
    Interrupted,
}

/// Why the manifests of an assignment are not acted upon. What was applied before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
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
}

impl Refused {
    /// One word in CamelCase for reports.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::FileSize { .. } | Self::Size { .. } | Self::Files { .. } => "TooLarge",
            Self::Kind { .. } | Self::Path { .. } | Self::Empty => "Malformed",
        }
    }
}

/// An error of Git with what it rests upon.
fn causes(error: &GitError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const MARKER: &str = ".titan";

impl Pull {
    pub(super) fn new(
        host: Name,
        location: Location,
        branch: String,
        cache: PathBuf,
        wake: Arc<Notify>,
    ) -> Self {
        let limits = Limits::default();
        let (source, view, last) = (None, None, None);
        Self { host, location, branch, cache, wake, limits, source, view, last }
    }

    /// Reads the host's folder at the head of the rendered branch. After an error a local repository is
    /// opened anew: it may have been replaced, or another one been found in its place.
    pub(super) fn look(&mut self, lowest: u64) -> Result<Arc<Seen>, PullError> {
        let mut seen = self.try_look(lowest);
        if let Err(PullError::Git(error)) = &seen
            && self.discard_after(error)
        {
            seen = self.try_look(lowest);
        }
        let local = matches!(self.location, Location::Local(_));
        if local && matches!(seen, Err(PullError::Git(_) | PullError::NoBranch { .. })) {
            self.source = None;
        }
        seen
    }

    /// Throws a damaged clone away. Whether there is a point in trying again.
    fn discard_after(&mut self, error: &GitError) -> bool {
        let damage = matches!(error, GitError::Object { .. } | GitError::Gix { .. });
        let Some(source) = self.source.as_mut().filter(|source| source.host.local().is_none())
        else {
            return false;
        };
        if !damage {
            return false;
        }
        tracing::warn!(%error, "the clone is damaged and made again");
        (self.view, self.last) = (None, None);
        let discarded = source.host.discard();
        discarded.inspect_err(|error| tracing::warn!(%error, "cannot remove the clone")).is_ok()
    }

    fn try_look(&mut self, lowest: u64) -> Result<Arc<Seen>, PullError> {
        let view = self.source()?.host.read()?;
        let view = view.ok_or_else(|| PullError::NoBranch { branch: self.branch.clone() })?;
        let revision = view.revision;
        if let Some(last) = self.last.as_ref().filter(|last| last.rendered == revision) {
            return Ok(Arc::clone(last));
        }
        let generation = view.generation.ok_or(PullError::NoGeneration { revision })?;
        if generation < lowest {
            return Err(PullError::OldGeneration { got: generation, seen: lowest });
        }
        let gone = || PullError::Gone { host: self.host.clone() };
        let (folder, tree) = view.folder.as_ref().ok_or_else(gone)?;
        self.check_marker(&view.repository, folder, *tree)?;
        let assignments = assignments(&view.repository, *tree)?;
        let seen = Arc::new(Seen { rendered: revision, generation, tree: *tree, assignments });
        self.view = Some(view);
        self.last = Some(Arc::clone(&seen));
        Ok(seen)
    }

    fn source(&mut self) -> Result<&mut Source, GitError> {
        let source = match self.source.take() {
            Some(source) => source,
            None => self.open()?,
        };
        Ok(self.source.insert(source))
    }

    fn open(&self) -> Result<Source, GitError> {
        let Self { location, branch, host, cache, limits, .. } = self;
        let host = HostSource::new(location, branch, host, cache, limits)?;
        let wake = Arc::clone(&self.wake);
        let watch = host.local().and_then(|repository| {
            let watch = git::watch(repository, move || wake.notify_one());
            let told = |error: &GitError| {
                tracing::warn!(%error, "cannot watch the repository: polling only");
            };
            watch.inspect_err(told).ok()
        });
        Ok(Source { host, _watch: watch })
    }

    /// The manifests of an assignment that [`Self::look`] has found.
    pub(super) fn manifests(&mut self, tree: TreeId) -> Result<Manifests, PullError> {
        match self.read_manifests(tree) {
            Err(PullError::Git(error)) if self.discard_after(&error) => self.read_manifests(tree),
            result => result,
        }
    }

    fn read_manifests(&mut self, tree: TreeId) -> Result<Manifests, PullError> {
        if self.view.is_none() {
            self.try_look(0)?;
        }
        let view = self.view.as_ref().expect("because looking sets it");
        Reader::new(&view.repository, &view.withheld, &self.limits).read(tree)
    }

    /// The `.titan` of the folder must name this host.
    fn check_marker(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        tree: TreeId,
    ) -> Result<(), PullError> {
        let marker = RepoPath::new(MARKER).expect("because it is a plain name");
        let Some(content) = repository.file(tree, &marker)? else {
            return Err(PullError::NoMarker { folder: folder.clone() });
        };
        let expected = format!("host: {}\n", self.host);
        if *content == *expected.as_bytes() {
            Ok(())
        } else {
            Err(PullError::OtherHost { folder: folder.clone() })
        }
    }
}

/// The folders `<ws>/<workload>/<deployment>` below a host's. What has no such place is no assignment.
/// What stands in the place of one counts, lest the assignment be taken for gone.
fn assignments(
    repository: &Repository,
    host: TreeId,
) -> Result<BTreeMap<DeploymentRef, TreeId>, PullError> {
    let mut found = BTreeMap::new();
    for (workspace, tree) in folders(repository, host, "")? {
        for (workload, tree) in folders(repository, tree, &format!("{workspace}/"))? {
            for entry in repository.entries(tree)? {
                let Ok(name) = Name::new(&entry.name) else { continue };
                let (workspace, workload) = (workspace.clone(), workload.clone());
                found.insert(DeploymentRef::new(workspace, workload, name), entry.id);
            }
        }
    }
    Ok(found)
}

/// The folders of workspaces or workloads. One that is something else would look like a removal of all
/// that was in it.
fn folders(
    repository: &Repository,
    tree: TreeId,
    below: &str,
) -> Result<Vec<(Name, TreeId)>, PullError> {
    let mut folders = Vec::new();
    for entry in repository.entries(tree)? {
        let Ok(name) = Name::new(&entry.name) else { continue };
        if entry.kind != EntryKind::Tree {
            return Err(PullError::NoFolder { path: format!("{below}{name}") });
        }
        folders.push((name, entry.id));
    }
    Ok(folders)
}

/// Reads the files of one assignment, and no more than the limits allow.
struct Reader<'a> {
    repository: &'a Repository,
    withheld: &'a BTreeSet<TreeId>,
    limits: &'a Limits,
    manifests: Manifests,
    bytes: u64,
    folders: usize,
}

impl<'a> Reader<'a> {
    fn new(repository: &'a Repository, withheld: &'a BTreeSet<TreeId>, limits: &'a Limits) -> Self {
        Self { repository, withheld, limits, manifests: Manifests::default(), bytes: 0, folders: 0 }
    }

    fn read(mut self, tree: TreeId) -> Result<Manifests, PullError> {
        if !self.repository.is_tree(tree)? {
            return Err(Refused::Kind { path: ".".to_owned() }.into());
        }
        self.folder(tree, None)?;
        if self.manifests.files.is_empty() {
            return Err(Refused::Empty.into());
        }
        Ok(self.manifests)
    }

    /// As deep as a path can be.
    fn folder(&mut self, tree: TreeId, folder: Option<&RepoPath>) -> Result<(), PullError> {
        let most = self.limits.assignment_files as usize;
        self.folders += 1;
        for entry in self.repository.entries(tree)? {
            if self.manifests.files.len() >= most || self.folders > most {
                return Err(Refused::Files { limit: most }.into());
            }
            let path = match folder {
                Some(folder) => folder.join(&entry.name),
                None => RepoPath::new(&entry.name),
            };
            let shown = || {
                format!(
                    "{}{}",
                    folder.map(|f| format!("{f}/")).unwrap_or_default(),
                    entry.name.escape_default()
                )
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

    fn file(&mut self, path: RepoPath, id: TreeId) -> Result<(), PullError> {
        let Limits { blob_size, assignment_size, .. } = self.limits;
        let size = if self.withheld.contains(&id) { u64::MAX } else { self.repository.size(id)? };
        if size > blob_size.0 {
            return Err(Refused::FileSize { path, limit: blob_size.0 }.into());
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > assignment_size.0 {
            return Err(Refused::Size { limit: assignment_size.0 }.into());
        }
        self.manifests.files.insert(path, self.repository.blob(id)?);
        Ok(())
    }
}
