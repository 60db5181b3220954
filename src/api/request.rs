//! What is told of each request: an id in its answer, a line in the log, and numbers.

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use tracing::Span;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};

use crate::observe::Vitals;

const ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const LONGEST_ID: usize = 64;
/// So much of a path is logged.
const LONGEST_PATH: usize = 200;

/// The routes that numbers are kept for; `*` is any one segment, and the first that fits counts.
const ROUTES: [&str; 17] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/webhooks/*",
    "/api/v1/hosts/*/reports",
    "/api/v1/hosts/*/key",
    "/api/v1/hosts/*/enrollments",
    "/api/v1/hosts/*/deployments",
    "/api/v1/hosts/*/deployments/*/*/*",
    "/api/v1/changes",
    "/api/v1/changes/*",
    "/api/v1/plan",
    "/api/v1/events",
    "/api/v1/*",
    "/api/v1/*/*",
    "/api/v1/*/*/*",
    "/api/v1/*/*/*/*",
];
/// All other paths: there is no end of them.
const OTHER: &str = "other";

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Told {
    vitals: Arc<Vitals>,
    id: HeaderValue,
    method: Method,
    path: String,
    route: &'static str,
    began: Instant,
}

impl Told {
    pub(super) fn of<B>(request: &Request<B>, vitals: Arc<Vitals>) -> Self {
        let path = request.uri().path();
        Self {
            vitals,
            id: given(request.headers()).unwrap_or_else(made),
            method: request.method().clone(),
            // Never the query: clients put codes and tokens there.
            path: path.chars().take(LONGEST_PATH).collect(),
            route: route(path),
            began: Instant::now(),
        }
    }

    /// What is logged within says for which request.
    pub(super) fn span(&self) -> Span {
        tracing::info_span!("request", id = self.id.to_str().unwrap_or_default())
    }

    /// The request is answered.
    pub(super) fn end<B>(self, mut response: Response<B>) -> Response<B> {
        let (took, status) = (self.began.elapsed(), response.status());
        self.vitals.metrics.request(method(&self.method), self.route, status.as_u16(), took);
        let (method, path, status): (_, _, &dyn Display) = (&self.method, &self.path, &status);
        let took_ms = took.as_secs_f64() * 1e3;
        if response.status().is_server_error() {
            tracing::warn!(%method, path, %status, took_ms, "answered");
        } else {
            tracing::debug!(%method, path, %status, took_ms, "answered");
        }
        response.headers_mut().insert(ID, self.id);
        response
    }
}

/// The id that the client gave, if it is one word of harmless characters.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(ID)?;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let bytes = value.as_bytes();
    let sane = !bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(word);
    sane.then(|| value.clone())
}

/// A new id.
fn made() -> HeaderValue {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let text = format!("{:016x}", KEYS.hash_one(number));
    HeaderValue::from_str(&text).expect("because digits make a header's value")
}

fn route(path: &str) -> &'static str {
    let fits = |route: &&&str| {
        let (mut wanted, mut given) = (route.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("*"), Some(segment)) if !segment.is_empty() => {}
                (Some(segment), Some(found)) if segment == found => {}
                _ => return false,
            }
        }
    };
    ROUTES.iter().find(fits).copied().unwrap_or(OTHER)
}

/// The method as a label: clients may invent others.
fn method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| method == *known).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_few() {
        for (path, expected) in [
            ("/healthz", "/healthz"),
            ("/webhooks/github", "/webhooks/*"),
            ("/api/v1/hosts/a/reports", "/api/v1/hosts/*/reports"),
            ("/api/v1/hosts/a", "/api/v1/*/*"),
            ("/api/v1/hosts", "/api/v1/*"),
            ("/api/v1/changes/x", "/api/v1/changes/*"),
            ("/api/v1//x", "other"),
            ("/api/v1/deployments/a/b/c", "/api/v1/*/*/*/*"),
            ("/api/v1/deployments/a/b/c/d", "other"),
            ("/healthz/", "other"),
            ("/", "other"),
            ("", "other"),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
        assert_eq!(method(&Method::PATCH), "PATCH");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), "other");
    }

    #[test]
    fn ids_are_taken_over_when_they_are_sane() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ID, HeaderValue::from_str(text).unwrap());
            given(&headers).is_some()
        };
        assert!(with("7f3a-B_c.9") && with(&"x".repeat(64)));
        assert!(!with("") && !with("two words") && !with("a\"b") && !with(&"x".repeat(65)));
        assert!(given(&HeaderMap::new()).is_none());
        let (one, two) = (made(), made());
        assert_ne!(one, two);
        assert_eq!(one.len(), 16);
    }
}
