//! `titan bench`: fleets of any size, and the changes that people make to them, to try titan with.
//!
//! ```text
//!  seed, sizes ──▶ shape ─────┐
//!                             ├─▶ files ─▶ fleet ─▶ one commit      change ─▶ commits on top of it
//!  a folder ─────▶ multiply ──┘
//! ```
//! The same arguments give the same commit ids everywhere. Nothing is checked or rendered here: what is
//! written arrives as a push would. `make bench` measures titan with it.

mod change;
mod distribution;
mod fleet;
mod multiply;
mod random;
mod shape;

use anyhow::Result;
use clap::Subcommand;

use super::context::Context;
use super::exit::Exit;
use crate::git::{CommitDraft, GitError, Repository, Signature};
use crate::model::{Revision, TreeId};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Fleet(Box<fleet::Args>),
    Change(change::Args),
}

/// # Errors
/// Those of the subcommand.
pub(super) fn run(command: &Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Fleet(args) => fleet::run(args, context),
        Command::Change(args) => change::run(args, context),
    }
}

/// When the first commit of a generated fleet was made; each later one is a second younger.
const BEGINNING: i64 = 1_750_000_000;

/// A commit that depends on nothing but its content.
fn write_commit(
    git: &Repository,
    tree: TreeId,
    parent: Option<Revision>,
    subject: &str,
) -> Result<Revision, GitError> {
    let seconds = match parent {
        Some(parent) => git.commit(parent)?.committer.seconds.saturating_add(1),
        None => BEGINNING,
    };
    let author = Signature {
        name: "titan bench".into(),
        email: "bench@titan.dev".into(),
        seconds,
        offset: 0,
    };
    git.write_commit(&CommitDraft {
        tree,
        parents: parent.into_iter().collect(),
        author: author.clone(),
        committer: author,
        message: subject.to_owned(),
    })
}
