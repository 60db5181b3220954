//! Who opens pull requests, behind the desk: one after the other, and again when the forge is away.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::address::Forge;
use super::client::{ForgeClient, Trouble};
use super::dialect::Branches;
use super::text::Text;
use super::token::Token;
use crate::git::FleetRepository;
use crate::model::{RequestId, Revision};

/// Most that wait to be opened; and most that wait to be tried again.
const WAITING: usize = 1000;
/// Most branches that are remembered of those that somebody asked for.
const KNOWN: usize = 1000;
/// How long it is remembered that there is none.
const NONE: Duration = Duration::from_secs(30);
/// How long somebody who asks waits for the forge.
const PATIENCE: Duration = Duration::from_secs(3);

/// When the forge is tried again, and how fast it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Tries of one pull request; before the second it waits for `first`, then four times as long each time.
    pub(super) tries: u32,
    pub(super) first: Duration,
    /// Between two that are opened: GitHub asks for a second.
    pub(super) between: Duration,
    /// Longest time for one answer.
    pub(super) time: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        // 2 s, 8 s, 32 s, 2 min, 9 min.
        let (first, between) = (Duration::from_secs(2), Duration::from_secs(1));
        Self { tries: 6, first, between, time: Duration::from_secs(10) }
    }
}

impl Pace {
    fn pause(self, tries: u32) -> Duration {
        self.first.saturating_mul(4_u32.saturating_pow(tries - 1))
    }
}

/// A change that waits to be merged.
#[derive(Debug, Clone)]
pub(in crate::api) struct Job {
    pub(in crate::api) id: RequestId,
    pub(in crate::api) branch: String,
    pub(in crate::api) commit: Revision,
}

/// What became of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum News {
    /// It is there, at this address.
    Open(String),
    /// It is not, for this reason; perhaps it is tried again.
    Not(String),
}

/// The way to the forge.
#[derive(Debug)]
pub(in crate::api) struct Opener {
    desk: Arc<Desk>,
    sender: mpsc::Sender<(Job, u32)>,
    /// What was found for those who asked.
    known: Mutex<HashMap<String, (Instant, Option<String>)>>,
}

/// What it takes to talk of branches.
#[derive(Debug)]
struct Desk {
    client: ForgeClient,
    fleet: FleetRepository,
}

impl Opener {
    /// Starts to work; ends with the runtime. `tell` learns what became of each.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(in crate::api) fn start(
        forge: Forge,
        fleet: FleetRepository,
        tell: impl Fn(&RequestId, News) + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        Self::at_pace(Pace::default(), forge, fleet, tell)
    }

    pub(super) fn at_pace(
        pace: Pace,
        forge: Forge,
        fleet: FleetRepository,
        tell: impl Fn(&RequestId, News) + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        let desk = Arc::new(Desk { client: ForgeClient::new(forge, pace.time)?, fleet });
        let (sender, receiver) = mpsc::channel(WAITING);
        let again = sender.downgrade();
        tokio::spawn(serve(Arc::clone(&desk), pace, receiver, again, tell));
        Ok(Self { desk, sender, known: Mutex::default() })
    }

    /// `false`: too many wait already.
    pub(in crate::api) fn send(&self, job: Job) -> bool {
        self.sender.try_send((job, 1)).is_ok()
    }

    /// What the forge knows of a change that nobody here remembers.
    pub(in crate::api) async fn look(&self, branch: &str) -> News {
        let known = self.known().get(branch).cloned();
        let fresh = known.filter(|(at, found)| found.is_some() || at.elapsed() < NONE);
        let found = match fresh {
            Some((_, found)) => Ok(found),
            None => {
                tokio::time::timeout(PATIENCE, self.desk.find(branch)).await.unwrap_or_else(|_| {
                    Err(Trouble::Network(format!("not within {} s", PATIENCE.as_secs())))
                })
            }
        };
        match found {
            Err(trouble) => {
                News::Not(format!("it is not known whether there is a pull request: {trouble}"))
            }
            Ok(found) => {
                let mut known = self.known();
                if known.len() >= KNOWN {
                    known.clear();
                }
                known.insert(branch.to_owned(), (Instant::now(), found.clone()));
                found.map_or_else(|| News::Not(NOBODY.to_owned()), News::Open)
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, Option<String>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NOBODY: &str = "there is no pull request for it; the same request sent again opens one";

impl Desk {
    async fn token(&self) -> Result<Token, Trouble> {
        let file = self.client.forge.token.clone();
        let read = spawn_blocking(move || file.read()).await;
        Ok(read.expect("because reading a file does not panic")?)
    }

    async fn find(&self, branch: &str) -> Result<Option<String>, Trouble> {
        let token = self.token().await?;
        let branches = Branches { head: branch, base: &self.fleet.branch };
        self.client.find(&token, branches).await
    }

    async fn open(&self, job: &Job) -> Result<String, Trouble> {
        let token = self.token().await?;
        let (fleet, commit) = (self.fleet.clone(), job.commit);
        let read = spawn_blocking(move || fleet.repository.commit(commit)).await;
        let commit = read.expect("because reading a commit does not panic")?;
        let branches = Branches { head: &job.branch, base: &self.fleet.branch };
        let text = Text::of(&commit, branches.base, branches.head);
        self.client.open(&token, branches, &text).await
    }
}

async fn serve(
    desk: Arc<Desk>,
    pace: Pace,
    mut receiver: mpsc::Receiver<(Job, u32)>,
    again: mpsc::WeakSender<(Job, u32)>,
    tell: impl Fn(&RequestId, News) + Send + Sync + 'static,
) {
    let places = Arc::new(Semaphore::new(WAITING));
    while let Some((job, tries)) = receiver.recv().await {
        let (id, branch) = (job.id.clone(), job.branch.clone());
        let trouble = match desk.open(&job).await {
            Ok(url) => {
                tracing::info!(%id, url, "a pull request is open");
                tell(&id, News::Open(url));
                sleep(pace.between).await;
                continue;
            }
            Err(trouble) => trouble,
        };
        let place = (trouble.may_pass() && tries < pace.tries)
            .then(|| Arc::clone(&places).try_acquire_owned().ok())
            .flatten();
        let later = place.map(|place| (pace.pause(tries).max(trouble.wait()), place));
        let (cause, again_in) = (trouble.source(), later.as_ref().map(|(later, _)| *later));
        tracing::warn!(%id, branch, %trouble, cause, tries, ?again_in, "there is no pull request");
        let reason = match &later {
            Some(_) => format!("there is no pull request yet, it is tried again: {trouble}"),
            None => format!("there is no pull request: {trouble}"),
        };
        tell(&id, News::Not(reason));
        if let Some((later, place)) = later {
            let again = again.clone();
            tokio::spawn(async move {
                sleep(later).await;
                drop(place);
                if let Some(sender) = again.upgrade() {
                    let _ = sender.send((job, tries + 1)).await;
                }
            });
        }
    }
}
