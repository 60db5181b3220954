//! What a controller knows of the branches between passes, brought up to date commit by commit.
//!
//! ```text
//!  source commit ──▶ [sources] fleet ──▶ plan::Core ──▶ what may differ ──▶ [workers] trees made
//!                                                                              │
//!        Rendered, errors, what is pending  ◀── publish ◀── guard ◀────────────┘
//! ```
//! All of it follows from Git: thrown away, it is read again. It only saves the work that was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sources::Sources;
use super::timings::{Stage, Timings};
use super::workers::{Onto, Outcomes, Workers};
use crate::git::{CommitInfo, GitError, Objects, Repository, empty_tree};
use crate::model::{
    AssignmentRef, DeploymentRef, Diagnostic, Fleet, Name, Pairs, Revision, Schedule, TreeId, Trees,
};
use crate::plan::guard::{self, After, Before, HeldRemovals, Pending};
use crate::plan::{self, Core, Step};
use crate::publish::{self, Published, Rendered, RenderedPlan};

/// See the module.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) rendered: Rendered,
    /// The source commit that was rendered last by this process, whether that made any difference or not.
    pub(super) seen: Option<Revision>,
    sources: Sources,
    core: Core,
    /// Assignments that cannot be rendered, and why.
    errors: BTreeMap<AssignmentRef, Vec<Diagnostic>>,
    /// Removals that the guard held back at the last commit.
    pending: Pairs,
    removals: Option<String>,
    /// What differs among the current assignments since the core looked at them.
    moved: Pairs,
    /// Where the check goes on of what was rendered before this process knew of it.
    pub(super) check: Check,
}

/// How far what the branch holds was compared with what would be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// From this host on it was not (`None`: not at all).
    From(Option<Name>),
    Done,
}

/// An assignment whose folder is not what titan renders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deviation {
    pub(super) pair: AssignmentRef,
    pub(super) found: Option<TreeId>,
    pub(super) expected: Option<TreeId>,
}

/// One source commit, rendered on top of what was there before.
pub(super) struct Rendering {
    pub(super) source: CommitInfo,
    pub(super) published: Published,
    pub(super) step: Step,
}

impl Known {
    /// Reads what the rendered branch holds at `head`, and the fleet that it was rendered from.
    ///
    /// # Errors
    /// [`GitError`] when the branch cannot be read.
    pub(super) fn load(repository: &Repository, head: Option<Revision>) -> Result<Self, GitError> {
        let rendered = publish::read_last(repository, head)?;
        let mut sources = Sources::default();
        // What a person accepted does not continue from there.
        let source = rendered.source.filter(|_| rendered.resume.is_none());
        let fleet = source.map(|source| sources.read(repository, source)).transpose();
        let mut core = match fleet {
            Ok(Some(fleet)) => Core::resume(fleet, &rendered.current),
            Ok(None) => Core::new(),
            // It may be gone from this clone.
            Err(GitError::Object { .. }) => {
                sources = Sources::default();
                Core::new()
            }
            Err(error) => return Err(error),
        };
        let check = if core.fleet().revision.is_some() {
            let own = rendered.renderer.as_deref() == Some(env!("CARGO_PKG_VERSION"));
            if !own || !rendered.strangers.is_empty() {
                core.doubt();
            }
            Check::From(None)
        } else {
            Check::Done
        };
        let mut pending = Pairs::default();
        if rendered.held_removals.is_some() {
            rendered
                .trees
                .iter()
                .for_each(|(deployment, host, _)| pending.insert(deployment, host));
        }
        Ok(Self {
            rendered,
            seen: None,
            sources,
            core,
            errors: BTreeMap::new(),
            pending,
            removals: None,
            moved: Pairs::default(),
            check,
        })
    }

    pub(super) fn fleet(&self) -> &Arc<Fleet> {
        self.core.fleet()
    }

    pub(super) fn schedule(&self) -> &Schedule {
        self.core.schedule()
    }

