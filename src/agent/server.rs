//! Asking a controller, rather than Git, what this host is to run.
//!
//! ```text
//!  Follower ── GET …/deployments?since&wait ──▶ 304: the same
//!   │    ▲                                      200: changes or everything ─▶ answer: checks
//!   │    └── pause: away, denied, not to be trusted ◀──────────────────────────┤
//!   └─ wakes the agent ◀── watch: what is to run, or why that is not known ◀───┘
//! ```
//!
//! One request waits at the server until something changes, so that a change arrives at once. After a
//! restart it goes on from the desired state that the inventory remembers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{self, AnswerError};
use super::client::{ControllerError, ControllerUrl, asked_wait, body, problem};
use super::credentials::Credentials;
use super::pull::{PullError, Seen};
use super::state::State;
use super::{aside, random};
use crate::deliver::{Backoff, Desired};
use crate::model::{
    DeploymentRef, HostDeployment, HostDeployments, Limits, Manifests, Name, Revision, TreeId,
};

/// How long the server is asked to wait for something new: less than what proxies take for dead.
const HOLD: Duration = Duration::from_secs(50);
/// Between two requests, also when one change follows the other.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer may take to begin, apart from that wait.
const BEGIN: Duration = Duration::from_secs(20);
/// How long it may take to arrive, once it began.
const ARRIVE: Duration = Duration::from_secs(120);
/// Longest answer that is read: one assignment of the largest size, with what JSON puts around it.
const ANSWER: usize = 64 << 20;

/// Why it is not known what the host is to run. What runs stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerError {
    #[error("the server does not answer: {problem}")]
    Away { problem: String, wait: Option<Duration> },
    /// Somebody has to change something before it can work.
    #[error("the server refuses: {problem}")]
    Denied { problem: String },
    #[error("the server's answer is not to be trusted: {0}; everything stays as it is")]
    Answer(#[from] AnswerError),
    #[error("what is to run has changed meanwhile")]
    Changed,
}

/// What is to run, or why that is not known.
type News = Result<Arc<Seen>, ServerError>;

/// Follows one server.
#[derive(Debug)]
pub(super) struct Follower {
    server: Server,
    /// `None`: nothing was heard yet.
    news: watch::Receiver<Option<News>>,
    files: Files,
    /// Ends with this.
    _task: JoinSet<()>,
}

/// Files that came with an answer and were not asked for yet, by the trees that they were checked
/// against.
#[derive(Debug, Clone, Default)]
struct Files(Arc<Mutex<BTreeMap<TreeId, Manifests>>>);

impl Files {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TreeId, Manifests>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Begins to ask. `last` is what was to run when this host was seen to last; `wake` is told of news.
    pub(super) fn start(
        server: &ControllerUrl,
        host: Name,
        credentials: Credentials,
        last: Option<&Desired>,
        state: State,
        wake: Arc<Notify>,
    ) -> Result<Self, ControllerError> {
        let url = server.of_host(&host, "deployments");
        let (http, limits) = (server.client()?, Limits::default());
        let server = Server { http, url, credentials, limits };
        let (sender, news) = watch::channel(None);
        let asking = Asking {
            server: server.clone(),
            host,
            state,
            base: last.map(|last| Arc::new(Seen::from(last))),
            everything: false,
            files: Files::default(),
            news: sender,
            wake,
        };
        let files = asking.files.clone();
        let mut task = JoinSet::new();
        task.spawn(asking.run());
        Ok(Self { server, news, files, _task: task })
    }

    /// What is to run, as far as it was heard; waits only for the first word.
    pub(super) async fn look(&mut self) -> Result<Arc<Seen>, PullError> {
        let news = self.news.wait_for(Option::is_some).await;
        let news = news.map_err(|_| PullError::Interrupted)?.clone();
        Ok(news.expect("because it was waited for")?)
    }

    /// The files of an assignment: those that came with the answer, or asked for.
    pub(super) async fn manifests(&mut self, tree: TreeId) -> Result<Manifests, PullError> {
        if let Some(manifests) = self.files.lock().remove(&tree) {
            return Ok(manifests);
        }
        let seen = self.look().await?;
        let mut assignments = seen.assignments.iter();
        let (deployment, _) =
            assignments.find(|(_, own)| **own == tree).ok_or(ServerError::Changed)?;
        let answer = self.server.one(deployment).await?;
        if answer.tree != tree {
            return Err(ServerError::Changed.into());
        }
        let manifests = aside(|| answer::manifests(answer, &self.server.limits))?;
        Ok(manifests.ok_or(ServerError::Answer(AnswerError::Malformed))?)
    }
}

impl From<&Desired> for Seen {
    fn from(desired: &Desired) -> Self {
        Self {
            rendered: desired.rendered,
            generation: desired.generation,
            tree: desired.tree,
            assignments: desired.assignments.clone(),
        }
    }
}

/// The task that asks.
struct Asking {
    server: Server,
    host: Name,
    state: State,
    /// What the server is told that is known.
    base: Option<Arc<Seen>>,
    /// Something is wrong with that: everything is asked for.
    everything: bool,
    files: Files,
    news: watch::Sender<Option<News>>,
    wake: Arc<Notify>,
}

/// What an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Same,
    Other,
}

