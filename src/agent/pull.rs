//! Reading what this host must run, and nothing of the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::git::{self, Entry, EntryKind, FleetRepository, GitError, Location, Repository, Watch};
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
    source: Option<Source>,
    /// Where the host's folder was found last.
    folder: Option<RepoPath>,
    last: Option<Arc<Seen>>,
}

/// How the fleet's objects are reached.
#[derive(Debug)]
enum Source {
    /// Read in place; wakes the agent while the watch lives.
    Local { fleet: FleetRepository, _watch: Option<Watch> },
    /// Through a clone.
    Remote(FleetRepository),
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
    #[error("cannot read the fleet: {0}")]
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
    #[error("`{path}` is neither a file nor a folder")]
    Malformed { path: String },
    #[error("the task that reads the fleet ended early")]
    Interrupted,
}

const HOSTS: &str = "hosts";

impl Pull {
    pub(super) fn new(
        host: Name,
        location: Location,
        branch: String,
        cache: PathBuf,
        wake: Arc<Notify>,
    ) -> Self {
        Self { host, location, branch, cache, wake, source: None, folder: None, last: None }
    }

    /// Reads the host's folder at the head of the rendered branch. After an error the repository is
    /// opened anew: it may have been replaced, or another one been found in its place.
    pub(super) fn look(&mut self, lowest: u64) -> Result<Arc<Seen>, PullError> {
        let seen = self.try_look(lowest);
        match &seen {
            Err(PullError::Git(error)) => self.reopen(matches!(error, GitError::Object { .. })),
            Err(PullError::NoBranch { .. }) => self.reopen(false),
            _ => {}
        }
        seen
    }

    /// Lets go of the repository. The clone of a remote that is `damaged` is made again.
    fn reopen(&mut self, damaged: bool) {
        let source = self.source.take();
        if let (true, Some(Source::Remote(fleet))) = (damaged, source)
            && let Err(error) = fleet.repair()
        {
            tracing::warn!(%error, "cannot repair the clone");
        }
    }

    fn try_look(&mut self, lowest: u64) -> Result<Arc<Seen>, PullError> {
        let repository = self.refreshed()?;
        let revision = repository
            .branch(&self.branch)?
            .ok_or_else(|| PullError::NoBranch { branch: self.branch.clone() })?;
        if let Some(last) = self.last.as_ref().filter(|last| last.rendered == revision) {
            return Ok(Arc::clone(last));
        }
        let commit = repository.commit(revision)?;
        let generation = commit.trailer("Titan-Generation").and_then(|text| text.parse().ok());
        let generation = generation.ok_or(PullError::NoGeneration { revision })?;
        if generation < lowest {
            return Err(PullError::OldGeneration { got: generation, seen: lowest });
        }
        let (folder, tree) = self.find(&repository, commit.tree)?;
        let assignments = assignments(&repository, tree)?;
        self.folder = Some(folder);
        let seen = Arc::new(Seen { rendered: revision, generation, tree, assignments });
        self.last = Some(Arc::clone(&seen));
        Ok(seen)
    }

    /// The manifests of an assignment that [`Self::look`] has found.
    pub(super) fn manifests(&mut self, tree: TreeId) -> Result<Manifests, PullError> {
        let repository = match &self.source {
            Some(Source::Local { fleet, .. } | Source::Remote(fleet)) => fleet.repository.clone(),
            None => self.refreshed()?,
        };
        let mut manifests = Manifests::default();
        read_files(&repository, tree, "", &mut manifests)?;
        Ok(manifests)
    }

    fn refreshed(&mut self) -> Result<Repository, PullError> {
        match &self.source {
            Some(Source::Local { fleet, .. }) => return Ok(fleet.repository.clone()),
            Some(Source::Remote(fleet)) => {
                fleet.refresh()?;
                return Ok(fleet.repository.clone());
            }
            None => {}
        }
        let fleet = FleetRepository::open(&self.location, None, &self.cache, &Limits::default())?;
        let repository = fleet.repository.clone();
        self.source = Some(match self.location {
            Location::Remote(_) => Source::Remote(fleet),
            Location::Local(_) => {
                let wake = Arc::clone(&self.wake);
                let watch = git::watch(&repository, move || wake.notify_one());
                let watch = watch.inspect_err(|error| {
                    tracing::warn!(%error, "cannot watch the repository: polling only");
                });
                Source::Local { fleet, _watch: watch.ok() }
            }
        });
        Ok(repository)
    }

