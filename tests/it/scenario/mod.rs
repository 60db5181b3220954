//! Whole stories on real repositories and real processes.

mod convergence;
mod history;
mod http;
mod kill;
mod remote;
pub(crate) mod support;
