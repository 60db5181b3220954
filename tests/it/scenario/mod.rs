//! Whole stories on real repositories and real processes.

mod audit;
mod changes;
mod convergence;
mod events;
mod guards;
mod history;
mod http;
mod incremental;
mod keys;
mod kill;
mod objects;
mod operations;
mod plan;
mod polling;
mod pull_requests;
mod remote;
mod server;
pub(crate) mod support;
