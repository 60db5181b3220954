//! The token that a server gets: chosen by its audience, renewed in time, once for all processes.
//!
//! ```text
//!  Session ─▶ good for a minute or more? ──────────────────────────────────▶ token
//!                 │ no
//!                 ▼
//!             lock, read again ─▶ somebody else was faster? ─▶ token
//!                 │ no
//!                 ▼
//!             refresh token ─▶ provider ─▶ checked ─▶ written ─▶ token
//! ```

use std::time::Duration;

use super::id_token::{Expected, Person, check, claims, expiry, is_for};
use super::provider::Answer;
use super::{Account, AccountError, Provider, Secret, Session, Settings, Store, server};
use crate::model::Timestamp;

/// A token that ends sooner is renewed.
const SOON: Duration = Duration::from_secs(60);

/// The bearer token for a server, good for a minute or more where the provider allows; `None` when
/// nobody is logged in there.
///
/// # Errors
/// When the store cannot be used, or the session has ended.
pub(super) fn token_for(server: &str) -> anyhow::Result<Option<String>> {
    let (store, server) = (Store::open()?, server::key(server)?);
    let runtime = super::runtime()?;
    let account = runtime.block_on(renewed(&store, &server))?;
    Ok(account.and_then(|account| {
        let session = account.session?;
        Some(bearer(&account.settings, &session).reveal().to_owned())
    }))
}

/// A server's account with a session that is good, or none.
///
/// # Errors
/// When the store cannot be used, or the session has ended.
pub(crate) async fn renewed(store: &Store, server: &str) -> Result<Option<Account>, AccountError> {
    let logged_in = |account: &Account| account.session.is_some();
    let Some(account) = store.read()?.remove(server).filter(logged_in) else { return Ok(None) };
    if !ends_soon(&account) {
        return Ok(Some(account));
    }
    let locked = store.lock()?;
    let mut accounts = store.read()?;
    let Some(account) = accounts.get_mut(server).filter(|account| logged_in(account)) else {
        return Ok(None);
    };
    if ends_soon(account) {
        match renew(account).await {
            Ok(session) => account.session = Some(session),
            // The provider may be back before it ends.
            Err(AccountError::Network { .. }) if is_good(account) => {}
            Err(AccountError::Ended { .. }) if is_good(account) => {}
            Err(AccountError::Ended { .. }) => {
                return Err(AccountError::Ended { server: server.to_owned() });
            }
            Err(AccountError::Refused { code, .. }) if code == "invalid_grant" => {
                return Err(AccountError::Ended { server: server.to_owned() });
            }
            Err(error) => return Err(error),
        }
        let account = account.clone();
        locked.write(accounts)?;
        return Ok(Some(account));
    }
    Ok(Some(account.clone()))
}

fn left(account: &Account) -> Duration {
    let expires = account.session.as_ref().map(|session| session.expires);
    let left = expires.map(|expires| expires.duration_since(Timestamp::now()));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}

fn ends_soon(account: &Account) -> bool {
    left(account) < SOON
}

fn is_good(account: &Account) -> bool {
    left(account) > Duration::ZERO
}

async fn renew(account: &Account) -> Result<Session, AccountError> {
    let ended = || AccountError::Ended { server: String::new() };
    let (settings, session) = (&account.settings, account.session.as_ref().ok_or_else(ended)?);
    let token = session.refresh_token.as_ref().ok_or_else(ended)?;
    let provider = Provider::discover(&settings.issuer).await?;
    let answer = provider.refresh(&settings.client_id, token).await?;
    let person = Person::named_by(&session.id_token);
    let subject = person.as_ref().map(|person| person.subject.as_str());
    let asked = Asked { nonce: None, before: Some(session), subject };
    let renewed = session_of(&provider, settings, answer, &asked).await?;
    if renewed.expires <= Timestamp::now() { Err(ended()) } else { Ok(renewed) }
}

/// What an answer of the token endpoint follows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// What the ID token has to repeat.
    pub(crate) nonce: Option<&'a str>,
    /// The session that is renewed.
    pub(crate) before: Option<&'a Session>,
    pub(crate) subject: Option<&'a str>,
}

