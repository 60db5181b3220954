//! One call: pairs are cut into shares ([`super::queue`]), and as many of these rendered at a time as
//! there are workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{panic, thread};

use super::pool::Pool;
use super::queue::{Proven, Queue, Task};
use super::share::Share;
use super::verdict::{self, Trials};
use super::work::{Manner, Portion, Sign, work};
use super::{Onto, Outcome, Outcomes};
use crate::controller::timings::millis;
use crate::git::{GitError, empty_tree};
use crate::model::{Fleet, Pairs};
use crate::render::Renderer;

/// See the module.
pub(super) struct Call<'a> {
    pub(super) fleet: &'a Fleet,
    onto: Option<Onto<'a>>,
    pool: Option<&'a Pool>,
    proven: &'a Proven,
    trials: Mutex<Trials>,
    started: Instant,
    /// Microseconds from then until the last pair was rendered with success.
    good: AtomicU64,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        onto: Option<Onto<'a>>,
        pool: Option<&'a Pool>,
        proven: &'a Proven,
    ) -> Self {
        let (started, good) = (Instant::now(), AtomicU64::new(0));
        Self { fleet, onto, pool, proven, trials: Mutex::default(), started, good }
    }

    pub(super) fn trials(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn render(&self, pairs: &Pairs, workers: usize) -> Result<Outcomes, GitError> {
        let queue = Queue::new(self.fleet, pairs, workers, self.proven);
        let run = || self.run(&queue);
        let mut outcomes = match workers.min(queue.width()) {
            0 | 1 => run()?,
            several => thread::scope(|scope| {
                let threads: Vec<_> = (0..several).map(|_| scope.spawn(run)).collect();
                let mut all = Outcomes::default();
                for thread in threads {
                    all.append(thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))?);
                }
                Ok::<_, GitError>(all)
            })?,
        };
        self.trials().overrule(pairs, &mut outcomes);
        let (took_ms, good_ms) =
            (millis(self.started.elapsed()), self.good.load(Relaxed) as f64 / 1000.0);
        tracing::debug!(pairs = pairs.count(), took_ms, good_ms, "rendered by workers");
        Ok(outcomes)
    }

    /// Renders one share after the other that nobody else has taken.
    fn run(&self, queue: &Queue<'_>) -> Result<Outcomes, GitError> {
        let _shift = queue.shift();
        let mut all = Outcomes::default();
        // For shares that are rendered in this thread.
        let mut renderer = Renderer::new(self.fleet);
        while let Some(task) = queue.next() {
            let share = {
                let trials = self.trials();
                queue.share(&task, |deployment| !trials.is_stopped(deployment))
            };
            let outcomes = match self.pool {
                Some(pool) => pool.render(self, &share),
                None => self.here(&share, &mut renderer),
            };
            // Nobody needs the other shares when one fails.
            let outcomes = outcomes.inspect_err(|_| queue.give_up())?;
            self.proven.add(self.fleet, share.rendered(&outcomes));
            let outcomes = share.named(outcomes);
            self.trials().count(self.fleet, &outcomes.failed);
            if let Task::Sample(id) = task {
                let slow = outcomes.failed.values().any(|problems| verdict::is_slow(problems));
                queue.sampled(id, slow || self.trials().is_stopped(id));
            }
            all.append(outcomes);
        }
        Ok(all)
    }

    fn here(&self, share: &Share, renderer: &mut Renderer<'a>) -> Result<Vec<Outcome>, GitError> {
        let mut outcomes = Vec::with_capacity(share.len());
        work(renderer, self.fleet, share, self.manner(false), |sign| match sign {
            Sign::Begins => Ok(()),
            Sign::Done(portion) => self.take(*portion, share, &mut outcomes),
        })?;
        Ok(outcomes)
    }

    pub(super) fn manner(&self, step_by_step: bool) -> Manner {
        Manner { objects: self.onto.is_some(), step_by_step }
    }

    /// Takes what a worker made of the share's next pairs, after those that have `outcomes`.
    pub(super) fn take(
        &self,
        portion: Portion,
        share: &Share,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), GitError> {
        let Portion { outcomes: next, chunk } = portion;
        if let Some(Onto { objects, there }) = self.onto {
            let pairs = share.pairs().skip(outcomes.len());
            let new = next.iter().zip(pairs).filter_map(|(outcome, (deployment, host))| {
                let tree = *outcome.as_ref().ok()?;
                let new = there.get(deployment, host) != Some(tree) && tree != empty_tree();
                new.then_some(tree)
            });
            objects.join(chunk, new)?;
        }
        if next.iter().any(Result::is_ok) {
            let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.good.fetch_max(now, Relaxed);
        }
        outcomes.extend(next);
        Ok(())
    }
}
