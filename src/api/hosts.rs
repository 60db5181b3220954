//! `POST /api/v1/hosts/<host>/reports`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{mpsc::error::TrySendError, oneshot};
use tokio::time::{Instant, timeout};
use warp::http::{HeaderMap, StatusCode, header};
use warp::{Buf, Filter, Rejection, Stream};

use super::Context;
use super::error::{Refused, Reply, json_reply};
use crate::model::{HostReport, Limits, Name, Phase};
use crate::observe::{Digest, Refusal, Snapshot, Submission};

/// Longest `reason`, in characters.
const REASON: usize = 64;

/// The host endpoint.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    // A segment that is not a name, encoded traversal for one, matches nothing: 404.
    warp::path!("api" / "v1" / "hosts" / Name / "reports")
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |host, headers, body| {
            let context = Arc::clone(&context);
            async move {
                match accept(&context, &host, &headers, body).await {
                    Ok(reply) => reply,
                    Err(refused) => {
                        tracing::debug!(%host, %refused, "report refused");
                        refused.reply()
                    }
                }
            }
        })
}

async fn accept<B: Buf>(
    context: &Context,
    host: &Name,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Reply, Refused> {
    let snapshot = Arc::clone(&context.snapshot.borrow());
    let limits = &snapshot.limits;
    let length = check_length(headers, limits)?;
    if !snapshot.ready {
        // Before the first pass nobody knows which hosts there are.
        return Err(Refused::Busy);
    }
    authenticate(&snapshot, host, headers)?;
    context.rates.take(host, &snapshot, Instant::now()).map_err(|wait| Refused::TooOften {
        limit: limits.reports_per_minute,
        retry_after: wait.as_secs() + 1,
    })?;
    let time = limits.http_body_time.duration();
    let late = |_| Refused::BodyTimeout(time.as_secs());
    let bytes = timeout(time, read(body, length)).await.map_err(late)??;
    let report = parse(&bytes)?;
    if report.host != *host {
        return Err(Refused::ForeignHost);
    }
    submit(context, report, limits).await
}

/// The length that the body will have, if that is allowed: decided before anything of it is read.
fn check_length(headers: &HeaderMap, limits: &Limits) -> Result<u64, Refused> {
    // Chunks tell no length in advance; without either header there is no body (RFC 9112, 6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refused::LengthRequired);
    }
    let length = match headers.get(header::CONTENT_LENGTH) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
        None => Some(0),
    };
    let length: u64 = length.ok_or_else(|| Refused::BadRequest("bad `Content-Length`".into()))?;
    let limit = limits.report_body.0;
    if length > limit { Err(Refused::TooLarge { limit }) } else { Ok(length) }
}

/// Whether the bearer token is one of the host's. All its digests are compared, each in constant time.
fn authenticate(snapshot: &Snapshot, host: &Name, headers: &HeaderMap) -> Result<(), Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|text| text.split_once(' ')).ok_or(Refused::NoToken)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Refused::NoToken);
    }
    let digests = snapshot.hosts.get(host).ok_or(Refused::NotFound)?;
    let digest: Digest = Sha256::digest(token.as_bytes()).into();
    let found =
        digests.iter().fold(Choice::from(0), |found, own| found | own.as_slice().ct_eq(&digest));
    if found.into() {
        return Ok(());
    }
    // Only who has a valid token of another host learns that it is one: the digest tells nothing else.
    Err(if snapshot.owner(&digest).is_some() { Refused::ForeignHost } else { Refused::WrongToken })
}

/// The body, which has `length` bytes.
async fn read<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    length: u64,
) -> Result<Vec<u8>, Refused> {
    let mut body = pin!(body);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(part) = poll_fn(|context| body.as_mut().poll_next(context)).await {
        let mut part = part.map_err(|_| Refused::BadRequest("the body broke off".into()))?;
        if bytes.len() as u64 + part.remaining() as u64 > length {
            return Err(Refused::TooLarge { limit: length });
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            bytes.extend_from_slice(chunk);
            let count = chunk.len();
            part.advance(count);
        }
    }
    Ok(bytes)
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
    context.submissions.try_send(Submission { report, reply }).map_err(|error| {
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