    /// Renders one source commit; objects are written, no ref moves.
    ///
    /// # Errors
    /// [`GitError`]; then this is of no use any more.
    pub(super) fn render(
        &mut self,
        objects: &Objects,
        revision: Revision,
        workers: &Workers,
        timings: &mut Timings,
    ) -> Result<Rendering, GitError> {
        let repository = objects.repository();
        let source = repository.commit(revision)?;
        let fleet = timings.time(Stage::Read, || self.sources.read(repository, revision))?;
        let moved = std::mem::take(&mut self.moved);
        let mut step = timings.time(Stage::Schedule, || {
            self.core.advance(Arc::clone(&fleet), &self.rendered.current, &moved)
        });
        self.complete(&mut step);
        let onto = Onto { objects, there: &self.rendered.trees };
        let outcomes =
            timings.time(Stage::Render, || workers.render(&fleet, &step.render, Some(onto)))?;
        let Outcomes { mut made, failed } = outcomes;
        let mut held = plan::held(&fleet);
        held.extend(failed.iter().map(|(pair, problems)| named(pair, problems)));
        self.note(&step, failed);
        let removals = self.guard(&fleet, &mut step, &mut made, &source);
        self.removals = removals.as_ref().map(|removals| removals.reason.clone());
        held.extend(self.removals.clone().map(|reason| ("removals".to_owned(), reason)));
        let plan = RenderedPlan {
            fleet: &fleet,
            schedule: self.core.schedule(),
            touched: [&step.render, &step.others],
            hosts: &step.hosts,
            recorded: &step.recorded,
            made: &made,
            held: &held,
            removals: removals.as_ref(),
        };
        let mut published = timings.time(Stage::Publish, || {
            publish::publish(objects, &mut self.rendered, &plan, &source)
        })?;
        if let Published::Committed(commit) = &mut published {
            self.moved = std::mem::take(&mut commit.moved);
        }
        Ok(Rendering { source, published, step })
    }

    /// Where nothing is relied on, all that the branch holds is looked at.
    fn complete(&self, step: &mut Step) {
        if step.everything {
            step.hosts.extend(self.rendered.folders.keys().cloned());
            step.recorded.extend(self.rendered.records.iter().cloned());
            for (deployment, host, _) in self.rendered.trees.iter() {
                if !step.render.contains(deployment, host) {
                    step.others.insert(deployment, host);
                }
            }
        }
    }

    /// Keeps what cannot be rendered, until it is looked at again.
    fn note(&mut self, step: &Step, failed: BTreeMap<AssignmentRef, Vec<Diagnostic>>) {
        if !self.errors.is_empty() {
            self.errors.retain(|AssignmentRef { deployment, host }, _| {
                !step.render.contains(deployment, host) && !step.others.contains(deployment, host)
            });
        }
        self.errors.extend(failed);
    }

    /// Looks at what would be removed. What has to stay is taken out of `made`, and what was pending
    /// before is looked at again.
    fn guard(
        &mut self,
        fleet: &Fleet,
        step: &mut Step,
        made: &mut Trees,
        source: &CommitInfo,
    ) -> Option<HeldRemovals> {
        if fleet.held.all.is_some() {
            // Nothing is removed or moved now; what was pending is so still when that is mended.
            return None;
        }
        let rendered = &self.rendered;
        for (deployment, host) in self.pending.iter() {
            step.others.insert(deployment, host);
            step.hosts.insert(host.clone());
            step.recorded.insert(deployment.clone());
        }
        let of_host =
            |host| rendered.trees.of(host).keys().map(move |deployment| (deployment, host));
        let mut empty = Pairs::default();
        let none = made.iter().filter(|(_, _, tree)| *tree == empty_tree());
        none.for_each(|(deployment, host, _)| empty.insert(deployment, host));
        let chosen = step.touched().chain(step.hosts.iter().flat_map(of_host));
        let Rendered { trees, folders, held_removals, .. } = rendered;
        let before = Before { trees, folders, held: *held_removals };
        let after = After { fleet, schedule: self.core.schedule(), empty: &empty };
        let pending = guard::pending(&before, &after, chosen);
        let removals = guard::guard(&before, &after, &pending, &source.trailers);
        let Pending { removals: pairs, .. } = pending;
        self.pending = Pairs::default();
        if let Some(removals) = &removals {
            for (deployment, host) in removals.untouched.iter() {
                made.set(deployment, host, None);
            }
            step.recorded.extend(pairs.iter().map(|(deployment, _)| deployment.clone()));
            self.pending = pairs;
        }
        removals
    }

    /// What cannot be rendered. While everything is held, nobody tries.
    fn failing(&self) -> impl Iterator<Item = (&AssignmentRef, &Vec<Diagnostic>)> {
        let tried = self.core.fleet().held.all.is_none();
        self.errors.iter().filter(move |_| tried)
    }

    /// What is held back → why.
    pub(super) fn held(&self) -> BTreeMap<String, String> {
        let mut held = plan::held(self.core.fleet());
        held.extend(self.failing().map(|(pair, problems)| named(pair, problems)));
        held.extend(self.removals.clone().map(|reason| ("removals".to_owned(), reason)));
        held
    }

