//! A person's account at a titan server: logging in at its OpenID provider, and the tokens.
//!
//! ```text
//!  server ── GET /api/v1/identity ─▶ Settings: issuer, client id, scopes, audience
//!                                        │ discovery
//!                                        ▼
//!                    device ─┐       Provider ── refresh, revoke
//!                            ├─▶ Answer ─▶ id_token: checked by the provider's keys ─▶ Session
//!                   browser ─┘                                                            │
//!  Server::get ◀── token_for(server) ◀── bearer: refreshed in time ◀── Store: servers.json, 0600
//! ```
//!
//! Any provider with discovery will do; nothing here knows one by name. It is written on reqwest and
//! `jsonwebtoken`: the crate `openidconnect` brings signature libraries of its own (rsa, p256, p384,
//! ed25519-dalek), and with it the lock file names 480 packages, of at most 400.
//!
//! Tokens are [`Secret`]s: they show as `…`, and are in no argument, log, error or output.

mod bearer;
pub(crate) mod browser;
mod call;
mod challenge;
pub(crate) mod device;
mod error;
mod http;
mod id_token;
mod loopback;
mod provider;
mod server;
mod session;
mod store;

pub(crate) use bearer::{Asked, is_wanted, renewed, session_of};
pub(crate) use call::Server;
pub(crate) use error::AccountError;
pub(crate) use http::Http;
pub(crate) use id_token::Person;
pub(crate) use provider::Provider;
pub(crate) use server::{Offer, ServerArg, ask, logged_in};
pub(crate) use session::{Secret, Session, Settings};
pub(crate) use store::{Account, Store};

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

/// A runtime for a few requests.
pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the asynchronous runtime")
}
