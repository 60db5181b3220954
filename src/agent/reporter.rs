//! Keeps one controller informed: news at once, heartbeats in between, patience when it is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::client::{Outcome, ReportClient};
use super::outbox::{Draft, Outbox};
use super::state::State;
use super::view::View;
use crate::deliver::Backoff;
use crate::model::{HostReport, Name};

/// What a reporter needs besides the news.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) host: Name,
    /// The controller's address, for the log.
    pub(super) name: String,
    pub(super) client: ReportClient,
    pub(super) state: State,
    pub(super) heartbeat: Duration,
}

/// What to do after a report.
enum Next {
    /// Look whether there is more to tell.
    Go,
    Wait(Duration),
}

/// Waits after one that failed, and after one that was denied.
struct Patience {
    failed: Backoff,
    denied: Backoff,
    /// What was logged last.
    problem: Option<String>,
}

impl Reporter {
    /// Reports until the sender of `news` is gone and all is told.
    pub(super) async fn run(self, mut news: watch::Receiver<Option<Arc<View>>>) {
        let mut outbox = Outbox::default();
        let mut patience = Patience {
            failed: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            denied: Backoff::new(Duration::from_secs(10), Duration::from_secs(300)),
            problem: None,
        };
        let mut heartbeat = Instant::now();
        let mut open = true;
        loop {
            let view = news.borrow_and_update().clone();
            let due =
                view.filter(|view| outbox.is_due(view) || (open && Instant::now() >= heartbeat));
            if let Some(view) = due {
                match self.tell(&mut outbox, &view, &mut patience).await {
                    Next::Go => heartbeat = Instant::now() + self.heartbeat,
                    Next::Wait(time) => tokio::time::sleep(time).await,
                }
            } else if !open {
                return;
            } else {
                let told = news.borrow().is_some();
                tokio::select! {
                    changed = news.changed() => open = changed.is_ok(),
                    () = sleep_until(heartbeat), if told => {}
                }
            }
        }
    }

    async fn tell(&self, outbox: &mut Outbox, view: &View, patience: &mut Patience) -> Next {
        let draft = outbox.draft(view);
        let random = super::random();
        let report = match self.report(view, &draft) {
            Ok(report) => report,
            Err(problem) => {
                patience.note(&self.name, &problem);
                return Next::Wait(patience.failed.fail(random));
            }
        };
        match self.client.send(&report).await {
            Outcome::Accepted(answer) => {
                if patience.problem.take().is_some() {
                    tracing::info!(controller = self.name, "the controller takes reports again");
                }
                patience.failed.reset();
                patience.denied.reset();
                outbox.accept(draft, answer.resync);
                Next::Go
            }
            Outcome::OldSequence { seen } => {
                let again = seen >= report.sequence;
                self.state.jump_above(seen);
                // A first time is no failure; a controller that keeps saying so is.
                if again && patience.failed.failures() == 0 {
                    patience.failed.fail(random);
                    return Next::Wait(Duration::ZERO);
                }
                Next::Wait(patience.failed.fail(random))
            }
            Outcome::Later { problem, wait } => {
                patience.note(&self.name, &problem);
                let least = wait.unwrap_or_default();
                Next::Wait(patience.failed.fail(random).max(least))
            }
            Outcome::Denied { problem } => {
                patience.note(&self.name, &problem);
                Next::Wait(patience.denied.fail(random))
            }
        }
    }

    fn report(&self, view: &View, draft: &Draft) -> Result<HostReport, String> {
        Ok(HostReport {
            host: self.host.clone(),
            sequence: super::aside(|| self.state.next_sequence())
                .map_err(|error| error.to_string())?,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            interval: u32::try_from(self.heartbeat.as_secs().max(1)).unwrap_or(u32::MAX),
            rendered: view.rendered,
            full: draft.full,
            assignments: draft.assignments.clone(),
            message: draft.message.clone(),
        })
    }
}

impl Patience {
    /// Logs a problem once, until it changes.
    fn note(&mut self, controller: &str, problem: &str) {
        if self.problem.as_deref() != Some(problem) {
            tracing::warn!(controller, problem, "cannot report");
            self.problem = Some(problem.to_owned());
        }
    }
}
