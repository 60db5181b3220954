//! Desired × inventory → a host: apply → prune → health, one driver per runtime.
//!
//! ```text
//!  Desired ──┐                      ┌─▶ Runtime::apply, remove, health      (directory; others to come)
//!            ├─ plan ──▶ [Change] ──┤
//!  Inventory ┘                      └─▶ Store: intent before, outcome after
//!      ▲                                  │
//!      └──────────────────────────────────┘      then the hook
//! ```
//!
//! The inventory is written twice in a pass: what is about to happen before the first change, what
//! has happened after the last. Killed in between, the next run finds both states' files in it, does
//! the same again, and loses, doubles or leaves nothing. Only what the inventory owns is ever removed.

mod backoff;
mod delivery;
mod directory;
mod error;
mod folder;
mod hook;
mod inventory;
mod plan;
mod store;

use std::future::Future;

pub use backoff::Backoff;
pub use delivery::Delivery;
pub use directory::{Directory, Swap};
pub use error::DeliverError;
pub use hook::{Hook, HookCall, HookError, clean};
pub use inventory::{Digest, DigestError, Inventory, Owned, Pending, PendingHook};
pub use plan::{Cause, Change, Desired, plan};
pub use store::Store;

use crate::model::{DeploymentRef, Manifests, RepoPath};

/// Where workloads run. All three may be called again after any failure or crash, with an inventory
/// entry that holds at least all that earlier calls may have written.
pub trait Runtime: Send + Sync {
    /// Makes `manifests`, and nothing else of titan's, what runs for `deployment`: as a unit where the
    /// runtime can.
    fn apply(
        &self,
        deployment: &DeploymentRef,
        owned: &Owned,
        manifests: &Manifests,
    ) -> impl Future<Output = Result<(), DeliverError>> + Send;

    /// Removes what titan owns of `deployment`.
    fn remove(
        &self,
        deployment: &DeploymentRef,
        owned: &Owned,
    ) -> impl Future<Output = Result<(), DeliverError>> + Send;

    /// Compares what is there with the inventory.
    fn health(
        &self,
        deployment: &DeploymentRef,
        owned: &Owned,
    ) -> impl Future<Output = Result<Health, DeliverError>> + Send;
}

/// How an assignment fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// As it was applied.
    Healthy,
    /// Somebody changed or removed a file of titan's.
    Drifted { path: RepoPath },
}
