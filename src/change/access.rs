//! Whether somebody may make a change, path by path.
//!
//! ```text
//!  touched path ─ layout ─▶ object, verbs ─┐
//!  members and admins of the base ─────────┴─ authorize ─▶ `access/denied`
//! ```
//! Rights come from the base alone, so that nobody grants themselves anything in the same change.

use std::collections::BTreeSet;

use serde_json::json;

use super::Edit;
use super::edit::change;
use super::wish::{Op, Wanted};
use crate::model::access::{Need, authorize, holds, need, workspace_verbs};
use crate::model::{
    Decision, Diagnostic, Fleet, Name, ObjectRef, RepoPath, Role, Subject, Verb, WorkspaceSpec,
};
use crate::parse::{Place, classify};

/// A path that differs between two states, and in which of them it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub path: RepoPath,
    pub before: bool,
    pub after: bool,
}

/// The two states that a change lies between.
#[derive(Debug, Clone, Copy)]
pub struct States<'a> {
    pub before: &'a Fleet,
    pub after: &'a Fleet,
}

/// What of a change `subject` may not do, as the members and admins of `rights` are: one diagnostic
/// for each path, in their order.
#[must_use]
pub fn denied(
    rights: &Fleet,
    subject: &Subject,
    states: States<'_>,
    touched: &[Touched],
) -> Vec<Diagnostic> {
    touched.iter().filter_map(|one| judge(rights, subject, states, one)).collect()
}

fn judge(
    rights: &Fleet,
    subject: &Subject,
    states: States<'_>,
    touched: &Touched,
) -> Option<Diagnostic> {
    let (place, owner) = (classify(&touched.path), owner(&touched.path));
    let needs = needs(&place, owner.as_ref(), states, touched);
    let missing = needs.into_iter().filter(|needs| !holds(rights, subject, *needs)).max()?;
    let what = match (touched.before, touched.after) {
        (false, _) => "make",
        (true, true) => "change",
        (true, false) => "remove",
    };
    let fix = match missing {
        Need::Admin => "leave it to an admin of the fleet",
        _ => "leave it to somebody who has the role, or ask an owner of the workspace for it",
    };
    let message = format!("`{subject}` may not {what} this: it takes {missing}");
    Some(Diagnostic::error("access/denied", message).at(&touched.path).fix(fix))
}

/// Everything that somebody has to be to touch a path.
fn needs<'a>(
    place: &'a Place,
    owner: Option<&'a Name>,
    states: States<'_>,
    touched: &Touched,
) -> Vec<Need<'a>> {
    if let Place::Object(object) = place {
        let verbs = verbs(object, states, touched);
        return verbs.into_iter().map(|verb| need(verb, object)).collect();
    }
    // Files of templates, notes and slips: inside a workspace its editors', elsewhere the platform's.
    vec![owner.map_or(Need::Admin, |own| Need::Role(Role::Editor, own))]
}

/// The workspace in whose folder a path lies.
fn owner(path: &RepoPath) -> Option<Name> {
    let mut parts = path.segments();
    let inside = parts.next() == Some("workspaces");
    let name = parts.next().filter(|_| inside && parts.next().is_some())?;
    Name::new(name).ok()
}

/// What happens to an object. Of a workspace that cannot be read on one side, the worst is assumed.
fn verbs(object: &ObjectRef, states: States<'_>, touched: &Touched) -> BTreeSet<Verb> {
    let mut verbs = BTreeSet::from([match (touched.before, touched.after) {
        (false, _) => Verb::Create,
        (true, true) => Verb::Change,
        (true, false) => Verb::Delete,
    }]);
    let ObjectRef::Workspace(name) = object else { return verbs };
    let spec = |fleet: &'_ Fleet, there: bool| -> Result<Option<WorkspaceSpec>, ()> {
        if !there {
            return Ok(None);
        }
        fleet.workspaces.get(name).map(|found| Some(found.spec.clone())).ok_or(())
    };
    match (spec(states.before, touched.before), spec(states.after, touched.after)) {
        (Ok(before), Ok(after)) => {
            verbs.extend(workspace_verbs(name, before.as_ref(), after.as_ref()));
        }
        _ => verbs.extend([Verb::Grant, Verb::Bound]),
    }
    verbs
}

/// What a wish does to its object, as the fleet is now.
fn verbs_of(fleet: &Fleet, wanted: &Wanted) -> BTreeSet<Verb> {
    let mut verbs = BTreeSet::from([match wanted.op {
        Op::Create => Verb::Create,
        Op::Update | Op::Patch => Verb::Change,
        Op::Delete => Verb::Delete,
    }]);
    let ObjectRef::Workspace(name) = &wanted.object else { return verbs };
    let before = fleet.workspaces.get(name).map(|found| &found.spec);
    if wanted.op == Op::Delete {
        verbs.extend(workspace_verbs(name, before, None));
        return verbs;
    }
    match edited(before, wanted) {
        Some(after) => verbs.extend(workspace_verbs(name, before, Some(&after))),
        None => verbs.extend([Verb::Grant, Verb::Bound]),
    }
    verbs
}

/// Whether `subject` may do what is wanted, as the fleet is now; the first thing that stands in the way.
#[must_use]
pub fn decide<'a>(fleet: &Fleet, subject: &Subject, wanted: &'a Wanted) -> Decision<'a> {
    let verbs = verbs_of(fleet, wanted).into_iter();
    let decisions = verbs.map(|verb| authorize(fleet, subject, verb, &wanted.object));
    decisions.into_iter().find(|one| !one.is_allowed()).unwrap_or(Decision::Allowed)
}

/// A workspace after the edits of its fields; none where that is no workspace.
fn edited(before: Option<&WorkspaceSpec>, wanted: &Wanted) -> Option<WorkspaceSpec> {
    let spec = serde_json::to_value(before?).ok()?;
    let mut object = json!({ "spec": spec });
    for edit in &wanted.edits {
        let Edit::Fields { edits, .. } = edit else { return None };
        // What cannot be done is refused later, with its place.
        let _ = edits.iter().all(|edit| change(&mut object, edit));
    }
    serde_json::from_value(object.get_mut("spec")?.take()).ok()
}

#[cfg(test)]
mod tests;
