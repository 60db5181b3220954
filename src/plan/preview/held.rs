//! What a change leaves as it is because something is wrong, and problems that were not there before.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Side;
use crate::model::{
    AssignmentRef, DeploymentRef, Diagnostic, Fleet, Name, RepoPath, Template, TemplateRef,
};
use crate::plan::{check_unused, held as held_by_parsing};

/// Something that stays as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// `fleet`, `host x`, `deployment a/b/c`; also a deployment of which only some hosts are held.
    pub what: String,
    pub reason: String,
    /// How many assignments stay as they are.
    pub assignments: usize,
    /// For a deployment that cannot be rendered on them: these hosts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<Name>,
    /// It is held before the change already.
    pub known: bool,
}

/// What cannot be rendered, by deployment and kind of problem: one mistake in a template is one,
/// on however many hosts.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<Cause, Failure>);

type Cause = (DeploymentRef, String, Option<RepoPath>);

#[derive(Debug)]
struct Failure {
    first: Diagnostic,
    /// It is the first problem of these; others come behind it.
    hosts: BTreeSet<Name>,
    /// It could not be rendered before either, for the same reason.
    known: bool,
}

impl Failures {
    /// Notes what is wrong with an assignment after the change, and before.
    pub(super) fn add(
        &mut self,
        assignment: &AssignmentRef,
        problems: Vec<Diagnostic>,
        before: Option<Vec<Diagnostic>>,
    ) {
        let before = before.unwrap_or_default();
        for (index, problem) in problems.into_iter().enumerate() {
            let alike = |old: &Diagnostic| old.code == problem.code && old.path == problem.path;
            let known = before.iter().any(alike);
            let deployment = assignment.deployment.clone();
            let cause = (deployment, problem.code.clone(), problem.path.clone());
            let hosts = BTreeSet::new();
            let failure = self.0.entry(cause).or_insert(Failure { first: problem, hosts, known });
            failure.known &= known;
            if index == 0 {
                failure.hosts.insert(assignment.host.clone());
            }
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        for (cause, mut failure) in other.0 {
            match self.0.get_mut(&cause) {
                Some(known) => {
                    known.hosts.append(&mut failure.hosts);
                    known.known &= failure.known;
                }
                None => drop(self.0.insert(cause, failure)),
            }
        }
    }

    /// Those that were not there before, each once.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let new = self.0.values().filter(|failure| !failure.known).map(|failure| &failure.first);
        new.filter(|found| seen.insert((&found.code, &found.path, found.span))).cloned().collect()
    }
}

/// All that is held after the change, what is new first.
pub(super) fn held(before: Side<'_>, after: Side<'_>, failures: &Failures) -> Vec<HeldBack> {
    let known = held_by_parsing(before.fleet);
    let mut held: Vec<HeldBack> = held_by_parsing(after.fleet)
        .into_iter()
        .map(|(what, reason)| HeldBack {
            known: known.contains_key(&what),
            assignments: count(after, &what),
            hosts: BTreeSet::new(),
            what,
            reason,
        })
        .collect();
    let failed = failures.0.iter().filter(|(_, failure)| !failure.hosts.is_empty());
    held.extend(failed.map(|((deployment, ..), failure)| HeldBack {
        what: format!("deployment {deployment}"),
        reason: failure.first.to_string(),
        assignments: failure.hosts.len(),
        hosts: failure.hosts.clone(),
        known: failure.known,
    }));
    held.sort_by_key(|held| held.known);
    held
}

/// How many assignments stay as they are because of what is held under this name.
fn count(side: Side<'_>, what: &str) -> usize {
    let kept = &side.schedule.kept;
    match what.split_once(' ') {
        Some(("host", host)) => kept.hosts.values().filter(|hosts| hosts.contains(host)).count(),
        Some((_, deployment)) => {
            deployment.parse().map_or(0, |deployment| kept.of(&deployment).len())
        }
        None => kept.count(),
    }
}

/// What is wrong with templates that nobody uses, and was not before.
pub(super) fn unused(before: Side<'_>, after: Side<'_>) -> Vec<Diagnostic> {
    let touched = |template: &Template, other: &Fleet| {
        let id: &TemplateRef = &template.id;
        other.templates.get(id).is_none_or(|other| **other != *template)
    };
    let check = |side: Side<'_>, other: Side<'_>| {
        check_unused(side.fleet, side.schedule, |template| touched(template, other.fleet))
    };
    let after_change = check(after, before);
    if after_change.is_empty() { after_change } else { fresh(&check(before, after), after_change) }
}

/// Those of `after` that are not in `before`. Lines move and places are many, so a problem is known
/// by what it says about which file.
#[must_use]
pub fn fresh(before: &[Diagnostic], mut after: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let key = |found: &Diagnostic| (found.code.clone(), found.message.clone(), found.path.clone());
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for diagnostic in before {
        *known.entry(key(diagnostic)).or_default() += 1;
    }
    after.retain(|found| match known.get_mut(&key(found)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    after
}
