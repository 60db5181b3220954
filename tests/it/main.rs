//! The one integration test binary.

mod agent;
mod architecture;
mod bad_input;
mod ci;
mod cli;
mod examples;
mod git;
mod load;
mod login;
mod observe;
mod openapi;
mod readme;
mod scenario;
mod schemas;
mod workers;
