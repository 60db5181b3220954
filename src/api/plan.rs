//! `GET /api/v1/plan?base=&head=`: what a change does, before it is merged.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use warp::http::{HeaderMap, StatusCode};
use warp::{Filter, Rejection};

use super::error::{Refused, Reply, json_reply};
use super::query::decode;
use super::{Context, error};
use crate::git::{GitError, Repository, valid_branch_name};
use crate::model::Revision;
use crate::publish::forecast::{Point, report};

/// Longest name of a branch, in bytes: file systems allow no much longer ones.
const LONGEST: usize = 200;

/// Plans at one time: each takes as long as `titan plan`, and its memory.
static PLANS: Semaphore = Semaphore::const_new(1);

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    warp::path!("api" / "v1" / "plan")
        .and(error::get(error::READ))
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .then(move |headers, query: String| {
            let context = Arc::clone(&context);
            async move {
                let answer = plan(&context, &headers, &query).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        })
}

async fn plan(context: &Arc<Context>, headers: &HeaderMap, query: &str) -> Result<Reply, Refused> {
    let caller = context.caller(headers).await?;
    let [base, head] = names(query)?;
    if !caller.may_read_all(&context.snapshot().fleet) {
        return Err(Refused::NotFound);
    }
    let repository = context.needs.repository.clone();
    let _turn = PLANS.acquire().await.expect("because it is never closed");
    let told = spawn_blocking(move || {
        let git = &repository.repository;
        let (base, head) = (point(git, base)?, point(git, head)?);
        report(git, base, head)
    });
    match told.await.map_err(|_| Refused::Busy)? {
        Ok(report) => Ok(json_reply(StatusCode::OK, &report)),
        Err(GitError::UnknownRevision { .. }) => Err(Refused::NotFound),
        Err(error) => {
            tracing::warn!(%error, "a plan cannot be made");
            Err(Refused::Busy)
        }
    }
}

fn names(query: &str) -> Result<[String; 2], Refused> {
    let of = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == wanted).and_then(|(_, value)| decode(value));
        found.filter(|name| !name.is_empty())
    };
    match (of("base"), of("head"), query.split('&').count()) {
        (Some(base), Some(head), 2) => Ok([base, head]),
        _ => Err(Refused::BadRequest("give `base` and `head`: branches or commits".into())),
    }
}

/// A commit by its id, or the head of a branch; no other expression of Git's.
fn point(git: &Repository, name: String) -> Result<Point, GitError> {
    let revision = match name.parse::<Revision>() {
        Ok(revision) => git.commit(revision).ok().map(|commit| commit.id),
        Err(_) if name.len() <= LONGEST && valid_branch_name(&name) => git.branch(&name)?,
        Err(_) => None,
    };
    match revision {
        Some(revision) => Ok(Point::commit(&name, revision)),
        None => Err(GitError::UnknownRevision { name }),
    }
}
