//! What goes through a worker's pipes.
//!
//! A frame is the length of its head and that of its body (4 bytes each, big-endian), the head as
//! JSON, and the body: bytes that are no text. The parent speaks first, and a worker answers each
//! [`Request`] with [`Answer`]s of which the last is not [`Answer::Begins`] or [`Answer::Portion`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Outcome;
use super::sandbox::{Confinement, Probe};
use super::share::{Group, Share};
use super::work::{Manner, Portion};
use crate::git::{Chunk, empty_tree};
use crate::model::{
    Deployment, Diagnostic, Fleet, Limits, Size, Template, TreeId, Workload, Workspace,
};

/// What the parent says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// First of all: go into the sandbox, with so much memory for a render.
    Enter(Size),
    /// Render this.
    Work(Box<Job>),
    /// Try to break out.
    Probe,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Entered(Confinement),
    /// It begins with the next group of the share.
    Begins,
    /// So many pairs are done, with the problems of some of them by their place among these. The body
    /// has the tree ids of the others, one after the other, and then a chunk.
    Portion {
        done: usize,
        problems: BTreeMap<usize, Vec<Diagnostic>>,
    },
    /// The share is done.
    Done,
    Probed(Probe),
}

/// A share, and what a worker must know for it and does not yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) parts: Parts,
    pub(super) share: Share,
    pub(super) manner: Manner,
}

/// What a worker keeps of a fleet. Hosts come with each share.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Parts {
    limits: Option<Limits>,
    workspaces: Vec<Arc<Workspace>>,
    workloads: Vec<Arc<Workload>>,
    templates: Vec<Arc<Template>>,
    deployments: Vec<Arc<Deployment>>,
}

impl Parts {
    /// What of `fleet` a share needs and `known` does not have, or has otherwise. `known` gets it.
    pub(super) fn missing(known: &mut Fleet, fleet: &Fleet, share: &Share) -> Self {
        let mut parts = Self::default();
        if known.settings.limits != fleet.settings.limits {
            known.settings.limits = fleet.settings.limits.clone();
            parts.limits = Some(fleet.settings.limits.clone());
        }
        for Group { deployment, .. } in &share.groups {
            let deployment = &fleet.deployments[deployment];
            let Deployment { id, template, .. } = &**deployment;
            tell(&mut known.deployments, id, deployment, &mut parts.deployments);
            let of_fleet = &fleet.workspaces[&id.workspace];
            tell(&mut known.workspaces, &id.workspace, of_fleet, &mut parts.workspaces);
            let workload = id.workload_ref();
            let of_fleet = &fleet.workloads[&workload];
            tell(&mut known.workloads, &workload, of_fleet, &mut parts.workloads);
            let of_fleet = fleet.template_of(deployment);
            tell(&mut known.templates, template, of_fleet, &mut parts.templates);
        }
        parts
    }

    /// Whether there is nothing new.
    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_none()
            && self.workspaces.is_empty()
            && self.workloads.is_empty()
            && self.templates.is_empty()
            && self.deployments.is_empty()
    }

    /// Puts all of it into `fleet`.
    pub(super) fn join(self, fleet: &mut Fleet) {
        if let Some(limits) = self.limits {
            fleet.settings.limits = limits;
        }
        let workspaces = self.workspaces.into_iter();
        fleet.workspaces.extend(workspaces.map(|workspace| (workspace.name.clone(), workspace)));
        let workloads = self.workloads.into_iter();
        fleet.workloads.extend(workloads.map(|workload| (workload.id.clone(), workload)));
        let templates = self.templates.into_iter();
        fleet.templates.extend(templates.map(|template| (template.id.clone(), template)));
        let deployments = self.deployments.into_iter();
        fleet.deployments.extend(deployments.map(|deployment| (deployment.id.clone(), deployment)));
    }
}

/// Adds an object to `news` and to what is known, unless it is known as it is.
fn tell<K: Ord + Clone, V: PartialEq>(
    known: &mut BTreeMap<K, Arc<V>>,
    key: &K,
    object: &Arc<V>,
    news: &mut Vec<Arc<V>>,
) {
    let same = |known: &Arc<V>| Arc::ptr_eq(known, object) || known == object;
    if !known.get(key).is_some_and(same) {
        known.insert(key.clone(), Arc::clone(object));
        news.push(Arc::clone(object));
    }
}

impl Portion {
    /// As an answer and its body.
    pub(super) fn into_answer(self, manner: Manner) -> (Answer, Vec<u8>) {
        let (done, mut problems, mut body) = (self.outcomes.len(), BTreeMap::new(), Vec::new());
        for (place, outcome) in self.outcomes.into_iter().enumerate() {
            match outcome {
                Ok(tree) => body.extend_from_slice(tree.as_bytes()),
                Err(found) => drop(problems.insert(place, found)),
            }
        }
        let chunk = if manner.objects { self.chunk } else { Chunk::new() };
        body.append(&mut chunk.into_bytes());
        (Answer::Portion { done, problems }, body)
    }

