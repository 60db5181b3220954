//! On a host: pull → deliver → report.
//!
//! ```text
//!  refs moved ─┐
//!  server said ┤
//!  interval ───┼─▶ pass: Source ─▶ plan ─▶ Delivery ─▶ hook ─▶ View ─┬─▶ Reporter ─▶ controller
//!  retry due ──┘          │                                          └─▶ Reporter ─▶ controller
//!                         ├─ Git: Pull ─── the rendered branch, in place or through a clone
//!                         └─ Server: Follower ─── a controller's host endpoint
//! ```
//!
//! `keys` are the host's own, with which all requests to controllers are signed; `enroll` has them
//! registered and replaced.
//!
//! One loop owns all state and makes one pass after the other; the reporters only look at the newest
//! view. While Git or the server is away, the host is held at the last desired state from the copies in
//! the state directory; while the controller is away, the difference to what it knows waits for it.

mod answer;
mod client;
mod credentials;
mod enroll;
mod keys;
mod outbox;
mod pass;
mod pull;
mod reporter;
mod server;
mod source;
mod state;
mod view;
mod work;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub(crate) use client::is_loopback;
pub use client::{ClearText, ControllerError, ControllerUrl, Token};
pub use keys::KeysError;

use crate::deliver::{DeliverError, Delivery, Directory, Hook, Store, Swap};
use crate::git::Location;
use crate::model::{Name, Timestamp};
use client::ReportClient;
use credentials::Credentials;
use enroll::Desk;
use keys::Keys;
use pass::{Agent, Scope};
use pull::Place;
use reporter::Reporter;
use server::Follower;
use source::Source;
use state::State;

/// Time for the last reports when the agent ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Time for the reports of a single pass.
const ONCE: Duration = Duration::from_secs(20);

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: Name,
    pub origin: Origin,
    /// The folder that the runtime `directory` fills.
    pub dest: PathBuf,
    pub hook: Option<Hook>,
    pub controllers: Vec<ControllerUrl>,
    /// A token for reports, for hosts without a key.
    pub token: Option<Token>,
    /// A token with which this host registers a key of its own, unless it has done so.
    pub enroll: Option<Token>,
    /// After which time the host replaces its key; `None`: never.
    pub rotate: Option<Duration>,
    /// Longest time between two passes.
    pub interval: Duration,
    /// Longest time between two reports.
    pub heartbeat: Duration,
    pub mode: Mode,
}

/// Where it is said what the host is to run.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The rendered branch of the fleet's repository.
    Git { fleet: Location, branch: String },
    /// A controller, which reads that branch for its hosts.
    Server(ControllerUrl),
}

impl Config {
    /// The controller that takes this host's keys.
    fn desk(&self) -> Option<&ControllerUrl> {
        match &self.origin {
            Origin::Server(server) => Some(server),
            Origin::Git { .. } => self.controllers.first(),
        }
    }
}

/// How long an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    UntilStopped,
    /// One pass, and its report.
    Once,
}

