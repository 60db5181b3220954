//! The HTTP interface: hosts report here, and monitors ask whether titan lives.
//!
//! ```text
//!  POST /api/v1/hosts/<host>/reports   HostReport → ReportAnswer, with the host's bearer token
//!  POST /api/v1/hosts/<host>/enrollments, …/key   how a host comes to a key of its own
//!  GET  /api/v1/hosts/<host>/deployments[/<deployment>]   what it is to run, with the same token
//!  POST /api/v1/changes                a wish → a commit, under an id that counts once
//!  GET  /api/v1/changes/<id>           how far it has come
//!  GET  /api/v1/<kinds>[/<name>]       objects, assignments, diagnostics
//!  GET  /api/v1/events                 what changes, as server-sent events
//!  GET  /api/v1/plan                   what a change does, before it is merged
//!  GET  /api/v1/openapi.json           all of it, as OpenAPI 3.1
//!  GET  /api/v1/me                     who I am, and what I may do where
//!  POST /webhooks/<provider>           something was pushed, with a proof of a shared secret
//!  GET  /healthz, /readyz, /metrics    is it alive, is it ready, how is it doing
//! ```
//!
//! A request passes the cheap checks first: size, token, rate, and only then its body is read, parsed
//! and queued for the controller's loop, which owns the state. What comes back is JSON, errors too:
//! `{"error": "…"}`, never with a secret in it.

mod assignments;
mod body;
mod caller;
mod changes;
mod deployments;
mod error;
mod events;
mod forge;
mod hosts;
mod identity;
mod list;
mod me;
mod objects;
pub mod openapi;
mod operations;
mod patience;
mod plan;
mod query;
mod rate;
mod request;
mod server;
mod tls;
mod turns;
mod webhooks;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use warp::Filter;

use crate::change::Judge;
use crate::git::FleetRepository;
use crate::model::{RequestStatus, Revision};
use crate::observe::{Snapshot, Submission, Vitals};
use caller::Caller;

pub use forge::{Forge, ForgeError, ForgeKind, ForgePlace, TokenError};
pub use tls::{Tls, TlsError};
pub use webhooks::{SecretError, Secrets};

/// What the API works with.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The fleet as the controller saw it last.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The head of the status branch.
    pub status: watch::Receiver<Option<Revision>>,
    /// Reports, to the controller's loop.
    pub submissions: mpsc::Sender<Submission>,
    /// Requests that were refused, to the controller's loop.
    pub refused: mpsc::Sender<RequestStatus>,
    /// Tells the controller's loop that a branch may have moved.
    pub wake: mpsc::Sender<()>,
    pub repository: FleetRepository,
    /// Who renders what a change touches, before it is committed.
    pub judge: Judge,
    /// Everybody may do everything: for one's own machine.
    pub development: bool,
    /// How titan is doing.
    pub vitals: Arc<Vitals>,
    pub options: Options,
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at one time; the next ones wait in the system's queue.
    pub connections: usize,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Without any there are no webhooks.
    pub webhook_secrets: Secrets,
    /// Where pull requests are opened; `None`: nowhere, there are only branches.
    pub forge: Option<Forge>,
}

impl Options {
    /// Connections at one time, where the system allows so many open files.
    pub const CONNECTIONS: usize = 16_384;
}

impl Default for Options {
    fn default() -> Self {
        let webhook_secrets = Secrets::default();
        Self { connections: Self::CONNECTIONS, tls: None, webhook_secrets, forge: None }
    }
}

/// Looks for changes in history at one time.
const FINDS: usize = 8;

/// What the routes need; one for all requests.
#[derive(Debug)]
struct Context {
    needs: Needs,
    rates: rate::Rates,
    changes: changes::Queue,
    /// Who reads the past as a whole.
    past: Semaphore,
    /// Who looks for a change in history.
    finds: Semaphore,
    rotations: rate::Rates,
    known: deployments::Known,
    waits: deployments::Waits,
    identity: identity::Identity,
    deliveries: webhooks::Deliveries,
    signatures: hosts::Signatures,
    looks: hosts::Looks,
    events: events::Events,
}

impl Context {
    fn new(needs: Needs) -> Self {
        let changes = changes::Queue::start(
            needs.repository.clone(),
            needs.judge.clone(),
            (needs.wake.clone(), needs.refused.clone()),
            needs.options.forge.as_ref(),
        );
        let (known, waits) = (deployments::Known::default(), deployments::Waits::default());
        let (rates, deliveries) = (rate::Rates::default(), webhooks::Deliveries::default());
        let (identity, events) = (identity::Identity::default(), events::Events::default());
        let (past, finds) = (Semaphore::new(1), Semaphore::new(FINDS));
        let rotations = rate::Rates::default();
        let (signatures, looks) = (hosts::Signatures::default(), hosts::Looks::default());
        Self {
            needs,
            rates,
            changes,
            past,
            finds,
            rotations,
            known,
            waits,
            identity,
            deliveries,
            signatures,
            looks,
            events,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.needs.snapshot.borrow())
    }
}

/// Serves until `shutdown`, then lets requests that are under way end.
pub async fn serve(listener: TcpListener, needs: Needs, shutdown: impl Future<Output = ()> + Send) {
    let limits = needs.snapshot.borrow().limits.clone();
    let (options, vitals) = (needs.options.clone(), Arc::clone(&needs.vitals));
    let context = Arc::new(Context::new(needs));
    let open = Arc::clone(&context);
    let shutdown = async move {
        shutdown.await;
        open.events.close();
    };
    server::run(listener, routes(context), (&options, &limits, vitals), shutdown).await;
}

/// All routes. Whatever is refused is answered here: nothing is left to the server.
fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (error::Reply,), Error = std::convert::Infallible> + Clone {
    // `or` clones the filters behind it for each request, and a connection keeps a clone of all: boxed
    // ones are shared.
    let routes = operations::routes(Arc::clone(&context)).boxed();
    let routes = routes.or(webhooks::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(hosts::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(changes::routes(Arc::clone(&context)).boxed()).unify();
    let description = Arc::new(match context.needs.development {
        true => openapi::without_security(),
        false => openapi::document(),
    });
    let document = warp::path!("api" / "v1" / "openapi.json")
        .and(error::get(error::READ))
        .map(move || error::json_reply(warp::http::StatusCode::OK, &*description));
    let routes = routes.or(document.boxed()).unify();
    let routes = routes.or(plan::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(events::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(deployments::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(me::routes(Arc::clone(&context)).boxed()).unify();
    let routes = routes.or(objects::routes(context).boxed()).unify();
    identity::same_origin().and(routes).recover(error::recover).unify()
}

#[cfg(test)]
mod tests;
