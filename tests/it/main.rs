//! The one integration test binary.

mod agent;
mod architecture;
mod bad_input;
mod cli;
mod examples;
mod git;
mod observe;
mod scenario;
mod schemas;
