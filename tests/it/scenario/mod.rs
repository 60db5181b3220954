//! Whole stories on real repositories and real processes.

mod convergence;
mod kill;
mod objects;
pub(crate) mod support;
