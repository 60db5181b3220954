//! Writing the status branch beside the loop: hosts go on reporting meanwhile.
//!
//! ```text
//!  due ──▶ draft ──▶ a blocking task writes it ──▶ ended ──▶ due again, a pause later
//!            ▲                                       │
//!            └──────── another one was faster ───────┘
//! ```

use std::error::Error;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::{State, aside, blocking, wait};
use crate::controller::tell;
use crate::git::GitError;
use crate::model::{Revision, Timestamp, TreeId};
use crate::observe::Draft;

/// What became of a draft.
pub(in crate::controller) struct Flushed {
    draft: Box<Draft>,
    done: Result<Option<(Revision, TreeId)>, GitError>,
}

impl State {
    /// When the next flush may begin: at once after a quiet time. `None`: there is nothing to write, or
    /// one is under way.
    pub(super) fn flush_due(&self) -> Option<Instant> {
        if self.flushing.is_some() || !self.ledger.is_dirty() {
            return None;
        }
        let flush = self.config.flush.unwrap_or(self.settings.limits.status_flush.duration());
        let pause = if self.flush_faults == 0 { flush } else { flush.max(wait(self.flush_faults)) };
        Some(self.flushed.map_or(self.started, |at| at + pause))
    }

    pub(super) fn start_flush(&mut self) {
        let (repository, now) = (self.config.repository.clone(), Timestamp::now());
        let branch = self.settings.branches.status.clone();
        let ledger = &mut self.ledger;
        let mut draft = match aside(|| ledger.draft(&repository.repository, &branch, now)) {
            Ok(draft) => Box::new(draft),
            Err(error) => return self.note_flush(Err(error)),
        };
        self.flushing = Some(spawn_blocking(move || {
            // Hosts that report change files all over the branch; nobody else needs what is read of it here.
            let apart = repository.apart();
            let done = apart.and_then(|apart| draft.write(&apart, &branch, now));
            let lost = matches!(done, Err(GitError::Conflict { .. }));
            let done = if lost { repository.refresh().and(done) } else { done };
            Flushed { draft, done }
        }));
    }

    /// A draft is written, or another controller was faster: then what it wrote is taken over, and the
    /// rest is done again on top.
    pub(in crate::controller) fn flush_ended(&mut self, flushed: Flushed) {
        let done = self.ledger.ended(*flushed.draft, flushed.done);
        if matches!(done, Err(GitError::Conflict { .. })) {
            self.lost_races += 1;
            if self.lost_races < self.ledger.tries() {
                return self.start_flush();
            }
        }
        self.note_flush(done);
    }

    /// Writes what is left, and waits for it.
    pub(super) async fn last_flush(&mut self) {
        if let Some(flush) = self.flushing.take()
            && let Ok(flushed) = flush.await
        {
            let done = self.ledger.ended(*flushed.draft, flushed.done);
            self.note_flush(done);
        }
        let empty = crate::observe::Ledger::empty(&self.settings.limits, Timestamp::now());
        let mut ledger = std::mem::replace(&mut self.ledger, empty);
        let repository = self.config.repository.clone();
        let branch = self.settings.branches.status.clone();
        let (ledger, done) = blocking(move || {
            let done = ledger.flush(&repository, &branch, Timestamp::now());
            (ledger, done)
        })
        .await;
        self.ledger = ledger;
        self.note_flush(done);
    }

    fn note_flush(&mut self, done: Result<Option<Revision>, GitError>) {
        self.lost_races = 0;
        self.flushed = Some(Instant::now());
        tell::flushed(&self.config.vitals, done.is_ok());
        tell::fleet(&self.config.vitals, &self.ledger);
        match done {
            Ok(revision) => {
                self.flush_faults = 0;
                self.wrote |= revision.is_some();
                self.show_status();
            }
            Err(error) => {
                self.flush_faults = self.flush_faults.saturating_add(1);
                tracing::error!(
                    error = &error as &dyn Error,
                    "status is not written; it is tried again"
                );
            }
        }
    }
}
