//! The parent's side of one worker process: it talks to it, and kills it when it takes too long.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::protocol::{self, Answer, Job, Parts, Request};
use super::share::Share;
use super::verdict::Cause;
use super::work::{BEAT, Manner, Portion, Sign};
use super::{Confinement, Probe};
use crate::git::GitError;
use crate::model::{Fleet, Limits, Size};

/// The subcommand that calls [`super::serve()`].
pub const SUBCOMMAND: &str = "worker";

/// A running worker, and what it knows.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    pub(super) confinement: Confinement,
    /// What a render may use there.
    memory: Size,
    known: Fleet,
}

/// How a share ended before its end.
#[derive(Debug)]
pub(super) enum Break {
    /// The worker is dead.
    Dead(Cause),
    /// What it made could not be used; it is still there.
    Git(GitError),
}

/// What a worker may take beside `limits.renderTime`: it reads its share and compiles templates. A loop
/// that goes on is stopped long before by counting steps, which does not depend on the machine.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a worker may do nothing at all.
const IDLE: Duration = Duration::from_secs(60);
/// How often the parent looks after a worker that is silent.
const LOOK: Duration = Duration::from_millis(20);
/// More than any answer has beside what the fleet's limits allow.
const ANSWER: usize = 64 << 20;

impl Worker {
    /// Starts `program` and sends it into its sandbox.
    pub(super) fn start(program: &Path, memory: Size) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg0("titan").arg(SUBCOMMAND).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let input = child.stdin.take().expect("because it is piped");
        let output = child.stdout.take().expect("because it is piped");
        let confinement = Confinement { landlock: false, seccomp: false };
        let known = Fleet::default();
        let mut worker = Self { child, input, output, confinement, memory, known };
        rustix::io::ioctl_fionbio(&worker.input, true)?;
        rustix::io::ioctl_fionbio(&worker.output, true)?;
        match worker.ask(&Request::Enter(memory))? {
            Answer::Entered(confinement) => worker.confinement = confinement,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        let Confinement { landlock, seccomp } = worker.confinement;
        tracing::debug!(pid = worker.id(), landlock, seccomp, "a rendering process is confined");
        Ok(worker)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it may go on with this fleet: with the same limit, and not full of what is gone.
    pub(super) fn fits(&self, fleet: &Fleet) -> bool {
        let (known, needed) = (self.known.deployments.len(), fleet.deployments.len());
        self.memory == fleet.settings.limits.render_memory && known <= 2 * needed + 64
    }

    /// Asks what one frame answers.
    fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let mut watch = Watch::new(self.id(), IDLE);
        protocol::write(Patient { pipe: &mut self.input, watch: &mut watch }, request, &[])?;
        let from = Patient { pipe: &mut self.output, watch: &mut watch };
        let answer = protocol::read(from, ANSWER)?;
        answer.map(|(answer, _)| answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Lets the worker try to break out.
    pub(super) fn probe(&mut self) -> io::Result<Probe> {
        match self.ask(&Request::Probe)? {
            Answer::Probed(probe) => Ok(probe),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Has a share rendered; `tell` gets all of its portions, or those until it breaks.
    pub(super) fn work(
        &mut self,
        fleet: &Fleet,
        share: Share,
        manner: Manner,
        mut tell: impl FnMut(Sign) -> Result<(), GitError>,
    ) -> Result<(), Break> {
        let limits = &fleet.settings.limits;
        let mut watch = Watch::new(self.id(), limits.render_time.duration() + MARGIN + BEAT);
        let parts = Parts::missing(&mut self.known, fleet, &share);
        let mut left = share.len();
        let request = Request::Work(Box::new(Job { parts, share, manner }));
        let to = Patient { pipe: &mut self.input, watch: &mut watch };
        if protocol::write(to, &request, &[]).is_err() {
            return Err(Break::Dead(self.bury(&watch)));
        }
        loop {
            let from = Patient { pipe: &mut self.output, watch: &mut watch };
            let answer = protocol::read(from, largest(limits));
            watch.alive();
            let sign = match answer {
                Ok(Some((Answer::Done, _))) if left == 0 => return Ok(()),
                Ok(Some((Answer::Begins, _))) => Sign::Begins,
                Ok(Some((Answer::Portion { done, problems }, body))) if done <= left => {
                    left -= done;
                    let largest = limits.manifest_size.bytes();
                    match Portion::from_answer(done, problems, &body, manner, largest) {
                        Some(portion) => Sign::Done(Box::new(portion)),
                        None => return Err(Break::Dead(Cause::Bug)),
                    }
                }
                Ok(Some(_)) => return Err(Break::Dead(Cause::Bug)),
                Ok(None) | Err(_) => return Err(Break::Dead(self.bury(&watch))),
            };
            tell(sign).map_err(Break::Git)?;
        }
    }

    /// Ends a worker that does not answer any more, and says why it does not.
    fn bury(&mut self, watch: &Watch) -> Cause {
        // One that is ending already keeps the status that it ends with.
        drop(self.child.kill());
        let status = self.child.wait();
        if watch.overdue {
            return Cause::Time;
        }
        let Ok(status) = status else { return Cause::Bug };
        let memory = [Signal::ABORT, Signal::SEGV, Signal::BUS].map(Signal::as_raw);
        match status.signal() {
            Some(signal) if memory.contains(&signal) => Cause::Memory,
            Some(_) => Cause::Killed,
            None => Cause::Bug,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The largest answer that a worker may give.
fn largest(limits: &Limits) -> usize {
    limits.assignment_size.bytes().saturating_mul(2).saturating_add(ANSWER)
}

/// How much time a worker takes between two signs of life.
#[derive(Debug)]
struct Watch {
    id: u32,
    /// CPU time from one sign of life to the next.
    allowed: Duration,
    /// The CPU time that it had used at the last one; `None` where that cannot be known: then the
    /// clock on the wall has to do.
    used: Option<Duration>,
    since: Instant,
    /// It took too much.
    overdue: bool,
}

impl Watch {
    fn new(id: u32, allowed: Duration) -> Self {
        Self { id, allowed, used: cpu_time(id), since: Instant::now(), overdue: false }
    }

    fn alive(&mut self) {
        // The file is read only when the worker was silent for a while.
        if self.since.elapsed() >= LOOK {
            self.used = cpu_time(self.id);
            self.since = Instant::now();
        }
    }

    /// Whether it may go on.
    fn check(&mut self) -> io::Result<()> {
        let waited = self.since.elapsed();
        let used = self.used.and_then(|before| Some(cpu_time(self.id)?.saturating_sub(before)));
        self.overdue = used.unwrap_or(waited) > self.allowed;
        // Neither working nor talking: it was stopped, or the machine has no time for it.
        let stuck = waited > self.allowed.max(IDLE) * 10;
        if self.overdue || stuck { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// The CPU time that a process has used, from `/proc/<pid>/stat` (see proc_pid_stat(5)).
fn cpu_time(id: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name comes before, in parentheses, and may contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis((user + system).saturating_mul(1000) / ticks))
}

/// A pipe that does not block: who waits for it looks after the worker at its other end.
struct Patient<'a, P> {
    pipe: &'a mut P,
    watch: &'a mut Watch,
}

impl<P: AsFd> Patient<'_, P> {
    fn until_ready<T>(
        &mut self,
        flags: PollFlags,
        mut act: impl FnMut(&mut P) -> io::Result<T>,
    ) -> io::Result<T> {
        let look = Timespec::try_from(LOOK).expect("because it is short");
        loop {
            match act(self.pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let ready = poll(&mut [PollFd::new(self.pipe, flags)], Some(&look));
            match ready {
                Ok(0) => self.watch.check()?,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<P: AsFd + Read> Read for Patient<'_, P> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.until_ready(PollFlags::IN, |pipe| pipe.read(bytes))
    }
}

impl<P: AsFd + Write> Write for Patient<'_, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_ready(PollFlags::OUT, |pipe| pipe.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}
