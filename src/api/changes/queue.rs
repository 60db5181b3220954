//! Requests on their way to the desk: one thread takes what has come together, and has it committed.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::book::Book;
use super::proposals::Proposals;
use super::{Change, State};
use crate::api::forge::Forge;
use crate::change::{Desk, Judge, Outcome, Request, Requests};
use crate::git::FleetRepository;
use crate::model::RequestStatus;

/// Requests that wait; `limits.queue`'s default, as the fleet is not read yet.
const WAITING: usize = 10_000;
/// Most requests that are committed together: the first of them waits for the last.
const BATCH: usize = 256;

/// The way to the desk, and what is known of requests.
#[derive(Debug)]
pub(in crate::api) struct Queue {
    sender: mpsc::Sender<Request>,
    pub(super) book: Arc<Book>,
    /// Those that are in history.
    pub(super) requests: Arc<Mutex<Requests>>,
    /// Those that wait to be merged.
    pub(super) proposals: Proposals,
}

impl Queue {
    /// Starts the thread, which ends with the queue. The controller is told of commits, and of what was
    /// refused; pull requests are opened at `forge`.
    pub(in crate::api) fn start(
        fleet: FleetRepository,
        judge: Judge,
        (wake, refused): (mpsc::Sender<()>, mpsc::Sender<RequestStatus>),
        forge: Option<&Forge>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (book, requests) = (Arc::<Book>::default(), Arc::<Mutex<Requests>>::default());
        let own = Arc::clone(&book);
        let proposals = Proposals::start(forge, &fleet, &book);
        let tell = Tell { book: own, proposals: proposals.clone(), wake, refused };
        let work = move || serve(&mut Desk::new(fleet, judge), receiver, &tell);
        std::thread::Builder::new()
            .name("titan-changes".into())
            .spawn(work)
            .expect("because the system has a thread left at the start");
        Self { sender, book, requests, proposals }
    }

    /// `false`: there is no room.
    pub(super) fn send(&self, request: Request) -> bool {
        self.sender.try_send(request).is_ok()
    }
}

/// Who learns what became of requests.
struct Tell {
    book: Arc<Book>,
    proposals: Proposals,
    wake: mpsc::Sender<()>,
    refused: mpsc::Sender<RequestStatus>,
}

impl Tell {
    fn decided(&self, request: &Request, outcome: Outcome) {
        let change = change(request, outcome);
        if let Some(status) = change.refused(request)
            && self.refused.try_send(status).is_err()
        {
            tracing::warn!(id = %request.id, "a refusal is not written down: too many wait");
        }
        match change.state {
            State::Proposed => self.proposals.decide(&self.book, change),
            _ => self.book.decide(change),
        }
    }
}

fn serve(desk: &mut Desk, mut receiver: mpsc::Receiver<Request>, tell: &Tell) {
    // Not those of the queue: who asks how it goes is not to wait for a remote.
    let mut known = Requests::default();
    let mut batch = Vec::new();
    while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
        match desk.commit(&batch, &mut known) {
            Ok(outcomes) => {
                let decided = batch.iter().zip(outcomes);
                decided.for_each(|(request, outcome)| tell.decided(request, outcome));
                // It looks at the branches sooner or later anyway.
                let _ = tell.wake.try_send(());
            }
            Err(error) => {
                tracing::error!(%error, requests = batch.len(), "changes are not committed");
                for request in &batch {
                    let reason = format!("{error}; the same request may be sent again");
                    tell.book.decide(Change::failed(&request.id, reason));
                }
            }
        }
        batch.clear();
    }
}

fn change(request: &Request, outcome: Outcome) -> Change {
    let id = &request.id;
    let at = |state, commit| Change { commit: Some(commit), ..Change::new(id, state) };
    match outcome {
        Outcome::Committed(commit) => at(State::Committed, commit),
        Outcome::Proposed(commit) => {
            Change { branch: request.branch.clone(), ..at(State::Proposed, commit) }
        }
        Outcome::Unchanged(commit) => at(State::Unchanged, commit),
        Outcome::Taken(commit) => {
            let reason = format!("another request with this id is commit {commit}");
            let refusal = Some(warp::http::StatusCode::CONFLICT);
            Change { reason: Some(reason), refusal, ..at(State::Rejected, commit) }
        }
        Outcome::Refused(error) => Change::rejected(id, &error),
        Outcome::Failed(error) => {
            tracing::error!(%error, %id, "a change gets no branch");
            Change::failed(id, format!("{error}; the same request may be sent again"))
        }
    }
}
