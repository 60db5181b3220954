//! The worker's side: it does what it is told, in its sandbox, until nobody tells it anything.

use std::io::{self, Read, Write};

use super::protocol::{self, Answer, Job, Request};
use super::sandbox;
use super::work::{Sign, work};
use crate::model::Fleet;
use crate::render::{Kept, Renderer};

/// Renders what comes in, until it ends. Nothing is rendered outside of the sandbox.
///
/// # Errors
/// When a pipe breaks, what comes in makes no sense, or the process cannot be confined.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let Some((Request::Enter(memory), _)) = protocol::read(&mut input, usize::MAX)? else {
        return Err(nonsense("a worker is no command for people"));
    };
    let confinement = sandbox::enter(memory)?;
    protocol::write(&mut output, &Answer::Entered(confinement), &[])?;
    let mut fleet = Fleet::default();
    let (mut waiting, mut kept) = (None, Kept::default());
    loop {
        let mut renderer = Renderer::resume(&fleet, kept);
        let news = loop {
            let job = match waiting.take() {
                Some(job) => Some(job),
                None => next(&mut input, &mut output)?,
            };
            let Some(mut job) = job else { return Ok(()) };
            if !job.parts.is_empty() {
                let news = std::mem::take(&mut job.parts);
                waiting = Some(job);
                break news;
            }
            run(&job, &mut renderer, &fleet, &mut output)?;
        };
        kept = renderer.keep();
        news.join(&mut fleet);
    }
}

/// The next job; probes are answered.
fn next(input: &mut impl Read, output: &mut impl Write) -> io::Result<Option<Job>> {
    loop {
        match protocol::read(&mut *input, usize::MAX)? {
            None => return Ok(None),
            Some((Request::Work(job), _)) => return Ok(Some(*job)),
            Some((Request::Probe, _)) => {
                protocol::write(&mut *output, &Answer::Probed(sandbox::probe()), &[])?;
            }
            Some((Request::Enter(_), _)) => return Err(nonsense("it is in its sandbox already")),
        }
    }
}

fn run<'a>(
    job: &Job,
    renderer: &mut Renderer<'a>,
    fleet: &'a Fleet,
    output: &mut impl Write,
) -> io::Result<()> {
    if !job.share.is_sound(fleet) {
        return Err(nonsense("it speaks of what is not there"));
    }
    work(renderer, fleet, &job.share, job.manner, |sign| match sign {
        Sign::Begins => protocol::write(&mut *output, &Answer::Begins, &[]),
        Sign::Done(portion) => {
            let (answer, body) = portion.into_answer(job.manner);
            protocol::write(&mut *output, &answer, &body)
        }
    })?;
    protocol::write(&mut *output, &Answer::Done, &[])
}

fn nonsense(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
