//! An OpenID provider, as its discovery document describes it, and its token endpoint.
//!
//! ```text
//!  issuer ─▶ <issuer>/.well-known/openid-configuration ─▶ Provider: endpoints, keys, scopes
//!  code, device code or refresh token ─▶ token endpoint ─▶ Answer
//! ```

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Reply, endpoint, plain};
use super::{AccountError, Http, Secret};
use crate::model::Timestamp;

/// What titan asks for, as far as the provider has it.
const SCOPES: [&str; 5] = ["openid", "profile", "email", "groups", "offline_access"];

/// A provider; its endpoints are encrypted, or on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(super) http: Http,
    /// As it names itself: what its tokens say.
    pub(crate) issuer: String,
    pub(super) authorization: Option<Url>,
    pub(super) device: Option<Url>,
    token: Url,
    jwks: Url,
    revocation: Option<Url>,
    scopes: Option<Vec<String>>,
}

/// OpenID Connect Discovery 1.0, section 3, and RFC 8414.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    token_endpoint: String,
    jwks_uri: String,
    revocation_endpoint: Option<String>,
    scopes_supported: Option<Vec<String>>,
}

/// What the token endpoint gives (RFC 6749, 5.1).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Answer {
    pub(super) id_token: Option<Secret>,
    pub(super) access_token: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
    #[serde(default)]
    token_type: String,
}

impl Provider {
    /// Asks an issuer for its discovery document.
    ///
    /// # Errors
    /// When it cannot be read, belongs to another issuer, or names an address that is not safe.
    pub(crate) async fn discover(issuer: &str) -> Result<Self, AccountError> {
        let base = issuer.trim_end_matches('/');
        let url = endpoint("the issuer", &format!("{base}/.well-known/openid-configuration"))?;
        let http = Http::to(&url)?;
        let what = "read the provider's discovery document";
        let document = http.json(what, url).await?;
        Self::of(http, issuer, document)
    }

    fn of(http: Http, issuer: &str, document: Value) -> Result<Self, AccountError> {
        let document: Document = serde_json::from_value(document).map_err(|error| {
            let problem = plain(&error.to_string());
            AccountError::Answer { what: "use the provider's discovery document", problem }
        })?;
        // A slash at the end is all in which people and providers may differ.
        if document.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            let said = plain(&document.issuer);
            return Err(AccountError::Issuer { issuer: issuer.to_owned(), said });
        }
        let optional = |what, url: Option<String>| url.map(|url| endpoint(what, &url)).transpose();
        Ok(Self {
            http,
            authorization: optional(
                "the provider's authorization endpoint",
                document.authorization_endpoint,
            )?,
            device: optional(
                "the provider's device endpoint",
                document.device_authorization_endpoint,
            )?,
            token: endpoint("the provider's token endpoint", &document.token_endpoint)?,
            jwks: endpoint("the address of the provider's keys", &document.jwks_uri)?,
            revocation: optional(
                "the provider's revocation endpoint",
                document.revocation_endpoint,
            )?,
            scopes: document.scopes_supported,
            issuer: document.issuer,
        })
    }

    /// Whether it has a device flow.
    #[must_use]
    pub(crate) fn has_device_flow(&self) -> bool {
        self.device.is_some()
    }

    /// The scopes to ask for: those wanted, else the usual that it supports.
    #[must_use]
    pub(super) fn scopes(&self, wanted: &[String]) -> String {
        if !wanted.is_empty() {
            let openid = (!wanted.iter().any(|scope| scope == "openid")).then_some("openid");
            let wanted = wanted.iter().map(String::as_str);
            return openid.into_iter().chain(wanted).collect::<Vec<_>>().join(" ");
        }
        let has = |scope: &str| match &self.scopes {
            Some(supported) => scope == "openid" || supported.iter().any(|known| known == scope),
            // `groups` is no scope of the standard.
            None => scope != "groups",
        };
        SCOPES.into_iter().filter(|scope| has(scope)).collect::<Vec<_>>().join(" ")
    }

    /// Its keys, as it publishes them.
    pub(super) async fn keys(&self) -> Result<Value, AccountError> {
        self.http.json("read the provider's keys", self.jwks.clone()).await
    }

    /// Asks the token endpoint for tokens.
    pub(super) async fn tokens(
        &self,
        what: &'static str,
        form: &[(&str, &str)],
    ) -> Result<Reply, AccountError> {
        self.http.form(what, &self.token, form).await
    }

    /// New tokens for a refresh token.
    pub(super) async fn refresh(
        &self,
        client: &str,
        token: &Secret,
    ) -> Result<Answer, AccountError> {
        let what = "renew the session";
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.reveal()),
            ("client_id", client),
        ];
        Answer::of(self.tokens(what, &form).await?.good(what)?)
    }

    /// Takes a token back, and with a refresh token all of its session (RFC 7009); tells whether the
    /// provider can do that.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub(crate) async fn revoke(
        &self,
        client: &str,
        token: &Secret,
        kind: &str,
    ) -> Result<bool, AccountError> {
        let Some(url) = &self.revocation else { return Ok(false) };
        let what = "take the token back";
        let form = [("token", token.reveal()), ("token_type_hint", kind), ("client_id", client)];
        self.http.form(what, url, &form).await?.good(what)?;
        Ok(true)
    }
}

