//! A titan server: which one is meant, and how people log in there.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::Value;

use super::super::exit::Failure;
use super::http::endpoint;
use super::{Account, AccountError, Http};
use crate::agent::{ClearText, ControllerUrl};

/// The option that names a server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArg {
    /// The titan server [default: the only one that you logged in at]
    #[arg(long, env = "TITAN_SERVER", hide_env_values = true, value_name = "URL")]
    server: Option<String>,
}

/// A way to log in, as a server offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) audience: Option<String>,
    pub(crate) scopes: Vec<String>,
}

impl ServerArg {
    /// The server's address, as the store names it.
    ///
    /// # Errors
    /// When it is no address, or none is given and there is not exactly one to choose.
    pub(crate) fn choose(&self, known: &BTreeMap<String, Account>) -> anyhow::Result<String> {
        if let Some(text) = self.server.as_deref().filter(|text| !text.is_empty()) {
            return Ok(key(text)?);
        }
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        match names.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(Failure::usage("no titan server is known yet")
                .hint("`titan login --server URL`, or set TITAN_SERVER")
                .into()),
            several => Err(Failure::usage("there are several titan servers to choose from")
                .hint(format!("`--server` with one of {}", several.join(", ")))
                .into()),
        }
    }
}

/// The server where somebody is logged in: the one that `TITAN_SERVER` names, or the only one.
///
/// # Errors
/// When there are several.
pub(crate) fn logged_in(known: &BTreeMap<String, Account>) -> anyhow::Result<Option<String>> {
    let active = known.iter().filter(|(_, account)| account.session.is_some());
    let active: BTreeMap<_, _> = active.map(|(name, own)| (name.clone(), own.clone())).collect();
    let named = std::env::var("TITAN_SERVER").ok().filter(|text| !text.is_empty());
    if active.is_empty() && named.is_none() {
        return Ok(None);
    }
    ServerArg { server: named }.choose(&active).map(Some)
}

/// One address has one name.
///
/// # Errors
/// When it is no address, or not encrypted.
pub(crate) fn key(server: &str) -> Result<String, AccountError> {
    let url = ControllerUrl::new(server, ClearText::Refused)
        .map_err(|_| AccountError::Url { what: "the server's address" })?;
    Ok(url.to_string().trim_end_matches('/').to_owned())
}

/// Asks a server how people log in. One that does not tell offers nothing.
///
/// # Errors
/// When it does not answer.
pub(crate) async fn ask(server: &str) -> Result<Vec<Offer>, AccountError> {
    let what = "ask the server how to log in";
    let url = endpoint("the server's address", &format!("{server}/api/v1/identity"))?;
    let (status, body) = Http::to(&url)?.get(what, url).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    if !status.is_success() {
        return Err(AccountError::Answer { what, problem: format!("the answer is {status}") });
    }
    let answer: Value = serde_json::from_slice(&body)
        .map_err(|_| AccountError::Answer { what, problem: "the answer is no JSON".into() })?;
    Ok(offers(&answer))
}

/// Those that people can use: an issuer for machines has no client id.
fn offers(answer: &Value) -> Vec<Offer> {
    let issuers = answer["issuers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let offer = |value: &Value| {
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        let scopes = value["scopes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let issuer = text("issuer")?;
        Some(Offer {
            name: text("name").unwrap_or_else(|| issuer.clone()),
            issuer,
            client_id: text("clientId")?,
            audience: text("audience"),
            scopes: scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    };
    issuers.iter().filter_map(offer).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Settings;
    use super::*;

    fn account() -> Account {
        let settings = Settings {
            issuer: "https://login.example".into(),
            client_id: "titan".into(),
            scopes: Vec::new(),
            audience: None,
        };
        Account { settings, session: None }
    }

    #[test]
    fn a_server_has_one_name() {
        let check = |text: &str, expected: &str| assert_eq!(key(text).unwrap(), expected);
        check("https://Titan.example", "https://titan.example");
        check("https://titan.example/", "https://titan.example");
        check("https://titan.example/a/", "https://titan.example/a");
        check("http://127.0.0.1:7878", "http://127.0.0.1:7878");
        assert!(key("http://titan.example").is_err());
    }

    #[test]
    fn the_only_server_is_meant() {
        let none = ServerArg { server: None };
        let one = BTreeMap::from([("https://a.example".to_owned(), account())]);
        assert!(none.choose(&BTreeMap::new()).is_err());
        assert_eq!(none.choose(&one).unwrap(), "https://a.example");
        let mut two = one.clone();
        two.insert("https://b.example".into(), account());
        assert!(none.choose(&two).is_err());
        let named = ServerArg { server: Some("https://b.example/".into()) };
        assert_eq!(named.choose(&two).unwrap(), "https://b.example");
    }

    #[test]
    fn offers_for_machines_are_left_out() {
        let answer = json!({"issuers": [
            {"name": "people", "issuer": "https://login.example", "clientId": "titan",
             "audience": "titan-api", "scopes": ["openid"], "new": 1},
            {"name": "ci", "issuer": "https://token.actions.githubusercontent.com"},
            7,
        ]});
        let found = offers(&answer);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].client_id.as_str()), ("people", "titan"));
        assert_eq!(found[0].audience.as_deref(), Some("titan-api"));
        assert!(offers(&json!([])).is_empty());
    }
}
