//! The command line: one file for each subcommand.

pub mod agent;

use std::process::ExitCode;

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
