//! The HTTP interface: hosts report here, and monitors ask whether titan lives.
//!
//! ```text
//!  POST /api/v1/hosts/<host>/reports   HostReport → ReportAnswer, with the host's bearer token
//!  GET  /healthz                       200 `ok`
//! ```
//!
//! A request passes the cheap checks first: size, token, rate, and only then its body is read, parsed
//! and queued for the controller's loop, which owns the state. What comes back is JSON, errors too:
//! `{"error": "…"}`, never with a secret in it.

mod error;
mod hosts;
mod rate;
mod server;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use warp::Filter;
use warp::http::Response;

use crate::observe::{Snapshot, Submission};

/// What the routes need; one for all requests.
#[derive(Debug)]
struct Context {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    submissions: mpsc::Sender<Submission>,
    rates: rate::Rates,
}

/// Serves until `shutdown`, then lets requests that are under way end.
pub async fn serve(
    listener: TcpListener,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    submissions: mpsc::Sender<Submission>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limits = snapshot.borrow().limits.clone();
    let context = Arc::new(Context { snapshot, submissions, rates: rate::Rates::default() });
    server::run(listener, routes(context), &limits, shutdown).await;
}

/// All routes. Whatever is refused is answered here: nothing is left to the server.
fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (error::Reply,), Error = std::convert::Infallible> + Clone {
    let health = warp::path!("healthz").and(warp::get()).map(|| {
        Response::builder().body("ok".into()).expect("a status and a text make a response")
    });
    let routes = health.or(hosts::routes(context)).unify();
    routes.recover(error::recover).unify()
}

#[cfg(test)]
mod tests;
