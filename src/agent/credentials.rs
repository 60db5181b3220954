//! What a request of the agent proves itself with.

use reqwest::header::AUTHORIZATION;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::client::{Token, chain};
use super::keys::{First, Keys};
use crate::model::Timestamp;

/// The host's own keys, or a token that somebody gave it.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    None,
    Token(Token),
    Keys(Keys),
}

impl Credentials {
    /// Sends a request. A controller that refuses one key is asked with the other: after a rotation it may
    /// not know the new one yet, or the old one no more.
    ///
    /// # Errors
    /// What is wrong, for people; never with the address.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        let keys = match self {
            Self::None => return plain(request).await,
            Self::Token(token) => {
                return plain(request.header(AUTHORIZATION, token.header())).await;
            }
            Self::Keys(keys) => keys,
        };
        signed(keys, First::Known, request).await
    }
}

/// Sends a request signed with one key after the other, until one is not refused.
pub(super) async fn signed(
    keys: &Keys,
    first: First,
    request: RequestBuilder,
) -> Result<Response, String> {
    let mut tried = Vec::new();
    let mut refused = None;
    loop {
        let signature = keys.sign(first, &tried, Timestamp::now());
        let Some((key, header)) = signature.map_err(|error| error.to_string())? else {
            return refused.ok_or_else(|| "this host has no key".to_owned());
        };
        let again = request.try_clone().expect("because its body is in memory");
        let response = plain(again.header(AUTHORIZATION, header)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        tried.push(key);
        refused = Some(response);
    }
}

async fn plain(request: RequestBuilder) -> Result<Response, String> {
    request.send().await.map_err(|error| chain(&error.without_url()))
}
