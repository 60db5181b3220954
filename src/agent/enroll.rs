//! How this host comes to a key that the controllers know, and to another one when that is old.
//!
//! ```text
//!  token to enroll ─▶ Keys::begin ─▶ POST …/key with the token ──────▶ Keys::settle
//!  the key is old  ─▶ Keys::begin ─▶ POST …/key signed by either ────▶ Keys::settle
//! ```

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::json;
use tokio::time::sleep;

use super::client::{ControllerError, ControllerUrl, Token, asked_wait, body, chain, problem};
use super::credentials::{Credentials, signed};
use super::keys::{First, Keys, KeysError};
use super::{AgentError, Config, Mode, aside, random};
use crate::deliver::Backoff;
use crate::model::{HostKey, Name, Timestamp};
use crate::proof::secret;

/// How long a controller may take: it commits, and waits for others.
const TIME: Duration = Duration::from_secs(60);
/// Tries with a token that the controller does not know, and the pause between them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const ANSWER: usize = 64 << 10;
/// Longest time between two looks at the age of the key: the clock may jump.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Where keys are told.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    http: Client,
    url: Url,
    keys: Keys,
}

/// What a controller says to a key.
enum Told {
    Taken,
    Later {
        problem: String,
        wait: Option<Duration>,
    },
    /// The token or key proves nothing, or nothing yet.
    Unproven {
        problem: String,
    },
    Denied {
        problem: String,
    },
}

/// Enrolls where that was asked for and was not done yet; what requests prove themselves with then.
///
/// # Errors
/// When the host is refused and has no other key.
pub(super) async fn credentials(config: &Config, keys: &Keys) -> Result<Credentials, AgentError> {
    if let Some(token) = &config.enroll {
        let controller = config.desk().ok_or(AgentError::NoController)?;
        let desk = Desk::new(controller, &config.host, keys.clone())?;
        let digest = secret::digest(token.text());
        if keys.has_used(&digest) {
            tracing::debug!("this host is enrolled already");
        } else if let Err(error) = desk.enroll(token, &digest, config.mode).await {
            if !keys.is_known() {
                return Err(error);
            }
            tracing::warn!(%error, "the host goes on with the key that it has");
        }
    }
    Ok(match &config.token {
        // A key that nobody has taken is better than nothing: the answer may have been lost.
        Some(token) if !keys.is_known() => Credentials::Token(token.clone()),
        None if keys.is_empty() => Credentials::None,
        _ => Credentials::Keys(keys.clone()),
    })
}

impl Desk {
    pub(super) fn new(
        controller: &ControllerUrl,
        host: &Name,
        keys: Keys,
    ) -> Result<Self, ControllerError> {
        Ok(Self { http: controller.client()?, url: controller.of_host(host, "key"), keys })
    }

    /// Until a controller has decided; `Mode::Once` does not wait for one that is away.
    async fn enroll(&self, token: &Token, digest: &str, mode: Mode) -> Result<(), AgentError> {
        let mut away = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let key = aside(|| self.keys.begin(Some(digest), Timestamp::now()))?;
        let mut tries = 1;
        loop {
            let request = self.request(key).header(AUTHORIZATION, token.header());
            let sent = request.send().await.map_err(|error| chain(&error.without_url()));
            match judge(sent).await {
                Told::Taken => return Ok(aside(|| self.keys.settle(key))?),
                Told::Later { problem, wait } if mode == Mode::UntilStopped => {
                    tracing::warn!(problem, "cannot enroll yet");
                    sleep(away.fail(random()).max(wait.unwrap_or_default())).await;
                }
                // The token may be younger than what the controller has read of Git.
                Told::Unproven { problem } if tries < TRIES => {
                    tracing::warn!(problem, "cannot enroll yet");
                    tries += 1;
                    sleep(PAUSE).await;
                }
                Told::Later { problem, .. } => return Err(AgentError::Away { problem }),
                Told::Unproven { problem } | Told::Denied { problem } => {
                    return Err(AgentError::Enroll { problem });
                }
            }
        }
    }

    /// Replaces the key whenever it is older than `every`, and goes on with what a crash interrupted.
    pub(super) async fn rotate(self, every: Duration) {
        let mut failed = Backoff::new(Duration::from_secs(60), LOOK);
        loop {
            let pause = match self.keys.due(every, Timestamp::now()) {
                Some(rest) if !rest.is_zero() => rest.min(LOOK),
                _ => match self.renew().await {
                    Ok(()) => {
                        failed.reset();
                        continue;
                    }
                    Err(problem) => {
                        tracing::warn!(problem, "the host's key is not replaced yet");
                        failed.fail(random())
                    }
                },
            };
            sleep(pause).await;
        }
    }

    /// One try to have another key. The new one signs first: a controller may have taken it, and the answer
    /// was lost.
    async fn renew(&self) -> Result<(), String> {
        let told = |error: KeysError| error.to_string();
        let key = aside(|| self.keys.pending_or_new(Timestamp::now())).map_err(told)?;
        let sent = signed(&self.keys, First::New, self.request(key)).await;
        match judge(sent).await {
            Told::Taken => aside(|| self.keys.settle(key)).map_err(told),
            Told::Later { problem, .. } | Told::Unproven { problem } | Told::Denied { problem } => {
                Err(problem)
            }
        }
    }

    fn request(&self, key: HostKey) -> reqwest::RequestBuilder {
        self.http.post(self.url.clone()).timeout(TIME).json(&json!({ "key": key }))
    }
}

async fn judge(sent: Result<Response, String>) -> Told {
    let response = match sent {
        Ok(response) => response,
        Err(problem) => return Told::Later { problem, wait: None },
    };
    let (status, wait) = (response.status(), asked_wait(&response));
    let body = body(response, ANSWER).await.unwrap_or_default();
    if status.is_success() {
        return Told::Taken;
    }
    let problem = problem(status, &serde_json::from_slice(&body).unwrap_or_default());
    let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    match status {
        _ if later || status.is_server_error() => Told::Later { problem, wait },
        StatusCode::UNAUTHORIZED => Told::Unproven { problem },
        _ => Told::Denied { problem },
    }
}
