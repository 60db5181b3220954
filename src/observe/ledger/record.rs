//! An assignment's status as the ledger keeps it: small, for there are half a million of them.
//!
//! What assignments share is kept once ([`Cause`]), what most of them do not have yet is kept apart
//! ([`Said`]). A status that does not fit into that, which somebody else must have written, is kept as it
//! is: [`Record::status`] always gives back what was put in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dirty::{NEVER, Round};
use crate::model::{
    API_VERSION, AssignmentRef, AssignmentStatus, Desired, Observed, Phase, Revision, Timestamp,
    Trail, TreeId,
};
use crate::observe::fold::{ASSIGNMENT_KIND, REASONS};

/// One assignment's status; its name is the key that it is kept under.
#[derive(Debug, Clone)]
pub(super) struct Record {
    form: Form,
    /// When it changed last.
    pub(super) changed: Round,
    /// The file that the branch has of it, as far as is known here: of an earlier status where it is dirty.
    pub(super) file: Option<TreeId>,
}

#[derive(Debug, Clone)]
enum Form {
    Brief(Brief),
    Whole(Box<AssignmentStatus>),
}

#[derive(Debug, Clone)]
struct Brief {
    cause: Arc<Cause>,
    said: Option<Box<Said>>,
    since: Instant,
    tree: Option<TreeId>,
    phase: Phase,
    last: Option<Phase>,
    /// Its place in [`REASONS`].
    reason: u8,
}

/// The commits that a desired state comes from; all that they changed share it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    source: Revision,
    rendered: Revision,
    committed: Option<Timestamp>,
    published: Option<Timestamp>,
}

/// What the host contributed.
#[derive(Debug, Clone)]
struct Said {
    observed: Option<Observed>,
    received: Instant,
    applied: Instant,
    deployed: Instant,
    message: Box<str>,
}

/// A time in nanoseconds since 1970, or none. Half the size of a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Instant(i64);

impl Instant {
    const NONE: Self = Self(i64::MIN);

    /// `Some(NONE)` for no time; `None` for one that is some centuries away.
    fn of(time: Option<Timestamp>) -> Option<Self> {
        let Some(time) = time else { return Some(Self::NONE) };
        i64::try_from(time.as_nanosecond()).ok().map(Self).filter(|found| *found != Self::NONE)
    }

    fn time(self) -> Option<Timestamp> {
        (self != Self::NONE).then(|| {
            Timestamp::from_nanosecond(self.0.into()).expect("because it was a timestamp before")
        })
    }
}

/// The causes that records share.
#[derive(Debug, Default)]
pub(super) struct Causes {
    known: BTreeSet<Arc<Cause>>,
    /// How many were in use when those that were not were dropped last.
    used: usize,
}

impl Causes {
    fn share(&mut self, cause: Cause) -> Arc<Cause> {
        if let Some(known) = self.known.get(&cause) {
            return Arc::clone(known);
        }
        if self.known.len() > 2 * self.used + 64 {
            self.known.retain(|cause| Arc::strong_count(cause) > 1);
            self.used = self.known.len();
        }
        let cause = Arc::new(cause);
        self.known.insert(Arc::clone(&cause));
        cause
    }
}

impl Record {
    /// Keeps a status; its file is up to date, but not known.
    pub(super) fn new(status: AssignmentStatus, causes: &mut Causes) -> Self {
        let form = match Brief::of(&status, causes) {
            Some(brief) => Form::Brief(brief),
            None => Form::Whole(Box::new(status)),
        };
        Self { form, changed: NEVER, file: None }
    }

