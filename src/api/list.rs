//! Lists, page by page, and the `ETag` that goes with them.

use serde::Serialize;
use serde_json::Value;
use warp::http::{HeaderMap, StatusCode, header};

use super::error::{Reply, json_reply};
use super::query::Query;
use crate::model::{API_VERSION, Revision};

/// A list, or a part of one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    items: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// What was read.
    revision: Option<Revision>,
    /// For the next page; none on the last.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many follow, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<usize>,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
    pub(super) remaining: Option<usize>,
}

/// The page that is asked for of items which have names, in their order.
pub(super) fn page<T>(query: &Query, items: impl Iterator<Item = (String, T)>) -> Page<T> {
    let after = |(name, _): &(String, T)| {
        query.after.as_ref().is_none_or(|after| name.as_str() > after.as_str())
    };
    let mut all: Vec<(String, T)> = items.filter(after).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let remaining = all.len().saturating_sub(query.limit);
    all.truncate(query.limit);
    let next = (remaining > 0).then(|| all.last().expect("a page is never empty").0.clone());
    let items = all.into_iter().map(|(_, item)| item).collect();
    Page { items, next, remaining: Some(remaining) }
}

impl<T> Page<T> {
    /// Its items as JSON.
    pub(super) fn show(self, shown: impl Fn(&T) -> Value) -> Page<Value> {
        let Self { items, next, remaining } = self;
        Page { items: items.iter().map(shown).collect(), next, remaining }
    }
}

impl Page<Value> {
    pub(super) fn reply(self, revision: Option<Revision>, tag: &str) -> Reply {
        let Self { items, next, remaining } = self;
        let metadata = Metadata { revision, next, remaining };
        let list = List { api_version: API_VERSION, kind: "List", metadata, items };
        tagged(json_reply(StatusCode::OK, &list), tag)
    }
}

pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag))
}

pub(super) fn tagged(mut reply: Reply, tag: &str) -> Reply {
    let value = tag.parse().expect("because it is hexadecimal in quotes");
    reply.headers_mut().insert(header::ETAG, value);
    reply
}

pub(super) fn not_modified(tag: &str) -> Reply {
    let builder = warp::http::Response::builder().status(StatusCode::NOT_MODIFIED);
    tagged(builder.body(Default::default()).expect("a status makes a response"), tag)
}