    /// The host's folder: `hosts/[folder/…]<host>`, known by its `.titan`.
    fn find(&self, repository: &Repository, root: TreeId) -> Result<(RepoPath, TreeId), PullError> {
        let mut strange = None;
        if let Some(folder) = &self.folder
            && let Some(entry) = repository.entry(root, folder)?
            && entry.kind == EntryKind::Tree
            && self.marker(repository, folder, entry.id)?.is_ok()
        {
            return Ok((folder.clone(), entry.id));
        }
        let hosts = path(HOSTS)?;
        let mut level = match repository.entry(root, &hosts)? {
            Some(Entry { kind: EntryKind::Tree, id, .. }) => vec![(hosts, id)],
            _ => vec![],
        };
        while !level.is_empty() {
            let mut below = Vec::new();
            for (folder, tree) in level {
                for entry in repository.entries(tree)? {
                    if entry.kind == EntryKind::Tree {
                        below.push((path(&format!("{folder}/{}", entry.name))?, entry.id));
                    }
                }
            }
            for (folder, tree) in &below {
                if folder.file_name() == self.host.as_str() {
                    match self.marker(repository, folder, *tree)? {
                        Ok(()) => return Ok((folder.clone(), *tree)),
                        Err(error) => strange = strange.or(Some(error)),
                    }
                }
            }
            level = without_hosts(repository, below)?;
        }
        Err(strange.unwrap_or_else(|| PullError::Gone { host: self.host.clone() }))
    }

    /// Whether a folder is this host's. The outer error is Git's, the inner one about the folder.
    fn marker(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        tree: TreeId,
    ) -> Result<Result<(), PullError>, PullError> {
        let Some(content) = repository.file(tree, &path(".titan")?)? else {
            return Ok(Err(PullError::NoMarker { folder: folder.clone() }));
        };
        let expected = format!("host: {}\n", self.host);
        if *content != *expected.as_bytes() {
            return Ok(Err(PullError::OtherHost { folder: folder.clone() }));
        }
        Ok(Ok(()))
    }
}

/// Folders that only group hosts.
fn without_hosts(
    repository: &Repository,
    folders: Vec<(RepoPath, TreeId)>,
) -> Result<Vec<(RepoPath, TreeId)>, PullError> {
    let marker = path(".titan")?;
    let mut groups = Vec::new();
    for (folder, tree) in folders {
        if repository.entry(tree, &marker)?.is_none() {
            groups.push((folder, tree));
        }
    }
    Ok(groups)
}

/// The folders `<ws>/<workload>/<deployment>` below a host's. What has no such place is no assignment.
fn assignments(
    repository: &Repository,
    host: TreeId,
) -> Result<BTreeMap<DeploymentRef, TreeId>, PullError> {
    let mut found = BTreeMap::new();
    for (workspace, tree) in named_trees(repository, host)? {
        for (workload, tree) in named_trees(repository, tree)? {
            for (name, tree) in named_trees(repository, tree)? {
                let (workspace, workload) = (workspace.clone(), workload.clone());
                found.insert(DeploymentRef { workspace, workload, name }, tree);
            }
        }
    }
    Ok(found)
}

fn named_trees(repository: &Repository, tree: TreeId) -> Result<Vec<(Name, TreeId)>, PullError> {
    let trees = repository.entries(tree)?.into_iter().filter(|entry| entry.kind == EntryKind::Tree);
    Ok(trees.filter_map(|entry| Some((Name::new(&entry.name).ok()?, entry.id))).collect())
}

fn read_files(
    repository: &Repository,
    tree: TreeId,
    below: &str,
    manifests: &mut Manifests,
) -> Result<(), PullError> {
    for entry in repository.entries(tree)? {
        let path = path(&format!("{below}{}", entry.name))?;
        match entry.kind {
            EntryKind::Tree => read_files(repository, entry.id, &format!("{path}/"), manifests)?,
            EntryKind::File => {
                manifests.files.insert(path, repository.blob(entry.id)?);
            }
            _ => return Err(PullError::Malformed { path: path.to_string() }),
        }
    }
    Ok(())
}

fn path(text: &str) -> Result<RepoPath, PullError> {
    RepoPath::new(text)
        .map_err(|_| PullError::Malformed { path: text.escape_default().to_string() })
}
