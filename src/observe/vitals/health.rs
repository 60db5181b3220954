//! What does not work, and since when.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::model::Timestamp;

/// What may fail and work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Rendering the head of the config branch.
    Passes,
    /// The fleet's repository, where it lies on another machine.
    Repository,
    /// Writing the status branch.
    Status,
}

/// Why this process is not ready. It names no object, address or message of Git: anybody may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// One word: what is not ready.
    pub check: &'static str,
    pub message: &'static str,
    /// Since when, for what worked before or was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Failures in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What works and what does not. In the beginning nothing is known, and that is a problem too.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first pass was made.
    began: bool,
    /// Since when, and how often in a row.
    failing: BTreeMap<Part, (Timestamp, u32)>,
}

impl Health {
    /// It worked.
    pub fn works(&self, part: Part) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.began |= part == Part::Passes;
        state.failing.remove(&part);
    }

    /// It failed.
    pub fn fails(&self, part: Part, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, times) = state.failing.entry(part).or_insert((now, 0));
        *times = times.saturating_add(1);
    }

    /// Why this process is not ready; none when it is.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Problem {
            check: "first-pass",
            message: "the first pass is not made yet",
            since: None,
            times: None,
        };
        let failing = state.failing.iter().map(|(part, (since, times))| {
            let (check, message) = part.problem();
            Problem { check, message, since: Some(*since), times: Some(*times) }
        });
        (!state.began).then_some(first).into_iter().chain(failing).collect()
    }
}

impl Part {
    fn problem(self) -> (&'static str, &'static str) {
        match self {
            Self::Passes => ("passes", "passes fail; the log says why"),
            Self::Repository => {
                ("repository", "the fleet's repository cannot be reached; the log says why")
            }
            Self::Status => ("status", "status cannot be written; the log says why"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn checks(health: &Health) -> Vec<(&'static str, Option<i64>, Option<u32>)> {
        let short = |problem: &Problem| {
            (problem.check, problem.since.map(Timestamp::as_second), problem.times)
        };
        health.problems().iter().map(short).collect()
    }

    #[test]
    fn it_is_ready_when_everything_works() {
        let health = Health::default();
        assert_eq!(checks(&health), [("first-pass", None, None)]);
        health.fails(Part::Passes, at(1));
        health.fails(Part::Passes, at(2));
        let both = [("first-pass", None, None), ("passes", Some(1), Some(2))];
        assert_eq!(checks(&health), both);
        health.works(Part::Passes);
        assert_eq!(checks(&health), []);
        health.fails(Part::Status, at(3));
        health.fails(Part::Repository, at(4));
        health.works(Part::Passes);
        let both = [("repository", Some(4), Some(1)), ("status", Some(3), Some(1))];
        assert_eq!(checks(&health), both);
        health.works(Part::Status);
        health.works(Part::Repository);
        assert_eq!(checks(&health), []);
    }
}
