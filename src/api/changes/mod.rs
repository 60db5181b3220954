//! Requests to change objects: `POST /api/v1/changes`, `GET /api/v1/changes[/<id>]`.
//!
//! ```text
//!  POST ─▶ size, caller, JSON, sense ─▶ [book] seen? ─▶ [queue] ══ batches ══ change::Desk ─▶ Git
//!   ▲                                    │ the first answer            │
//!   └───────────── answer ◀──────────────┴──────────── what became of it
//!  GET ──▶ [book], else history ──▶ [follow]: Committed → Rendered → Deployed
//!                                   [proposals]: on a branch of its own ──▶ pull request at the forge
//! ```
//! The server keeps no state: the book is a short memory of what is under way. Whatever is decided is found
//! in Git by its id, on any controller: commits on the config branch, refusals on the status branch.

mod book;
mod decide;
mod follow;
mod list;
mod post;
mod proposals;
mod queue;

use std::sync::Arc;

use serde::Serialize;
use tokio::task::spawn_blocking;
use warp::http::StatusCode;
use warp::{Filter, Rejection};

use super::error::{Refused, Reply, json_reply};
use super::{Context, error};
use crate::change::{ChangeError, Request};
use crate::model::{API_VERSION, Diagnostic, RequestId, RequestStatus, Revision, Timestamp};
use crate::observe::files;

pub(super) use decide::{decide, find};
pub(super) use queue::Queue;

/// How far a request has come, and why no further.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) id: RequestId,
    pub(super) state: State,
    /// The commit that made it; or, of [`State::Unchanged`], the one at which all was so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<Revision>,
    /// Of [`State::Proposed`]: the branch that waits to be merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) branch: Option<String>,
    /// Of [`State::Proposed`]: where people see its pull request, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pull_request: Option<String>,
    /// Of [`State::Rendered`] and later: the commit on the rendered branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rendered: Option<Revision>,
    /// One line for people: why it is refused, failed, or not further yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// What is wrong with it, as `titan validate` says it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where to ask how it goes on.
    pub(super) href: String,
    /// Its pull request is being opened.
    #[serde(skip)]
    pub(super) opening: bool,
    #[serde(skip)]
    pub(super) refusal: Option<StatusCode>,
    /// Who asked for it, where that is known.
    #[serde(skip)]
    pub(super) actor: Option<String>,
}

/// Most diagnostics of a refused request that are written down.
const MOST_DIAGNOSTICS: usize = 20;

impl From<RequestStatus> for Change {
    fn from(status: RequestStatus) -> Self {
        Self {
            reason: Some(status.reason),
            diagnostics: status.diagnostics,
            refusal: StatusCode::from_u16(status.answer).ok(),
            actor: Some(status.actor),
            ..Self::new(&status.id, State::Rejected)
        }
    }
}

/// The stages of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum State {
    /// It waits to be committed.
    Accepted,
    /// It is in history, durably.
    Committed,
    /// It is on a branch of its own.
    Proposed,
    /// All that it wants is so already: there is no commit.
    Unchanged,
    /// The controller has looked at it, and what it changes is on its way to the hosts.
    Rendered,
    /// All that it changes is where it should be.
    Deployed,
    /// It was not made, and would not be if it came again.
    Rejected,
    /// It was not made, and may be repeated; or a host could not do what it says.
    Failed,
}

impl Change {
    fn new(id: &RequestId, state: State) -> Self {
        Self {
            id: id.clone(),
            state,
            commit: None,
            branch: None,
            pull_request: None,
            rendered: None,
            reason: None,
            diagnostics: Vec::new(),
            href: format!("/api/v1/changes/{id}"),
            opening: false,
            refusal: None,
            actor: None,
        }
    }