    /// All problems, those of rendering included; each once.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut known = BTreeSet::new();
        let all = self.failing().flat_map(|(_, problems)| problems);
        let new = all.filter(|problem| known.insert(problem.to_string())).cloned();
        self.sources.diagnostics().iter().cloned().chain(new).collect()
    }

    /// Renders what the next hosts run, and compares: errors become known, and what differs is rendered
    /// again by the next pass. `true` when something does.
    ///
    /// # Errors
    /// When the workers cannot be used.
    pub(super) fn check_some(&mut self, workers: &Workers) -> Result<bool, GitError> {
        let differs = !self.compare_some(workers, None)?.is_empty();
        if differs {
            self.core.doubt();
            self.check = Check::Done;
        }
        Ok(differs)
    }

    /// Renders everything again that the branch holds; what differs is returned. New objects go into
    /// `objects`.
    ///
    /// # Errors
    /// As [`Known::check_some`].
    pub(super) fn compare_all(
        &mut self,
        workers: &Workers,
        objects: &Objects,
    ) -> Result<Vec<Deviation>, GitError> {
        self.check = Check::From(None);
        let mut all = Vec::new();
        while self.check != Check::Done {
            all.extend(self.compare_some(workers, Some(objects))?);
        }
        Ok(all)
    }

    fn compare_some(
        &mut self,
        workers: &Workers,
        objects: Option<&Objects>,
    ) -> Result<Vec<Deviation>, GitError> {
        let Check::From(from) = self.check.clone() else { return Ok(Vec::new()) };
        let (pairs, next) = self.to_check(from.as_ref());
        let onto = objects.map(|objects| Onto { objects, there: &self.rendered.trees });
        let Outcomes { made, failed } = workers.render(self.core.fleet(), &pairs, onto)?;
        let mut deviations = Vec::new();
        for (deployment, host, tree) in made.iter() {
            let found = self.rendered.trees.get(deployment, host);
            let expected = Some(tree).filter(|tree| *tree != empty_tree());
            if found != expected && !self.pending.contains(deployment, host) {
                deviations.push(Deviation { pair: deployment.on(host), found, expected });
            }
        }
        deviations.extend(pairs.hosts.keys().flat_map(|host| self.surplus(host)));
        self.errors.extend(failed);
        self.check = next.map_or(Check::Done, |host| Check::From(Some(host)));
        Ok(deviations)
    }

    /// What the host has and nobody wants there.
    fn surplus(&self, host: &Name) -> Vec<Deviation> {
        let (schedule, held) = (self.core.schedule(), &self.core.fleet().held);
        let unwanted = |deployment: &DeploymentRef| {
            !(schedule.assignments.contains(deployment, host)
                || schedule.kept.contains(deployment, host)
                || held.deployments.contains_key(deployment)
                || self.pending.contains(deployment, host))
        };
        let surplus = self.rendered.trees.of(host).iter().filter(|(one, _)| unwanted(one));
        let deviation = |(deployment, tree): (&DeploymentRef, &TreeId)| Deviation {
            pair: deployment.on(host),
            found: Some(*tree),
            expected: None,
        };
        surplus.map(deviation).collect()
    }

    /// Some hosts with what is scheduled on them, and the host after them.
    fn to_check(&self, from: Option<&Name>) -> (Pairs, Option<Name>) {
        const HOSTS: usize = 256;
        let hosts = &self.core.fleet().hosts;
        let mut rest = match from {
            Some(from) => hosts.range(from.clone()..),
            None => hosts.range::<Name, _>(..),
        };
        let these: BTreeSet<&Name> = rest.by_ref().take(HOSTS).map(|(name, _)| name).collect();
        let none = these.iter().map(|host| ((*host).clone(), BTreeSet::new()));
        let mut pairs = Pairs { hosts: none.collect() };
        for (deployment, on) in &self.core.schedule().assignments.hosts {
            let (Some(first), Some(last)) = (these.first(), these.last()) else { break };
            for host in on.range::<Name, _>(*first..=*last) {
                pairs.insert(deployment, host);
            }
        }
        (pairs, rest.next().map(|(name, _)| name.clone()))
    }
}

/// `assignment a/b/c@x`, and the first thing that is wrong with it.
fn named(pair: &AssignmentRef, problems: &[Diagnostic]) -> (String, String) {
    let reason = problems.first().map_or_else(String::new, Diagnostic::to_string);
    (format!("assignment {pair}"), reason)
}
