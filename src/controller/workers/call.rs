//! One call: pairs are cut into shares, and as many of these rendered at a time as there are workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{panic, thread};

use super::pool::Pool;
use super::share::{self, OfHost, Share};
use super::verdict::Trials;
use super::work::{Manner, Portion, Sign, work};
use super::{Onto, Outcome, Outcomes};
use crate::git::GitError;
use crate::model::{Fleet, Pairs};
use crate::render::Renderer;

/// See the module.
pub(super) struct Call<'a> {
    pub(super) fleet: &'a Fleet,
    onto: Option<Onto<'a>>,
    pool: Option<&'a Pool>,
    trials: Mutex<Trials>,
}

impl<'a> Call<'a> {
    pub(super) fn new(fleet: &'a Fleet, onto: Option<Onto<'a>>, pool: Option<&'a Pool>) -> Self {
        Self { fleet, onto, pool, trials: Mutex::default() }
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
                (there.get(deployment, host) != Some(tree)).then_some(tree)
            });
            objects.join(chunk, new)?;
        }
        outcomes.extend(next);
        Ok(())
    }
}
