//! What is known of the rendered branch, in memory: which tree each host's folder is, now and at the
//! revisions before, and which revisions those were.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::super::Context;
use super::super::error::Refused;
use super::super::turns::{Turn, Turns};
use super::answer::{self, Wanted};
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{HostDeployments, Limits, Name, RepoPath, Revision, TreeId};
use crate::observe::Snapshot;
use crate::publish::Places;

/// Revisions back to which differences are told; who knows an older one gets everything.
const LINEAGE: usize = 1000;
/// Revisions of which the trees of all hosts stay in memory: some 50 bytes a host each.
const RECENT: usize = 8;
/// Answers that are read from Git at one time.
const READS: usize = 4;
/// Answers on their way to one host: each is in memory until the host has taken it. All hosts together have
/// no bound but this: slow ones are not to keep others waiting.
const OF_HOST: u32 = 4;
/// It has them all.
const SLOW: Refused = Refused::TooOften {
    what: "answers at a time that the host has not taken yet",
    limit: OF_HOST,
    retry_after: 1,
};

/// Where the folder of each host lies.
type Folders = BTreeMap<Name, RepoPath>;

/// Shared by all requests.
#[derive(Debug)]
pub(in super::super) struct Known {
    view: Mutex<Option<Arc<View>>>,
    reads: Arc<Semaphore>,
    /// Answers that their hosts have not taken yet.
    answers: Turns,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            view: Mutex::default(),
            reads: Arc::new(Semaphore::new(READS)),
            answers: Turns::new(usize::MAX, OF_HOST as usize),
        }
    }
}

/// The rendered branch at one revision.
#[derive(Debug)]
pub(super) struct View {
    pub(super) places: Arc<Places>,
    folders: Arc<Folders>,
    /// The revisions before, newest first, and this one at the start.
    lineage: Vec<Revision>,
    /// Some of the revisions before, newest first.
    recent: Vec<Arc<Places>>,
}

impl Known {
    /// The newest. It is read when the branch has moved, by one of all that ask.
    pub(super) async fn view(&self, context: &Context) -> Result<Arc<View>, Refused> {
        let mut known = self.view.lock().await;
        // Only now, lest somebody who waited takes an old one for the newest.
        let snapshot = context.snapshot();
        let revision = snapshot.rendered.ok_or(Refused::NotYet("nothing is rendered yet"))?;
        if let Some(view) = known.as_ref().filter(|view| view.is_of(&snapshot, revision)) {
            return Ok(Arc::clone(view));
        }
        let last = known.clone();
        let repository = context.needs.repository.repository.clone();
        let folders = Arc::clone(&snapshot.folders);
        let view = aside(move || View::read(&repository, revision, folders, last)).await?;
        let view = Arc::new(view.map_err(unreadable)?);
        *known = Some(Arc::clone(&view));
        Ok(view)
    }

    /// The tree of a host's folder at a revision before; `None` where that is not known (any more).
    pub(super) async fn tree_at(
        &self,
        context: &Context,
        view: &Arc<View>,
        host: &Name,
        since: Revision,
    ) -> Result<Option<TreeId>, Refused> {
        let mut recent = std::iter::once(&view.places).chain(&view.recent);
        if let Some(places) = recent.find(|places| places.revision == since) {
            return Ok(places.of(host));
        }
        if !view.lineage.contains(&since) {
            return Ok(None);
        }
        let Some(folder) = view.folders.get(host).cloned() else { return Ok(None) };
        let repository = context.needs.repository.repository.clone();
        let permit = self.permit().await;
        let read = move || {
            let _permit = permit;
            tree_at(&repository, since, &folder)
        };
        let found = aside(read).await?;
        // An old commit may have been thrown away: then everything is told.
        Ok(found.unwrap_or_default())
    }

    /// Reads what is asked for from Git; the turn is the answer's until its host has taken it.
    pub(super) async fn answer(
        &self,
        context: &Context,
        view: Arc<View>,
        wanted: Wanted,
    ) -> Result<(HostDeployments, Turn), Refused> {
        const HEALING: Refused = Refused::NotYet("the rendered branch is being put right");
        let generation = view.places.generation.ok_or(HEALING)?;
        let head = (view.places.revision, generation);
        let repository = context.needs.repository.repository.clone();
        let limits: Limits = context.snapshot().limits.clone();
        let turn = self.answers.begin(wanted.host.as_str()).ok_or(SLOW)?;
        let permit = self.permit().await;
        // Who hangs up keeps both as long as it is read.
        let read = move || {
            let _permit = permit;
            Ok((answer::read(&repository, &limits, head, &wanted)?, turn))
        };
        aside(read).await?
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let reads = Arc::clone(&self.reads);
        reads.acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl View {
    fn is_of(&self, snapshot: &Snapshot, revision: Revision) -> bool {
        self.places.revision == revision && Arc::ptr_eq(&self.folders, &snapshot.folders)
    }

    fn read(
        repository: &Repository,
        revision: Revision,
        folders: Arc<Folders>,
        last: Option<Arc<Self>>,
    ) -> Result<Self, GitError> {
        let places = Arc::new(Places::read(repository, revision, &folders)?);
        let base = last.as_ref().map(|last| last.places.revision);
        // History may end early, in a clone without all of it.
        let found = repository.first_parents(revision, base, LINEAGE);
        let mut lineage = found.unwrap_or_else(|_| vec![revision]);
        let mut recent = Vec::new();
        if let Some(last) = last
            && follows(repository, &lineage, &last)?
        {
            lineage.extend(&last.lineage);
            let before = std::iter::once(&last.places).chain(&last.recent);
            let before = before.filter(|places| places.revision != revision);
            recent.extend(before.take(RECENT).cloned());
        }
        lineage.truncate(LINEAGE);
        Ok(Self { places, folders, lineage, recent })
    }
}

/// Whether what was `found` on the way down ends at `last`, rather than at the root or a limit.
fn follows(repository: &Repository, found: &[Revision], last: &View) -> Result<bool, GitError> {
    let Some(oldest) = found.last() else { return Ok(true) };
    let parent = repository.commit(*oldest)?.parents.first().copied();
    Ok(parent == Some(last.places.revision))
}

fn tree_at(
    repository: &Repository,
    revision: Revision,
    folder: &RepoPath,
) -> Result<Option<TreeId>, GitError> {
    let entry = repository.entry(repository.commit(revision)?.tree, folder)?;
    Ok(entry.filter(|entry| entry.kind == EntryKind::Tree).map(|entry| entry.id))
}

/// Git is read on a thread where waiting does no harm.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading for a host ended early");
        Refused::Busy
    })
}

/// Somebody merges packs just now, or an object is damaged: it is for the controller's loop to heal.
pub(super) fn unreadable(error: GitError) -> Refused {
    tracing::warn!(error = &error as &dyn std::error::Error, "cannot read what hosts are to run");
    Refused::Busy
}
