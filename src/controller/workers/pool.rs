//! Worker processes: kept for the next call, replaced when they die.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::process::{Break, Worker};
use super::share::Share;
use super::verdict::Cause;
use super::work::{Manner, Sign};
use super::{Call, Confinement, Outcome, Probe};
use crate::git::GitError;
use crate::model::{Fleet, Size};

/// Processes that have nothing to do, and how to start more.
#[derive(Debug)]
pub(super) struct Pool {
    program: PathBuf,
    /// So many are kept.
    most: usize,
    idle: Mutex<Vec<Worker>>,
}

/// How many workers in a row may be killed by others without having done anything, or end before they
/// begin. Beyond that it is no accident.
const ACCIDENTS: usize = 3;

impl Pool {
    pub(super) fn new(program: PathBuf, most: usize) -> Self {
        Self { program, most, idle: Mutex::default() }
    }

    /// Renders a share, whatever happens to those who do.
    pub(super) fn render(&self, call: &Call<'_>, share: &Share) -> Result<Vec<Outcome>, GitError> {
        let mut outcomes = Vec::with_capacity(share.len());
        let (mut deaths, mut accidents) = (0, 0);
        while outcomes.len() < share.len() {
            let done = outcomes.len();
            let rest = share.after(done);
            // One that dies is asked for nothing again; the next one tells where it breaks.
            let manner = Manner { objects: call.objects.is_some(), step_by_step: deaths > 0 };
            let mut worker =
                if deaths == 0 { self.take(call.fleet)? } else { self.start(call.fleet)? };
            let mut at = None;
            let end = worker.work(call.fleet, &rest, manner, |sign| match sign {
                Sign::Begins(group) => {
                    at = Some(group);
                    Ok(())
                }
                Sign::Done(portion) => {
                    outcomes.extend(portion.outcomes);
                    call.join(portion.chunk)
                }
            });
            let cause = match end {
                Ok(()) => {
                    self.put(worker);
                    continue;
                }
                Err(Break::Git(error)) => return Err(error),
                Err(Break::Dead(cause)) => cause,
            };
            tracing::warn!(?cause, "a rendering process ended");
            let accident = cause == Cause::Killed || (at.is_none() && deaths > 0);
            accidents = if outcomes.len() > done { 0 } else { accidents } + usize::from(accident);
            deaths += 1;
            match at {
                _ if accident && accidents <= ACCIDENTS => {}
                Some(group) => {
                    let deployment = &rest.groups[group].deployment;
                    let why = cause.diagnostic(call.fleet, deployment);
                    call.trials().stop(&deployment.id, why.clone());
                    let end = done + rest.end_of(group);
                    outcomes.resize(end.max(outcomes.len()), Err(vec![why]));
                }
                None if accident => {
                    return Err(
                        self.failed("render in a process of", io::Error::other("it ends at once"))
                    );
                }
                None => {}
            }
        }
        Ok(outcomes)
    }

    /// What holds a worker, and what it can do all the same.
    pub(super) fn probe(&self, memory: Size) -> io::Result<(Confinement, Probe)> {
        let mut worker = Worker::start(&self.program, memory)?;
        let probe = worker.probe()?;
        Ok((worker.confinement, probe))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker that nobody else uses; one that was used before, if there is one.
    fn take(&self, fleet: &Fleet) -> Result<Worker, GitError> {
        let idle = self.idle().pop();
        idle.filter(|worker| worker.fits(fleet)).map_or_else(|| self.start(fleet), Ok)
    }

    fn start(&self, fleet: &Fleet) -> Result<Worker, GitError> {
        let mut accidents = 0;
        loop {
            match Worker::start(&self.program, fleet.settings.limits.render_memory) {
                Ok(worker) => return Ok(worker),
                Err(_) if accidents < ACCIDENTS => accidents += 1,
                Err(error) => return Err(self.failed("start a rendering process of", error)),
            }
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> GitError {
        GitError::Io { action, path: self.program.clone(), source }
    }

    fn put(&self, worker: Worker) {
        let mut idle = self.idle();
        if idle.len() < self.most {
            idle.push(worker);
        }
    }
}
