//! The event loop, and one reconcile pass.

pub mod reconcile;
