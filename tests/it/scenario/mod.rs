//! Whole stories on real repositories and real processes.

mod convergence;
mod kill;
mod remote;
pub(crate) mod support;