    /// From what [`Answer::Portion`] says, with files of at most `largest` bytes. `None`: it makes no
    /// sense, or speaks of what is not in its chunk.
    pub(super) fn from_answer(
        done: usize,
        mut problems: BTreeMap<usize, Vec<Diagnostic>>,
        body: &[u8],
        manner: Manner,
        largest: usize,
    ) -> Option<Self> {
        let trees = done.checked_sub(problems.len())?.checked_mul(20)?;
        let (mut trees, chunk) = body.split_at_checked(trees)?;
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(trees.len() / 20 + problems.len());
        for place in 0..done {
            outcomes.push(match problems.remove(&place) {
                Some(found) => Err(found),
                None => {
                    let (id, rest) = trees.split_first_chunk::<20>()?;
                    trees = rest;
                    Ok(TreeId::from_bytes(*id))
                }
            });
        }
        let chunk = Chunk::from_bytes(chunk, largest).ok()?;
        let there = |tree: &TreeId| *tree == empty_tree() || chunk.contains(*tree);
        let complete = !manner.objects || outcomes.iter().flatten().all(there);
        (complete && problems.is_empty()).then_some(Self { outcomes, chunk })
    }
}

/// Writes a frame.
pub(super) fn write(mut to: impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let mut frame = vec![0; 8];
    serde_json::to_writer(&mut frame, head)?;
    let length = |length: usize| {
        u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
    };
    let head = length(frame.len() - 8)?;
    frame[..4].copy_from_slice(&head.to_be_bytes());
    frame[4..8].copy_from_slice(&length(body.len())?.to_be_bytes());
    to.write_all(&frame)?;
    to.write_all(body)?;
    to.flush()
}

/// Reads a frame of at most `most` bytes; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(
    mut from: impl Read,
    most: usize,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    let first = from.read(&mut lengths)?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[first..])?;
    let length = |from: usize| {
        let bytes = lengths[from..from + 4].try_into().expect("because there are four");
        u32::from_be_bytes(bytes) as usize
    };
    let (head, body) = (length(0), length(4));
    if head.saturating_add(body) > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; head];
    from.read_exact(&mut bytes)?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    // How deep values may go is for `limits.yamlDepth` to say.
    json.disable_recursion_limit();
    let value = T::deserialize(&mut json)?;
    let mut bytes = vec![0; body];
    from.read_exact(&mut bytes)?;
    Ok(Some((value, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Sibling;

    const OBJECTS: Manner = Manner { objects: true, step_by_step: false };

    #[test]
    fn frames_are_read_as_written() {
        let mut pipe = Vec::new();
        for (text, body) in [("a", &b"1"[..]), ("", b""), ("ä\n", &[0; 70_000])] {
            write(&mut pipe, &text, body).expect("memory takes all");
        }
        let mut from = pipe.as_slice();
        let mut next = |most| read::<String>(&mut from, most);
        let frame = |text: &str, body: &[u8]| Some((text.to_owned(), body.to_owned()));
        assert_eq!(next(100).expect("a frame"), frame("a", b"1"));
        assert_eq!(next(100).expect("a frame"), frame("", b""));
        assert_eq!(next(100).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read::<String>(&[][..], 100).expect("the end"), None);
        for cut in [1, 7, 8, 11] {
            read::<String>(&pipe[..cut], 100).expect_err("it is cut off");
        }
        read::<u32>(pipe.as_slice(), 100).expect_err("it is something else");
    }

    #[test]
    fn a_portion_is_believed_if_it_makes_sense() {
        let portion = || {
            let mut chunk = Chunk::new();
            let files = [(crate::model::RepoPath::new("a/b").expect("a path"), b"x"[..].into())];
            let tree = chunk.files(&files.into(), Sibling::of).expect("it has an id");
            let problem = vec![Diagnostic::error("render/type", "x")];
            Portion { outcomes: vec![Ok(tree), Err(problem), Ok(empty_tree())], chunk }
        };
        let (Answer::Portion { done, problems }, body) = portion().into_answer(OBJECTS) else {
            unreachable!("because that is what it becomes")
        };
        let read = |done, problems: &BTreeMap<_, _>, body: &[u8]| {
            Portion::from_answer(done, problems.clone(), body, OBJECTS, 100)
        };
        let back = read(done, &problems, &body).expect("it makes sense");
        assert_eq!(back.outcomes, portion().outcomes);
        assert_eq!(back.chunk.into_bytes(), portion().chunk.into_bytes());
        assert!(read(2, &problems, &body).is_none());
        assert!(read(4, &problems, &body).is_none());
        assert!(read(0, &problems, &body).is_none());
        assert!(read(done, &BTreeMap::from([(7, Vec::new())]), &body).is_none());
        assert!(read(done, &problems, &body[..body.len() - 1]).is_none());
        let mut other = body.clone();
        other[0] ^= 1;
        assert!(read(done, &problems, &other).is_none(), "a tree that is not in the chunk");
    }
}
