//! The config branch: objects, and requests that are in history.

use std::collections::BTreeMap;

use super::{Action, Event, MOST, Stage};
use crate::git::{GitError, Reader, Repository, Sides};
use crate::model::{Labels, ObjectRef, Revision, TreeId};
use crate::parse::{self, Place, classify};

/// Objects in the order of their kinds and names, then requests, oldest first.
pub(super) fn events(
    repository: &Repository,
    [before, after]: [Option<Revision>; 2],
    trees: [Option<TreeId>; 2],
) -> Result<Option<Vec<Event>>, GitError> {
    let Some(files) = repository.differing_files(trees[0], trees[1], MOST)? else {
        return Ok(None);
    };
    let mut objects = BTreeMap::<ObjectRef, Option<Sides>>::new();
    for (path, sides) in files {
        match classify(&path) {
            Place::Object(object) => join(objects.entry(object).or_default(), sides),
            Place::TemplateFile { template, .. } => {
                objects.entry(ObjectRef::Template(template)).or_default();
            }
            Place::Foreign | Place::BadName(_) | Place::Unknown { .. } => {}
        }
    }
    let reader = repository.reader();
    let mut events = Vec::with_capacity(objects.len());
    for (object, sides) in objects {
        let action = sides.as_ref().map_or(Action::Updated, Action::of);
        let labels = labels(&reader, sides)?;
        events.push(Event::Object { object, action, revision: after, labels });
    }
    let Some(requests) = requests(repository, [before, after], Stage::Committed)? else {
        return Ok(None);
    };
    events.extend(requests);
    Ok(Some(events))
}

/// A host that moves to another folder has two files, one of which goes.
fn join(known: &mut Option<Sides>, [before, after]: Sides) {
    let sides = known.get_or_insert_default();
    *sides = [sides[0].or(before), sides[1].or(after)];
}

fn labels(reader: &Reader, sides: Option<Sides>) -> Result<Vec<Labels>, GitError> {
    let files = sides.into_iter().flatten().flatten();
    files.map(|file| Ok(parse::labels(&reader.blob(file)?))).collect()
}

/// The requests after one commit of the config branch, up to another. None where nothing was before: their
/// times are over.
pub(super) fn requests(
    repository: &Repository,
    heads: [Option<Revision>; 2],
    stage: Stage,
) -> Result<Option<Vec<Event>>, GitError> {
    let [Some(before), Some(after)] = heads else { return Ok(Some(Vec::new())) };
    // What came before may be gone, where somebody wrote history anew.
    if before == after || repository.commit(before).is_err() || repository.commit(after).is_err() {
        return Ok(Some(Vec::new()));
    }
    let mut commits = repository.commits_since(after, Some(before))?;
    if commits.len() > MOST {
        return Ok(None);
    }
    commits.reverse();
    let mut events = Vec::new();
    for commit in commits {
        let info = repository.commit(commit)?;
        let Some(id) = info.trailer(ID_TRAILER).and_then(|text| text.parse().ok()) else {
            continue;
        };
        let actor = info.trailer(ACTOR_TRAILER).map(str::to_owned);
        events.push(Event::Change { id, stage, commit: Some(commit), actor });
    }
    Ok(Some(events))
}

/// As `change` writes them.
const ID_TRAILER: &str = "Titan-Request-Id";
const ACTOR_TRAILER: &str = "Titan-Actor";
