//! Requests to a provider or a server: encrypted, bounded in time and size, redirected nowhere.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::{AccountError, Secret};
use crate::agent::is_loopback;
use crate::deliver::clean;

const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(15);
/// Longest answer that is read.
const ANSWER: usize = 1 << 20;
/// Longest text of somebody else that is shown.
const SHOWN: usize = 300;
/// Fields of a form that nobody may see again, not even in an error that the provider sends back.
const HIDDEN: [&str; 5] = ["refresh_token", "code", "code_verifier", "device_code", "token"];

/// A client for one provider or server.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

/// What an endpoint of OAuth 2.0 answers.
#[derive(Debug)]
pub(super) enum Reply {
    Good(Value),
    /// RFC 6749, 5.2.
    Refused {
        code: String,
        detail: String,
    },
}

impl Http {
    /// # Errors
    /// When the client cannot be set up.
    pub(crate) fn to(url: &Url) -> Result<Self, AccountError> {
        let mut builder = Client::builder()
            .user_agent(concat!("titan/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(TOTAL);
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        Ok(Self(builder.build().map_err(network("set up HTTP"))?))
    }

    /// The status and the body of a page.
    pub(super) async fn get(
        &self,
        what: &'static str,
        url: Url,
    ) -> Result<(StatusCode, Vec<u8>), AccountError> {
        self.get_as(what, url, None).await
    }

    /// The same, for whoever has the token.
    pub(super) async fn get_as(
        &self,
        what: &'static str,
        url: Url,
        token: Option<&Secret>,
    ) -> Result<(StatusCode, Vec<u8>), AccountError> {
        let mut request = self.0.get(url).header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        send(what, request).await
    }

    /// A JSON document.
    pub(super) async fn json(&self, what: &'static str, url: Url) -> Result<Value, AccountError> {
        let (status, body) = self.get(what, url).await?;
        let fail = |problem: String| AccountError::Answer { what, problem };
        if !status.is_success() {
            return Err(fail(format!("the answer is {status}")));
        }
        serde_json::from_slice(&body).map_err(|_| fail("the answer is no JSON".into()))
    }

    /// Sends a form to an endpoint of OAuth 2.0.
    pub(super) async fn form(
        &self,
        what: &'static str,
        url: &Url,
        form: &[(&str, &str)],
    ) -> Result<Reply, AccountError> {
        let request = self
            .0
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(form));
        let (status, body) = send(what, request).await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(Reply::Good(value));
        }
        let Some(code) = value["error"].as_str() else {
            let problem = format!("the answer is {status}");
            return Err(match status.is_server_error() {
                true => AccountError::Network { what, problem },
                false => AccountError::Answer { what, problem },
            });
        };
        let detail = value["error_description"].as_str().unwrap_or_default();
        Ok(Reply::Refused { code: foreign(code, form), detail: foreign(detail, form) })
    }
}

impl Reply {
    /// What was asked for, or that it was refused.
    pub(super) fn good(self, what: &'static str) -> Result<Value, AccountError> {
        match self {
            Self::Good(value) => Ok(value),
            Self::Refused { code, detail } => Err(AccountError::Refused { what, code, detail }),
        }
    }
}

/// An address that tokens may be sent to.
pub(super) fn endpoint(what: &'static str, text: &str) -> Result<Url, AccountError> {
    let url = Url::parse(text).ok().filter(|url| url.host_str().is_some());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    let url =
        url.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)));
    url.ok_or(AccountError::Url { what })
}

async fn send(
    what: &'static str,
    request: RequestBuilder,
) -> Result<(StatusCode, Vec<u8>), AccountError> {
    let mut response: Response = request.send().await.map_err(network(what))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network(what))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER {
            return Err(AccountError::Answer { what, problem: "the answer is too long".into() });
        }
    }
    Ok((status, body))
}

fn encode(form: &[(&str, &str)]) -> String {
    let mut url = Url::parse("form:").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}

fn network(what: &'static str) -> impl Fn(reqwest::Error) -> AccountError {
    move |error| {
        let error = error.without_url();
        let mut problem = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            problem = format!("{problem}: {cause}");
            source = cause.source();
        }
        AccountError::Network { what, problem: clean(&problem) }
    }
}

/// What a provider says, fit to be shown: short, without control characters, and without what it
/// was sent in confidence.
fn foreign(text: &str, form: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (_, value) in form.iter().filter(|(name, value)| HIDDEN.contains(name) && !value.is_empty())
    {
        text = text.replace(value, "…");
    }
    plain(&text)
}

/// A text of somebody else, fit to be shown on one line.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_encrypted_addresses_only() {
        let check = |url: &str, good: bool| {
            assert_eq!(endpoint("the issuer", url).is_ok(), good, "{url}");
        };
        check("https://login.example/tenant/v2.0", true);
        check("http://127.0.0.1:5556/dex", true);
        check("http://localhost:8080/realms/titan", true);
        check("http://login.example", false);
        check("http://127.0.0.1.example", false);
        check("https://me:secret@login.example", false);
        check("ftp://login.example", false);
        check("login.example", false);
    }

    #[test]
    fn a_provider_cannot_show_what_it_was_sent() {
        let form = [("refresh_token", "s3cret"), ("client_id", "titan")];
        let said = foreign("bad token s3cret of titan\u{1b}[31m\n", &form);
        assert_eq!(said, "bad token … of titan [31m");
        assert_eq!(plain(&"x".repeat(1000)).len(), SHOWN);
    }

    #[test]
    fn forms_are_encoded() {
        let form = [("scope", "openid profile"), ("redirect_uri", "http://127.0.0.1:1/callback")];
        let expected = "scope=openid+profile&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback";
        assert_eq!(encode(&form), expected);
    }
}
