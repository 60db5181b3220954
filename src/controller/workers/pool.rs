//! Worker processes: kept for the next call, replaced when they die.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::call::Call;
use super::process::{Break, Worker};
use super::share::Share;
use super::verdict::Cause;
use super::work::Sign;
use super::{Confinement, Outcome, Probe};
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

/// How a worker died.
struct Death {
    cause: Cause,
    /// Before it told that it began with a group.
    early: bool,
}

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
            let Some(death) = self.go_on(call, share, &mut outcomes, deaths > 0)? else { break };
            tracing::warn!(cause = ?death.cause, "a rendering process ended");
            deaths += 1;
            if outcomes.len() > done {
                accidents = 0;
            }
            let accident = death.cause == Cause::Killed || (death.early && deaths > 1);
            accidents += usize::from(accident);
            match deaths {
                // The next one tells where it breaks.
                1 => {}
                _ if accident && accidents <= ACCIDENTS => {}
                _ if death.early && death.cause != Cause::Memory => {
                    let end = io::Error::other("it ends before it begins");
                    return Err(self.failed("render in a process of", end));
                }
                // What all of them need does not fit together.
                _ if death.early && share.groups.len() > 1 => {
                    for one in share.after(done).one_by_one() {
                        outcomes.extend(self.render(call, &one)?);
                    }
                }
                _ => {
                    let (deployment, end) = share.group_of(outcomes.len());
                    let why =
                        death.cause.diagnostic(call.fleet, &call.fleet.deployments[deployment]);
                    call.trials().stop(deployment, why.clone());
                    outcomes.resize(end, Err(vec![why]));
                    accidents = 0;
                }
            }
        }
        Ok(outcomes)
    }

    /// Has one worker render what is left of a share; how it died, if it did. One that comes after a
    /// dead one is new and goes step by step, so that whatever it dies of is its current group's fault.
    fn go_on(
        &self,
        call: &Call<'_>,
        share: &Share,
        outcomes: &mut Vec<Outcome>,
        step_by_step: bool,
    ) -> Result<Option<Death>, GitError> {
        let manner = call.manner(step_by_step);
        let mut worker =
            if step_by_step { self.start(call.fleet)? } else { self.take(call.fleet)? };
        let mut early = true;
        let end = worker.work(call.fleet, share.after(outcomes.len()), manner, |sign| match sign {
            Sign::Begins => {
                early = false;
                Ok(())
            }
            Sign::Done(portion) => call.take(*portion, share, outcomes),
        });
        match end {
            Ok(()) => {
                self.put(worker);
                Ok(None)
            }
            Err(Break::Git(error)) => Err(error),
            Err(Break::Dead(cause)) => Ok(Some(Death { cause, early })),
        }
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
