//! The command line: transcripts against the real binary, on real repositories.

mod bench;
mod change;
mod look;
mod plan;
mod seed;
mod world;

use world::{Done, World};
