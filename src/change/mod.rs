//! A request to change an object → a commit on the config branch.
//!
//! ```text
//!  Edit ──▶ tree of the head, edited ──▶ check: worse than before? ──▶ commit ──▶ compare-and-swap
//!   ▲                                                                                 │ lost
//!   └──────────────────────────── again, on the new head ◀────────────────────────────┘
//! ```
//!
//! [`edit`] changes fields of a file in place, [`object`] knows the files of objects, [`check`] says
//! what is wrong with a config branch, [`propose`] commits one change. [`wish`] reads changes as callers
//! of the API write them, [`host_key`] gives hosts their keys, a [`Desk`] commits many at a time, and [`Requests`] knows which are in history.

pub mod access;
mod batch;
pub mod check;
mod commit;
pub mod edit;
pub mod host_key;
pub mod object;
mod request;
mod requests;
pub mod wish;

pub use batch::Desk;
pub use check::Judge;
pub use commit::{ChangeError, Edit, Mode, Options, Proposed, propose};
pub use host_key::NewKey;
pub use object::Scaffold;
pub use request::{Outcome, Request, own_branch};
pub use requests::{ID_TRAILER, Known, Requests, new_id};
pub use wish::Wish;
