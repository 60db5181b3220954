//! Asking a titan server, as whoever is logged in there.

use anyhow::Result;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::super::exit::Failure;
use super::http::{endpoint, plain};
use super::{AccountError, Http, bearer, server};

/// A server, and the token for it.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its address, as the store names it.
    pub(crate) name: String,
    base: Url,
    http: Http,
    token: Option<super::Secret>,
    runtime: Runtime,
}

impl Server {
    /// The server at an address. Nobody has to be logged in: one on this machine may ask nobody.
    ///
    /// # Errors
    /// When it is no address, or the session there has ended.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let name = server::key(address)?;
        let base = endpoint("the server's address", &name)?;
        let token = bearer::token_for(&name)?.map(super::Secret::new);
        let (http, runtime) = (Http::to(&base)?, super::runtime()?);
        Ok(Self { name, base, http, token, runtime })
    }

    /// The JSON document at a path below `/api/v1/`.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let what = "ask the server";
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.http.get_as(what, url, self.token.as_ref());
        let (status, body) = self.runtime.block_on(answer)?;
        let answer = serde_json::from_slice::<Value>(&body);
        if status == StatusCode::OK {
            let problem = || AccountError::Answer { what, problem: "the answer is no JSON".into() };
            return answer.map_err(|_| problem().into());
        }
        let said = answer.ok().and_then(|answer| answer["error"].as_str().map(plain));
        Err(self.refused(what, status, &said.unwrap_or_default()))
    }

    fn refused(&self, what: &'static str, status: StatusCode, said: &str) -> anyhow::Error {
        let server = &self.name;
        let said = if said.is_empty() { status.to_string() } else { said.to_owned() };
        match status {
            StatusCode::UNAUTHORIZED if self.token.is_none() => {
                AccountError::NotLoggedIn { server: server.clone() }.into()
            }
            StatusCode::UNAUTHORIZED => {
                Failure::no(format!("`{server}` refuses the token: {said}"))
                    .hint(format!("`titan login --server {server}`"))
                    .into()
            }
            StatusCode::FORBIDDEN => Failure::no(format!("`{server}` refuses: {said}"))
                .hint("an owner of a workspace, or an admin, gives you a role")
                .into(),
            StatusCode::NOT_FOUND => Failure::no(format!("`{server}` has no such thing"))
                .hint("is that the address of a titan server?")
                .into(),
            _ if status.is_server_error() => AccountError::Network { what, problem: said }.into(),
            _ => AccountError::Answer { what, problem: format!("{status}: {said}") }.into(),
        }
    }
}
