//! Host reports → status files, and the views that people read.
//!
//! ```text
//!  agent ──HTTP──▶ api ──Submission──▶ controller ──▶ Ledger ──flush──▶ status branch
//!                   ▲                      │            │ fold           │
//!                   └──────Snapshot────────┘            ▼                ▼
//!                                              one AssignmentStatus    view, trace ──▶ people
//! ```
//!
//! [`fold`] says how one status moves; [`Ledger`] keeps all of them for a controller; [`files`] says
//! where they lie in Git; [`view`] and [`mod@trace`] read them from there and need no controller.
//! [`events`] tells what differs between two positions of the branches.
//! [`Vitals`] is how titan itself is doing.

pub mod events;
pub mod files;
pub mod fold;
mod history;
mod ledger;
pub mod lineage;
mod snapshot;
pub mod trace;
pub mod view;
mod vitals;

use tokio::sync::oneshot;

use crate::model::{HostReport, ReportAnswer};

pub use fold::{Delivery, Origin};
pub use history::{Change, changes, is_issued, origin, origins};
pub use ledger::{Changed, Draft, Goal, Ledger};
pub use snapshot::{Digest, Snapshot};
pub use trace::{Trace, trace};
pub use view::{StatusView, Verdict};
pub use vitals::{Connected, Health, Metrics, Part, Passed, Problem, Vitals};

/// A report on its way from the API to the controller's loop, which owns the state.
#[derive(Debug)]
pub struct Submission {
    /// Already authenticated: it speaks for its own host.
    pub report: HostReport,
    pub reply: oneshot::Sender<Result<ReportAnswer, Refusal>>,
}

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("sequence {got} is not higher than {seen}")]
    OldSequence { got: u64, seen: u64 },
    #[error("revision {0} was never issued")]
    UnknownRevision(crate::model::Revision),
    #[error("the fleet has no host of that name")]
    UnknownHost,
}
