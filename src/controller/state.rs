//! What the loop owns, and what each event does to it.

mod flush;
mod passed;
mod reports;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, JoinHandle, block_in_place, spawn_blocking};
use tokio::time::Instant;

use super::reconcile::{Pass, Reconciler};
use super::timings::millis;
use super::{Config, Outbox, tell};
use crate::git::{FleetRepository, GitError};
use crate::model::{FleetSpec, Revision, Timestamp};
use crate::observe::{Changed, Ledger, Submission, Vitals};

/// What came to its end beside the loop.
pub(super) enum Ended {
    Job(Finished),
    Flush(flush::Flushed),
    /// `false` after a fault.
    Upkeep(bool),
}

/// What a job came to, and the reconciler that did it.
pub(super) struct Finished {
    reconciler: Box<Reconciler>,
    outcome: Outcome,
}

enum Outcome {
    /// Nothing: the branches are where they were after the last pass.
    Idle,
    Passed(Result<Box<Pass>, GitError>),
    /// A part of what was rendered before was checked; `true` when something differs.
    Checked(Result<bool, GitError>),
}

/// Heads of the config and the rendered branch.
type Heads = (Option<Revision>, Option<Revision>);

pub(super) struct State {
    config: Config,
    ledger: Ledger,
    outbox: Outbox,
    settings: FleetSpec,
    /// Where the branches were after the last pass.
    seen: Option<Heads>,
    /// The commit of the config branch up to which all is rendered.
    done: Option<Revision>,
    /// Away while a job is under way.
    reconciler: Option<Box<Reconciler>>,
    job: Option<JoinHandle<Finished>>,
    /// The last pass, as long as what it found is not all: see [`Pass::unchecked`].
    unchecked: Option<Box<Pass>>,
    /// Reports that are ahead of the pass that is under way.
    waiting: Vec<Submission>,
    /// A sign came while a pass was under way.
    look_again: bool,
    next_look: Instant,
    started: Instant,
    /// The status branch is being written, beside the loop.
    flushing: Option<JoinHandle<flush::Flushed>>,
    flushed: Option<Instant>,
    /// Faults in a row, of passes and of flushes.
    faults: u32,
    flush_faults: u32,
    /// How often the flush that is under way lost a race.
    lost_races: u32,
    /// Merging packs, beside everything else; `false` after a fault.
    upkeep: Option<JoinHandle<bool>>,
    /// Objects were written since the last one, by this process or by who moved the config branch.
    wrote: bool,
    upkeep_after: Instant,
}

/// How long the repository's upkeep rests after a fault.
const UPKEEP_REST: Duration = Duration::from_secs(300);

/// Most reports that wait for a pass.
const WAITING: usize = 10_000;

