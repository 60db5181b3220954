//! Rendering a share: what a worker does, be it a process or a thread.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::share::Share;
use super::{Outcome, verdict};
use crate::git::{Chunk, Sibling};
use crate::model::{DeploymentRef, Diagnostic, Fleet, Manifests};
use crate::render::Renderer;

/// What a worker tells while it renders.
#[derive(Debug)]
pub(super) enum Sign {
    /// It begins with the group at this place. Only where it was asked to.
    Begins(usize),
    /// The next pairs are done.
    Done(Portion),
}

/// What some pairs came to, in the order of the share.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) outcomes: Vec<Outcome>,
    /// Files and trees; empty where only ids are wanted.
    pub(super) chunk: Chunk,
}

/// How a share is to be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manner {
    /// Objects are wanted, not their ids only.
    pub(super) objects: bool,
    /// Each group is told before it begins: somebody wants to know where it breaks.
    pub(super) step_by_step: bool,
}

/// Longest time between two signs of life, unless one pair takes longer.
pub(super) const BEAT: Duration = Duration::from_millis(100);

/// Renders all pairs of a share; what they come to is told in portions.
pub(super) fn work<E>(
    fleet: &Fleet,
    share: &Share,
    manner: Manner,
    mut tell: impl FnMut(Sign) -> Result<(), E>,
) -> Result<(), E> {
    let mut renderer = Renderer::new(fleet);
    let (mut portion, mut told) = (Portion::default(), Instant::now());
    for (place, group) in share.groups.iter().enumerate() {
        if manner.step_by_step {
            tell(Sign::Done(std::mem::take(&mut portion)))?;
            tell(Sign::Begins(place))?;
        }
        let mut slow = 0;
        for host in &group.hosts {
            let outcome = if slow > verdict::SLOW {
                Err(vec![verdict::too_slow(fleet, &group.deployment)])
            } else {
                let host = &share.hosts[*host as usize];
                let rendered = renderer.render(&group.deployment, host).map_err(|error| error.0);
                rendered.and_then(|files| write(&mut portion.chunk, &group.deployment.id, &files))
            };
            slow += usize::from(outcome.as_ref().is_err_and(|problems| verdict::is_slow(problems)));
            portion.outcomes.push(outcome);
            if portion.chunk.is_full() || told.elapsed() >= BEAT {
                tell(Sign::Done(std::mem::take(&mut portion)))?;
                told = Instant::now();
            }
        }
    }
    tell(Sign::Done(portion))
}

/// The pair's files, and the folder that holds them. Every file is a sibling of the same file of the
/// same deployment on other hosts.
fn write(chunk: &mut Chunk, deployment: &DeploymentRef, manifests: &Manifests) -> Outcome {
    let written = chunk.files(&manifests.files, |path| Sibling::of(&(deployment, path)));
    written.map_err(|_| {
        // Only somebody who makes two texts with one SHA-1 gets here.
        let message = format!("a file of {deployment} has the id of another");
        vec![Diagnostic::error("git/fsck", message).fix("change the file")]
    })
}
