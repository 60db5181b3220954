//! One pass: look → compare → plan → carry out → hook, and the view of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::pull::{PullError, Seen};
use super::source::Source;
use super::state::State;
use super::view::{self, Failure, Memory, View};
use super::work::{Done, work};
use super::{Config, Summary, aside, now, random};
use crate::deliver::{Backoff, Cause, Change, DeliverError, Delivery, Desired, Runtime, clean};
use crate::model::{DeploymentRef, Phase, Revision, TreeId};
use crate::publish::Refused;

/// A pass that takes longer says that it is under way.
const SILENCE: Duration = Duration::from_secs(1);
/// Assignments that are gone and still told of.
const REMOVED: usize = 1000;

/// The loop's state: everything that outlives a pass.
#[derive(Debug)]
pub(super) struct Agent<R> {
    pub(super) config: Config,
    pub(super) delivery: Delivery<R>,
    pub(super) state: State,
    pub(super) views: watch::Sender<Option<Arc<View>>>,
    source: Source,
    memory: Memory,
    /// The desired state that was accepted last.
    desired: Option<Desired>,
    /// What had drifted when the host was looked at last, and is not healed.
    drifted: BTreeSet<DeploymentRef>,
    retries: BTreeMap<DeploymentRef, Retry>,
    hook_backoff: Backoff,
    hook_due: Option<Instant>,
    rendered: Option<Revision>,
    message: Option<String>,
}

/// What a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Only what the fleet asks for: a notification.
    Fleet,
    /// The host too.
    Everything,
}

/// When something that failed is tried again.
#[derive(Debug)]
struct Retry {
    tree: Option<TreeId>,
    backoff: Backoff,
    due: Instant,
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(300))
}

impl<R: Runtime> Agent<R> {
    pub(super) fn new(
        config: Config,
        delivery: Delivery<R>,
        state: State,
        source: Source,
        views: watch::Sender<Option<Arc<View>>>,
    ) -> Self {
        Self {
            desired: delivery.inventory().desired.clone(),
            drifted: BTreeSet::new(),
            config,
            delivery,
            state,
            views,
            source,
            memory: Memory::default(),
            retries: BTreeMap::new(),
            hook_backoff: backoff(),
            hook_due: None,
            rendered: None,
            message: None,
        }
    }

