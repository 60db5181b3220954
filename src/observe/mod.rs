//! Host reports → status files, and the views that people read.

use tokio::sync::oneshot;

use crate::model::{HostReport, ReportAnswer};

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
