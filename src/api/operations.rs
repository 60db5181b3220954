//! For those who run titan, without a token: is it alive, is it ready, how is it doing?
//!
//! ```text
//!  GET /healthz   200 `ok`, as long as the process answers at all
//!  GET /readyz    200, or 503 with what is not ready, since when
//!  GET /metrics   OpenMetrics
//! ```
//! Nothing here tells names of objects, addresses or messages: anybody may ask.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};
use warp::http::{Response, StatusCode, header};
use warp::{Filter, Rejection};

use super::error::{Reply, json_reply};
use super::{Context, error};
use crate::model::Timestamp;
use crate::observe::Problem;

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    problems: Vec<Problem>,
}

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    let health = warp::path!("healthz").and(error::get(error::READ)).map(|| {
        let builder = Response::builder().header(header::CONTENT_TYPE, "text/plain");
        builder.body("ok".into()).expect("a status and a text make a response")
    });
    let asked = Arc::clone(&context);
    let ready = warp::path!("readyz").and(error::get(error::READ)).map(move || readiness(&asked));
    let metrics =
        warp::path!("metrics").and(error::get(error::READ)).map(move || metrics(&context));
    health.or(ready).unify().or(metrics).unify()
}

fn readiness(context: &Context) -> Reply {
    let problems = context.needs.vitals.health.problems();
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_reply(status, &Readiness { ready, problems })
}

fn metrics(context: &Context) -> Reply {
    let queue = &context.needs.submissions;
    let queued = queue.max_capacity() - queue.capacity();
    let text = context.needs.vitals.metrics.text(queued, Timestamp::now());
    let builder = Response::builder().header(header::CONTENT_TYPE, OPEN_METRICS);
    builder.body(text.into()).expect("a type and a text make a response")
}

/// For the API's document.
pub(super) fn paths() -> Map<String, Value> {
    let read = |id: &str, summary: &str, form: &str| {
        let kind = if form == "application/json" { "object" } else { "string" };
        let content = json!({ form: { "schema": { "type": kind } } });
        let responses = json!({ "200": { "description": "As it is", "content": content } });
        json!({ "operationId": id, "summary": summary, "security": [], "responses": responses })
    };
    let health = read("getHealth", "Whether the process lives", "text/plain");
    let mut ready = read("getReadiness", "What is not ready, since when", "application/json");
    ready["responses"]["503"] = ready["responses"]["200"].clone();
    let metrics = read("getMetrics", "Numbers, as OpenMetrics", "application/openmetrics-text");
    let all = [("/healthz", health), ("/readyz", ready), ("/metrics", metrics)];
    all.into_iter().map(|(path, get)| (path.to_owned(), json!({ "get": get }))).collect()
}
