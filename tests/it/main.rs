//! The one integration test binary.

mod bad_input;
mod cli;
mod git;
mod schemas;