    /// The status of `assignment`, whose record this is.
    pub(super) fn status(&self, assignment: AssignmentRef) -> AssignmentStatus {
        match &self.form {
            Form::Brief(brief) => brief.status(assignment),
            Form::Whole(status) => (**status).clone(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match &self.form {
            Form::Brief(brief) => brief.phase,
            Form::Whole(status) => status.phase,
        }
    }

    pub(super) fn since(&self) -> Timestamp {
        match &self.form {
            Form::Brief(brief) => brief.since(),
            Form::Whole(status) => status.since,
        }
    }

    pub(super) fn reason(&self) -> &str {
        match &self.form {
            Form::Brief(brief) => REASONS[usize::from(brief.reason)],
            Form::Whole(status) => &status.reason,
        }
    }

    /// What the host must run.
    pub(super) fn tree(&self) -> Option<TreeId> {
        match &self.form {
            Form::Brief(brief) => brief.tree,
            Form::Whole(status) => status.desired.tree,
        }
    }
}

impl Brief {
    /// `None` when something of the status has no place here.
    fn of(status: &AssignmentStatus, causes: &mut Causes) -> Option<Self> {
        let Trail { committed, built, rendered, announced, received, applied, deployed } =
            status.trail;
        let ours = status.api_version == API_VERSION && status.kind == ASSIGNMENT_KIND;
        if !ours || built.is_some() || announced.is_some() {
            return None;
        }
        let reason = REASONS.iter().position(|known| *known == status.reason)?;
        let said = Said {
            observed: status.observed.clone(),
            received: Instant::of(received)?,
            applied: Instant::of(applied)?,
            deployed: Instant::of(deployed)?,
            message: status.message.as_str().into(),
        };
        let cause = Cause {
            source: status.desired.source,
            rendered: status.desired.rendered,
            committed,
            published: rendered,
        };
        Some(Self {
            said: (!said.is_empty()).then(|| Box::new(said)),
            since: Instant::of(Some(status.since))?,
            tree: status.desired.tree,
            phase: status.phase,
            last: status.last,
            reason: u8::try_from(reason).ok()?,
            cause: causes.share(cause),
        })
    }

    fn since(&self) -> Timestamp {
        self.since.time().expect("because every status has this time")
    }

    fn status(&self, assignment: AssignmentRef) -> AssignmentStatus {
        let cause = &self.cause;
        let said = self.said.as_deref();
        let time = |stage: fn(&Said) -> Instant| said.and_then(|said| stage(said).time());
        AssignmentStatus {
            api_version: API_VERSION.to_owned(),
            kind: ASSIGNMENT_KIND.to_owned(),
            assignment,
            desired: Desired { source: cause.source, rendered: cause.rendered, tree: self.tree },
            observed: said.and_then(|said| said.observed.clone()),
            phase: self.phase,
            reason: REASONS[usize::from(self.reason)].to_owned(),
            message: said.map(|said| said.message.to_string()).unwrap_or_default(),
            since: self.since(),
            last: self.last,
            trail: Trail {
                committed: cause.committed,
                rendered: cause.published,
                received: time(|said| said.received),
                applied: time(|said| said.applied),
                deployed: time(|said| said.deployed),
                ..Trail::default()
            },
        }
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        let times = [self.received, self.applied, self.deployed];
        self.observed.is_none() && self.message.is_empty() && times == [Instant::NONE; 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(change: impl FnOnce(&mut AssignmentStatus)) -> AssignmentStatus {
        let time = Timestamp::from_second(1_800_000_000).expect("a time");
        let mut status = AssignmentStatus {
            api_version: API_VERSION.to_owned(),
            kind: ASSIGNMENT_KIND.to_owned(),
            assignment: "w/l/d@h".parse().expect("a name"),
            desired: Desired {
                source: Revision::from_bytes([1; 20]),
                rendered: Revision::from_bytes([2; 20]),
                tree: Some(TreeId::from_bytes([3; 20])),
            },
            observed: None,
            phase: Phase::Pending,
            reason: "Rendered".to_owned(),
            message: String::new(),
            since: time,
            last: None,
            trail: Trail { committed: Some(time), rendered: Some(time), ..Trail::default() },
        };
        change(&mut status);
        status
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let check = |brief: bool, change: fn(&mut AssignmentStatus)| {
            let status = status(change);
            let record = Record::new(status.clone(), &mut Causes::default());
            assert_eq!(matches!(record.form, Form::Brief(_)), brief, "{status:?}");
            assert_eq!((record.phase(), record.since()), (status.phase, status.since));
            assert_eq!((record.reason(), record.tree()), (&*status.reason, status.desired.tree));
            assert_eq!(record.status(status.assignment.clone()), status);
        };
        check(true, |_| {});
        check(true, |status| status.desired.tree = None);
        check(true, |status| (status.last, status.message) = (Some(Phase::Failed), "why".into()));
        check(true, |status| status.trail.applied = Timestamp::new(1_800_000_000, 1).ok());
        check(true, |status| {
            let rendered = status.desired.rendered;
            status.observed = Some(Observed { rendered, tree: None, sequence: u64::MAX });
        });
        check(false, |status| status.trail.built = Some(status.since));
        check(false, |status| status.trail.announced = Some(status.since));
        check(false, |status| status.since = Timestamp::MAX);
        check(false, |status| status.reason = "Whatever".into());
        check(false, |status| status.api_version = "titan.dev/v0".into());
    }

    #[test]
    fn one_cause_serves_all_that_it_changed_and_no_longer() {
        let mut causes = Causes::default();
        let mut records = Vec::new();
        for at in 0..1000_u32 {
            let one = |status: &mut AssignmentStatus| {
                let mut id = [0; 20];
                id[..4].copy_from_slice(&at.to_be_bytes());
                status.desired.rendered = Revision::from_bytes(id);
            };
            records =
                vec![Record::new(status(one), &mut causes), Record::new(status(one), &mut causes)];
            assert!(causes.known.len() < 70, "{}", causes.known.len());
        }
        assert_eq!(records.len(), 2);
    }
}
