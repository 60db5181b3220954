//! The status branch: how assignments and hosts fare, what is wrong, and what the controller has looked at.

use std::collections::BTreeMap;

use super::source::requests;
use super::{Action, Event, MOST, Stage};
use crate::git::{GitError, Reader, Repository, Sides};
use crate::model::{
    AssignmentRef, AssignmentStatus, DiagnosticsFile, FleetStatus, HostStatus, Name, RepoPath,
    RequestId, RequestStatus, TreeId,
};
use crate::observe::files::{self, Names};
use crate::observe::fold::ASSIGNMENT_KIND;

/// What is read of the files that differ: what was, and what is.
#[derive(Default)]
struct Found {
    fleet: [Option<FleetStatus>; 2],
    diagnostics: [Option<DiagnosticsFile>; 2],
    refused: BTreeMap<RequestId, RequestStatus>,
    hosts: BTreeMap<Name, [Option<HostStatus>; 2]>,
    assignments: BTreeMap<AssignmentRef, [Option<AssignmentStatus>; 2]>,
    names: Names,
}

/// Requests, then hosts and assignments in the order of their names, then what is wrong.
pub(super) fn events(
    repository: &Repository,
    [before, after]: [Option<TreeId>; 2],
) -> Result<Option<Vec<Event>>, GitError> {
    let Some(differing) = repository.differing_files(before, after, MOST)? else {
        return Ok(None);
    };
    let (reader, mut found) = (repository.reader(), Found::default());
    for (path, sides) in differing {
        found.read(&reader, &path, sides)?;
    }
    let sources = found.fleet.map(|fleet| fleet.map(|fleet| fleet.source));
    let Some(mut events) = requests(repository, sources, Stage::Rendered)? else {
        return Ok(None);
    };
    events.extend(found.refused.into_values().map(refused));
    events.extend(found.hosts.into_iter().filter_map(|(name, sides)| host(name, sides)));
    events.extend(found.assignments.into_iter().filter_map(|(name, own)| assignment(name, own)));
    events.extend(diagnostics(found.diagnostics));
    Ok(Some(events))
}

impl Found {
    fn read(&mut self, reader: &Reader, path: &RepoPath, sides: Sides) -> Result<(), GitError> {
        for (side, file) in sides.into_iter().enumerate() {
            if let Some(file) = file {
                self.take(&reader.blob(file)?, path, side);
            }
        }
        Ok(())
    }

    /// Takes over what a file says; those that titan did not write are nobody's business.
    fn take(&mut self, bytes: &[u8], path: &RepoPath, side: usize) {
        match files::kind(bytes) {
            Some(files::FLEET_KIND) if *path == files::fleet_path() => {
                self.fleet[side] = files::read(bytes).ok();
            }
            Some(files::DIAGNOSTICS_KIND) if *path == files::diagnostics_path() => {
                self.diagnostics[side] = files::read(bytes).ok();
            }
            Some(files::REQUEST_KIND) if side == AFTER => {
                let Ok(status) = files::read::<RequestStatus>(bytes) else { return };
                if files::request_path(&status.id) == *path {
                    self.refused.insert(status.id.clone(), status);
                }
            }
            Some(files::HOST_KIND) => {
                let Ok(status) = files::read::<HostStatus>(bytes) else { return };
                if files::folder_of_host(path, &status.host).is_some() {
                    let name = status.host.clone();
                    self.hosts.entry(name).or_default()[side] = Some(status);
                }
            }
            Some(ASSIGNMENT_KIND) => {
                let Ok(status) = files::read_assignment(bytes, &mut self.names) else { return };
                let name = status.assignment.clone();
                if files::folder_of_assignment(path, &name).is_some() {
                    self.assignments.entry(name).or_default()[side] = Some(status);
                }
            }
            _ => {}
        }
    }
}

/// Which side is the newer one.
const AFTER: usize = 1;

fn refused(RequestStatus { id, actor, .. }: RequestStatus) -> Event {
    let actor = Some(actor).filter(|actor| !actor.is_empty());
    Event::Change { id, stage: Stage::Rejected, commit: None, actor }
}

/// Numbers of reports are no news.
fn host(host: Name, sides: [Option<HostStatus>; 2]) -> Option<Event> {
    let action = Action::of(&sides);
    let [before, after] = sides.each_ref().map(|side| side.as_ref().map(|side| side.connection));
    if before == after {
        return None;
    }
    let [before, after] = sides;
    let HostStatus { connection, since, .. } = after.or(before)?;
    Some(Event::Host { host, action, connection, since })
}

fn assignment(name: AssignmentRef, sides: [Option<AssignmentStatus>; 2]) -> Option<Event> {
    let action = Action::of(&sides);
    if let [Some(before), Some(after)] = &sides {
        let same = before.phase == after.phase
            && before.reason == after.reason
            && before.message == after.message
            && before.desired == after.desired;
        if same {
            return None;
        }
    }
    let [before, after] = sides;
    let AssignmentStatus { phase, reason, desired, .. } = after.or(before)?;
    let (source, rendered) = (desired.source, desired.rendered);
    Some(Event::Assignment { assignment: name, action, phase, reason, source, rendered })
}

fn diagnostics(sides: [Option<DiagnosticsFile>; 2]) -> Vec<Event> {
    let [before, after] = sides.map(|side| side.map_or_else(Vec::new, |file| file.diagnostics));
    let gone = before.iter().filter(|one| !after.contains(one)).map(|one| (Action::Deleted, one));
    let new = after.iter().filter(|one| !before.contains(one)).map(|one| (Action::Created, one));
    let event = |(action, one): (_, &crate::model::Diagnostic)| Event::Diagnostic {
        action,
        diagnostic: Box::new(one.clone()),
    };
    gone.chain(new).map(event).collect()
}
