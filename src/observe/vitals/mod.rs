//! How titan itself is doing: told by the controller and the API, read by those who watch them.
//!
//! ```text
//!  controller ──passes, flushes, statuses──▶ ┌────────┐ ──▶ Health  ──▶ /readyz
//!  api ───────requests, reports, webhooks──▶ │ Vitals │
//!                                            └────────┘ ──▶ Metrics ──▶ /metrics
//! ```
//! One for each process. To tell something costs an atomic addition; to read costs the same for any fleet.

mod health;
mod metrics;

pub use health::{Health, Part, Problem};
pub use metrics::{Connected, Metrics, Passed};

/// Health and numbers of this process.
#[derive(Debug, Default)]
pub struct Vitals {
    pub health: Health,
    pub metrics: Metrics,
}
