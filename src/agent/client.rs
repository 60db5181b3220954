//! Talking to one controller: its address, tokens, and reports.

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::credentials::Credentials;
use crate::deliver::clean;
use crate::model::{HostReport, Name, ReportAnswer};

const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(15);
/// Longest answer that is read.
const ANSWER: usize = 64 << 10;
/// Longest wait that a controller may ask for.
const WAIT: Duration = Duration::from_secs(300);

/// A host's token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// Why a controller cannot be addressed. No variant carries the address, as it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    #[error("the controller's address is not a URL such as `https://titan.example`")]
    Url,
    #[error("the controller's address holds a user or password: use a token")]
    Credentials,
    #[error(
        "the controller's address is `http` and not on this machine: the token could be read on the way"
    )]
    Insecure,
    #[error("the token has characters that a header cannot carry")]
    Token,
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Whether a token may travel in clear text over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearText {
    Refused,
    Allowed,
}

impl Token {
    /// # Errors
    /// When it cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, ControllerError> {
        let value = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        let mut value = value.map_err(|_| ControllerError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub(super) fn text(&self) -> &str {
        let text = self.0.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The address of a controller, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerUrl(Url);

impl ControllerUrl {
    /// # Errors
    /// See [`ControllerError`].
    pub fn new(text: &str, clear_text: ClearText) -> Result<Self, ControllerError> {
        let mut url = Url::parse(text).map_err(|_| ControllerError::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ControllerError::Credentials);
        }
        if url.host_str().is_none() || url.query().is_some() || url.fragment().is_some() {
            return Err(ControllerError::Url);
        }
        match url.scheme() {
            "https" => {}
            "http" if clear_text == ClearText::Allowed || is_loopback(&url) => {}
            "http" => return Err(ControllerError::Insecure),
            _ => return Err(ControllerError::Url),
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// What lies below the host's own address: `reports`, `deployments`.
    pub(super) fn of_host(&self, host: &Name, what: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/hosts/{host}/{what}"));
        url
    }

    /// A client for this address. It follows nobody elsewhere, and takes no proxy to this machine.
    pub(super) fn client(&self) -> Result<Client, ControllerError> {
        let mut builder = Client::builder()
            .user_agent(concat!("titan-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT);
        if is_loopback(&self.0) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| ControllerError::Client(error.to_string()))
    }
}

impl fmt::Display for ControllerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an address is on this machine, for sure.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let ip = address.parse::<std::net::IpAddr>();
    ip.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted(ReportAnswer),
    /// The controller has seen a higher sequence number.
    OldSequence {
        seen: u64,
    },
    /// Try again later, perhaps not before a given time.
    Later {
        problem: String,
        wait: Option<Duration>,
    },
    /// Somebody has to change something before it can work.
    Denied {
        problem: String,
    },
}

/// Sends reports to one controller.
#[derive(Debug, Clone)]
pub(super) struct ReportClient {
    http: Client,
    url: Url,
    credentials: Credentials,
}

impl ReportClient {
    pub(super) fn new(
        controller: &ControllerUrl,
        host: &Name,
        credentials: Credentials,
    ) -> Result<Self, ControllerError> {
        let url = controller.of_host(host, "reports");
        Ok(Self { http: controller.client()?, url, credentials })
    }

    pub(super) async fn send(&self, report: &HostReport) -> Outcome {
        let request = self.http.post(self.url.clone()).timeout(TOTAL).json(report);
        match self.credentials.send(request).await {
            Ok(response) => judge(response).await,
            Err(problem) => Outcome::Later { problem, wait: None },
        }
    }
}

/// How long the controller asks to be left alone.
pub(super) fn asked_wait(response: &Response) -> Option<Duration> {
    let wait = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(wait.trim().parse().ok()?).min(WAIT))
}

/// What a refusal says, after its status.
pub(super) fn problem(status: StatusCode, said: &serde_json::Value) -> String {
    let error = said["error"].as_str().map(clean).unwrap_or_default();
    if error.is_empty() { format!("{status}") } else { format!("{status}: {error}") }
}

async fn judge(response: Response) -> Outcome {
    let status = response.status();
    let wait = asked_wait(&response);
    let body = match body(response, ANSWER).await {
        Ok(body) => body,
        Err(problem) => return Outcome::Later { problem, wait },
    };
    if status.is_success() {
        return match serde_json::from_slice(&body) {
            Ok(answer) => Outcome::Accepted(answer),
            Err(_) => Outcome::Later { problem: "the answer cannot be understood".into(), wait },
        };
    }
    let said = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let problem = problem(status, &said);
    match (status, said["seen"].as_u64()) {
        (StatusCode::CONFLICT, Some(seen)) => Outcome::OldSequence { seen },
        // A revision that this controller has not read yet, though another one has written it.
        (StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => {
            Outcome::Later { problem, wait }
        }
        _ if status.is_server_error() => Outcome::Later { problem, wait },
        _ => Outcome::Denied { problem },
    }
}

/// The body, if it has at most `most` bytes.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err("the answer is too long".into());
        }
    }
    Ok(body)
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_encrypted_or_not_at_all() {
        let check = |url: &str, clear_text, expected: Result<&str, ControllerError>| {
            let name = "tim-pi".parse().expect("a name");
            let found = ControllerUrl::new(url, clear_text)
                .map(|url| url.of_host(&name, "reports").to_string());
            assert_eq!(found, expected.map(str::to_owned), "{url}");
        };
        let path = "api/v1/hosts/tim-pi/reports";
        let (no, yes) = (ClearText::Refused, ClearText::Allowed);
        check("https://titan.example", no, Ok(&format!("https://titan.example/{path}")));
        check("https://titan.example/a/b/", no, Ok(&format!("https://titan.example/a/b/{path}")));
        check("http://127.0.0.1:7878", no, Ok(&format!("http://127.0.0.1:7878/{path}")));
        check("http://[::1]:1/", no, Ok(&format!("http://[::1]:1/{path}")));
        check("http://localhost/", no, Ok(&format!("http://localhost/{path}")));
        check("http://titan.example", no, Err(ControllerError::Insecure));
        check("http://127.0.0.1.example", no, Err(ControllerError::Insecure));
        check("http://10.0.0.1", no, Err(ControllerError::Insecure));
        check("http://10.0.0.1", yes, Ok(&format!("http://10.0.0.1/{path}")));
        check("https://me:secret@titan.example", no, Err(ControllerError::Credentials));
        check("ftp://titan.example", yes, Err(ControllerError::Url));
        check("titan.example", yes, Err(ControllerError::Url));
        check("https://titan.example/?x=1", no, Err(ControllerError::Url));
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("s3cret\n").expect("a token");
        assert_eq!(format!("{token:?} {:?}", token.0), "Token(…) Sensitive");
        assert_eq!(Token::new("a\nb"), Err(ControllerError::Token));
    }
}
