//! `titan host`: with what hosts prove who they are.

mod enroll;
pub(super) mod keys;
mod revoke;
mod token;

use anyhow::Result;
use clap::Subcommand;

use super::context::Context;
use super::exit::Exit;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Let a host register a key of its own: make a token that counts once, for ten minutes
    Enroll(enroll::Args),
    /// List the keys of a host: since when they are good, and who said so
    Keys(keys::Args),
    /// Take all keys and tokens of a host back
    Revoke(revoke::Args),
    /// Make a token for what reports without a key, or take all tokens of the host back
    Token(token::Args),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Enroll(args) => enroll::run(args, context),
        Command::Keys(args) => keys::run(args, context),
        Command::Revoke(args) => revoke::run(args, context),
        Command::Token(args) => token::run(args, context),
    }
}
