//! What hosts send: `POST /api/v1/hosts/<host>/reports`; and how they come to a key of their own.
//!
//! ```text
//!  POST …/enrollments   [enrollment]  a person lets a host enroll: a token, once
//!  POST …/key           [key]         the host registers its key with it, or replaces the one it has
//!  POST …/reports                     from then on it signs  ─▶ [admission]
//! ```

use std::sync::Arc;

use tokio::sync::{mpsc::error::TrySendError, oneshot};
use tokio::time::{Instant, timeout};
use warp::http::{HeaderMap, StatusCode};
use warp::{Buf, Filter, Rejection, Stream};

use super::error::{Refused, Reply, json_reply};
use super::{Context, body, error};
use crate::model::{HostReport, Limits, Name, Phase};
use crate::observe::{Refusal, Submission};
pub(super) use admission::{Signatures, authenticate};
pub(super) use document::paths;
pub(super) use key::Looks;

mod admission;
mod desk;
mod document;
mod enrollment;
mod key;

/// Longest `reason`, in characters.
const REASON: usize = 64;

/// The host endpoint, but for what a host is to run.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    let keys = key::routes(Arc::clone(&context));
    let enrollments = enrollment::routes(Arc::clone(&context));
    // A segment that is not a name, encoded traversal for one, matches nothing: 404.
    let reports = warp::path!("api" / "v1" / "hosts" / Name / "reports")
        .and(error::post(error::TAKE))
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |host, headers, body| {
            let context = Arc::clone(&context);
            async move {
                let metrics = &context.needs.vitals.metrics;
                match accept(&context, &host, &headers, body).await {
                    Ok(reply) => {
                        metrics.report("accepted");
                        reply
                    }
                    Err(refused) => {
                        metrics.report(refused.word());
                        tracing::debug!(%host, %refused, "report refused");
                        refused.reply()
                    }
                }
            }
        });
    reports.or(keys).unify().or(enrollments).unify()
}

async fn accept<B: Buf>(
    context: &Context,
    host: &Name,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Reply, Refused> {
    let snapshot = context.snapshot();
    let limits = &snapshot.limits;
    let length = body::check_length(headers, limits.report_body.0)?;
    if !snapshot.ready {
        // Before the first pass nobody knows which hosts there are.
        return Err(Refused::Busy);
    }
    authenticate(context, &snapshot, host, headers)?;
    context.rates.take(host, &snapshot, Instant::now()).map_err(|wait| Refused::TooOften {
        what: "reports a minute",
        limit: limits.reports_per_minute,
        retry_after: wait.as_secs() + 1,
    })?;
    let time = limits.http_body_time.duration();
    let bytes = body::read_in(time, body, length).await?;
    let report = parse(&bytes)?;
    if report.host != *host {
        return Err(Refused::ForeignHost);
    }
    submit(context, report, limits).await
}

/// A report that makes sense.
fn parse(bytes: &[u8]) -> Result<HostReport, Refused> {
    // Only the place is told: serde's messages repeat the input.
    let report: HostReport = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refused::BadRequest(format!("the body is not a report: line {line}, column {column}"))
    })?;
    for assignment in &report.assignments {
        let reason = &assignment.reason;
        let word = reason.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if reason.is_empty() || reason.len() > REASON || !word {
            let what = &assignment.deployment;
            return Err(Refused::BadRequest(format!("the reason of `{what}` is not a word")));
        }
        if matches!(assignment.phase, Phase::Pending | Phase::Stalled | Phase::Unknown) {
            let (what, phase) = (&assignment.deployment, assignment.phase);
            let message = format!("a host does not say that `{what}` is {phase}");
            return Err(Refused::BadRequest(message));
        }
    }
    Ok(report)
}

/// Hands the report to the controller's loop and waits for its answer.
async fn submit(context: &Context, report: HostReport, limits: &Limits) -> Result<Reply, Refused> {
    let (reply, answer) = oneshot::channel();
    context.needs.submissions.try_send(Submission { report, reply }).map_err(|error| {
        match error {
            TrySendError::Full(_) => tracing::warn!("the queue of reports is full"),
            TrySendError::Closed(_) => tracing::warn!("the controller takes no reports"),
        }
        Refused::Busy
    })?;
    let answer = timeout(limits.http_body_time.duration(), answer).await;
    match answer {
        Ok(Ok(Ok(answer))) => Ok(json_reply(StatusCode::OK, &answer)),
        Ok(Ok(Err(refusal))) => Err(refusal.into()),
        // The loop is stuck, or was stopped with the report in its queue.
        Ok(Err(_)) | Err(_) => Err(Refused::Busy),
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OldSequence { got, seen } => Self::OldSequence { got, seen },
            Refusal::UnknownRevision(_) => Self::Conflict(refusal.to_string()),
            Refusal::UnknownHost => Self::NotFound,
        }
    }
}