/// Longest wait between two tries after faults.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl State {
    /// Makes the first pass, however often it takes: a fleet may get its first commit later.
    pub(super) async fn load(config: Config, outbox: Outbox) -> Self {
        let mut faults = 0;
        let started = Instant::now();
        let mut reconciler =
            Box::new(Reconciler::new(config.repository.clone(), Arc::clone(&config.workers)));
        let (pass, ledger) = loop {
            let repository = config.repository.clone();
            let (result, back) = blocking(move || {
                let first = first_pass(&mut reconciler, &repository);
                (first, reconciler)
            })
            .await;
            reconciler = back;
            match result {
                Ok(first) => break first,
                Err(error) => {
                    faults += 1;
                    tell::failed(&config.vitals, &error);
                    tracing::error!(
                        error = &error as &dyn Error,
                        "the first pass failed; it is tried again"
                    );
                    tokio::time::sleep(wait(faults)).await;
                }
            }
        };
        let mut state = Self {
            settings: pass.settings.clone(),
            config,
            ledger,
            outbox,
            seen: None,
            done: None,
            reconciler: None,
            job: None,
            unchecked: None,
            waiting: Vec::new(),
            look_again: false,
            next_look: Instant::now(),
            started: Instant::now(),
            flushing: None,
            flushed: None,
            faults: 0,
            flush_faults: 0,
            lost_races: 0,
            upkeep: None,
            wrote: true,
            upkeep_after: Instant::now(),
        };
        state.next_look = Instant::now() + state.poll();
        tracing::info!(took_ms = millis(started.elapsed()), "ready");
        state.ended(Finished { reconciler, outcome: Outcome::Passed(Ok(Box::new(pass))) });
        state
    }

    /// Starts a pass then, unless it comes earlier anyway.
    pub(super) fn look_soon(&mut self, then: Instant) {
        self.next_look = self.next_look.min(then);
    }

    /// Starts a pass, unless something is under way: then it follows.
    pub(super) fn look(&mut self) {
        self.next_look = Instant::now() + self.poll();
        let Some(mut reconciler) = self.reconciler.take() else {
            self.look_again = true;
            return;
        };
        let (repository, seen) = (self.config.repository.clone(), self.seen);
        let settings = self.settings.clone();
        let (vitals, done) = (Arc::clone(&self.config.vitals), self.done);
        self.job = Some(spawn_blocking(move || {
            let told = (&*vitals, done);
            let outcome = look(&mut reconciler, &repository, &settings, seen, told);
            Finished { reconciler, outcome }
        }));
    }

    /// Checks a part of what was rendered before this process began, while there is nothing else to do.
    fn check(&mut self) {
        let Some(mut reconciler) = self.reconciler.take_if(|reconciler| !reconciler.is_checked())
        else {
            return;
        };
        self.job = Some(spawn_blocking(move || {
            let outcome = Outcome::Checked(reconciler.check_some());
            Finished { reconciler, outcome }
        }));
    }

    /// Ends with what is under way beside the loop; never, when nothing is.
    pub(super) fn next_ended(&mut self) -> impl Future<Output = Ended> {
        let (job, flush, upkeep) = (&mut self.job, &mut self.flushing, &mut self.upkeep);
        async move {
            tokio::select! {
                finished = end(job) => Ended::Job(finished.expect("a job does not panic")),
                flushed = end(flush) => Ended::Flush(flushed.expect("a flush does not panic")),
                works = end(upkeep) => Ended::Upkeep(works.unwrap_or(false)),
            }
        }
    }

    pub(super) fn ended(&mut self, finished: Finished) {
        let Finished { reconciler, outcome } = finished;
        self.reconciler = Some(reconciler);
        match outcome {
            Outcome::Idle => {
                self.faults = 0;
                tell::idle(&self.config.vitals);
                self.show_status();
            }
            Outcome::Passed(Ok(pass)) => {
                self.faults = 0;
                self.take_over(pass);
            }
            Outcome::Checked(Ok(differs)) => self.checked(differs),
            Outcome::Passed(Err(error)) | Outcome::Checked(Err(error)) => {
                self.faults = self.faults.saturating_add(1);
                tell::failed(&self.config.vitals, &error);
                tracing::error!(error = &error as &dyn Error, "a pass failed; it is tried again");
                // Whatever happened: the branches are read anew.
                self.seen = None;
                self.next_look = Instant::now() + wait(self.faults);
            }
        }
        for submission in std::mem::take(&mut self.waiting) {
            self.answer(submission);
        }
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
        if self.faults == 0 && self.unchecked.is_some() {
            self.check();
        }
    }

    /// What the check found counts from now on, as if the last pass had found it.
    fn checked(&mut self, differs: bool) {
        if differs {
            tracing::warn!("the rendered branch is not what titan renders; rendered again");
            self.seen = None;
            self.look();
            return;
        }
        let Some(done) = self.reconciler.as_ref().filter(|reconciler| reconciler.is_checked())
        else {
            // The next hosts follow.
            return;
        };
        let problems = done.problems();
        if let Some(mut pass) = self.unchecked.take() {
            tracing::debug!("what was rendered before is checked");
            (pass.held, pass.diagnostics) = problems;
            pass.unchecked = false;
            pass.touched = Some(Changed::default());
            self.follow(&pass);
            self.show(&pass);
        }
    }

    /// Nobody listened to the hosts for a while.
    pub(super) fn overslept(&mut self) {
        self.ledger.excuse(Timestamp::now());
    }

    /// Lets time do its work, and writes what is due.
    pub(super) async fn settle(&mut self) {
        self.config.vitals.metrics.waiting(self.waiting.len());
        self.ledger.tick(Timestamp::now());
        if self.flush_due().is_some_and(|due| due <= Instant::now()) {
            self.start_flush();
        }
        self.keep_up();
    }

    /// Merges packs when there are many, one run at a time; nobody waits for it.
    fn keep_up(&mut self) {
        if self.upkeep_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.wrote = false;
        let repository = self.config.repository.repository.clone();
        self.upkeep = Some(spawn_blocking(move || {
            let done = repository.upkeep();
            match &done {
                Ok(true) => tracing::debug!("packs are merged"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        error = error as &dyn Error,
                        "packs are not merged; it is tried again"
                    );
                }
            }
            done.is_ok()
        }));
    }

    /// When packs may be merged; `None`: nothing was written, or it is under way.
    fn upkeep_due(&self) -> Option<Instant> {
        (self.wrote && self.upkeep.is_none()).then_some(self.upkeep_after)
    }

    pub(super) fn upkeep_ended(&mut self, works: bool) {
        if !works {
            self.upkeep_after = Instant::now() + UPKEEP_REST;
        }
    }

    /// Writes what is known for the last time.
    pub(super) async fn finish(mut self) {
        if let Some(job) = self.job.take()
            && let Ok(finished) = job.await
        {
            self.look_again = false;
            self.ended(finished);
        }
        self.last_flush().await;
    }

    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// When there is something to do without any event.
    pub(super) fn next_due(&self) -> Instant {
        let now = Instant::now();
        let deadline = self.ledger.next_deadline().map(|due| {
            let left = due.duration_since(Timestamp::now());
            now + Duration::try_from(left).unwrap_or(Duration::ZERO)
        });
        let far = now + Duration::from_secs(3600);
        [deadline, self.flush_due(), self.upkeep_due()].into_iter().flatten().min().unwrap_or(far)
    }

    fn poll(&self) -> Duration {
        let poll = self.config.poll.unwrap_or(self.settings.limits.poll.duration());
        poll.max(Duration::from_millis(10))
    }
}

