//! Connections: how many, how long one may take to send a header, and TLS.
//!
//! ```text
//!  accept ──▶ a slot ──▶ [handshake] ──▶ header ──▶ routes ──▶ an id, a line, numbers
//!             16,384     header time     header time
//! ```
//! warp's own server sets none of these bounds, so its routes are served here by hyper as a plain service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use warp::Filter;
use warp::http::Request;
use warp::hyper::body::Incoming;
use warp::hyper::server::conn::http1;
use warp::hyper::service::{Service, service_fn};

use super::Options;
use super::error::Reply;
use super::patience::Patient;
use super::request::Told;
use super::tls::Tls;
use crate::model::Limits;
use crate::observe::Vitals;

/// Longest header, in bytes; and so much of a body is in memory at a time.
const BUFFER: usize = 64 << 10;
/// How long requests may go on after the end was asked for.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// What all connections have in common.
#[derive(Clone)]
struct Server<F> {
    routes: F,
    vitals: Arc<Vitals>,
    tls: Option<Tls>,
    /// Longest time for a handshake, and then for each request's header.
    header_time: Duration,
    /// Longest time in which a client takes nothing of its answer.
    answer_time: Duration,
}

/// Serves `routes` until `shutdown`.
pub(super) async fn run<F>(
    listener: TcpListener,
    routes: F,
    (options, limits, vitals): (&Options, &Limits, Arc<Vitals>),
    shutdown: impl Future<Output = ()> + Send,
) where
    F: Filter<Extract = (Reply,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let slots = Arc::new(Semaphore::new(options.connections));
    let graceful = GracefulShutdown::new();
    let header_time = limits.http_header_time.duration();
    let answer_time = limits.http_body_time.duration();
    let server = Server { routes, vitals, tls: options.tls.clone(), header_time, answer_time };
    let renewal = options.tls.clone().map(|tls| tokio::spawn(tls.keep_up()));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (server, watcher) = (server.clone(), graceful.watcher());
                tokio::spawn(async move {
                    server.connection(stream, watcher).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if let Some(renewal) = renewal {
        renewal.abort();
    }
    if tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

impl<F> Server<F>
where
    F: Filter<Extract = (Reply,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    async fn connection(self, stream: TcpStream, watcher: Watcher) {
        let _open = self.vitals.metrics.connection();
        // Boxed: a plain connection keeps no room for what an encrypted one needs.
        let Some(tls) = &self.tls else { return Box::pin(self.talk(stream, watcher)).await };
        match tokio::time::timeout(self.header_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::pin(self.talk(stream, watcher)).await,
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }

    /// Answers one request after the other.
    async fn talk<S>(&self, stream: S, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
        let service = service_fn(|request: Request<Incoming>| {
            let told = Told::of(&request, Arc::clone(&self.vitals));
            let span = told.span();
            let answer = routes.call(request);
            let answer = async move { answer.await.map(|response| told.end(response)) };
            answer.instrument(span)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.header_time).max_buf_size(BUFFER);
        let stream = Patient::new(stream, self.answer_time);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}
