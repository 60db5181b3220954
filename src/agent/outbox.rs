//! What one controller has still to be told. Pure: the difference between the newest view and what it
//! has accepted, so that nothing queues up while it is away.

use std::collections::BTreeMap;

use super::view::View;
use crate::model::{AssignmentReport, DeploymentRef};

/// Bytes of assignments in one report; the controller takes 64 KiB with all that is around them.
const CHUNK: usize = 56 << 10;

/// What a controller has accepted.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// `None`: it knows nothing of the host, and gets everything.
    accepted: Option<BTreeMap<DeploymentRef, AssignmentReport>>,
    /// Reports that said a part of everything, with more to follow.
    telling: bool,
    message: Option<String>,
}

/// The variable part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// Everything in one report.
    pub(super) full: bool,
    /// One of the reports that together say everything.
    pub(super) whole: bool,
    /// More is to follow at once.
    pub(super) more: bool,
    pub(super) message: Option<String>,
    pub(super) assignments: Vec<AssignmentReport>,
}

impl Outbox {
    /// Whether there is anything that the controller does not know.
    pub(super) fn is_due(&self, view: &View) -> bool {
        self.accepted.is_none() || self.message != view.message || !self.news(view).is_empty()
    }

    /// The next report; without anything new a heartbeat. A state that does not fit into one report
    /// goes out in several, none of which claims to be full.
    pub(super) fn draft(&self, view: &View) -> Draft {
        let everything = self.accepted.is_none();
        let mut assignments = self.news(view);
        let mut size = 0;
        let fits = assignments.iter().take_while(|report| {
            // A field of ours always serializes; were it not so, the report would stand alone.
            size += serde_json::to_vec(report).map_or(CHUNK, |bytes| bytes.len() + 1);
            size <= CHUNK
        });
        let fits = fits.count().max(1);
        let more = fits < assignments.len();
        assignments.truncate(fits);
        let whole = everything || self.telling;
        Draft { full: everything && !more, whole, more, message: view.message.clone(), assignments }
    }

    /// The controller has accepted `draft`; `resync`: and asks for everything.
    pub(super) fn accept(&mut self, draft: Draft, resync: bool) {
        self.message = draft.message;
        // One that asks for everything while it is told everything would never hear the end of it.
        if resync && !draft.whole {
            self.accepted = None;
            return;
        }
        self.telling = draft.whole && draft.more;
        let accepted = self.accepted.get_or_insert_default();
        for report in draft.assignments {
            accepted.insert(report.deployment.clone(), report);
        }
    }

    fn news(&self, view: &View) -> Vec<AssignmentReport> {
        let known = |report: &AssignmentReport| {
            let accepted = self.accepted.as_ref().and_then(|all| all.get(&report.deployment));
            accepted == Some(report)
        };
        view.assignments.values().filter(|report| !known(report)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Phase, Revision};

    fn report(name: &str, phase: Phase, message: &str) -> AssignmentReport {
        AssignmentReport {
            deployment: format!("iot/sensor/{name}").parse().expect("a deployment"),
            rendered: Revision::NONE,
            tree: None,
            phase,
            reason: "Applied".into(),
            message: message.into(),
            received: None,
            applied: None,
            deployed: None,
        }
    }

    fn view(reports: &[AssignmentReport]) -> View {
        let all = reports.iter().map(|report| (report.deployment.clone(), report.clone()));
        View { assignments: all.collect(), ..View::default() }
    }

    #[test]
    fn everything_first_then_what_changed() {
        let mut outbox = Outbox::default();
        let mut now = view(&[report("a", Phase::Deployed, ""), report("b", Phase::Failed, "x")]);
        assert!(outbox.is_due(&now));
        let first = outbox.draft(&now);
        assert!(first.full && first.assignments.len() == 2);
        outbox.accept(first, true);
        assert!(
            !outbox.is_due(&now),
            "an answer to everything that asks for everything is ignored"
        );

        now = view(&[report("a", Phase::Removed, ""), report("b", Phase::Failed, "x")]);
        let second = outbox.draft(&now);
        assert!(!second.full);
        assert_eq!(second.assignments, [report("a", Phase::Removed, "")]);
        // It is lost; meanwhile the state changes again: only the newest is told.
        now = view(&[report("a", Phase::Deployed, ""), report("b", Phase::Deployed, "")]);
        let third = outbox.draft(&now);
        assert_eq!(third.assignments, [report("b", Phase::Deployed, "")]);
        outbox.accept(third, false);
        assert!(!outbox.is_due(&now));

        now.message = Some("cannot read the fleet".into());
        assert!(outbox.is_due(&now));
        let fourth = outbox.draft(&now);
        assert_eq!((fourth.assignments.len(), fourth.message.is_some()), (0, true));
        outbox.accept(fourth, true);
        assert!(outbox.draft(&now).full, "the controller asked for everything");
    }

    #[test]
    fn a_large_state_goes_out_in_chunks() {
        let message = "m".repeat(1024);
        let reports: Vec<_> =
            (0..200).map(|n| report(&format!("d{n}"), Phase::Failed, &message)).collect();
        let now = view(&reports);
        let mut outbox = Outbox::default();
        let mut told = 0;
        let mut chunks = 0;
        while outbox.is_due(&now) {
            let draft = outbox.draft(&now);
            let size = serde_json::to_vec(&draft.assignments).expect("JSON").len();
            assert!(size < 60 << 10 && !draft.full, "{size} bytes");
            told += draft.assignments.len();
            chunks += 1;
            outbox.accept(draft, true);
            assert!(chunks < 10, "an endless tale");
        }
        assert_eq!((told, chunks), (200, 5));
        assert!(!outbox.draft(&now).whole, "afterwards it is a heartbeat");
    }
}
