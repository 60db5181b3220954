//! Stale lock files of dead processes.
