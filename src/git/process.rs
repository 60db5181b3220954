//! Running `git(1)` with a fixed environment.
