//! The command line: transcripts against the real binary, on real repositories.

mod author;
mod bench;
mod change;
mod look;
mod plan;
mod seed;
mod workspaces;
mod world;

use world::{Done, World};