/// A session of the tokens that the provider gave, if they are good.
///
/// # Errors
/// When there is no ID token, or it is not good.
pub(crate) async fn session_of(
    provider: &Provider,
    settings: &Settings,
    answer: Answer,
    asked: &Asked<'_>,
) -> Result<Session, AccountError> {
    let before = asked.before;
    let id_token = match (answer.id_token, before) {
        (Some(token), _) => {
            let expected = Expected {
                issuer: &provider.issuer,
                client: &settings.client_id,
                nonce: asked.nonce,
                subject: asked.subject,
            };
            check(&token, &provider.keys().await?, &expected)?;
            token
        }
        // Not every renewal brings a new one (OpenID Connect Core 1.0, 12.2).
        (None, Some(before)) => before.id_token.clone(),
        (None, None) => return Err(AccountError::IdToken("there is none".into())),
    };
    let refresh_token = answer.refresh_token;
    let refresh_token = refresh_token.or_else(|| before?.refresh_token.clone());
    let mut session = Session {
        id_token,
        access_token: answer.access_token,
        refresh_token,
        expires: Timestamp::UNIX_EPOCH,
    };
    let expires = claims(bearer(settings, &session)).and_then(|claims| expiry(&claims));
    session.expires =
        expires.ok_or(AccountError::IdToken("it does not say when it ends".into()))?;
    Ok(session)
}

/// The token that the server takes: the ID token, unless it wants an audience that only the access
/// token has.
fn bearer<'a>(settings: &Settings, session: &'a Session) -> &'a Secret {
    let other = settings.audience.as_deref().filter(|audience| *audience != settings.client_id);
    let Some(audience) = other else { return &session.id_token };
    let fits = |token: &Secret| claims(token).is_some_and(|claims| is_for(&claims, audience));
    let access = session.access_token.as_ref().filter(|token| fits(token));
    if fits(&session.id_token) { &session.id_token } else { access.unwrap_or(&session.id_token) }
}

/// Whether a token of the session has the audience that the server wants.
#[must_use]
pub(crate) fn is_wanted(settings: &Settings, session: &Session) -> bool {
    let claims = claims(bearer(settings, session));
    let audience = settings.audience.as_ref().unwrap_or(&settings.client_id);
    claims.is_some_and(|claims| is_for(&claims, audience))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    fn token(audience: &str) -> Secret {
        let claims = json!({"sub": "ann", "aud": audience, "exp": 1_800_000_000});
        let key = EncodingKey::from_secret(b"nobody checks it");
        Secret::new(encode(&Header::default(), &claims, &key).unwrap())
    }

    #[test]
    fn the_audience_chooses_the_token() {
        let check = |audience: Option<&str>, access: &str, expected: &str| {
            let settings = Settings {
                issuer: "https://login.example".into(),
                client_id: "cli".into(),
                scopes: Vec::new(),
                audience: audience.map(str::to_owned),
            };
            let session = Session {
                id_token: token("cli"),
                access_token: Some(token(access)),
                refresh_token: None,
                expires: Timestamp::UNIX_EPOCH,
            };
            assert_eq!(*bearer(&settings, &session), token(expected), "{audience:?} {access}");
            let wanted = audience.unwrap_or("cli") == expected;
            assert_eq!(is_wanted(&settings, &session), wanted, "{audience:?} {access}");
        };
        check(None, "api", "cli");
        check(Some("cli"), "api", "cli");
        check(Some("api"), "api", "api");
        check(Some("api"), "other", "cli");
    }

    #[test]
    fn an_opaque_access_token_is_no_bearer() {
        let settings = Settings {
            issuer: "https://login.example".into(),
            client_id: "cli".into(),
            scopes: Vec::new(),
            audience: Some("api".into()),
        };
        let session = Session {
            id_token: token("cli"),
            access_token: Some(Secret::new("opaque")),
            refresh_token: None,
            expires: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(*bearer(&settings, &session), token("cli"));
    }
}
