//! Whole stories on real repositories and real processes.

mod convergence;
mod history;
mod kill;
pub(crate) mod support;
