//! `POST /api/v1/hosts/<host>/key`: a host registers its public key.
//!
//! ```text
//!  {"key": "ssh-ed25519 …"} ─┬─ a token to enroll: its digest, not expired ─┐
//!                            └─ signed with the key that it has ────────────┴─▶ desk: good at the head? ─▶ commit
//! ```
//! What the snapshot says only keeps away who proves nothing; the head of the config branch decides. A token
//! counts once: the commit takes its digest away. Who lost the answer asks again, and gets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use warp::http::{HeaderMap, StatusCode};
use warp::{Buf, Filter, Rejection, Stream};

use super::admission::{Proven, bearer, prove};
use super::desk;
use crate::api::error::{Refused, Reply, json_reply};
use crate::api::rate::KEYS_PER_HOUR;
use crate::api::{Context, body, changes, error};
use crate::change::host_key::By;
use crate::change::{Edit, NewKey};
use crate::model::{HostKey, Name, Revision, Subject, Timestamp};
use crate::observe::Snapshot;
use crate::proof::{fingerprint, secret};

/// Largest body, in bytes.
const LARGEST: u64 = 1024;
/// How long a token is looked out for that is not known yet: it may have been made a moment ago. An agent
/// asks again.
const PATIENCE: Duration = Duration::from_millis(800);
/// Shortest time between two looks at Git for tokens that are not known.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer waits until this controller takes the new key.
const TAKEN: Duration = Duration::from_secs(5);

/// Looks into history at one time.
const FINDS: usize = 4;

/// Looks at Git for tokens that prove nothing yet: whoever guesses costs no more than that.
#[derive(Debug)]
pub(in crate::api) struct Looks {
    /// When the branch was looked at last.
    last: Mutex<Option<Instant>>,
    finds: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self { last: Mutex::default(), finds: Semaphore::new(FINDS) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    key: HostKey,
}

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    warp::path!("api" / "v1" / "hosts" / Name / "key")
        .and(error::post(error::TAKE))
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |host: Name, headers: HeaderMap, body| {
            let context = Arc::clone(&context);
            async move {
                register(&context, &host, &headers, body).await.unwrap_or_else(|refused| {
                    tracing::debug!(%host, %refused, "a key is not registered");
                    refused.reply()
                })
            }
        })
}

async fn register<B: Buf>(
    context: &Arc<Context>,
    host: &Name,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Reply, Refused> {
    let snapshot = context.snapshot();
    let length = body::check_length(headers, LARGEST)?;
    if !snapshot.ready {
        return Err(Refused::Busy);
    }
    let token = bearer(headers)?;
    let bytes = body::read_in(snapshot.limits.http_body_time.duration(), body, length).await?;
    let key = parse(&bytes)?;
    let commit = match prove(&context.signatures, &snapshot, host, token) {
        // It has it already: an answer was lost.
        Ok(Proven::Key(_)) if snapshot.has_key(host, &key) => None,
        Ok(Proven::Key(old)) => {
            let rates = &context.rotations;
            rates.take_key(host, &snapshot, Instant::now()).map_err(|wait| Refused::TooOften {
                what: "keys an hour",
                limit: KEYS_PER_HOUR,
                retry_after: wait.as_secs() + 1,
            })?;
            Some(replace(context, host, key, old).await?)
        }
        // A token for reports is no token to enroll.
        Ok(Proven::Token) => return Err(Refused::WrongToken),
        Err(Refused::WrongToken | Refused::NotFound) => {
            Some(enroll(context, host, key, &secret::digest(token)).await?)
        }
        Err(refused) => return Err(refused),
    };
    let mut snapshots = context.needs.snapshot.clone();
    // Another controller, or a late pass: the host finds out when it signs.
    let _ = timeout(TAKEN, snapshots.wait_for(|now| now.has_key(host, &key))).await;
    let answer = json!({"host": host, "fingerprint": fingerprint(&key), "commit": commit});
    Ok(json_reply(StatusCode::OK, &answer))
}

fn parse(bytes: &[u8]) -> Result<HostKey, Refused> {
    let body: Result<Body, _> = serde_json::from_slice(bytes);
    body.map(|body| body.key).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let form = "{\"key\": \"ssh-ed25519 AAAA…\"}";
        let message = format!("the body is not of the form `{form}`: line {line}, column {column}");
        Refused::BadRequest(message)
    })
}

/// The host has a key and wants another one in its place.
async fn replace(
    context: &Context,
    host: &Name,
    key: HostKey,
    old: HostKey,
) -> Result<Revision, Refused> {
    let (from, to) = (old.to_string(), key.to_string());
    let about = [host.as_str(), &from, &to];
    let message = format!("rotate the key of host {host}\n\n{}", fingerprint(&key));
    let edit = Edit::Key(NewKey { host: host.clone(), key, by: By::Key(old) });
    commit(context, host, &about, message, edit).await
}

