//! One pass: from the head of the config branch to the head of the rendered branch.
//!
//! ```text
//!  last rendered source ──▶ c1 ──▶ c2 ──▶ head          config branch, first parents
//!           │               │      │       │            parse → schedule → render → publish, in order
//!           ▼               ▼      ▼       ▼
//!        rendered ───────▶ r1 ──▶ (none) ─▶ r3          the branch moves once, to r3
//! ```
//! Every commit is rendered on top of what the one before left, so the rendered history follows from
//! the source history alone, whoever renders it and whenever (invariant I3). What a pass knows
//! afterwards it keeps for the next one, which then costs what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backlog::{Backlog, backlog, further, whole_head};
use super::known::{Check, Known};
use super::timings::{Stage, Timings};
use super::workers::Workers;
use crate::git::{
    CommitInfo, FleetRepository, GitError, Objects, RefUpdate, Repository, settings_at,
};
use crate::model::{DeploymentRef, Diagnostic, Fleet, FleetSpec, Revision, Unplaced};
use crate::observe;
use crate::parse::parse;
use crate::plan::Step;
use crate::publish::{self, Changed, Published, Rendered};

/// What one pass found and did.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The head of the config branch.
    pub source: CommitInfo,
    /// The fleet at that head.
    pub fleet: Arc<Fleet>,
    /// Its settings, or those before they became unreadable.
    pub settings: FleetSpec,
    /// Deployments that got fewer hosts than they want.
    pub unplaced: BTreeMap<DeploymentRef, Unplaced>,
    /// All problems at that head, those of rendering included.
    pub diagnostics: Vec<Diagnostic>,
    /// What is held back → why.
    pub held: BTreeMap<String, String>,
    /// The commits that the rendered branch got since the pass before, oldest first; none when nothing
    /// differs.
    pub commits: Vec<NewCommit>,
    /// Commits of others on the rendered branch whose changes this pass took back, newest first.
    pub healed: Vec<Revision>,
    /// What may differ from the pass before; `None`: anything, as the branches were read anew.
    pub touched: Option<observe::Changed>,
    /// What was rendered by others is still to be looked at ([`Reconciler::check_some`]): there may be
    /// more problems than are known yet.
    pub unchecked: bool,
    pub timings: Timings,
}

/// A commit that follows from a source commit.
#[derive(Debug, Clone)]
pub struct NewCommit {
    pub source: CommitInfo,
    pub revision: Revision,
    pub generation: u64,
    /// Assignments that are new or different (their tree) or gone (`None`).
    pub changed: Changed,
    /// This pass put it on the branch; otherwise another controller did, a moment before.
    pub own: bool,
}

/// How often a pass is redone because somebody else moved the rendered branch.
pub(super) const TRIES: u32 = 16;

/// Keeps a rendered branch up to date, pass after pass.
#[derive(Debug)]
pub struct Reconciler {
    repository: FleetRepository,
    workers: Arc<Workers>,
    /// As of the last pass; `None`: to be read.
    known: Option<Known>,
}

impl Reconciler {
    #[must_use]
    pub fn new(repository: FleetRepository, workers: Arc<Workers>) -> Self {
        Self { repository, workers, known: None }
    }

    /// Brings the rendered branch up to the head of the config branch. Where other controllers do the
    /// same, it comes to the same commits as they, whoever is first.
    ///
    /// # Errors
    /// [`GitError`] when Git or the remote fails, or the config branch does not exist. Nothing is half
    /// done then: the branch is where it was, or where another controller has put it.
    pub fn pass(&mut self) -> Result<Pass, GitError> {
        let mut tries = 0;
        let mut way = self.known.take().map(Way::on);
        loop {
            match self.attempt(&mut way) {
                Err(GitError::Conflict { .. }) if tries < TRIES => {
                    tries += 1;
                    self.repository.refresh()?;
                }
                Err(error) => return Err(error),
                Ok(pass) => {
                    self.known = way.map(|way| way.known);
                    return Ok(pass);
                }
            }
        }
    }

    /// The rendered branch as the last pass left it.
    #[must_use]
    pub fn rendered(&self) -> Option<&Rendered> {
        self.known.as_ref().map(|known| &known.rendered)
    }

