//! The one integration test binary.

mod git;
mod bad_input;
mod schemas;
