//! The browser flow: an authorization code with PKCE over a loopback address (RFC 8252, RFC 7636).
//!
//! ```text
//!  Request: state, nonce, verifier ─▶ address for the browser ─▶ provider's pages
//!                                                                    │ redirect
//!  token endpoint ◀─ code, verifier ◀─ 127.0.0.1:<port>/callback ◀───┘
//! ```

use std::ffi::OsStr;
use std::process::Stdio;

use reqwest::Url;
use tokio::process::Command;

use super::challenge::{challenge, random};
use super::loopback::{Loopback, Redirect};
use super::provider::Answer;
use super::{AccountError, Provider, Secret, Settings};

const WHAT: &str = "log in";

/// A login that a browser has to go through.
#[derive(Debug)]
pub(crate) struct Request {
    loopback: Loopback,
    /// Where the browser starts.
    pub(crate) url: Url,
    /// What the ID token has to repeat.
    pub(crate) nonce: String,
    verifier: Secret,
}

/// Opens the loopback address, and makes the one for the browser.
///
/// # Errors
/// When the provider has no such flow, or there is no free port.
pub(crate) async fn start(
    provider: &Provider,
    settings: &Settings,
) -> Result<Request, AccountError> {
    let url = provider.authorization.as_ref();
    let mut url = url.ok_or(AccountError::Lacks("authorization endpoint"))?.clone();
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let loopback = Loopback::open(&state, &provider.issuer).await?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &loopback.address())
        .append_pair("scope", &provider.scopes(&settings.scopes))
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    Ok(Request { loopback, url, nonce, verifier: Secret::new(verifier) })
}

impl Request {
    /// Waits for the browser, and turns its code into tokens. `stray` is told of answers that belong
    /// to another login.
    ///
    /// # Errors
    /// When the login was denied or refused.
    pub(crate) async fn finish(
        &self,
        provider: &Provider,
        settings: &Settings,
        stray: impl FnMut(),
    ) -> Result<Answer, AccountError> {
        let code = match self.loopback.redirect(stray).await? {
            Redirect::Code(code) => code,
            Redirect::Refused { code, .. } if code == "access_denied" => {
                return Err(AccountError::Denied);
            }
            Redirect::Refused { code, detail } => {
                return Err(AccountError::Refused { what: WHAT, code, detail });
            }
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.reveal()),
            ("redirect_uri", &self.loopback.address()),
            ("client_id", &settings.client_id),
            ("code_verifier", self.verifier.reveal()),
        ];
        Answer::of(provider.tokens(WHAT, &form).await?.good(WHAT)?)
    }
}

/// The program that opens a browser here, if there is one and a screen to show it on.
#[must_use]
pub(crate) fn opener() -> Option<&'static str> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let (program, screen) = if cfg!(target_os = "macos") {
        ("open", !is_set("SSH_CONNECTION"))
    } else {
        ("xdg-open", is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    (screen && is_on(&path, program)).then_some(program)
}

fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// Opens a browser; who has none follows the address by hand.
pub(crate) fn open(program: &str, url: &Url) {
    let quiet = Stdio::null;
    let mut command = Command::new(program);
    command.arg(url.as_str()).stdin(quiet()).stdout(quiet()).stderr(quiet());
    // It is waited for by the runtime, if at all.
    drop(command.spawn());
}