/// Brings the rendered branch up to date, unless all branches are where they were.
fn look(
    reconciler: &mut Reconciler,
    repository: &FleetRepository,
    settings: &FleetSpec,
    seen: Option<Heads>,
    (vitals, done): (&Vitals, Option<Revision>),
) -> Outcome {
    let git = &repository.repository;
    let heads = || -> Result<Heads, GitError> {
        repository.refresh()?;
        let rendered = &settings.branches.rendered;
        Ok((git.branch(&repository.branch)?, git.branch(rendered)?))
    };
    match heads() {
        Ok(heads) if seen == Some(heads) => Outcome::Idle,
        Ok((head, _)) => {
            tell::behind(vitals, git, (head, done), settings.limits.backlog);
            Outcome::Passed(reconciler.pass().map(Box::new))
        }
        Err(error) => Outcome::Passed(Err(error)),
    }
}

fn first_pass(
    reconciler: &mut Reconciler,
    repository: &FleetRepository,
) -> Result<(Pass, Ledger), GitError> {
    let pass = reconciler.pass()?;
    let git = &repository.repository;
    let head = git.branch(&pass.settings.branches.status)?;
    // Nobody reads all of it again.
    let ledger = Ledger::load(&git.apart()?, head, &pass.settings.limits, Timestamp::now())?;
    Ok((pass, ledger))
}

/// Waits longer after each fault in a row, up to a bound, and never twice the same.
fn wait(faults: u32) -> Duration {
    let longest = Duration::from_millis(250).saturating_mul(1 << faults.min(8)).min(LONGEST_WAIT);
    let jitter = Timestamp::now().subsec_nanosecond().unsigned_abs() % 1000;
    longest / 2 + longest * jitter / 2000
}

/// Does work on what the loop owns that may wait for a disk; the server goes on elsewhere meanwhile.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

/// What the job came to; never, when there is none.
async fn end<T>(job: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(handle) = job else { return std::future::pending().await };
    let done = handle.await;
    *job = None;
    done
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("the work does not panic")
}
