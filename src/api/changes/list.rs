//! The requests that are in history, newest first.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use warp::http::{HeaderMap, StatusCode};

use crate::api::Context;
use crate::api::error::{Refused, Reply, json_reply};
use crate::api::query::Query;
use crate::change::ID_TRAILER;
use crate::git::{CommitInfo, GitError, Repository};
use crate::model::{API_VERSION, Revision};

/// Most commits that are looked at for one page: between requests may lie many pull requests.
const LOOK: usize = 20_000;

pub(super) async fn list(
    context: &Arc<Context>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Reply, Refused> {
    let caller = context.caller(headers).await?;
    let query = Query::parse(query)?;
    let after = query.after.as_deref().map(str::parse::<Revision>).transpose();
    let after = after.map_err(|_| Refused::BadRequest("`continue` is no commit".into()))?;
    if !caller.may_read_all(&context.snapshot().fleet) {
        return Err(Refused::NotFound);
    }
    let fleet = context.needs.repository.clone();
    let page = spawn_blocking(move || {
        let git = &fleet.repository;
        let start = match after {
            Some(after) => git.commit(after)?.parents.first().copied(),
            None => git.branch(&fleet.branch)?,
        };
        page(git, start, query.limit)
    });
    let page = page.await.map_err(|_| Refused::Busy)?;
    // A page may go on from a commit that is not there.
    page.map(|page| json_reply(StatusCode::OK, &page)).map_err(|_| Refused::NotFound)
}

fn page(git: &Repository, start: Option<Revision>, limit: usize) -> Result<Value, GitError> {
    let line =
        start.map_or_else(|| Ok(Vec::new()), |start| git.first_parents(start, None, LOOK))?;
    let (mut items, mut next) = (Vec::new(), None);
    for revision in &line {
        let commit = git.commit(*revision)?;
        items.extend(item(&commit));
        let last = items.len() == limit || line.len() == LOOK && line.last() == Some(revision);
        if last && !commit.parents.is_empty() {
            next = Some(*revision);
        }
        if items.len() == limit {
            break;
        }
    }
    let metadata = json!({"revision": start, "continue": next});
    Ok(json!({"apiVersion": API_VERSION, "kind": "List", "metadata": metadata, "items": items}))
}

fn item(commit: &CommitInfo) -> Option<Value> {
    let id = commit.trailer(ID_TRAILER)?;
    Some(json!({
        "id": id,
        "state": "Committed",
        "commit": commit.id,
        "subject": commit.subject,
        "actor": commit.trailer("Titan-Actor"),
        "at": commit.committer.time(),
        "href": format!("/api/v1/changes/{id}"),
    }))
}
