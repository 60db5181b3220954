//! What concerns the fleet as a whole: `fleet.yaml` and `diagnostics.yaml`.
//!
//! A process that has just begun renders only what changed; what could not be rendered before, it finds
//! out later. Until then ([`Goal::unchecked`]) what the branch says about such assignments stays: a
//! status is never rosier than the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::{Goal, Ledger};
use crate::model::{API_VERSION, AssignmentRef, Diagnostic, DiagnosticsFile, FleetStatus};
use crate::observe::files;

/// How entries of `held` about assignments begin.
const ASSIGNMENT: &str = "assignment ";

/// Areas of diagnostics that only rendering finds.
const RENDERING: [&str; 4] = ["render", "policy", "values", "template"];

impl Ledger {
    /// Takes over what is said of the fleet.
    pub(super) fn describe(&mut self, goal: &Goal<'_>) {
        let (held, gone) = self.held(goal);
        let diagnostics = self.diagnostics(goal, &held, &gone);
        if self.diagnostics.as_ref() != Some(&diagnostics) {
            self.diagnostics = Some(diagnostics);
            self.dirty.diagnostics = true;
        }
        let fleet = FleetStatus {
            api_version: API_VERSION.to_owned(),
            kind: files::FLEET_KIND.to_owned(),
            source: goal.source,
            rendered: goal.rendered.map(|(revision, _)| revision),
            hosts: 0,
            assignments: 0,
            phases: BTreeMap::new(),
            held,
            unplaced: goal.unplaced.clone(),
        };
        let before = self.fleet();
        self.fleet = Some(fleet);
        self.dirty.fleet |= self.fleet() != before;
    }

    /// What is held, and the reasons of what was held and is not any more.
    fn held(&self, goal: &Goal<'_>) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let (mut held, mut gone) = (goal.held.clone(), BTreeSet::new());
        let before = self.fleet.iter().filter(|_| goal.unchecked).flat_map(|fleet| &fleet.held);
        for (what, why) in before {
            let Some(assignment) = what.strip_prefix(ASSIGNMENT) else { continue };
            if held.contains_key(what) {
                continue;
            }
            if is_touched(goal, assignment) {
                gone.insert(why.clone());
            } else {
                held.insert(what.clone(), why.clone());
            }
        }
        (held, gone)
    }

    /// What is wrong: what was found now, and what the branch says of assignments that were not tried.
    /// What held one that was tried and is not held any more does not count, unless it holds others.
    fn diagnostics(
        &self,
        goal: &Goal<'_>,
        held: &BTreeMap<String, String>,
        gone: &BTreeSet<String>,
    ) -> DiagnosticsFile {
        let mut file = DiagnosticsFile {
            api_version: API_VERSION.to_owned(),
            kind: files::DIAGNOSTICS_KIND.to_owned(),
            source: goal.source,
            errors: 0,
            warnings: 0,
            diagnostics: Vec::new(),
        };
        file.extend(goal.diagnostics.iter());
        let Some(before) = self.diagnostics.as_ref().filter(|_| goal.unchecked) else {
            return file;
        };
        let reasons: BTreeSet<&String> = held.values().collect();
        let stays = |diagnostic: &&Diagnostic| {
            let area = diagnostic.code.split('/').next().unwrap_or_default();
            let text = diagnostic.to_string();
            RENDERING.contains(&area)
                && (!gone.contains(&text) || reasons.contains(&text))
                && !goal.diagnostics.contains(diagnostic)
        };
        file.extend(before.diagnostics.iter().filter(stays));
        if before.diagnostics.len() >= files::DIAGNOSTICS {
            // Nobody knows which others there were.
            file.errors = file.errors.max(before.errors);
            file.warnings = file.warnings.max(before.warnings);
        }
        file
    }
}

impl DiagnosticsFile {
    fn extend<'a>(&mut self, found: impl Iterator<Item = &'a Diagnostic>) {
        for diagnostic in found {
            let count = if diagnostic.is_error() { &mut self.errors } else { &mut self.warnings };
            *count += 1;
            if self.diagnostics.len() < files::DIAGNOSTICS {
                self.diagnostics.push(diagnostic.clone());
            }
        }
    }
}

/// Whether the assignment of that name was tried in this pass.
fn is_touched(goal: &Goal<'_>, name: &str) -> bool {
    let pairs = goal.changed.map(|changed| &changed.pairs);
    let assignment: Option<AssignmentRef> = name.parse().ok();
    pairs.zip(assignment).is_some_and(|(pairs, a)| pairs.contains(&a.deployment, &a.host))
}