/// The host has a token to enroll, with this digest.
async fn enroll(
    context: &Arc<Context>,
    host: &Name,
    key: HostKey,
    digest: &str,
) -> Result<Revision, Refused> {
    let text = key.to_string();
    let about = [host.as_str(), digest, &text];
    let deadline = Instant::now() + PATIENCE;
    let mut snapshots = context.needs.snapshot.clone();
    loop {
        let found = judge(&snapshots.borrow_and_update(), host, key, digest, Timestamp::now());
        let refused = match found {
            Found::Good => break,
            Found::Expired => {
                let message = "it has expired; `titan host enroll` makes a new one";
                return Err(Refused::BadToken(message.into()));
            }
            Found::Taken => {
                let (id, _) = desk::id(&about);
                let _turn = context.looks.finds.try_acquire().map_err(|_| Refused::Busy)?;
                if let Some(commit) = changes::find(context, &id).await? {
                    return Ok(commit);
                }
                Refused::WrongToken
            }
            Found::Unknown => Refused::WrongToken,
            Found::NoHost => Refused::NotFound,
        };
        context.looks.look(context, Instant::now());
        match timeout_at(deadline, snapshots.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(refused),
        }
    }
    let message = format!("enroll host {host}\n\n{}", fingerprint(&key));
    let edit = Edit::Key(NewKey { host: host.clone(), key, by: By::Token(digest.to_owned()) });
    commit(context, host, &about, message, edit).await
}

async fn commit(
    context: &Context,
    host: &Name,
    about: &[&str],
    message: String,
    edit: Edit,
) -> Result<Revision, Refused> {
    let actor = Subject::Host(host.clone()).to_string();
    let request = desk::request(about, message, (&actor, None), (host, edit));
    let commit = desk::commit(context, request, &actor).await?;
    tracing::info!(%host, %commit, "a host's key is registered");
    Ok(commit)
}

/// What a token to enroll is worth, as far as this controller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Good,
    Expired,
    /// The host has that key: perhaps it was this token.
    Taken,
    Unknown,
    NoHost,
}

fn judge(snapshot: &Snapshot, host: &Name, key: HostKey, digest: &str, now: Timestamp) -> Found {
    if snapshot.has_key(host, &key) {
        return Found::Taken;
    }
    let Some(found) = snapshot.fleet.hosts.get(host) else { return Found::NoHost };
    let same = |own: &str| bool::from(own.as_bytes().ct_eq(digest.as_bytes()));
    match &found.spec.enrollment {
        Some(open) if same(&open.digest) && now < open.expires => Found::Good,
        Some(open) if same(&open.digest) => Found::Expired,
        _ => Found::Unknown,
    }
}

impl Looks {
    /// Has Git looked at, unless that was done a moment ago.
    fn look(&self, context: &Context, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE) {
            *last = Some(now);
            // It is full where it will look anyway.
            let _ = context.needs.wake.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Enrollment, Fleet, Host, HostSpec, Labels, RepoPath};

    #[test]
    fn a_token_is_good_for_its_host_until_it_expires() {
        let name = Name::new("a").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let digest = secret::digest("x");
        let enrollment = Some(Enrollment { digest: digest.clone(), expires: at(1000) });
        let spec = HostSpec { enrollment, ..HostSpec::default() };
        let path = RepoPath::new("hosts/a.yaml").unwrap();
        let host = Host { name: name.clone(), path, labels: Labels::new(), spec };
        let mut fleet = Fleet::default();
        fleet.hosts.insert(name.clone(), Arc::new(host));
        let mut snapshot = Snapshot { fleet: Arc::new(fleet), ..Snapshot::default() };
        let key = HostKey([1; 32]);
        let judge = |snapshot: &Snapshot, host: &Name, digest: &str, now| {
            judge(snapshot, host, key, digest, at(now))
        };
        assert_eq!(judge(&snapshot, &name, &digest, 999), Found::Good);
        assert_eq!(judge(&snapshot, &name, &digest, 1000), Found::Expired);
        assert_eq!(judge(&snapshot, &name, &secret::digest("y"), 1), Found::Unknown);
        assert_eq!(judge(&snapshot, &Name::new("b").unwrap(), &digest, 1), Found::NoHost);
        Arc::make_mut(&mut snapshot.keys).insert(name.clone(), vec![key]);
        assert_eq!(judge(&snapshot, &name, &digest, 1), Found::Taken);
    }
}
