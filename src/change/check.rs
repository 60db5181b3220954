//! What is wrong with a config branch, rendering included, and what a change makes worse.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::git::GitError;
use crate::model::{Assignments, Diagnostic, Fleet, Pairs, Revision, SourceFile, Template};
use crate::parse::{Parsed, parse};
use crate::plan::{Core, check_unused, evaluate, problems};

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

/// Judges changes, one after the other. It remembers the fleet of the last, so that the next costs what
/// differs from there.
#[derive(Debug)]
pub struct Checker {
    judge: Judge,
    core: Core,
}

impl Checker {
    #[must_use]
    pub fn new(judge: Judge) -> Self {
        Self { judge, core: Core::resume(Arc::default(), &Assignments::default()) }
    }

    /// The errors that `after` has and `before` has not. What was wrong before and is not made worse
    /// stands in nobody's way.
    ///
    /// # Errors
    /// When nothing can be rendered.
    pub fn new_errors(
        &mut self,
        before: &Parsed,
        after: &Parsed,
    ) -> Result<Vec<Diagnostic>, GitError> {
        self.go_to(&before.fleet);
        let pairs = self.go_to(&after.fleet);
        let worse = self.problems(&before.fleet, &after.fleet, &pairs)?;
        let mut old = before.diagnostics.clone();
        let mut errors = after.diagnostics.clone();
        if !worse.is_empty() {
            errors.extend(worse);
            self.go_to(&before.fleet);
            let there = &self.core.schedule().assignments;
            let mut same = Pairs::default();
            let both = pairs.iter().filter(|(id, host)| there.contains(id, host));
            both.for_each(|(id, host)| same.insert(id, host));
            old.extend(self.problems(&after.fleet, &before.fleet, &same)?);
        }
        Ok(surplus(&old, errors))
    }

    /// What rendering finds in the fleet where the change `reaches`, and in templates that are not as
    /// they are in the `other`.
    fn problems(
        &self,
        other: &Fleet,
        fleet: &Fleet,
        reaches: &Pairs,
    ) -> Result<Vec<Diagnostic>, GitError> {
        let mut found = (self.judge.0)(fleet, reaches)?;
        let same = |template: &Template| {
            other.templates.get(&template.id).is_some_and(|twin| **twin == *template)
        };
        if fleet.templates.values().any(|template| !same(template)) {
            found.extend(check_unused(fleet, self.core.schedule(), |template| !same(template)));
        }
        Ok(found)
    }

    /// Goes on to a fleet; gives what has to be rendered there that is not as in the last, or a sample.
    fn go_to(&mut self, fleet: &Arc<Fleet>) -> Pairs {
        if Arc::ptr_eq(self.core.fleet(), fleet) {
            return Pairs::default();
        }
        let step = self.core.advance(Arc::clone(fleet), &Assignments::default(), &Pairs::default());
        let mut pairs = Pairs::default();
        step.render.iter().take(SAMPLE).for_each(|(id, host)| pairs.insert(id, host));
        pairs
    }
}

/// Those of the new problems that are errors and not among the old. Lines move and places are many, so
/// a problem is known by what it says about which file.
fn surplus(old: &[Diagnostic], mut new: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for diagnostic in old {
        *known.entry(key(diagnostic)).or_default() += 1;
    }
    new.retain(|found| match known.get_mut(&key(found)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => found.is_error(),
    });
    new
}

fn key(diagnostic: &Diagnostic) -> (String, String, Option<String>) {
    let path = diagnostic.path.as_ref().map(ToString::to_string);
    (diagnostic.code.clone(), diagnostic.message.clone(), path)
}