impl Asking {
    async fn run(mut self) {
        let mut away = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut denied = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
        // The first word is wanted at once, and so is the first one after a failure.
        let mut hold = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let heard = self.ask(hold).await;
            let pause = match &heard {
                // A server that does not wait, or is about to stop.
                Ok(Heard::Same) if asked.elapsed() < hold / 2 => away.fail(random()),
                Ok(_) => {
                    away.reset();
                    denied.reset();
                    PAUSE
                }
                Err(ServerError::Away { wait, .. }) => {
                    away.fail(random()).max(wait.unwrap_or_default())
                }
                Err(ServerError::Denied { .. }) => denied.fail(random()),
                Err(_) => away.fail(random()),
            };
            hold = if heard.is_ok() { HOLD } else { Duration::ZERO };
            self.tell(heard);
            sleep(pause).await;
        }
    }

    async fn ask(&mut self, hold: Duration) -> Result<Heard, ServerError> {
        let base = self.base.clone().filter(|_| !self.everything);
        match self.server.all(base.as_deref(), hold).await? {
            Said::Same { rendered } => {
                let base = base.ok_or(AnswerError::Malformed)?;
                // The next answer is told from there.
                let rendered = rendered.unwrap_or(base.rendered);
                if rendered != base.rendered {
                    let assignments = base.assignments.clone();
                    self.base = Some(Arc::new(Seen { rendered, assignments, ..*base }));
                }
                Ok(Heard::Same)
            }
            Said::Answer(answer) => self.take(*answer, base.as_deref()),
        }
    }

    /// Takes over what is to run, if the answer is what it says it is.
    fn take(&mut self, answer: HostDeployments, base: Option<&Seen>) -> Result<Heard, ServerError> {
        let accepted = answer::accept(&self.host, &answer, base, self.state.generation());
        self.everything = accepted.is_err();
        let seen = accepted?;
        // What was known before is on the disk, also where everything had to be told.
        let known = self.base.as_deref();
        let heard = match known {
            Some(known) if known.tree == seen.tree => Heard::Same,
            _ => Heard::Other,
        };
        let news = aside(|| answer::news(answer, known, &self.server.limits));
        let mut files = self.files.lock();
        files.extend(news);
        files.retain(|tree, _| seen.assignments.values().any(|wanted| wanted == tree));
        drop(files);
        self.base = Some(Arc::new(seen));
        Ok(heard)
    }

    /// Tells the agent, and wakes it if that is something new.
    fn tell(&self, heard: Result<Heard, ServerError>) {
        let news = heard.map(|_| Arc::clone(self.base.as_ref().expect("because it was heard")));
        let is_new = match (&*self.news.borrow(), &news) {
            (Some(Ok(before)), Ok(now)) => before.tree != now.tree,
            (Some(Err(before)), Err(now)) => before.to_string() != now.to_string(),
            _ => true,
        };
        self.news.send_replace(Some(news));
        if is_new {
            self.wake.notify_one();
        }
    }
}

/// What a server says to the question what is to run.
enum Said {
    /// As before; `rendered` is the head of the rendered branch.
    Same {
        rendered: Option<Revision>,
    },
    Answer(Box<HostDeployments>),
}

/// Talks to a server.
#[derive(Debug, Clone)]
struct Server {
    http: Client,
    url: Url,
    credentials: Credentials,
    /// What an assignment may hold at most: the defaults, as for Git.
    limits: Limits,
}

impl Server {
    async fn all(&self, base: Option<&Seen>, hold: Duration) -> Result<Said, ServerError> {
        let mut url = self.url.clone();
        let wait = hold.as_secs();
        let request = match base {
            Some(base) => {
                url.set_query(Some(&format!("since={}&wait={wait}", base.rendered)));
                self.http.get(url).header(IF_NONE_MATCH, format!("\"{}\"", base.tree))
            }
            None => self.http.get(url),
        };
        let response = self.begin(request, hold).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            let header = |name: &str| response.headers().get(name)?.to_str().ok();
            // A name for another tree than the one that was asked for is none.
            let named = header(ETAG.as_str()).is_some_and(|tag| {
                base.is_some_and(|base| tag.trim_matches('"') == base.tree.to_string())
            });
            let rendered = header("titan-rendered").filter(|_| named);
            return Ok(Said::Same { rendered: rendered.and_then(|text| text.parse().ok()) });
        }
        read(response).await.map(|answer| Said::Answer(Box::new(answer)))
    }

    async fn one(&self, deployment: &DeploymentRef) -> Result<HostDeployment, ServerError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{deployment}", self.url.path()));
        read(self.begin(self.http.get(url), Duration::ZERO).await?).await
    }

    /// The beginning of the answer.
    async fn begin(
        &self,
        request: RequestBuilder,
        hold: Duration,
    ) -> Result<Response, ServerError> {
        let away = |problem: String| ServerError::Away { problem, wait: None };
        let response = timeout(hold + BEGIN, self.credentials.send(request)).await;
        response.map_err(|_| away("it takes too long".into()))?.map_err(away)
    }
}

/// The rest of it, where it is a good one.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ServerError> {
    let (status, wait) = (response.status(), asked_wait(&response));
    let body = timeout(ARRIVE, body(response, ANSWER)).await;
    let body = body.unwrap_or_else(|_| Err("the answer takes too long".into()));
    let body = body.map_err(|problem| ServerError::Away { problem, wait })?;
    if status == StatusCode::OK {
        let answer = aside(|| serde_json::from_slice(&body));
        return answer.map_err(|_| AnswerError::Malformed.into());
    }
    let problem = problem(status, &serde_json::from_slice(&body).unwrap_or_default());
    let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    // A folder that somebody else wrote to is put right before long.
    if later || status.is_server_error() || status == StatusCode::CONFLICT {
        return Err(ServerError::Away { problem, wait });
    }
    Err(ServerError::Denied { problem })
}

#[cfg(test)]
mod tests;
