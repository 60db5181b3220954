//! Reading what this host must run from Git, and nothing of the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::server::ServerError;
use crate::git::{self, GitError, HostSource, HostView, Location, Watch};
use crate::model::{DeploymentRef, Limits, Manifests, Name, Revision, TreeId};
use crate::publish::{FilesError, FolderError, HostFolder, Refused, host_files, host_folder};

/// Where and for whom to look.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) host: Name,
    pub(super) location: Location,
    pub(super) branch: String,
    /// Where the clone of a remote goes.
    pub(super) cache: PathBuf,
    /// Told when a local repository's refs may have moved.
    pub(super) wake: Arc<Notify>,
}

/// Reads there again and again.
#[derive(Debug)]
pub(super) struct Pull {
    place: Place,
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
    #[error("{0}; everything stays as it is")]
    Folder(FolderError),
    #[error("cannot read the fleet: {0}")]
    Server(#[from] ServerError),
    /// Concerns one assignment; the others go on.
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the task that reads the fleet ended early")]
    Interrupted,
}

impl From<FolderError> for PullError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Git(error) => Self::Git(error),
            other => Self::Folder(other),
        }
    }
}

impl From<FilesError> for PullError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Git(error) => Self::Git(error),
            FilesError::Refused(why) => Self::Refused(why),
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

impl Pull {
    pub(super) fn new(place: Place) -> Self {
        let (source, view, last) = (None, None, None);
        Self { place, limits: Limits::default(), source, view, last }
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
        let local = matches!(self.place.location, Location::Local(_));
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
        let view = view.ok_or_else(|| PullError::NoBranch { branch: self.place.branch.clone() })?;
        let revision = view.revision;
        if let Some(last) = self.last.as_ref().filter(|last| last.rendered == revision) {
            return Ok(Arc::clone(last));
        }
        let generation = view.generation.ok_or(PullError::NoGeneration { revision })?;
        if generation < lowest {
            return Err(PullError::OldGeneration { got: generation, seen: lowest });
        }
        let gone = || PullError::Gone { host: self.place.host.clone() };
        let (_, tree) = view.folder.as_ref().ok_or_else(gone)?;
        let found = host_folder(&view.repository.reader(), &self.place.host, *tree)?;
        let HostFolder { assignments, .. } = found;
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
        let Place { host, location, branch, cache, wake } = &self.place;
        let host = HostSource::new(location, branch, host, cache, &self.limits)?;
        let wake = Arc::clone(wake);
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
        Ok(host_files(&view.repository.reader(), &view.withheld, &self.limits, tree)?)
    }
}