/// How things stood when the agent ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was wrong with the host as a whole.
    pub message: Option<String>,
    /// Assignments that had failed.
    pub failed: usize,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Controller(#[from] ControllerError),
    #[error("the keys of this host cannot be used: {0}")]
    Keys(#[from] KeysError),
    #[error("a token to enroll is given, but no controller to enroll at")]
    NoController,
    #[error("this host cannot enroll: {problem}")]
    Enroll { problem: String },
    #[error("this host cannot enroll yet: {problem}")]
    Away { problem: String },
}

/// Whether an agent that delivers to `dest` has keys of its own there.
#[must_use]
pub fn has_keys(dest: &Path) -> bool {
    dest.join(".titan").join(keys::FILE).exists()
}

/// Runs until `shutdown` is ready, or for one pass.
///
/// # Errors
/// When the destination cannot be used, or another agent uses it.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, AgentError> {
    let store = Arc::new(aside(|| Store::open(&config.dest))?);
    let state = State::open(Arc::clone(&store))?;
    let keys = Keys::open(Arc::clone(&store), config.host.clone())?;
    let runtime = Directory::open(&config.dest, Swap::Exchange)?;
    let delivery = Delivery::open(runtime, store, &config.host)?;
    tokio::pin!(shutdown);
    let credentials = tokio::select! {
        () = &mut shutdown => return Ok(Summary::default()),
        credentials = enroll::credentials(&config, &keys) => credentials?,
    };
    let (views, _) = watch::channel(None);
    let reporters = report(&config, &credentials, &state, &views)?;
    let _rotation = rotation(&config, &credentials)?;

    let mode = config.mode;
    let wake = Arc::new(Notify::new());
    let source = source(&config, credentials, &delivery, &state, &wake)?;
    let mut agent = Agent::new(config, delivery, state, source, views);
    match mode {
        Mode::Once => tokio::select! {
            () = &mut shutdown => {}
            () = agent.pass(Scope::Everything) => {}
        },
        Mode::UntilStopped => tokio::select! {
            () = &mut shutdown => {}
            () = keep_on(&mut agent, &wake) => {}
        },
    }
    let summary = agent.summary();
    // With the agent goes the sender of views, and the reporters end when all is told.
    drop(agent);
    let patience = if mode == Mode::Once { ONCE } else { FAREWELL };
    if timeout(patience, reporters.join_all()).await.is_err() {
        tracing::warn!("ended before all was reported");
    }
    Ok(summary)
}

/// Replaces the host's key whenever it is old, until this is dropped.
fn rotation(
    config: &Config,
    credentials: &Credentials,
) -> Result<Option<JoinSet<()>>, ControllerError> {
    let (Credentials::Keys(keys), Some(every)) = (credentials, config.rotate) else {
        return Ok(None);
    };
    let Some(controller) = config.desk() else { return Ok(None) };
    let desk = Desk::new(controller, &config.host, keys.clone())?;
    let mut task = JoinSet::new();
    task.spawn(desk.rotate(every));
    Ok(Some(task))
}

/// Starts a reporter for each controller.
fn report(
    config: &Config,
    credentials: &Credentials,
    state: &State,
    views: &watch::Sender<Option<Arc<view::View>>>,
) -> Result<JoinSet<()>, ControllerError> {
    let mut reporters = JoinSet::new();
    for controller in &config.controllers {
        let reporter = Reporter {
            host: config.host.clone(),
            name: controller.to_string(),
            client: ReportClient::new(controller, &config.host, credentials.clone())?,
            state: state.clone(),
            heartbeat: config.heartbeat,
        };
        reporters.spawn(reporter.run(views.subscribe()));
    }
    Ok(reporters)
}

/// The loop. Dropping it kills a hook that runs, and leaves nothing that the next start cannot end.
async fn keep_on<R: crate::deliver::Runtime>(agent: &mut Agent<R>, wake: &Notify) {
    let mut ticks = interval(agent.config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = agent.due();
        let scope = tokio::select! {
            _ = ticks.tick() => Scope::Everything,
            () = wake.notified() => Scope::Fleet,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Scope::Fleet,
        };
        agent.pass(scope).await;
    }
}

/// Where the agent gets the desired state from; `wake` is told when there may be another one.
fn source(
    config: &Config,
    credentials: Credentials,
    delivery: &Delivery<Directory>,
    state: &State,
    wake: &Arc<Notify>,
) -> Result<Source, ControllerError> {
    let (host, wake) = (config.host.clone(), Arc::clone(wake));
    match &config.origin {
        Origin::Git { fleet, branch } => {
            let (location, branch) = (fleet.clone(), branch.clone());
            let cache = config.dest.join(".titan").join("clone");
            Ok(Source::git(Place { host, location, branch, cache, wake }))
        }
        Origin::Server(server) => {
            let last = delivery.inventory().desired.as_ref();
            let follower = Follower::start(server, host, credentials, last, state.clone(), wake)?;
            Ok(Source::Server(Box::new(follower)))
        }
    }
}

/// The time, to the millisecond.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Does work that waits for a disk while other tasks of this thread go on elsewhere.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // There is no other thread, nor anything that waits for this one.
        _ => work(),
    }
}

/// For back-off alone: where the system has no random numbers, any number will do.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