impl Answer {
    pub(super) fn of(value: Value) -> Result<Self, AccountError> {
        let fail = |problem: &str| AccountError::Answer {
            what: "use the provider's tokens",
            problem: problem.into(),
        };
        // The parser's message could hold a token.
        let answer: Self =
            serde_json::from_value(value).map_err(|_| fail("the answer has another form"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(fail("they are of another type than `Bearer`"));
        }
        Ok(answer)
    }
}

/// The time in a claim such as `exp`: seconds since 1970.
pub(super) fn time(claim: &Value) -> Option<Timestamp> {
    let seconds = claim.as_i64().or_else(|| {
        // JSON has one kind of number; some providers write `1.7e9`.
        claim.as_f64().filter(|float| float.abs() < 1e12).map(|float| float as i64)
    })?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(issuer: &str, document: Value) -> Result<Provider, AccountError> {
        let url = Url::parse("https://login.example").unwrap();
        Provider::of(Http::to(&url).unwrap(), issuer, document)
    }

    /// As Microsoft Entra ID (a tenant's, v2.0) publishes it, in the parts that matter.
    fn entra() -> Value {
        let base = "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
        json!({
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{base}/v2.0"),
            "request_uri_parameter_supported": false,
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "tenant_region_scope": null,
        })
    }

    fn keycloak() -> Value {
        let base = "https://sso.example/realms/titan";
        let protocol = format!("{base}/protocol/openid-connect");
        json!({
            "issuer": base,
            "authorization_endpoint": format!("{protocol}/auth"),
            "token_endpoint": format!("{protocol}/token"),
            "jwks_uri": format!("{protocol}/certs"),
            "revocation_endpoint": format!("{protocol}/revoke"),
            "device_authorization_endpoint": format!("{protocol}/auth/device"),
            "scopes_supported": ["openid", "acr", "roles", "email", "offline_access", "profile"],
            "mtls_endpoint_aliases": {"token_endpoint": format!("{protocol}/token")},
        })
    }

    fn dex() -> Value {
        let base = "https://dex.example/dex";
        json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/auth"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/keys"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "device_authorization_endpoint": format!("{base}/device/code"),
            "scopes_supported": ["openid", "email", "groups", "profile", "offline_access"],
        })
    }

    #[test]
    fn usual_providers_are_understood() {
        let check = |document: Value, scopes: &str, revokes: bool| {
            let issuer = document["issuer"].as_str().unwrap().to_owned();
            let found = provider(&issuer, document).unwrap();
            assert!(found.has_device_flow() && found.authorization.is_some(), "{issuer}");
            assert_eq!(found.issuer, issuer);
            assert_eq!(found.scopes(&[]), scopes, "{issuer}");
            assert_eq!(found.revocation.is_some(), revokes, "{issuer}");
        };
        check(entra(), "openid profile email offline_access", false);
        check(keycloak(), "openid profile email offline_access", true);
        check(dex(), "openid profile email groups offline_access", false);
    }

    #[test]
    fn scopes_that_are_wanted_are_those_asked_for() {
        let provider = provider("https://dex.example/dex/", dex()).unwrap();
        let wanted = ["api://titan/.default".to_owned()];
        assert_eq!(provider.scopes(&wanted), "openid api://titan/.default");
    }

    #[test]
    fn another_issuer_is_refused() {
        let error = provider("https://login.microsoftonline.com/common/v2.0", entra()).unwrap_err();
        assert!(matches!(error, AccountError::Issuer { .. }), "{error}");
    }

    #[test]
    fn endpoints_in_clear_text_are_refused() {
        let mut document = keycloak();
        document["token_endpoint"] = "http://sso.example/token".into();
        let error = provider("https://sso.example/realms/titan", document).unwrap_err();
        assert!(error.to_string().contains("token endpoint"), "{error}");
    }

    #[test]
    fn what_is_no_answer_shows_no_token() {
        let check = |value: Value| {
            let error = Answer::of(value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        };
        check(json!({"access_token": ["s3cret"], "token_type": "Bearer"}));
        check(json!({"access_token": "s3cret", "token_type": "DPoP"}));
        let answer = Answer::of(json!({"id_token": "s3cret", "token_type": "bearer"})).unwrap();
        assert!(!format!("{answer:?}").contains("s3cret"));
    }
}
