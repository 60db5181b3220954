//! The one integration test binary.

mod architecture;
mod bad_input;
mod agent;
mod examples;
mod git;
mod observe;
mod scenario;
mod schemas;