    /// When a pass is needed even if nothing happens: a hook or a change is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        let hook = self.delivery.inventory().hook.as_ref().and(self.hook_due);
        self.retries.values().map(|retry| retry.due).chain(hook).min()
    }

    pub(super) fn summary(&self) -> Summary {
        let view = self.views.borrow();
        let all = view.iter().flat_map(|view| view.assignments.values());
        let failed = all.filter(|report| report.phase == Phase::Failed);
        Summary { message: self.message.clone(), failed: failed.count() }
    }

    pub(super) async fn pass(&mut self, scope: Scope) {
        let looked = self.look().await;
        let problem = looked.as_ref().err().map(ToString::to_string);
        let wanted = match looked {
            Ok(seen) => {
                self.rendered = Some(seen.rendered);
                Some(desired(&seen, self.desired.as_ref()))
            }
            Err(_) => self.desired.clone(),
        };
        self.set_message(problem);
        let Some(wanted) = wanted else { return self.publish(None) };
        if scope == Scope::Everything {
            match self.delivery.drifted().await {
                Ok(drifted) => self.drifted = drifted,
                Err(error) => self.set_message(Some(error.to_string())),
            }
        }
        let (desired, changes) = self.prepare(wanted).await;
        self.desired = Some(desired.clone());
        if changes.is_empty() && !self.is_hook_due() {
            return self.publish(Some(&desired));
        }
        let done = self.carry_out(&desired, &changes).await;
        self.remember(&desired, &changes, done);
        self.publish(Some(&desired));
    }

    async fn look(&mut self) -> Result<Arc<Seen>, PullError> {
        let lowest = self.state.generation();
        let seen = self.source.look(lowest).await?;
        if let Err(error) = aside(|| self.state.saw_generation(seen.generation)) {
            tracing::warn!(%error, "cannot remember the generation");
        }
        Ok(seen)
    }

    /// The changes that can be made now, with copies of all manifests that they need. Where the
    /// manifests of the newest state cannot be had, nothing of it is acted upon: the last one holds.
    async fn prepare(&mut self, wanted: Desired) -> (Desired, Vec<Change>) {
        let mut changes = self.plan(&wanted);
        let Err(error) = self.fetch(&mut changes).await else { return (wanted, changes) };
        self.set_message(Some(error));
        let Some(last) = self.desired.clone() else { return (wanted, Vec::new()) };
        let mut changes = self.plan(&last);
        changes.retain(|change| match change {
            Change::Apply { tree, .. } => aside(|| self.delivery.has(*tree)).unwrap_or(false),
            Change::Remove { .. } => true,
        });
        (last, changes)
    }

    /// What is to be done and not being waited for after a failure.
    fn plan(&mut self, desired: &Desired) -> Vec<Change> {
        let mut changes = self.delivery.plan(desired, &self.drifted);
        let planned: BTreeSet<_> =
            changes.iter().map(|change| change.deployment().clone()).collect();
        self.retries.retain(|deployment, _| planned.contains(deployment));
        self.memory.failures.retain(|deployment, _| planned.contains(deployment));
        changes.retain(|change| {
            let retry = self.retries.get(change.deployment());
            retry.is_none_or(|retry| retry.tree != tree(change) || retry.due <= Instant::now())
        });
        changes
    }

    /// Sees to it that there is a copy of every tree that is to be applied. An assignment whose
    /// manifests are refused has failed, and is left out.
    async fn fetch(&mut self, changes: &mut Vec<Change>) -> Result<(), String> {
        let mut refused = Vec::new();
        for change in &*changes {
            let Change::Apply { tree, .. } = *change else { continue };
            if aside(|| self.delivery.has(tree)).map_err(|error| error.to_string())? {
                continue;
            }
            let manifests = match self.source.manifests(tree).await {
                Ok(manifests) => manifests,
                Err(PullError::Refused(why)) => {
                    refused.push((change.clone(), why));
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            aside(|| self.delivery.keep(tree, &manifests)).map_err(|error| error.to_string())?;
        }
        for (change, why) in refused {
            changes.retain(|other| *other != change);
            self.failed(&change, why.into());
        }
        Ok(())
    }

    fn is_hook_due(&self) -> bool {
        let pending = self.delivery.inventory().hook.is_some();
        pending && self.hook_due.is_none_or(|due| due <= Instant::now())
    }

    /// Does the changes and runs the hook. Says so first if that takes its time.
    async fn carry_out(&mut self, desired: &Desired, changes: &[Change]) -> Done {
        let under_way = self.view(Some(desired), |all| {
            for change in changes.iter().filter(|change| !is_healing(change)) {
                all.insert(change.deployment().clone(), view::under_way(change, desired));
            }
        });
        let work = work(&self.config, &mut self.delivery, desired, changes);
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(SILENCE) => {}
        }
        show(&self.views, under_way);
        work.await
    }

    fn remember(&mut self, desired: &Desired, changes: &[Change], mut done: Done) {
        if let Some(error) = done.state {
            self.set_message(Some(error.to_string()));
        }
        for change in changes {
            let deployment = change.deployment();
            if let Some(error) = done.failed.remove(deployment) {
                self.failed(change, Failure::from(&error));
                continue;
            }
            self.retries.remove(deployment);
            self.drifted.remove(deployment);
            self.memory.failures.remove(deployment);
            if is_healing(change) {
                self.memory.healed.insert(deployment.clone());
            } else {
                self.memory.healed.remove(deployment);
            }
            self.memory.removed.remove(deployment);
            let owned = self.delivery.inventory().assignments.contains_key(deployment);
            if matches!(change, Change::Remove { .. }) && !owned {
                if self.memory.removed.len() >= REMOVED {
                    self.memory.removed.pop_first();
                }
                let report = view::removed(deployment, desired);
                self.memory.removed.insert(deployment.clone(), report);
            }
            tracing::info!(%deployment, "{}", change.done());
        }
        match done.hook {
            Some(Err(error)) => {
                let output = clean(&error.to_string());
                tracing::warn!(output, "the hook failed");
                self.memory.hook = Some(output);
                self.hook_due = Some(Instant::now() + self.hook_backoff.fail(random()));
            }
            Some(Ok(())) => {
                self.memory.hook = None;
                self.hook_backoff.reset();
                self.hook_due = None;
            }
            None => {}
        }
    }

    fn failed(&mut self, change: &Change, failure: Failure) {
        let deployment = change.deployment();
        let known = self.memory.failures.insert(deployment.clone(), failure.clone());
        if known.as_ref() != Some(&failure) {
            let Failure { reason, message } = failure;
            tracing::warn!(%deployment, reason, message, "cannot deliver");
        }
        let fresh = || Retry { tree: tree(change), backoff: backoff(), due: Instant::now() };
        let retry = self.retries.entry(deployment.clone()).or_insert_with(fresh);
        if retry.tree != tree(change) {
            *retry = fresh();
        }
        retry.due = Instant::now() + retry.backoff.fail(random());
    }

    /// Logs a problem of the host as a whole once, until it changes.
    fn set_message(&mut self, message: Option<String>) {
        let message = message.map(|message| clean(&message));
        if self.message != message {
            match &message {
                Some(problem) => tracing::warn!(problem, "held back"),
                None => tracing::info!("the fleet can be read"),
            }
        }
        self.message = message;
    }

    fn publish(&self, desired: Option<&Desired>) {
        show(&self.views, self.view(desired, |_| {}));
    }

    fn view(
        &self,
        desired: Option<&Desired>,
        edit: impl FnOnce(&mut BTreeMap<DeploymentRef, crate::model::AssignmentReport>),
    ) -> View {
        let inventory = self.delivery.inventory();
        let mut assignments = desired
            .map(|desired| view::assignments(inventory, desired, &self.memory))
            .unwrap_or_default();
        edit(&mut assignments);
        let rendered = self.rendered.or_else(|| desired.map(|desired| desired.rendered));
        View { rendered, message: self.message.clone(), assignments }
    }
}

