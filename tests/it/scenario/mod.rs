//! Whole stories on real repositories and real processes.

mod audit;
mod convergence;
mod guards;
mod kill;
pub(crate) mod support;
