//! The event loop: one owner of the state, one event at a time.
//!
//! ```text
//!  refs moved, poll ──▶ ┌──────┐ ──pass──▶ rendered branch      (a blocking task beside the loop)
//!  report ────────────▶ │ loop │ ──flush─▶ status branch        (likewise)
//!  deadline, flush ───▶ └──────┘ ──────▶ Snapshot and Vitals, for the API
//! ```
//! A watch of the refs is a hint; what a pass does is decided by where the branches are.

mod backlog;
mod goal;
mod known;
pub mod reconcile;
mod resume;
mod sources;
mod state;
mod tell;
pub mod timings;
mod verify;
pub mod workers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::git::{self, FleetRepository};
use crate::model::{RequestStatus, Revision};
use crate::observe::{Snapshot, Submission, Vitals};
use state::{Ended, State};
use workers::Workers;

pub use goal::record;
pub use resume::{Resumed, resume};
pub use verify::{Finding, Kind, Verified, Verifier};

/// What a controller works on, and how.
#[derive(Debug, Clone)]
pub struct Config {
    pub repository: FleetRepository,
    /// Who renders.
    pub workers: Arc<Workers>,
    /// Longest time between two looks at the config branch; `None`: as the fleet's limits say.
    pub poll: Option<Duration>,
    /// Shortest time between two status commits; `None`: as the fleet's limits say.
    pub flush: Option<Duration>,
    /// Learns how it goes.
    pub vitals: Arc<Vitals>,
}

/// What wakes the loop.
enum Event {
    /// A ref may have moved.
    Sign,
    /// It is time to look.
    Look,
    Report(Submission),
    /// A request was refused.
    Refused(RequestStatus),
    /// A pass, a part of a check, or a flush ended.
    Ended(Ended),
    /// Something is due: a deadline, or a flush.
    Due,
    Shutdown,
}

/// How long after the first sign of a moved ref a pass starts: the signs come in bunches.
const SETTLE: Duration = Duration::from_millis(10);

/// So much later than planned, and this process was stopped or the machine asleep.
const LATE: Duration = Duration::from_secs(2);

/// What comes to the loop from outside.
#[derive(Debug)]
pub struct Inbox {
    pub submissions: mpsc::Receiver<Submission>,
    /// Requests that were refused, to be written down.
    pub refused: mpsc::Receiver<RequestStatus>,
    /// Signs that a branch may have moved.
    pub wakes: mpsc::Receiver<()>,
}

/// What the loop shows to others.
#[derive(Debug)]
pub struct Outbox {
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// The head of the status branch. Apart from the rest, as it moves far more often.
    pub status: watch::Sender<Option<Revision>>,
}

/// Runs until `shutdown`; then what is known is written once more. Faults are logged and tried again.
pub async fn run(
    config: Config,
    mut inbox: Inbox,
    outbox: Outbox,
    shutdown: impl Future<Output = ()>,
) {
    let (moved, mut signs) = mpsc::channel(1);
    let _watch = git::watch(&config.repository.repository, move || {
        let _ = moved.try_send(());
    })
    .inspect_err(|error| tracing::warn!(%error, "refs are not watched; polling alone decides"));
    tokio::pin!(shutdown);
    let mut state = tokio::select! {
        () = &mut shutdown => return,
        state = State::load(config, outbox) => state,
    };
    loop {
        let (look, due) = (state.next_look(), state.next_due());
        let latest = look.min(due).max(Instant::now()) + LATE;
        let event = tokio::select! {
            () = &mut shutdown => Event::Shutdown,
            ended = state.next_ended() => Event::Ended(ended),
            Some(()) = signs.recv() => Event::Sign,
            () = sleep_until(look) => Event::Look,
            Some(()) = inbox.wakes.recv() => Event::Sign,
            Some(submission) = inbox.submissions.recv() => Event::Report(submission),
            Some(request) = inbox.refused.recv() => Event::Refused(request),
            () = sleep_until(due) => Event::Due,
        };
        if Instant::now() > latest {
            state.overslept();
        }
        match event {
            Event::Sign => state.look_soon(Instant::now() + SETTLE),
            Event::Look => state.look(),
            Event::Report(submission) => state.report(submission),
            Event::Refused(request) => state.refused(request),
            Event::Ended(Ended::Job(finished)) => state.ended(finished),
            Event::Ended(Ended::Flush(flushed)) => state.flush_ended(flushed),
            Event::Ended(Ended::Upkeep(works)) => state.upkeep_ended(works),
            Event::Due => {}
            Event::Shutdown => break,
        }
        state.settle().await;
    }
    state.finish().await;
}
