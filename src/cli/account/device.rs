//! The device flow: the person confirms a code in a browser on any machine (RFC 8628).
//!
//! ```text
//!  device endpoint ─▶ Grant: code and address for the person
//!        wait ─▶ token endpoint ─┬─ authorization_pending ─▶ wait
//!                                ├─ slow_down ─▶ wait 5 s longer from now on
//!                                ├─ no answer ─▶ wait twice as long
//!                                └─ tokens, or a refusal
//! ```

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::http::{Reply, endpoint, plain};
use super::provider::Answer;
use super::{AccountError, Provider, Secret, Settings};

const KIND: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Between two questions, unless the provider says otherwise; and how much slower when it says so.
const INTERVAL: u64 = 5;
/// Longest time between two questions.
const LONGEST: Duration = Duration::from_secs(60);
const WHAT: &str = "log in";

/// What a provider grants to a device: a code for it, and one for the person.
#[derive(Debug, Deserialize)]
pub(crate) struct Grant {
    device_code: Secret,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    /// The same with the code in it.
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) expires_in: u64,
    interval: Option<u64>,
}

/// What follows an answer.
#[derive(Debug)]
enum Step {
    Done(Box<Answer>),
    /// Ask again after so long, and so on.
    Wait(Duration),
}

/// Asks for a code.
///
/// # Errors
/// When the provider has no such flow, refuses or does not answer.
pub(crate) async fn start(provider: &Provider, settings: &Settings) -> Result<Grant, AccountError> {
    let url =
        provider.device.as_ref().ok_or(AccountError::Lacks("device authorization endpoint"))?;
    let scopes = provider.scopes(&settings.scopes);
    let form = [("client_id", settings.client_id.as_str()), ("scope", &scopes)];
    let value = provider.http.form(WHAT, url, &form).await?.good(WHAT)?;
    let grant: Grant = serde_json::from_value(value).map_err(|_| AccountError::Answer {
        what: "use the provider's code",
        problem: "the answer has another form".into(),
    })?;
    grant.shown()
}

/// Waits until the person has confirmed it.
///
/// # Errors
/// When it is denied, or nobody does so in time.
pub(crate) async fn wait(
    provider: &Provider,
    settings: &Settings,
    grant: &Grant,
) -> Result<Answer, AccountError> {
    let form = [
        ("grant_type", KIND),
        ("device_code", grant.device_code.reveal()),
        ("client_id", &settings.client_id),
    ];
    let end = Instant::now() + Duration::from_secs(grant.expires_in.min(24 * 3600));
    let mut interval = Duration::from_secs(grant.interval.unwrap_or(INTERVAL).max(1)).min(LONGEST);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        sleep(interval.min(left)).await;
        let last = Instant::now() >= end;
        match next(provider.tokens(WHAT, &form).await, interval)? {
            Step::Done(answer) => return Ok(*answer),
            Step::Wait(_) if last => return Err(AccountError::CodeExpired),
            Step::Wait(longer) => interval = longer,
        }
    }
}

fn next(reply: Result<Reply, AccountError>, interval: Duration) -> Result<Step, AccountError> {
    let (code, detail) = match reply {
        Ok(Reply::Good(value)) => return Ok(Step::Done(Box::new(Answer::of(value)?))),
        Ok(Reply::Refused { code, detail }) => (code, detail),
        Err(AccountError::Network { .. }) => return Ok(Step::Wait((interval * 2).min(LONGEST))),
        Err(error) => return Err(error),
    };
    match code.as_str() {
        "authorization_pending" => Ok(Step::Wait(interval)),
        "slow_down" => Ok(Step::Wait((interval + Duration::from_secs(INTERVAL)).min(LONGEST))),
        "expired_token" => Err(AccountError::CodeExpired),
        "access_denied" => Err(AccountError::Denied),
        _ => Err(AccountError::Refused { what: WHAT, code, detail }),
    }
}

impl Grant {
    /// With addresses and code that may be shown.
    fn shown(mut self) -> Result<Self, AccountError> {
        self.user_code = plain(&self.user_code);
        let what = "the provider's address for the code";
        self.verification_uri = endpoint(what, &self.verification_uri)?.to_string();
        let complete =
            self.verification_uri_complete.map(|url| endpoint(what, &url)).transpose()?;
        self.verification_uri_complete = complete.map(|url| url.to_string());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(reply: Result<Reply, AccountError>) -> Result<Step, AccountError> {
        next(reply, Duration::from_secs(7))
    }

    fn refused(code: &str) -> Result<Step, AccountError> {
        after(Ok(Reply::Refused { code: code.into(), detail: String::new() }))
    }

    fn waits(step: Result<Step, AccountError>) -> u64 {
        match step {
            Ok(Step::Wait(time)) => time.as_secs(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_pace_is_the_providers() {
        assert_eq!(waits(refused("authorization_pending")), 7);
        assert_eq!(waits(refused("slow_down")), 12);
        let network = || AccountError::Network { what: WHAT, problem: "timeout".into() };
        assert_eq!(waits(after(Err(network()))), 14);
        assert_eq!(waits(next(Err(network()), LONGEST)), 60);
    }

    #[test]
    fn refusals_end_it() {
        assert!(matches!(refused("expired_token"), Err(AccountError::CodeExpired)));
        assert!(matches!(refused("access_denied"), Err(AccountError::Denied)));
        assert!(matches!(refused("invalid_client"), Err(AccountError::Refused { .. })));
    }

    #[test]
    fn tokens_end_it() {
        let tokens = json!({"access_token": "a", "id_token": "b", "token_type": "Bearer"});
        assert!(matches!(after(Ok(Reply::Good(tokens))), Ok(Step::Done(_))));
        assert!(after(Ok(Reply::Good(json!({})))).is_err());
    }

    #[test]
    fn a_code_cannot_write_to_the_terminal() {
        let grant = |uri: &str| Grant {
            device_code: Secret::new("s3cret"),
            user_code: "AB\u{1b}[2JCD".into(),
            verification_uri: uri.into(),
            verification_uri_complete: None,
            expires_in: 600,
            interval: None,
        };
        let shown = grant("https://login.example/device").shown().unwrap();
        assert_eq!(shown.user_code, "AB [2JCD");
        assert!(!format!("{shown:?}").contains("s3cret"));
        assert!(grant("javascript:alert(1)").shown().is_err());
    }
}
