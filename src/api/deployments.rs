//! What a host is to run: `GET /api/v1/hosts/<host>/deployments`, for agents without access to Git.
//!
//! ```text
//!  request ─▶ token ─▶ Known (memory): the host's tree ─┬─ as in `If-None-Match` ─▶ wait, then 304
//!                 ▲                                      └─ another ─▶ answer (Git objects) ─▶ 200
//!                 └──────── a new snapshot ◀── wait
//! ```
//!
//! A host that has the newest state costs a look into a map: no Git, no listing. Only what changed is
//! read from Git, by few at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use warp::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use warp::{Filter, Rejection};

use super::Context;
use super::error::{READ, Refused, Reply, get, json_reply_holding};
use super::hosts::authenticate;
use crate::model::{DeploymentRef, Name, Revision, TreeId};
use crate::observe::Snapshot;
use answer::Wanted;
pub(super) use document::{paths, schemas};
pub(super) use known::Known;
use known::View;
pub(super) use waits::Waits;

mod answer;
mod document;
mod known;
mod waits;

#[cfg(test)]
mod tests;

/// Longest wait that a client may ask for, in seconds.
const LONGEST_WAIT: u64 = 60;
/// Names the head of the rendered branch in answers without a body.
const RENDERED: &str = "titan-rendered";

/// What stands behind the `?`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The rendered revision that the client knows.
    since: Option<Revision>,
    /// Seconds to wait for something else than what the client knows.
    #[serde(default)]
    wait: u64,
}

/// The endpoint, and the one for the files of a single assignment.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    let query = warp::query::<Query>()
        .map(Some)
        .or_else(|_| async { Ok::<(Option<Query>,), Rejection>((None,)) });
    tokio::spawn(waits::herald(Arc::clone(&context)));
    let shared = Arc::clone(&context);
    let all = warp::path!("api" / "v1" / "hosts" / Name / "deployments")
        .and(get(READ))
        .and(warp::header::headers_cloned())
        .and(query)
        .then(move |host: Name, headers: HeaderMap, query: Option<Query>| {
            let context = Arc::clone(&shared);
            async move { reply(&host, of_host(&context, &host, &headers, query).await) }
        });
    let one = warp::path!("api" / "v1" / "hosts" / Name / "deployments" / Name / Name / Name)
        .and(get(READ))
        .and(warp::header::headers_cloned())
        .then(move |host: Name, workspace, workload, name, headers: HeaderMap| {
            let context = Arc::clone(&context);
            let deployment = DeploymentRef::new(workspace, workload, name);
            async move { reply(&host, files(&context, &host, deployment, &headers).await) }
        });
    all.or(one).unify()
}

fn reply(host: &Name, result: Result<Reply, Refused>) -> Reply {
    result.unwrap_or_else(|refused| {
        tracing::debug!(%host, %refused, "request for deployments refused");
        refused.reply()
    })
}

/// Whether the caller is `host`, and anything is known yet.
fn admit(
    context: &Context,
    snapshot: &Snapshot,
    host: &Name,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    if !snapshot.ready {
        // Before the first pass nobody knows which hosts there are.
        return Err(Refused::Busy);
    }
    authenticate(context, snapshot, host, headers)
}

