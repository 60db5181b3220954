//! A request to change an object → a commit on the config branch.
//!
//! ```text
//!  Edit ──▶ tree of the head, edited ──▶ check: worse than before? ──▶ commit ──▶ compare-and-swap
//!   ▲                                                                                 │ lost
//!   └──────────────────────────── again, on the new head ◀────────────────────────────┘
//! ```
//!
//! [`edit`] changes fields of a file in place, [`object`] knows the files of objects, [`check`] says
//! what is wrong with a config branch, [`propose`] commits.

pub mod check;
mod commit;
pub mod edit;
pub mod object;

pub use commit::{ChangeError, Edit, Mode, Options, Proposed, propose};
pub use object::Scaffold;
