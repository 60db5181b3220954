//! One call: pairs are cut into shares, and as many of these rendered at a time as there are workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{panic, thread};

use super::pool::Pool;
use super::share::{self, OfHost, Share};
use super::verdict::Trials;
use super::work::{Manner, Sign, work};
use super::{Outcome, Outcomes};
use crate::git::{Chunk, GitError, Objects};
use crate::model::{Fleet, Pairs};
use crate::render::Renderer;

/// See the module.
pub(super) struct Call<'a> {
    pub(super) fleet: &'a Fleet,
    objects: Option<&'a Objects>,
    pool: Option<&'a Pool>,
    trials: Mutex<Trials>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        objects: Option<&'a Objects>,
        pool: Option<&'a Pool>,
    ) -> Self {
        Self { fleet, objects, pool, trials: Mutex::default() }
    }

    pub(super) fn trials(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn render(&self, pairs: &Pairs, workers: usize) -> Result<Outcomes, GitError> {
        let parts = share::cut(self.fleet, pairs, workers);
        let next = AtomicUsize::new(0);
        let run = || self.run(&parts, &next);
        let mut outcomes = match workers.min(parts.len()) {
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
        Ok(outcomes)
    }

    /// Renders one part after the other that nobody else has taken.
    fn run(&self, parts: &[Vec<OfHost<'_>>], next: &AtomicUsize) -> Result<Outcomes, GitError> {
        let mut all = Outcomes::default();
        // For parts that are rendered in this thread.
        let mut renderer = Renderer::new(self.fleet);
        while let Some(part) = parts.get(next.fetch_add(1, Relaxed)) {
            let share = {
                let trials = self.trials();
                Share::new(self.fleet, part, |deployment| !trials.is_stopped(deployment))
            };
            let outcomes = match self.pool {
                Some(pool) => pool.render(self, &share),
                None => self.here(&share, &mut renderer),
            };
            // Nobody needs the other parts when one fails.
            let outcomes = outcomes.inspect_err(|_| next.store(parts.len(), Relaxed))?;
            let outcomes = share.named(outcomes);
            self.trials().count(self.fleet, &outcomes.failed);
            all.append(outcomes);
        }
        Ok(all)
    }

    fn here(&self, share: &Share, renderer: &mut Renderer<'a>) -> Result<Vec<Outcome>, GitError> {
        let mut outcomes = Vec::with_capacity(share.len());
        work(renderer, self.fleet, share, self.manner(false), |sign| match sign {
            Sign::Begins => Ok(()),
            Sign::Done(portion) => {
                outcomes.extend(portion.outcomes);
                self.join(portion.chunk)
            }
        })?;
        Ok(outcomes)
    }

    pub(super) fn manner(&self, step_by_step: bool) -> Manner {
        Manner { objects: self.objects.is_some(), step_by_step }
    }

    /// Takes what a worker made.
    pub(super) fn join(&self, chunk: Chunk) -> Result<(), GitError> {
        self.objects.map_or(Ok(()), |objects| objects.join(chunk))
    }
}