/// What the host is to run, after the wait that was asked for.
async fn of_host(
    context: &Context,
    host: &Name,
    headers: &HeaderMap,
    query: Option<Query>,
) -> Result<Reply, Refused> {
    let mut snapshots = context.needs.snapshot.clone();
    admit(context, &snapshots.borrow_and_update(), host, headers)?;
    let query = query.ok_or_else(|| {
        let message = "the query is not `since=<rendered revision>` and `wait=<seconds>`";
        Refused::BadRequest(message.into())
    })?;
    if query.wait > LONGEST_WAIT {
        let message = format!("`wait` is at most {LONGEST_WAIT} seconds");
        return Err(Refused::BadRequest(message));
    }
    let deadline = Instant::now() + Duration::from_secs(query.wait);
    let turn = if query.wait > 0 { context.waits.begin(host) } else { None };
    loop {
        // From here on it hears of what comes, whatever it is about to see.
        let bell = turn.as_ref().map(|turn| turn.bell.notified());
        let mut bell = pin!(bell);
        if let Some(bell) = bell.as_mut().as_pin_mut() {
            bell.enable();
        }
        let view = context.known.view(context).await?;
        let tree = view.places.of(host);
        let same = match (tree, headers.get(header::IF_NONE_MATCH)) {
            (None, _) => true,
            (Some(tree), Some(value)) => is_named(value, tree),
            (Some(tree), None) => base(context, &view, host, query.since).await? == Some(tree),
        };
        let waits = same && Instant::now() < deadline && snapshots.has_changed().is_ok();
        let Some(bell) = bell.as_mut().as_pin_mut().filter(|_| waits) else {
            return now(context, &view, host, headers, query.since).await;
        };
        tokio::select! {
            // Who lost its token meanwhile learns nothing more.
            () = bell => admit(context, &snapshots.borrow_and_update(), host, headers)?,
            () = sleep_until(deadline) => {}
        }
    }
}

/// The answer, without any wait.
async fn now(
    context: &Context,
    view: &Arc<View>,
    host: &Name,
    headers: &HeaderMap,
    since: Option<Revision>,
) -> Result<Reply, Refused> {
    let tree = view.places.of(host).ok_or(NOT_RENDERED)?;
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|value| is_named(value, tree)) {
        let reply = Response::builder().status(StatusCode::NOT_MODIFIED).body(Default::default());
        let reply = reply.expect("a status and no body make a response");
        return Ok(with_names(reply, tree, view.places.revision));
    }
    let base = base(context, view, host, since).await?;
    let wanted = Wanted { host: host.clone(), tree, base, only: None };
    let (answer, turn) = context.known.answer(context, Arc::clone(view), wanted).await?;
    let reply = json_reply_holding(StatusCode::OK, &answer, turn);
    Ok(with_names(reply, tree, view.places.revision))
}

/// The tree of the host's folder at the revision that the client names; `None` where that is not on the
/// rendered branch, or too long ago.
async fn base(
    context: &Context,
    view: &Arc<View>,
    host: &Name,
    since: Option<Revision>,
) -> Result<Option<TreeId>, Refused> {
    match since {
        Some(since) => context.known.tree_at(context, view, host, since).await,
        None => Ok(None),
    }
}

/// The files of one assignment.
async fn files(
    context: &Context,
    host: &Name,
    deployment: DeploymentRef,
    headers: &HeaderMap,
) -> Result<Reply, Refused> {
    admit(context, &context.snapshot(), host, headers)?;
    let view = context.known.view(context).await?;
    let tree = view.places.of(host).ok_or(NOT_RENDERED)?;
    let wanted = Wanted { host: host.clone(), tree, base: None, only: Some(deployment) };
    let (answer, turn) = context.known.answer(context, view, wanted).await?;
    let found = answer.deployments.first().ok_or(Refused::NotFound)?;
    Ok(json_reply_holding(StatusCode::OK, found, turn))
}

/// The fleet has the host, and the rendered branch has no folder for it (yet).
const NOT_RENDERED: Refused = Refused::NotYet("nothing is rendered for this host yet");

fn with_names(mut reply: Reply, tree: TreeId, rendered: Revision) -> Reply {
    let value = |text: &str| HeaderValue::from_str(text).expect("because digits may stand there");
    reply.headers_mut().insert(header::ETAG, value(&format!("\"{tree}\"")));
    reply.headers_mut().insert(RENDERED, value(&rendered.to_string()));
    reply
}

/// Whether `If-None-Match` names a tree (RFC 9110, 13.1.2: the comparison is a weak one).
fn is_named(value: &HeaderValue, tree: TreeId) -> bool {
    let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
    let mut tags = tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
    tags.any(|tag| tag == "*" || tag.trim_matches('"') == tree.to_string())
}