/// Shows the reporters a view; one that says nothing new wakes nobody.
fn show(views: &watch::Sender<Option<Arc<View>>>, view: View) {
    views.send_if_modified(|shown| {
        let news = shown.as_deref() != Some(&view);
        if news {
            *shown = Some(Arc::new(view));
        }
        news
    });
}

/// The desired state that was seen; the last one where nothing differs, so that its revision and
/// times stay those of the change.
fn desired(seen: &Seen, last: Option<&Desired>) -> Desired {
    match last {
        Some(last) if last.tree == seen.tree => last.clone(),
        _ => Desired {
            rendered: seen.rendered,
            generation: seen.generation,
            tree: seen.tree,
            received: now(),
            assignments: seen.assignments.clone(),
        },
    }
}

impl From<&DeliverError> for Failure {
    fn from(error: &DeliverError) -> Self {
        Self { reason: error.reason(), message: clean(&error.to_string()) }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self { reason: refused.reason(), message: clean(&refused.to_string()) }
    }
}

fn tree(change: &Change) -> Option<TreeId> {
    match change {
        Change::Apply { tree, .. } => Some(*tree),
        Change::Remove { .. } => None,
    }
}

fn is_healing(change: &Change) -> bool {
    matches!(change, Change::Apply { cause: Cause::Drifted, .. })
}
