//! From a pass to what the ledger is to follow.

use std::collections::BTreeMap;

use super::reconcile::Pass;
use crate::git::{FleetRepository, GitError, Repository};
use crate::model::{Name, Revision, Runtime, Timestamp};
use crate::observe::{Delivery, Goal, HostGoal, Ledger, origin, origins};
use crate::publish::Rendered;

/// Tells the ledger what a pass left on the rendered branch.
///
/// # Errors
/// [`GitError`] when the rendered branch's history cannot be read.
pub(super) fn follow(
    repository: &Repository,
    ledger: &mut Ledger,
    pass: &Pass,
    rendered: &Rendered,
    now: Timestamp,
) -> Result<(), GitError> {
    let known = ledger.rendered();
    let (origins, origin) = match rendered.revision {
        Some(tip) if known == Some(tip) => (BTreeMap::new(), origin(repository, tip, now)?),
        Some(tip) => (origins(repository, known, tip, now)?, origin(repository, tip, now)?),
        None => (BTreeMap::new(), None),
    };
    let trees = rendered.trees.iter().map(|(d, host, tree)| (d.on(host), tree)).collect();
    let unplaced = pass.unplaced.iter();
    let goal = Goal {
        source: pass.source.id,
        rendered: rendered.revision.map(|revision| (revision, rendered.generation)),
        hosts: &hosts(pass, rendered),
        trees: &trees,
        origins: &origins,
        origin,
        held: &pass.held,
        unplaced: &unplaced.map(|(id, why)| (id.to_string(), why.reason.clone())).collect(),
        diagnostics: &pass.diagnostics,
        limits: &pass.settings.limits,
    };
    ledger.reconciled(&goal, now);
    Ok(())
}

/// One pass's outcome, written to the status branch by somebody who does not stay: `titan reconcile`.
/// Hosts are not judged, as nobody listened to them.
///
/// # Errors
/// [`GitError`] when the status branch cannot be read or written.
pub fn record(
    repository: &FleetRepository,
    pass: &Pass,
    rendered: &Rendered,
    now: Timestamp,
) -> Result<Option<Revision>, GitError> {
    let settings = &pass.settings;
    let git = &repository.repository;
    let head = git.branch(&settings.branches.status)?;
    let mut ledger = Ledger::load(git, head, &settings.limits, now)?;
    follow(git, &mut ledger, pass, rendered, now)?;
    ledger.flush(repository, &settings.branches.status, now)
}

fn hosts(pass: &Pass, rendered: &Rendered) -> BTreeMap<Name, HostGoal> {
    let folders = rendered.folders.iter();
    let goal = |host: &Name| {
        pass.fleet.hosts.get(host).map(|host| match host.spec.runtime {
            Runtime::External => Delivery::External,
            Runtime::Kubernetes | Runtime::Docker | Runtime::Directory => Delivery::Agent,
        })
    };
    let hosts = folders.map(|(host, folder)| {
        (host.clone(), HostGoal { folder: folder.clone(), delivery: goal(host) })
    });
    hosts.collect()
}
