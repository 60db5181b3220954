//! The one integration test binary.

mod architecture;
mod git;
mod bad_input;
mod schemas;
mod observe;
