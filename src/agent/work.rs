//! Carrying out a plan: intent, changes, outcome, hook.

use std::collections::BTreeMap;

use super::{Config, aside, now};
use crate::deliver::{
    Change, DeliverError, Delivery, Desired, HookCall, HookError, PendingHook, Runtime,
};
use crate::model::DeploymentRef;

/// What became of the changes.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) failed: BTreeMap<DeploymentRef, DeliverError>,
    pub(super) hook: Option<Result<(), HookError>>,
    /// The state could not be written down.
    pub(super) state: Option<DeliverError>,
}

/// Does the changes, then runs the hook if it has still to be told of any. Dropped at any point, the
/// next pass finds on the disk what is to be done again.
pub(super) async fn work<R: Runtime>(
    config: &Config,
    delivery: &mut Delivery<R>,
    desired: &Desired,
    changes: &[Change],
) -> Done {
    let mut done = Done::default();
    if !changes.is_empty()
        && let Err(error) = deliver(config, delivery, desired, changes, &mut done).await
    {
        done.state = Some(error);
        return done;
    }
    let Some(changes) = delivery.inventory().hook.clone() else { return done };
    let call = HookCall {
        host: config.host.clone(),
        dest: config.dest.clone(),
        rendered: Some(desired.rendered),
        changes,
    };
    let result = match &config.hook {
        Some(hook) => hook.run(&call).await,
        None => Ok(()),
    };
    if result.is_ok() {
        delivery.deployed(now());
        done.state = aside(|| delivery.settle(None)).err();
    }
    done.hook = Some(result);
    done
}

async fn deliver<R: Runtime>(
    config: &Config,
    delivery: &mut Delivery<R>,
    desired: &Desired,
    changes: &[Change],
    done: &mut Done,
) -> Result<(), DeliverError> {
    aside(|| delivery.begin(desired, changes))?;
    let mut hook = delivery.inventory().hook.clone().unwrap_or_default();
    for change in changes {
        let deployment = change.deployment();
        match delivery.carry_out(change, desired, now).await {
            Err(error) => {
                done.failed.insert(deployment.clone(), error);
            }
            Ok(()) if matches!(change, Change::Remove { .. }) => {
                hook.changed.remove(deployment);
                hook.removed.insert(deployment.clone());
            }
            Ok(()) => {
                hook.removed.remove(deployment);
                hook.changed.insert(deployment.clone());
            }
        }
    }
    let needed = config.hook.is_some() && hook != PendingHook::default();
    if !needed {
        delivery.deployed(now());
    }
    aside(|| delivery.settle(needed.then_some(hook)))
}
