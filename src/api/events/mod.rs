//! `GET /api/v1/events`: what changes in the fleet, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! ```text
//!  snapshot, status head ─▶ where the branches are
//!                                   │ the next move from where a stream is
//!  Git ──compare──▶ [steps] ────────┤ once for all
//!                                   ▼
//!                 [stream] ─ [wanted]: asked for? may read it? ─▶ `id` ([cursor]), `event`, `data` ([told])
//! ```
//! The server keeps no state. An id names commits, so a client goes on with `Last-Event-ID` at any
//! controller, which compares what the client has seen with what is there. What happened twice meanwhile
//! is told once, as it is then. Where that cannot be told, an event `reset` says to list again.

mod cursor;
mod document;
mod steps;
mod stream;
mod told;
mod wanted;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::sync::{mpsc, watch};
use tracing::Instrument;
use warp::http::{HeaderMap, HeaderValue, Method, header};
use warp::hyper::body::Bytes;
use warp::{Filter, Rejection, Reply as _};

use super::error::{Refused, Reply};
use super::turns::Turns;
use super::{Context, error};
pub(super) use document::paths;
use stream::Reader;
use wanted::Wanted;

/// Pieces of a stream that wait for its client.
const PIECES: usize = 2;

/// Streams at a time, less than there may be connections, so that most are left for others; and of one caller.
const ALL: usize = 1000;
const OF_ONE: usize = 32;

/// One for all streams.
#[derive(Debug)]
pub(super) struct Events {
    steps: steps::Steps,
    turns: Turns,
    /// Whether all streams are to end.
    closed: watch::Sender<bool>,
}

impl Default for Events {
    fn default() -> Self {
        let closed = watch::channel(false).0;
        Self { steps: steps::Steps::default(), turns: Turns::new(ALL, OF_ONE), closed }
    }
}

impl Events {
    /// Ends all streams.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }
}

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    warp::path!("api" / "v1" / "events")
        .and(error::get(error::READ))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .then(move |method: Method, headers, query: String| {
            let context = Arc::clone(&context);
            async move {
                let answer = open(&context, &method, headers, &query).await;
                answer.unwrap_or_else(|refused| refused.reply())
            }
        })
}

/// Opens a stream; for `HEAD` one that ends at once.
async fn open(
    context: &Arc<Context>,
    method: &Method,
    headers: HeaderMap,
    query: &str,
) -> Result<Reply, Refused> {
    const FULL: Refused = Refused::NotYet("too many streams of events are open; try again later");
    let caller = context.caller(&headers).await?;
    let wanted = Wanted::parse(query)?;
    if !context.snapshot().ready {
        return Err(Refused::Busy);
    }
    let turn = context.events.turns.begin(&caller.actor()).ok_or(FULL)?;
    let (sender, receiver) = mpsc::channel(PIECES);
    if *method == Method::GET {
        let open = context.needs.vitals.metrics.stream();
        let reader = Reader::new(context, caller, headers, wanted, sender);
        let run = async move {
            reader.run().await;
            drop((turn, open));
        };
        tokio::spawn(run.in_current_span());
    }
    let mut reply = warp::reply::stream(Pieces(receiver)).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies are to pass on what comes as it comes.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(reply)
}

/// The body of an answer, piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl warp::Stream for Pieces {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.0.poll_recv(context)).map(Ok))
    }
}

#[cfg(test)]
mod tests;
