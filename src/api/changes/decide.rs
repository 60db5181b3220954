//! Changes that other routes make.

use std::sync::{Arc, PoisonError};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use warp::http::StatusCode;

use super::book::Seen;
use super::{Change, State};
use crate::api::Context;
use crate::api::error::Refused;
use crate::change::Request;
use crate::git::GitError;
use crate::model::{RequestId, Revision};

/// Has a request committed; what became of it, as far as it may be waited for.
pub(in crate::api) async fn decide(
    context: &Context,
    request: Request,
    actor: &str,
) -> Result<Change, Refused> {
    let (book, id) = (&context.changes.book, request.id.clone());
    let mut decided = match book.enter(&id, &request.digest, actor) {
        Seen::Before(decided) => decided,
        Seen::Other => return Err(Refused::Conflict("this was asked for otherwise".into())),
        Seen::Never(decided) => {
            if !context.changes.send(request) {
                book.forget(&id);
                tracing::warn!("the queue of changes is full");
                return Err(Refused::Busy);
            }
            decided
        }
    };
    let time = context.snapshot().limits.http_body_time.duration();
    let _ = timeout(time, decided.wait_for(|change| change.state != State::Accepted)).await;
    let change = decided.borrow().clone();
    if change.refusal == Some(StatusCode::UNAUTHORIZED) {
        // What proves nothing now may do so later.
        book.forget(&id);
    }
    Ok(change)
}

/// The commit of a request that is in history.
pub(in crate::api) async fn find(
    context: &Arc<Context>,
    id: &RequestId,
) -> Result<Option<Revision>, Refused> {
    let (context, id) = (Arc::clone(context), id.clone());
    let find = move || -> Result<Option<Revision>, GitError> {
        let fleet = &context.needs.repository;
        let Some(head) = fleet.repository.branch(&fleet.branch)? else { return Ok(None) };
        let requests = &context.changes.requests;
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.follow(&fleet.repository, head)?;
        Ok(requests.get(&id).map(|known| known.commit))
    };
    let found = spawn_blocking(find).await.map_err(|_| Refused::Busy)?;
    found.map_err(|error| {
        tracing::warn!(%error, "history cannot be read");
        Refused::Busy
    })
}
