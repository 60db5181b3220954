//! The one integration test binary.

mod agent;
mod git;