    /// Whether everything that is on the rendered branch is known to be what titan renders.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.check == Check::Done)
    }

    /// Renders a part of what the branch holds and compares. `true` when something differs: the next
    /// pass renders everything again.
    ///
    /// # Errors
    /// When rendering is not possible here.
    pub fn check_some(&mut self) -> Result<bool, GitError> {
        let Some(known) = &mut self.known else { return Ok(false) };
        known.check_some(&self.workers)
    }

    /// What is held back → why, and all problems, as far as they are known.
    #[must_use]
    pub fn problems(&self) -> (BTreeMap<String, String>, Vec<Diagnostic>) {
        let known = self.known.as_ref();
        known.map_or_else(Default::default, |known| (known.held(), known.diagnostics()))
    }

    fn attempt(&self, at: &mut Option<Way>) -> Result<Pass, GitError> {
        let git = &self.repository.repository;
        let Heads { head, settings, before } = self.heads()?;
        self.repository.adopt(&settings.limits);
        // All that the pass writes becomes durable at once, before the branch moves.
        let objects = git.begin();
        let way = loop {
            let way = match at.take() {
                Some(way) if way.may_reach(git, before)? => at.insert(way),
                _ => at.insert(Way::from(git, before)?),
            };
            match way.known.backlog(git, head, settings.limits.backlog)? {
                Some(Backlog::Commits(revisions)) => way.go(&objects, revisions, &self.workers)?,
                Some(Backlog::Rewritten { last }) => {
                    return rewritten(git, &way.known, (head, settings), last);
                }
                None => {
                    *at = None;
                    continue;
                }
            }
            if way.position(before).is_some() {
                break way;
            }
            // A hand was on it, or another version of titan: it is read anew.
            *at = None;
        };
        let (branch, new) = (&settings.branches.rendered, way.known.rendered.revision);
        let mut done = way.position(before).expect("because the loop ended");
        if done < way.commits.len() && git.branch(branch)? == new {
            // Another controller was a moment faster.
            done = way.commits.len();
        }
        if let Some(new) = new.filter(|_| done < way.commits.len()) {
            let update = RefUpdate { branch: branch.clone(), expected: before, new };
            way.timings.time(Stage::Write, || {
                objects.finish()?;
                self.repository.publish(&[update])
            })?;
            way.commits[done..].iter_mut().for_each(|commit| commit.own = true);
        } else if way.commits.is_empty() && !way.foreign.is_empty() {
            // Somebody did by hand what titan would have done.
            way.known.rendered = publish::read(git, before)?;
        }
        Ok(way.pass(settings))
    }

    /// Where the branches are: the rendered one first, so that all that is on it follows from `head`.
    fn heads(&self) -> Result<Heads, GitError> {
        let git = &self.repository.repository;
        let mut head = whole_head(&self.repository)?;
        let mut settings = settings_at(git, head)?;
        let before = git.branch(&settings.branches.rendered)?;
        let newer = whole_head(&self.repository)?;
        if newer != head {
            (head, settings) = (newer, settings_at(git, newer)?);
        }
        Ok(Heads { head, settings, before })
    }
}

/// What a pass starts with.
struct Heads {
    /// Of the config branch.
    head: Revision,
    settings: FleetSpec,
    /// Of the rendered branch.
    before: Option<Revision>,
}

/// What a pass has done so far: the rendered commits from where it set out, one by one.
///
/// ```text
///  from ──▶ r1 ──▶ r2 ──▶ r3     those up to the branch's head were put there by another controller,
///                   ▲            which came to the same; the rest is for this one to publish
///                   branch
/// ```
#[derive(Debug)]
struct Way {
    known: Known,
    from: Option<Revision>,
    commits: Vec<NewCommit>,
    /// See [`Pass::touched`].
    touched: Option<observe::Changed>,
    foreign: Vec<Revision>,
    source: Option<CommitInfo>,
    timings: Timings,
}

impl Way {
    /// From where the last pass ended.
    fn on(known: Known) -> Self {
        let (from, foreign) = (known.rendered.revision, known.rendered.foreign.clone());
        Self {
            known,
            from,
            commits: Vec::new(),
            touched: Some(observe::Changed::default()),
            foreign,
            source: None,
            timings: Timings::default(),
        }
    }

