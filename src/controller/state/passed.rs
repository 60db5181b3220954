//! After a pass: the ledger, the API, the log and the numbers learn what it came to.

use std::error::Error;
use std::sync::Arc;

use super::{State, aside};
use crate::controller::reconcile::Pass;
use crate::controller::timings::millis;
use crate::controller::{goal, tell};
use crate::model::Timestamp;
use crate::observe::Snapshot;

impl State {
    pub(super) fn take_over(&mut self, pass: Box<Pass>) {
        let took_ms = millis(pass.timings.total());
        self.wrote = true;
        for commit in &pass.commits {
            tracing::info!(
                source = %commit.source.id.short(), rendered = %commit.revision.short(),
                generation = commit.generation, assignments = commit.changed.count(), took_ms,
                by = if commit.own { "this controller" } else { "another" },
                "rendered"
            );
        }
        tracing::debug!(stages = %pass.timings, "a pass");
        if pass.commits.is_empty() {
            tracing::info!(source = %pass.source.id.short(), took_ms, "nothing to render");
        }
        for commit in &pass.healed {
            tracing::warn!(commit = %commit.short(), "the rendered branch was changed by somebody else; taken back");
        }
        let new = self.seen.is_none_or(|(config, _)| config != Some(pass.source.id));
        for (what, why) in pass.held.iter().filter(|_| new) {
            tracing::warn!(%what, %why, "held");
        }
        self.settings = pass.settings.clone();
        let rendered = self.reconciler.as_ref().and_then(|reconciler| reconciler.rendered());
        self.seen = Some((Some(pass.source.id), rendered.and_then(|rendered| rendered.revision)));
        self.follow(&pass);
        if tell::is_rendered(&pass) {
            self.done = Some(pass.source.id);
        }
        tell::passed(&self.config.vitals, &pass);
        tell::fleet(&self.config.vitals, &self.ledger);
        self.show(&pass);
        self.unchecked = pass.unchecked.then_some(pass);
    }

    /// Shows the API what is known after a pass.
    pub(super) fn show(&self, pass: &Pass) {
        let mut fleet = Arc::clone(&pass.fleet);
        if fleet.held.all.is_some() {
            // Who is who does not become unknown because somebody broke `titan.yaml`.
            Arc::make_mut(&mut fleet).settings = pass.settings.clone();
        }
        let mut snapshot = Snapshot {
            rendered: self.seen.and_then(|(_, rendered)| rendered),
            diagnostics: Arc::new(pass.diagnostics.clone()),
            held: Arc::new(pass.held.clone()),
            ..Snapshot::of(&fleet, &self.outbox.snapshots.borrow())
        };
        let rendered = self.reconciler.as_ref().and_then(|reconciler| reconciler.rendered());
        if let Some(rendered) = rendered {
            snapshot.keep_folders(&rendered.folders);
        }
        // First, lest somebody takes the first snapshot for one without statuses.
        self.show_status();
        self.outbox.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Shows the API where the status branch is, whoever moved it. It is read here, so that it never goes back.
    pub(super) fn show_status(&self) {
        let git = &self.config.repository.repository;
        let Ok(head) = aside(|| git.branch(&self.settings.branches.status)) else { return };
        self.outbox.status.send_if_modified(|shown| std::mem::replace(shown, head) != head);
    }

    /// Tells the ledger.
    pub(super) fn follow(&mut self, pass: &Pass) {
        let rendered = self.reconciler.as_ref().and_then(|reconciler| reconciler.rendered());
        let Some(rendered) = rendered else { return };
        let git = &self.config.repository.repository;
        let ledger = &mut self.ledger;
        if let Err(error) = aside(|| goal::follow(git, ledger, pass, rendered, Timestamp::now())) {
            tracing::error!(
                error = &error as &dyn Error,
                "the rendered branch cannot be followed; it is tried again"
            );
            self.seen = None;
        }
    }
}
