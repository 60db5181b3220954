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

use super::backlog::{Backlog, backlog, whole_head};
use super::known::{Check, Known};
use super::timings::{Stage, Timings};
use super::workers::Workers;
use crate::git::{CommitInfo, FleetRepository, GitError, RefUpdate, Repository};
use crate::model::{DeploymentRef, Diagnostic, Fleet, FleetSpec, Revision, Unplaced};
use crate::observe;
use crate::parse::parse;
use crate::plan::Step;
use crate::publish::{self, Changed, Published, Rendered, settings_at};

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
    /// The commits that this pass put on the rendered branch, oldest first; none when nothing differs.
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

/// A commit that a pass put on the rendered branch.
#[derive(Debug, Clone)]
pub struct NewCommit {
    pub source: CommitInfo,
    pub revision: Revision,
    pub generation: u64,
    /// Assignments that are new or different (their tree) or gone (`None`).
    pub changed: Changed,
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

    /// Brings the rendered branch up to the head of the config branch.
    ///
    /// # Errors
    /// [`GitError`] when Git or the remote fails, or the config branch does not exist. Nothing is half
    /// done then: the branch is where it was, or where another controller has put it.
    pub fn pass(&mut self) -> Result<Pass, GitError> {
        let mut tries = 0;
        loop {
            // What is known counts only where all of it came to be on the branch.
            let known = self.known.take();
            match self.attempt(known) {
                Err(GitError::Conflict { .. }) if tries < TRIES => {
                    tries += 1;
                    self.repository.refresh()?;
                }
                outcome => return outcome,
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

    fn attempt(&mut self, known: Option<Known>) -> Result<Pass, GitError> {
        let git = &self.repository.repository;
        let mut timings = Timings::default();
        let head = whole_head(&self.repository)?;
        let settings = settings_at(git, head)?;
        self.repository.adopt(&settings.limits);
        let before = git.branch(&settings.branches.rendered)?;
        let warm = known.filter(|known| known.rendered.revision == before);
        let mut touched = warm.is_some().then(observe::Changed::default);
        let mut known = match warm {
            Some(known) => known,
            None => timings.time(Stage::Read, || Known::load(git, before))?,
        };
        let foreign = known.rendered.foreign.clone();
        let revisions = match backlog(git, &known.rendered, head, settings.limits.backlog)? {
            Backlog::Commits(revisions) => revisions,
            Backlog::Rewritten { last } => {
                let pass = rewritten(git, &known, (head, settings), last);
                self.known = Some(known);
                return pass;
            }
        };
        // All that the pass writes becomes durable at once, before the branch moves.
        let objects = git.begin();
        let (mut commits, mut source) = (Vec::new(), None);
        for revision in revisions {
            let done = known.render(&objects, revision, &self.workers, &mut timings)?;
            if let Some(touched) = &mut touched {
                let Step { render, others, hosts, differing, .. } = &done.step;
                touched.hosts.extend(hosts.iter().chain(differing).cloned());
                touched.pairs.extend(render);
                touched.pairs.extend(others);
            }
            if let Published::Committed(commit) = done.published {
                commits.push(NewCommit {
                    source: done.source.clone(),
                    revision: commit.revision,
                    generation: commit.generation,
                    changed: commit.changed,
                });
            }
            source = Some(done.source);
        }
        if let Some(new) = known.rendered.revision.filter(|_| !commits.is_empty()) {
            let branch = settings.branches.rendered.clone();
            let update = RefUpdate { branch, expected: before, new };
            timings.time(Stage::Write, || {
                objects.finish()?;
                self.repository.publish(&[update])
            })?;
        } else if !foreign.is_empty() {
            // Somebody did by hand what titan would have done.
            known.rendered = publish::read(git, before)?;
        }
        let mut pass = known.pass(source.expect("the backlog holds at least the head"), settings);
        pass.healed = if commits.is_empty() { Vec::new() } else { foreign };
        (pass.commits, pass.touched, pass.timings) = (commits, touched, timings);
        self.known = Some(known);
        Ok(pass)
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
