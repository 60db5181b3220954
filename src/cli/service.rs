//! What the long-running commands share: log, runtime, signals.

use std::io::IsTerminal;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// One object a line.
    Json,
}

/// Logs to stderr; `TITAN_LOG` chooses what, in the form of `tracing`'s filters.
pub(super) fn log(verbose: u8, form: Form) {
    let usual = match verbose {
        0 => "titan=info",
        1 => "titan=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("TITAN_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    // A second call, in a test, keeps the first log.
    let _ = if form == Form::Json { log.json().try_init() } else { log.try_init() };
}

pub(super) fn runtime() -> Result<Runtime> {
    Runtime::new().context("cannot start the asynchronous runtime")
}

/// Ends with the first SIGTERM or SIGINT.
pub(super) async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Files that titan itself needs open: packs, workers, git's pipes.
const OWN_FILES: u64 = 512;
/// More open files than that help nobody, and slow down programs that close all that may be open.
const MOST_FILES: u64 = 1 << 20;

/// Lets this process open as many files as it may. Returns how many connections fit in, at most `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    let before = limit.current.unwrap_or(MOST_FILES);
    let open =
        if before < most && setrlimit(Resource::Nofile, raised).is_ok() { most } else { before };
    let fit = usize::try_from(open.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX);
    wanted.min(fit).max(16)
}
