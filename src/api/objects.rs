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

use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use warp::http::{HeaderMap, StatusCode, header};
use warp::path::Tail;
use warp::{Filter, Rejection};

use super::error::{Refused, Reply, json_reply};
use super::query::Query;
use super::{Context, error};
use crate::model::{API_VERSION, Fleet, Name, ObjectKind, ObjectRef, Revision, form};
use crate::observe::StatusView;
use crate::observe::view::Scope;
use crate::parse;

/// The plural names of kinds in paths.
const KINDS: [(&str, ObjectKind); 6] = [
    ("hosts", ObjectKind::Host),
    ("workspaces", ObjectKind::Workspace),
    ("templates", ObjectKind::Template),
    ("targets", ObjectKind::Target),
    ("workloads", ObjectKind::Workload),
    ("deployments", ObjectKind::Deployment),
];

/// A list, or a part of one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: &'static str,
    kind: &'static str,
    metadata: ListMetadata,
    items: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    /// What was read.
    revision: Option<Revision>,
    /// For the next page; none on the last.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many follow.
    remaining: usize,
}

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
        return assignments(context, &query, headers, &caller).await;
    }
    let fleet = fleet(context, query.revision).await?;
    let revision = fleet.revision;
    let tag = format!("\"{}\"", revision.unwrap_or(Revision::NONE));
    if matches!(wanted, Wanted::Kind(_) | Wanted::One(_)) && is_known(headers, &tag) {
        return Ok(not_modified(&tag));
    }
    match wanted {
        Wanted::Kind(kind) => {
            let items = form::list(&fleet, kind).into_iter();
            let items = items.filter(|one| caller.may_read(&snapshot.fleet, &one.of));
            let items = items.filter(|one| query.takes(one.of.workspace(), &one.labels));
            let items = items.map(|one| (one.of.full_name(), one.object));
            Ok(list(&query, revision, items, &tag))
        }
        Wanted::One(object) => {
            let found =
                form::find(&fleet, &object).filter(|one| caller.may_read(&snapshot.fleet, &one.of));
            let found = found.ok_or(Refused::NotFound)?;
            Ok(tagged(json_reply(StatusCode::OK, &found.object), &tag))
        }
        Wanted::Diagnostics => {
            if !caller.may_read_all(&fleet) {
                return Err(Refused::NotFound);
            }
            let body = json!({
                "apiVersion": API_VERSION,
                "kind": "Diagnostics",
                "revision": revision,
                "items": *snapshot.diagnostics,
                "held": *snapshot.held,
            });
            Ok(json_reply(StatusCode::OK, &body))
        }
        Wanted::Assignments => unreachable!("answered above"),
    }
}

/// The fleet at a revision of the config branch; `None`: as the controller has it.
async fn fleet(context: &Arc<Context>, revision: Option<Revision>) -> Result<Arc<Fleet>, Refused> {
    let current = Arc::clone(&context.snapshot().fleet);
    let Some(revision) = revision.filter(|revision| current.revision != Some(*revision)) else {
        return Ok(current);
    };
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

async fn assignments(
    context: &Arc<Context>,
    query: &Query,
    headers: &HeaderMap,
    caller: &super::Caller,
) -> Result<Reply, Refused> {
    let snapshot = context.snapshot();
    let repository = context.needs.repository.clone();
    let branch = snapshot.fleet.settings.branches.status.clone();
    let (scope, wanted) = (scope(query), query.revision);
    let known = headers.get(header::IF_NONE_MATCH).cloned();
    let view = spawn_blocking(move || {
        let head = repository.repository.branch(&branch)?;
        let revision = wanted.or(head);
        let tag = format!("\"{}\"", revision.unwrap_or(Revision::NONE));
        if known.is_some_and(|known| known == tag.as_str()) {
            return Ok((None, tag));
        }
        let view = StatusView::read(&repository.repository, revision, &scope)?;
        Ok::<_, crate::git::GitError>((Some(view), tag))
    });
    let (view, tag) = view.await.map_err(|_| Refused::Busy)?.map_err(|error| {
        tracing::warn!(%error, "statuses cannot be read");
        Refused::NotFound
    })?;
    let Some(view) = view else { return Ok(not_modified(&tag)) };
    let fleet = &snapshot.fleet;
    let labels = |host: &Name| fleet.hosts.get(host).map(|host| host.labels.clone());
    let items = view.assignments.iter().filter_map(|status| {
        let pair = &status.assignment;
        let of = ObjectRef::Deployment(pair.deployment.clone());
        let labels = labels(&pair.host).unwrap_or_default();
        let taken = query.takes(Some(&pair.deployment.workspace), &labels);
        let shown = taken && query.names(pair) && caller.may_read(fleet, &of);
        shown.then(|| (pair.to_string(), json!(status)))
    });
    Ok(list(query, view.revision, items, &tag))
}

fn scope(query: &Query) -> Scope {
    match (&query.host, &query.deployment) {
        (Some(host), _) => Scope::Host(host.clone()),
        (None, Some(deployment)) => Scope::Deployment(deployment.clone()),
        (None, None) => Scope::Fleet,
    }
}

/// The page of `items`, which come in the order of their names.
fn list(
    query: &Query,
    revision: Option<Revision>,
    items: impl Iterator<Item = (String, Value)>,
    tag: &str,
) -> Reply {
    let after = |(name, _): &(String, Value)| {
        query.after.as_ref().is_none_or(|after| name.as_str() > after.as_str())
    };
    let mut all: Vec<(String, Value)> = items.filter(after).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let remaining = all.len().saturating_sub(query.limit);
    all.truncate(query.limit);
    let next = (remaining > 0).then(|| all.last().expect("a page is never empty").0.clone());
    let items = all.into_iter().map(|(_, item)| item).collect();
    let metadata = ListMetadata { revision, next, remaining };
    let list = List { api_version: API_VERSION, kind: "List", metadata, items };
    tagged(json_reply(StatusCode::OK, &list), tag)
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag))
}

fn tagged(mut reply: Reply, tag: &str) -> Reply {
    let value = tag.parse().expect("because it is hexadecimal in quotes");
    reply.headers_mut().insert(header::ETAG, value);
    reply
}

fn not_modified(tag: &str) -> Reply {
    let builder = warp::http::Response::builder().status(StatusCode::NOT_MODIFIED);
    tagged(builder.body(warp::hyper::body::Bytes::new()).expect("a status makes a response"), tag)
}
