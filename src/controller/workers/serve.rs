//! The worker's side: it does what it is told, in its sandbox, until nobody tells it anything.

use std::io::{self, Read, Write};

use super::protocol::{self, Answer, Request};
use super::sandbox;
use super::work::{Sign, work};
use crate::model::Fleet;

/// Renders what comes in, until it ends. Nothing is rendered outside of the sandbox.
///
/// # Errors
/// When a pipe breaks, what comes in makes no sense, or the process cannot be confined.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let Some((Request::Enter(memory), _)) = protocol::read(&mut input, usize::MAX)? else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a worker is no command for people",
        ));
    };
    let confinement = sandbox::enter(memory)?;
    protocol::write(&mut output, &Answer::Entered(confinement), &[])?;
    let mut fleet = Fleet::default();
    while let Some((request, _)) = protocol::read(&mut input, usize::MAX)? {
        match request {
            Request::Enter(_) => return Err(io::ErrorKind::InvalidData.into()),
            Request::Probe => {
                protocol::write(&mut output, &Answer::Probed(sandbox::probe()), &[])?;
            }
            Request::Work(mut job) => {
                std::mem::take(&mut job.parts).join(&mut fleet);
                let manner = job.manner;
                let share = job.share(&fleet).ok_or(io::ErrorKind::InvalidData)?;
                work(&fleet, &share, manner, |sign| match sign {
                    Sign::Begins(group) => {
                        protocol::write(&mut output, &Answer::Begins(group), &[])
                    }
                    Sign::Done(portion) => {
                        let (answer, body) = portion.into_answer();
                        protocol::write(&mut output, &answer, &body)
                    }
                })?;
                protocol::write(&mut output, &Answer::Done, &[])?;
            }
        }
    }
    Ok(())
}
