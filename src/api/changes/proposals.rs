//! Changes that wait to be merged, and their pull requests at the forge, where there is one.
//!
//! ```text
//!  Desk: Proposed ─▶ [book], opening ─▶ forge::Opener ─▶ [book]: its address, or why there is none
//! ```
//! The change itself is on its branch by then: whatever the forge does, it stands.

use std::sync::Arc;

use super::book::Book;
use super::{Change, State};
use crate::api::forge::{Forge, Job, News, Opener};
use crate::git::FleetRepository;

const OPENING: &str = "its pull request is being opened";
const FULL: &str =
    "there is no pull request: too many wait to be opened; the same request may be sent again";

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Proposals(Option<Arc<Opener>>);

impl Proposals {
    /// Without a forge there are branches, and no pull requests.
    pub(super) fn start(forge: Option<&Forge>, fleet: &FleetRepository, book: &Arc<Book>) -> Self {
        let Some(forge) = forge else { return Self::default() };
        let book = Arc::clone(book);
        let tell = move |id: &_, news| book.amend(id, |change| change.hear(news));
        let opener = Opener::start(forge.clone(), fleet.clone(), tell);
        let opener = opener.inspect_err(|error| tracing::error!(%error, "no pull requests"));
        Self(opener.ok().map(Arc::new))
    }

    /// A change is on its branch.
    pub(super) fn decide(&self, book: &Book, change: Change) {
        let job = change.job();
        let opening = self.0.is_some() && job.is_some();
        let reason = opening.then(|| OPENING.to_owned());
        book.decide(Change { opening, reason, ..change });
        if let (Some(opener), Some(job)) = (&self.0, job) {
            send(opener, book, job);
        }
    }

    /// It was asked for again: what has failed at the forge is tried again.
    pub(super) fn again(&self, book: &Book, change: &Change) {
        let lacks = change.state == State::Proposed && change.pull_request.is_none();
        if let (Some(opener), Some(job)) = (&self.0, change.job())
            && lacks
            && !change.opening
        {
            book.amend(&job.id, |change| {
                change.opening = true;
                change.reason = Some(OPENING.to_owned());
            });
            send(opener, book, job);
        }
    }

    /// What the forge knows of a change of which nothing is remembered here.
    pub(super) async fn complete(&self, change: &mut Change) {
        let unknown = change.state == State::Proposed
            && change.pull_request.is_none()
            && change.reason.is_none();
        if let (Some(opener), Some(branch)) = (&self.0, change.branch.as_deref())
            && unknown
        {
            let news = opener.look(branch).await;
            change.hear(news);
        }
    }
}

fn send(opener: &Opener, book: &Book, job: Job) {
    let id = job.id.clone();
    if !opener.send(job) {
        book.amend(&id, |change| change.hear(News::Not(FULL.to_owned())));
    }
}

impl Change {
    fn job(&self) -> Option<Job> {
        let (branch, commit) = (self.branch.clone()?, self.commit?);
        Some(Job { id: self.id.clone(), branch, commit })
    }

    fn hear(&mut self, news: News) {
        self.opening = false;
        match news {
            News::Open(url) => (self.pull_request, self.reason) = (Some(url), None),
            News::Not(reason) => self.reason = Some(reason),
        }
    }
}