    fn rejected(id: &RequestId, error: &ChangeError) -> Self {
        let status = match error {
            ChangeError::Missing { .. } => StatusCode::NOT_FOUND,
            ChangeError::Denied { .. } => StatusCode::FORBIDDEN,
            ChangeError::Unproven { .. } => StatusCode::UNAUTHORIZED,
            ChangeError::Exists { .. }
            | ChangeError::Ambiguous { .. }
            | ChangeError::NotEmpty { .. }
            | ChangeError::Dirty { .. } => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let diagnostics = match error {
            ChangeError::Invalid { diagnostics } => diagnostics.clone(),
            _ => Vec::new(),
        };
        let mut reason = error.to_string();
        if let ChangeError::Edit { source, .. } = error {
            reason = format!("{reason}: {source}");
        }
        let reason = Some(reason);
        Self { reason, diagnostics, refusal: Some(status), ..Self::new(id, State::Rejected) }
    }

    fn failed(id: &RequestId, reason: String) -> Self {
        let refusal = Some(StatusCode::SERVICE_UNAVAILABLE);
        Self { reason: Some(reason), refusal, ..Self::new(id, State::Failed) }
    }

    /// What is written down of a request that was refused for good, under an id that is not taken.
    fn refused(&self, request: &Request) -> Option<RequestStatus> {
        let answer = self.refusal.filter(|_| self.state == State::Rejected)?.as_u16();
        // What proves nothing now may do so later.
        if self.commit.is_some() || self.refusal == Some(StatusCode::UNAUTHORIZED) {
            return None;
        }
        let diagnostics = self.diagnostics.iter().take(MOST_DIAGNOSTICS).cloned().collect();
        Some(RequestStatus {
            api_version: API_VERSION.to_owned(),
            kind: files::REQUEST_KIND.to_owned(),
            id: self.id.clone(),
            digest: request.digest.clone(),
            actor: request.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
            answer,
            reason: self.reason.clone().unwrap_or_default(),
            diagnostics,
            since: Timestamp::now(),
        })
    }

    /// The answer to who asked for the change; `done`: the status where nothing stands in its way.
    fn reply(&self, done: StatusCode) -> Reply {
        json_reply(self.refusal.unwrap_or(done), self)
    }
}

/// Both routes.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    let posting = Arc::clone(&context);
    let post = warp::path!("api" / "v1" / "changes")
        .and(error::post(error::BOTH))
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::body::stream())
        .then(move |headers, query: String, body| {
            let context = Arc::clone(&posting);
            async move {
                let answer = post::post(&context, &headers, &query, body).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        });
    let listing = Arc::clone(&context);
    let list = warp::path!("api" / "v1" / "changes")
        .and(error::get(error::BOTH))
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .then(move |headers, query: String| {
            let context = Arc::clone(&listing);
            async move {
                let answer = list::list(&context, &headers, &query).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        });
    let get = warp::path!("api" / "v1" / "changes" / RequestId)
        .and(error::get(error::READ))
        .and(warp::header::headers_cloned())
        .then(move |id, headers| {
            let context = Arc::clone(&context);
            async move {
                let answer = get(&context, &id, &headers).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        });
    post.or(list).unify().or(get).unify()
}

async fn get(
    context: &Arc<Context>,
    id: &RequestId,
    headers: &warp::http::HeaderMap,
) -> Result<Reply, Refused> {
    let caller = context.caller(headers).await?;
    let all = caller.may_read_all(&context.snapshot().fleet);
    // Others' requests are nobody else's business: as if there were none.
    let own = move |actor: &str| all || actor == caller.actor();
    let known = context.changes.book.get(id);
    let (commit, proposed) = match known {
        Some(change) if !change.actor.as_deref().map_or(all, &own) => {
            return Err(Refused::NotFound);
        }
        Some(change) if change.state == State::Committed => (change.commit, None),
        // It may be merged by now.
        Some(change) if change.state == State::Proposed => (None, Some(change)),
        Some(change) => return Ok(json_reply(StatusCode::OK, &change)),
        None => (None, None),
    };
    let _turn = context.finds.acquire().await.expect("the semaphore is never closed");
    let (shared, wanted) = (Arc::clone(context), id.clone());
    let found = spawn_blocking(move || follow::follow(&shared, &wanted, commit)).await;
    let found = found.map_err(|_| Refused::Busy)?.map_err(|error| {
        tracing::warn!(%error, "a change cannot be followed");
        Refused::Busy
    })?;
    let found = found.filter(|change| change.actor.as_deref().map_or(all, own));
    let mut change = match (found, proposed) {
        (Some(found), Some(known)) if found.state == State::Proposed => known,
        (Some(found), _) => found,
        (None, known) => known.ok_or(Refused::NotFound)?,
    };
    context.changes.proposals.complete(&mut change).await;
    Ok(json_reply(StatusCode::OK, &change))
}
