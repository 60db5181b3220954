//! Whole stories on real repositories and real processes.

mod convergence;
mod kill;
pub(crate) mod support;