    /// From what is on the branch.
    fn from(git: &Repository, head: Option<Revision>) -> Result<Self, GitError> {
        let mut timings = Timings::default();
        let known = timings.time(Stage::Read, || Known::load(git, head))?;
        Ok(Self { touched: None, timings, ..Self::on(known) })
    }

    /// Whether the branch's head is on this way, or may be before long: others may have gone further.
    fn may_reach(&self, git: &Repository, head: Option<Revision>) -> Result<bool, GitError> {
        if self.position(head).is_some() {
            return Ok(true);
        }
        match (self.known.rendered.revision, head) {
            (Some(tip), Some(head)) if self.foreign.is_empty() => git.is_ancestor(tip, head),
            _ => Ok(false),
        }
    }

    /// How many of the commits are on the branch; `None`: the branch is not on this way.
    fn position(&self, head: Option<Revision>) -> Option<usize> {
        if head == self.from {
            return Some(0);
        }
        let found = self.commits.iter().position(|commit| Some(commit.revision) == head);
        found.map(|at| at + 1)
    }

    /// Renders source commits, one after the other.
    fn go(
        &mut self,
        objects: &Objects,
        revisions: Vec<Revision>,
        workers: &Workers,
    ) -> Result<(), GitError> {
        for revision in revisions {
            let done = self.known.render(objects, revision, workers, &mut self.timings)?;
            if let Some(touched) = &mut self.touched {
                let Step { render, others, hosts, differing, .. } = &done.step;
                touched.hosts.extend(hosts.iter().chain(differing).cloned());
                touched.pairs.extend(render);
                touched.pairs.extend(others);
            }
            if let Published::Committed(commit) = done.published {
                self.commits.push(NewCommit {
                    source: done.source.clone(),
                    revision: commit.revision,
                    generation: commit.generation,
                    changed: commit.changed,
                    own: false,
                });
            }
            self.source = Some(done.source);
            self.known.seen = Some(revision);
        }
        Ok(())
    }

    /// What was found and done.
    fn pass(&mut self, settings: FleetSpec) -> Pass {
        let source = self.source.take().expect("the backlog holds at least the head");
        let mut pass = self.known.pass(source, settings);
        pass.commits = std::mem::take(&mut self.commits);
        if pass.commits.iter().any(|commit| commit.own) {
            pass.healed = std::mem::take(&mut self.foreign);
        }
        (pass.touched, pass.timings) = (self.touched.take(), std::mem::take(&mut self.timings));
        pass
    }
}

/// A pass that does nothing: the config branch no longer holds what was rendered last. The fleet is
/// the one that was, as far as it is still known.
fn rewritten(
    git: &Repository,
    known: &Known,
    (head, settings): (Revision, FleetSpec),
    last: Revision,
) -> Result<Pass, GitError> {
    let now = parse(Some(head), &git.source_files(head, crate::parse::limits)?);
    let reason = format!(
        "the config branch was rewritten: it no longer contains {}, which was rendered last; fix: put it back, or `titan resume --accept {head}`",
        last.short()
    );
    let mut pass = known.pass(git.commit(head)?, settings);
    if pass.fleet.revision.is_none() {
        pass.fleet = now.fleet;
    }
    pass.diagnostics = now.diagnostics;
    pass.held = BTreeMap::from([("history".to_owned(), reason)]);
    pass.unplaced.clear();
    pass.unchecked = false;
    Ok(pass)
}

impl Known {
    /// What is still to be rendered. Commits that led to nothing are not looked at again.
    fn backlog(
        &self,
        git: &Repository,
        head: Revision,
        most: u32,
    ) -> Result<Option<Backlog>, GitError> {
        match self.seen {
            Some(seen) if self.rendered.resume.is_none() => further(git, seen, head, most),
            _ => backlog(git, &self.rendered, head, most).map(Some),
        }
    }

    /// What there is to say about it, with nothing done.
    fn pass(&self, source: CommitInfo, settings: FleetSpec) -> Pass {
        Pass {
            source,
            fleet: Arc::clone(self.fleet()),
            settings,
            unplaced: self.schedule().unplaced.clone(),
            diagnostics: self.diagnostics(),
            held: self.held(),
            commits: Vec::new(),
            healed: Vec::new(),
            touched: None,
            unchecked: self.check != Check::Done,
            timings: Timings::default(),
        }
    }
}
