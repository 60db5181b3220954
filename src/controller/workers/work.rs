//! Rendering a share: what a worker does, be it a process or a thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::share::Share;
use super::{Outcome, verdict};
use crate::git::{Chunk, Sibling};
use crate::model::{DeploymentRef, Diagnostic, Fleet, Manifests, TreeId};
use crate::render::{HostFacts, Renderer};

/// What a worker tells while it renders.
#[derive(Debug)]
pub(super) enum Sign {
    /// It begins with the next group, and everything before is told. Only where it was asked to.
    Begins,
    /// The next pairs are done.
    Done(Box<Portion>),
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

/// Renders all pairs of a share, whose deployments are those of `fleet`; what they come to is told in
/// portions.
pub(super) fn work<'a, E>(
    renderer: &mut Renderer<'a>,
    fleet: &'a Fleet,
    share: &Share,
    manner: Manner,
    mut tell: impl FnMut(Sign) -> Result<(), E>,
) -> Result<(), E> {
    let hosts: Vec<HostFacts<'_>> = share.hosts.iter().map(|host| HostFacts::new(host)).collect();
    let (mut portion, mut told) = (Portion::default(), Instant::now());
    for group in &share.groups {
        if manner.step_by_step {
            tell(Sign::Done(Box::new(std::mem::take(&mut portion))))?;
            tell(Sign::Begins)?;
        }
        let deployment = &*fleet.deployments[&group.deployment];
        let (mut slow, mut last) = (0, None);
        for host in &group.hosts {
            let outcome = if slow > verdict::SLOW {
                Err(vec![verdict::too_slow(fleet, deployment)])
            } else {
                let rendered = renderer.render_with(deployment, &hosts[*host as usize]);
                let write = |files| write(&mut portion.chunk, &group.deployment, files, &mut last);
                rendered.map_err(|error| error.0).and_then(write)
            };
            slow += usize::from(outcome.as_ref().is_err_and(|found| verdict::is_slow(found)));
            portion.outcomes.push(outcome);
            if portion.chunk.is_full() || told.elapsed() >= BEAT {
                tell(Sign::Done(Box::new(std::mem::take(&mut portion))))?;
                // A chunk has all that its pairs consist of.
                (told, last) = (Instant::now(), None);
            }
        }
    }
    tell(Sign::Done(Box::new(portion)))
}

/// The pair's files, and the folder that holds them. Every file is a sibling of the same file of the
/// same deployment on other hosts. Often the `last` host got the very same ones.
fn write(
    chunk: &mut Chunk,
    deployment: &DeploymentRef,
    manifests: Arc<Manifests>,
    last: &mut Option<(Arc<Manifests>, TreeId)>,
) -> Outcome {
    if let Some((_, tree)) = last.as_ref().filter(|(last, _)| Arc::ptr_eq(last, &manifests)) {
        return Ok(*tree);
    }
    let written = chunk.files(&manifests.files, |path| Sibling::of(&(deployment, path)));
    let tree = written.map_err(|_| {
        // Only somebody who makes two texts with one SHA-1 gets here.
        let message = format!("a file of {deployment} has the id of another");
        vec![Diagnostic::error("git/fsck", message).fix("change the file")]
    })?;
    *last = Some((manifests, tree));
    Ok(tree)
}
