//! A request to change an object → a commit on the config branch.

pub mod edit;
