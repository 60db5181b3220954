//! Reading: what the fleet consists of, and how it fares.
//!
//! ```text
//!  GET /api/v1/{hosts,workspaces,templates,targets,workloads,deployments}   of the config branch
//!  GET /api/v1/<kind>/<full name>                                           one of them
//!  GET /api/v1/assignments                                                  of the status branch
//!  GET /api/v1/diagnostics                                                  what is wrong, what is held
//! ```
//! Everything is answered from the controller's memory, or from Git where `?revision=` asks for a past
//! one. `ETag` is the revision that was read: what has not moved costs a 304.

use std::sync::Arc;

use serde_json::json;
use tokio::task::spawn_blocking;
use warp::http::{HeaderMap, StatusCode};
use warp::path::Tail;
use warp::{Filter, Rejection};

use super::error::{Refused, Reply, json_reply};
use super::query::Query;
use super::{Caller, Context, assignments, error, list};
use crate::model::{API_VERSION, Fleet, ObjectKind, ObjectRef, Revision, form};
use crate::observe::Snapshot;
use crate::parse;

/// The plural names of kinds in paths.
pub(super) const KINDS: [(&str, ObjectKind); 6] = [
    ("hosts", ObjectKind::Host),
    ("workspaces", ObjectKind::Workspace),
    ("templates", ObjectKind::Template),
    ("targets", ObjectKind::Target),
    ("workloads", ObjectKind::Workload),
    ("deployments", ObjectKind::Deployment),
];

/// All routes that read.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    // What is no path of this kind has no methods either.
    let wanted = warp::path!("api" / "v1" / ..)
        .and(warp::path::tail())
        .and_then(async |tail: Tail| Wanted::of(tail.as_str()).ok_or_else(warp::reject::not_found));
    wanted
        .and(error::get(error::READ))
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .then(move |wanted, query: String, headers: HeaderMap| {
            let context = Arc::clone(&context);
            async move {
                let answer = read(&context, wanted, &query, &headers).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        })
}

/// What is asked for.
enum Wanted {
    Kind(ObjectKind),
    One(ObjectRef),
    Assignments,
    Diagnostics,
}

impl Wanted {
    fn of(path: &str) -> Option<Self> {
        match path {
            "assignments" => return Some(Self::Assignments),
            "diagnostics" => return Some(Self::Diagnostics),
            _ => {}
        }
        let (first, name) = path.split_once('/').unwrap_or((path, ""));
        let (_, kind) = KINDS.into_iter().find(|(plural, _)| *plural == first)?;
        if name.is_empty() {
            return (first == path).then_some(Self::Kind(kind));
        }
        let object = crate::change::wish::reference(kind.as_str(), name).ok()?;
        Some(Self::One(object))
    }
}

async fn read(
    context: &Arc<Context>,
    wanted: Wanted,
    query: &str,
    headers: &HeaderMap,
) -> Result<Reply, Refused> {
    let caller = context.caller(headers).await?;
    let query = Query::parse(query)?;
    let snapshot = context.snapshot();
    if !snapshot.ready {
        return Err(Refused::Busy);
    }
    if matches!(wanted, Wanted::Assignments) {
        return assignments::read(context, &query, headers, &caller).await;
    }
    if matches!(wanted, Wanted::Diagnostics) {
        return diagnostics(&query, &snapshot, &caller);
    }
    let fleet = fleet(context, query.revision, &caller).await?;
    let revision = fleet.revision;
    let tag = format!("\"{}\"", revision.unwrap_or(Revision::NONE));
    if matches!(wanted, Wanted::Kind(_) | Wanted::One(_)) && list::is_known(headers, &tag) {
        return Ok(list::not_modified(&tag));
    }
    match wanted {
        Wanted::Kind(kind) => {
            let items = form::list(&fleet, kind).into_iter();
            let items = items.filter(|(of, labels)| query.takes(of.workspace(), labels));
            let items = items.filter(|(of, _)| caller.may_read(&snapshot.fleet, of));
            let items = items.map(|(of, _)| (of.full_name(), of));
            let page = list::page(&query, items);
            let page = page.show(|of| json!(form::find(&fleet, of)));
            Ok(page.reply(revision, &tag))
        }
        Wanted::One(object) => {
            let found = form::find(&fleet, &object);
            let found = found.filter(|_| caller.may_read(&snapshot.fleet, &object));
            Ok(list::tagged(json_reply(StatusCode::OK, &found.ok_or(Refused::NotFound)?), &tag))
        }
        Wanted::Diagnostics | Wanted::Assignments => unreachable!("answered above"),
    }
}

/// What is wrong now, for who may know of everything.
fn diagnostics(query: &Query, snapshot: &Snapshot, caller: &Caller) -> Result<Reply, Refused> {
    if query.revision.is_some() {
        let message =
            "`revision` does not go with diagnostics: `titan validate` tells those of a commit";
        return Err(Refused::BadRequest(message.into()));
    }
    if !caller.may_read_all(&snapshot.fleet) {
        return Err(Refused::NotFound);
    }
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": "Diagnostics",
        "revision": snapshot.fleet.revision,
        "items": *snapshot.diagnostics,
        "held": *snapshot.held,
    });
    Ok(json_reply(StatusCode::OK, &body))
}

/// The fleet at a revision of the config branch; `None`: as the controller has it. The past is read as a
/// whole, once at a time, for those who may read anything at all.
async fn fleet(
    context: &Arc<Context>,
    revision: Option<Revision>,
    caller: &Caller,
) -> Result<Arc<Fleet>, Refused> {
    let current = Arc::clone(&context.snapshot().fleet);
    let Some(revision) = revision.filter(|revision| current.revision != Some(*revision)) else {
        return Ok(current);
    };
    if !caller.is_member(&current) {
        return Err(Refused::NotFound);
    }
    let _turn = context.past.acquire().await.expect("the semaphore is never closed");
    let repository = context.needs.repository.clone();
    let read = spawn_blocking(move || {
        let git = &repository.repository;
        let head = git.branch(&repository.branch)?;
        let within = git.commit(revision).is_ok()
            && head.is_some_and(|head| git.is_ancestor(revision, head).unwrap_or(false));
        if !within {
            return Ok(None);
        }
        let files = git.source_files(revision, parse::limits)?;
        Ok::<_, crate::git::GitError>(Some(parse::parse(Some(revision), &files).fleet))
    });
    let read = read.await.map_err(|_| Refused::Busy)?.map_err(|error| {
        tracing::warn!(%error, "a past revision cannot be read");
        Refused::Busy
    })?;
    read.ok_or(Refused::NotFound)
}
