//! What is wrong with a config branch, rendering included, and what a change makes worse.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::git::GitError;
use crate::model::{
    Assignments, Deployment, DeploymentRef, Diagnostic, Fleet, Name, Pairs, Revision, SourceFile,
    Template, TemplateRef,
};
use crate::parse::{Parsed, parse};
use crate::plan::{check_unused, evaluate, problems};
use crate::schedule::schedule;

/// Most assignments that are rendered to judge one change; a larger change is judged by this sample.
const SAMPLE: usize = 2000;

/// Parses, schedules and renders everything.
///
/// Deployments with `replicas` are placed afresh here: what the rendered branch has recorded decides
/// where they run, hardly ever whether they can be rendered.
#[must_use]
pub fn check(revision: Option<Revision>, files: &[SourceFile]) -> Parsed {
    let mut parsed = parse(revision, files);
    let evaluation = evaluate(&parsed.fleet, &Assignments::default());
    parsed.diagnostics.extend(evaluation.diagnostics);
    parsed.diagnostics.extend(check_unused(&parsed.fleet, &evaluation.schedule, |_| true));
    parsed
}

/// Who renders what a change touches, to see whether it can be rendered: here, or where a template of
/// somebody else's can do no harm. Gives what is wrong.
#[derive(Clone)]
pub struct Judge(Arc<Try>);

type Try = dyn Fn(&Fleet, &Pairs) -> Result<Vec<Diagnostic>, GitError> + Send + Sync;

impl Judge {
    pub fn new(
        render: impl Fn(&Fleet, &Pairs) -> Result<Vec<Diagnostic>, GitError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(render))
    }

    /// Renders in this process: for who renders their own templates.
    #[must_use]
    pub fn here() -> Self {
        Self::new(|fleet, pairs| Ok(problems(fleet, pairs)))
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

/// The errors that `after` has and `before` has not. What was wrong before and is not made worse
/// stands in nobody's way.
///
/// # Errors
/// When nothing can be rendered.
pub fn new_errors(
    before: &Parsed,
    after: &Parsed,
    judge: &Judge,
) -> Result<Vec<Diagnostic>, GitError> {
    let dirty = Dirty::between(&before.fleet, &after.fleet);
    let rendered = |fleet: &Fleet| dirty.problems(fleet, judge);
    let mut old = before.diagnostics.clone();
    let mut errors = after.diagnostics.clone();
    let worse = rendered(&after.fleet)?;
    if !worse.is_empty() {
        old.extend(rendered(&before.fleet)?);
        errors.extend(worse);
    }
    // Lines move and places are many, so a problem is known by what it says about which file.
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for diagnostic in &old {
        *known.entry(key(diagnostic)).or_default() += 1;
    }
    errors.retain(|found| match known.get_mut(&key(found)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => found.is_error(),
    });
    Ok(errors)
}

fn key(diagnostic: &Diagnostic) -> (String, String, Option<String>) {
    let path = diagnostic.path.as_ref().map(ToString::to_string);
    (diagnostic.code.clone(), diagnostic.message.clone(), path)
}

/// What a change touches.
struct Dirty {
    deployments: BTreeSet<DeploymentRef>,
    hosts: BTreeSet<Name>,
    templates: BTreeSet<TemplateRef>,
}

impl Dirty {
    fn between(before: &Fleet, after: &Fleet) -> Self {
        let same = |new: &Deployment| {
            before.deployments.get(&new.id).is_some_and(|old| {
                **old == *new
                    && before.template_of(old) == after.template_of(new)
                    && before.target_of(old) == after.target_of(new)
                    && before.workload_of(old) == after.workload_of(new)
                    && before.workspace_of(old) == after.workspace_of(new)
            })
        };
        let deployments = after.deployments.values().filter(|new| !same(new));
        let hosts =
            after.hosts.iter().filter(|(name, host)| before.hosts.get(*name) != Some(*host));
        let templates = after
            .templates
            .iter()
            .filter(|(id, template)| before.templates.get(*id) != Some(*template));
        Self {
            deployments: deployments.map(|deployment| deployment.id.clone()).collect(),
            hosts: hosts.map(|(name, _)| name.clone()).collect(),
            templates: templates.map(|(id, _)| id.clone()).collect(),
        }
    }

    /// What rendering finds in `fleet` wherever the change reaches.
    fn problems(&self, fleet: &Fleet, judge: &Judge) -> Result<Vec<Diagnostic>, GitError> {
        let schedule = schedule(fleet, &Assignments::default());
        let mut pairs = Pairs::default();
        let all = schedule.assignments.iter();
        let chosen = all.filter(|(deployment, host)| self.contains(deployment, host)).take(SAMPLE);
        chosen.for_each(|(deployment, host)| pairs.insert(deployment, host));
        let touched = |template: &Template| self.templates.contains(&template.id);
        let mut found = (judge.0)(fleet, &pairs)?;
        found.extend(check_unused(fleet, &schedule, touched));
        Ok(found)
    }

    fn contains(&self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.deployments.contains(deployment) || self.hosts.contains(host)
    }
}
