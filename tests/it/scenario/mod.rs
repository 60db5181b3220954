//! Whole stories on real repositories and real processes.

mod audit;
mod convergence;
mod guards;
mod history;
mod incremental;
mod http;
mod kill;
mod objects;
mod plan;
mod remote;
pub(crate) mod support;
