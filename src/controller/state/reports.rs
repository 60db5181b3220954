//! What hosts and callers say, on its way into the ledger.

use super::{State, WAITING, aside};
use crate::controller::tell;
use crate::model::{RequestStatus, Revision, Timestamp};
use crate::observe::{Refusal, Submission, is_issued};

impl State {
    /// Takes a report over, and answers. A report that is ahead of this process waits for the pass that
    /// catches up: a quick host sees a rendered commit before the pass that made it has ended, and what
    /// it says of a tree that nobody wants yet would be lost.
    pub(in crate::controller) fn report(&mut self, submission: Submission) {
        if self.is_ahead(submission.report.rendered) && self.waiting.len() < WAITING {
            self.waiting.push(submission);
            self.look();
        } else {
            self.answer(submission);
        }
    }

    /// Whether a host saw another rendered commit than the one that is followed, which is not the newest.
    fn is_ahead(&self, seen: Option<Revision>) -> bool {
        let followed = self.ledger.rendered();
        if seen.is_none() || seen == followed {
            return false;
        }
        let repository = &self.config.repository.repository;
        let head = aside(|| repository.branch(&self.settings.branches.rendered)).ok().flatten();
        head != followed
    }

    pub(super) fn answer(&mut self, submission: Submission) {
        let repository = &self.config.repository.repository;
        let branch = &self.settings.branches.rendered;
        let is_issued_there = |revision| {
            let head = repository.branch(branch).ok().flatten();
            head.is_some_and(|head| is_issued(repository, head, revision).unwrap_or(false))
        };
        // Known revisions, which are nearly all, need no look at the disk.
        let issued = |revision| aside(|| is_issued_there(revision));
        let answer = self.ledger.report(&submission.report, Timestamp::now(), issued);
        tell::deployed(&self.config.vitals, &mut self.ledger);
        if let Err(Refusal::UnknownRevision(_)) = answer {
            // Another controller may have issued it a moment ago.
            self.look();
        }
        // A caller that went away needs no answer.
        let _ = submission.reply.send(answer);
    }

    /// A request was refused: it is written down with the next status.
    pub(in crate::controller) fn refused(&mut self, request: RequestStatus) {
        self.ledger.refused(request);
    }
}
