//! `POST /webhooks/{github,gitlab,gitea,bitbucket,generic}`: a push wakes the controller at once.
//!
//! ```text
//!  secrets? ──▶ length ──▶ proof there? ──▶ body, digested as it comes ──▶ proof good?
//!   no: 404     413, 411    no: 401                                        no: 401
//!                                                                            │ yes
//!              202 ◀── wake, a channel of one ◀── config branch? ◀── new delivery?
//! ```
//! A webhook is a hint: what is done is decided by where the branches are, and without any webhook
//! polling finds the same. So nothing of an event is believed but that something happened.
//! However many come, the channel of one makes them one look at the remote, and one more after it.

mod deliveries;
mod event;
mod provider;
mod secrets;

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::error::TrySendError;
use warp::http::{HeaderMap, StatusCode};
use warp::{Buf, Filter, Rejection, Stream};

use super::error::{Refused, Reply, json_reply};
use super::{Context, body, error, openapi};
use provider::Provider;
use secrets::Check;

pub(super) use deliveries::Deliveries;
pub use secrets::{SecretError, Secrets};

/// So much of a body is kept to see which branch it is about; a longer one counts for the config branch.
const KEPT: usize = 32 << 10;

/// What was done about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The controller looks at the branches.
    Woken,
    /// It was known already.
    Replayed,
    /// It is about other branches.
    Ignored,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::Replayed => "replayed",
            Self::Ignored => "ignored",
        }
    }
}

/// The routes of webhooks.
pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    warp::path!("webhooks" / Provider)
        .and(error::post(error::TAKE))
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |provider: Provider, headers, body| {
            let context = Arc::clone(&context);
            async move {
                let metrics = &context.needs.vitals.metrics;
                match accept(&context, provider, &headers, body).await {
                    Ok(outcome) => {
                        metrics.webhook(provider.as_str(), outcome.as_str());
                        let answer = json!({ "outcome": outcome.as_str() });
                        json_reply(StatusCode::ACCEPTED, &answer)
                    }
                    Err(refused) => {
                        metrics.webhook(provider.as_str(), refused.word());
                        tracing::debug!(provider = provider.as_str(), %refused, "webhook refused");
                        refused.reply()
                    }
                }
            }
        })
}

async fn accept<B: Buf>(
    context: &Context,
    provider: Provider,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Outcome, Refused> {
    let secrets = &context.needs.options.webhook_secrets;
    if secrets.is_empty() {
        return Err(Refused::NotFound);
    }
    let limits = context.snapshot().limits.clone();
    let length = body::check_length(headers, limits.webhook_body.0)?;
    let proof = provider.proof(headers).ok_or(Refused::Unproven)?;
    let mut check = Check::new(secrets, proof);
    if check.is_refused() {
        return Err(Refused::Unproven);
    }
    let delivery = provider.delivery(headers).ok_or_else(|| {
        let name = provider.id_headers()[0];
        Refused::BadRequest(format!("the header `{name}` is missing, or not one word"))
    })?;
    let mut kept = Vec::new();
    let show = |part: &[u8]| {
        check.update(part);
        // One byte more than is kept: then it is known that there is more.
        kept.extend_from_slice(&part[..part.len().min(KEPT + 1 - kept.len())]);
    };
    let time = limits.http_body_time.duration();
    body::show_in(time, body, length, show).await?;
    if !check.end() {
        return Err(Refused::Unproven);
    }
    take(context, (provider, delivery), &kept)
}

/// Acts on a delivery that was proven.
fn take(
    context: &Context,
    (provider, delivery): (Provider, &str),
    kept: &[u8],
) -> Result<Outcome, Refused> {
    if !context.deliveries.is_new(provider, delivery) {
        return Ok(Outcome::Replayed);
    }
    let branch = &context.needs.repository.branch;
    if kept.len() <= KEPT && !event::may_concern(branch, kept) {
        return Ok(Outcome::Ignored);
    }
    match context.needs.wake.try_send(()) {
        // Somebody else has woken it, and it has not looked yet.
        Ok(()) | Err(TrySendError::Full(())) => Ok(Outcome::Woken),
        Err(TrySendError::Closed(())) => Err(Refused::Busy),
    }
}

/// For the API's document. The header that proves a delivery is the provider's own.
pub(super) fn paths() -> Map<String, Value> {
    let mut responses = Map::new();
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    let taken = "Taken: the controller looks at the branches, unless it did so for this delivery";
    responses.insert("202".into(), json!({ "description": taken, "content": content }));
    for status in [400, 401, 404, 408, 411, 413, 503] {
        responses.insert(status.to_string(), openapi::refusal(status));
    }
    let providers = Provider::ALL.map(Provider::as_str);
    let post = json!({
        "operationId": "postWebhook",
        "summary": "Tell that something was pushed",
        "security": [],
        "parameters": [{
            "name": "provider", "in": "path", "required": true,
            "schema": { "type": "string", "enum": providers },
        }],
        "requestBody": { "content": { "application/json": { "schema": {} } } },
        "responses": responses,
    });
    Map::from_iter([("/webhooks/{provider}".to_owned(), json!({ "post": post }))])
}
