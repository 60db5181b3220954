//! Fleet + current assignments → assignments.

use crate::model::{Assignments, Fleet, Schedule};

/// Decides what runs where. Pure: the same input gives the same schedule on every machine.
#[must_use]
pub fn schedule(fleet: &Fleet, current: &Assignments) -> Schedule {
    let _ = (fleet, current);
    unimplemented!()
}
