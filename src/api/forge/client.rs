//! Requests to the forge: one at a time, bounded in time and size, redirected nowhere, and judged.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::address::Forge;
use super::dialect::{Branches, said};
use super::text::Text;
use super::token::{Token, TokenError};
use crate::git::GitError;
use crate::model::Timestamp;
use crate::model::url::is_loopback;

const CONNECT: Duration = Duration::from_secs(5);
/// Largest answer that is read: a page of pull requests.
const SIZE: usize = 1 << 20;
/// Longest text of the forge that is passed on.
const SHOWN: usize = 300;
/// How long the forge is left alone when it says that there was too much, and not for how long.
const ALONE: Duration = Duration::from_secs(60);
/// Longest wait that a forge may ask for.
const WAIT: Duration = Duration::from_secs(15 * 60);

/// Why there is no pull request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    // Its source names a file of the operator's.
    #[error("the forge's token cannot be used; fix: the controller's log says what is wrong")]
    Token(#[from] TokenError),
    #[error("the forge does not accept the token; fix: put a valid one into the token file")]
    Unauthorized,
    #[error("the token may not open pull requests{0}; fix: let it read and write them")]
    Forbidden(String),
    #[error(
        "the forge knows no such repository, or not for this token{0}; fix: `--forge-repository`, or another token"
    )]
    NotFound(String),
    #[error(
        "the forge redirects elsewhere; fix: give `--forge-url` and `--forge-repository` as they are now"
    )]
    Redirected,
    #[error("the forge answers {0}{1}")]
    Refused(StatusCode, String),
    #[error("the forge's answer cannot be understood")]
    Answer,
    #[error("the forge answers {status}{said}")]
    Later { status: StatusCode, said: String },
    #[error("the forge has had too many requests; it is left alone for {} s", .0.as_secs())]
    Alone(Duration),
    #[error("the forge does not answer: {0}")]
    Network(String),
    #[error("the change's branch cannot be read")]
    Branch(#[from] GitError),
}

impl Trouble {
    /// Whether the same may work later, by itself.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::Alone(_) | Self::Network(_) | Self::Branch(_))
    }

    /// How long the forge asks to be left alone.
    pub(super) fn wait(&self) -> Duration {
        if let Self::Alone(wait) = self { *wait } else { Duration::ZERO }
    }
}

/// Talks to one forge.
#[derive(Debug)]
pub(super) struct ForgeClient {
    pub(super) forge: Forge,
    http: Client,
    /// Held by whoever talks; until when the forge is left alone.
    quiet: Mutex<Instant>,
}

impl ForgeClient {
    /// One whose answers may take `time`.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub(super) fn new(forge: Forge, time: Duration) -> Result<Self, reqwest::Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("titan/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(time);
        let host = forge.api.host_str().unwrap_or_default();
        if is_loopback(host.trim_matches(['[', ']'])) {
            builder = builder.no_proxy();
        }
        Ok(Self { forge, http: builder.build()?, quiet: Mutex::new(Instant::now()) })
    }

    /// The address of the pull request for these branches, if there is one.
    pub(super) async fn find(
        &self,
        token: &Token,
        branches: Branches<'_>,
    ) -> Result<Option<String>, Trouble> {
        let request = self.http.get(self.forge.finding(branches));
        match self.send(token, request).await {
            Ok(answer) => Ok(self.forge.found(&answer, branches)),
            // Gitea's word for none; if it is the repository that it does not know, opening one tells.
            Err(Trouble::NotFound(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Opens one, unless there is one.
    pub(super) async fn open(
        &self,
        token: &Token,
        branches: Branches<'_>,
        text: &Text,
    ) -> Result<String, Trouble> {
        if let Some(found) = self.find(token, branches).await? {
            return Ok(found);
        }
        let (url, body) = self.forge.opening(branches, text);
        match self.send(token, self.http.post(url).json(&body)).await {
            Ok(answer) => self.forge.address(&answer).ok_or(Trouble::Answer),
            // Somebody else may have been faster.
            Err(refused @ Trouble::Refused(..)) => self.find(token, branches).await?.ok_or(refused),
            Err(trouble) => Err(trouble),
        }
    }

    async fn send(&self, token: &Token, request: RequestBuilder) -> Result<Value, Trouble> {
        let mut quiet = self.quiet.lock().await;
        let left = quiet.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Err(Trouble::Alone(left));
        }
        let answer = self.exchange(token, request).await;
        if let Err(Trouble::Alone(wait)) = &answer {
            *quiet = Instant::now() + *wait;
        }
        answer
    }

    async fn exchange(&self, token: &Token, request: RequestBuilder) -> Result<Value, Trouble> {
        let network = |error: reqwest::Error| Trouble::Network(token.hide(&told(error)));
        let response = request.headers(self.forge.headers(token)).send().await.map_err(network)?;
        let (status, alone) = (response.status(), alone(response.status(), response.headers()));
        let body = body(response).await.map_err(network)?;
        if let Some(wait) = alone {
            return Err(Trouble::Alone(wait));
        }
        let answer = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        if status.is_success() {
            return answer.ok_or(Trouble::Answer);
        }
        let said = shown(&token.hide(&said(&answer.unwrap_or_default())));
        Err(match status {
            StatusCode::UNAUTHORIZED => Trouble::Unauthorized,
            StatusCode::FORBIDDEN => Trouble::Forbidden(said),
            StatusCode::NOT_FOUND => Trouble::NotFound(said),
            StatusCode::REQUEST_TIMEOUT => Trouble::Later { status, said },
            _ if status.is_server_error() => Trouble::Later { status, said },
            _ if status.is_redirection() => Trouble::Redirected,
            _ => Trouble::Refused(status, said),
        })
    }
}

/// How long the forge is to be left alone, if it says so: GitHub tells by 403 too that there was too much.
fn alone(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let asked = number(RETRY_AFTER.as_str());
    let spent = number("x-ratelimit-remaining") == Some(0);
    let too_much = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => asked.is_some() || spent,
        StatusCode::SERVICE_UNAVAILABLE => asked.is_some(),
        _ => false,
    };
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let reset = number("x-ratelimit-reset").filter(|_| spent).map(|at| at.saturating_sub(now));
    let wait = asked.or(reset).map_or(ALONE, Duration::from_secs);
    too_much.then_some(wait.clamp(Duration::from_secs(1), WAIT))
}

/// The body; `None` when it is too long.
async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > SIZE {
            return Ok(None);
        }
    }
    Ok(Some(body))
}

/// An error with its causes, and without addresses.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What the forge says, fit to be passed on: `: …`, or nothing.
fn shown(said: &str) -> String {
    let plain: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain: String = plain.trim().chars().take(SHOWN).collect();
    if plain.is_empty() { plain } else { format!(": {plain}") }
}
