//! `titan host revoke`.

use anyhow::{Context as _, Result};

use crate::change::host_key;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{names, told};
use crate::model::ObjectKind;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Removes `spec.keys`, `spec.tokens` and `spec.enrollment` of the host: from the controller's next pass on it
reports nothing and is told nothing. What runs there goes on; `titan host enroll` lets it in again.

Example:
  titan host revoke tim-pi -m 'tim-pi was stolen'"
)]
pub(crate) struct Args {
    /// The host
    name: String,
    /// Message of the commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let object = names::existing(&config.files, ObjectKind::Host, &args.name, None)?;
    let edit = host_key::revoke(object.name().context("a host has a name")?);
    let message = args.message.clone().unwrap_or(format!("revoke the keys of {object}"));
    let proposed = context.commit(&config.repository, &[edit], &message)?;
    let word = if proposed.changed.is_empty() { "has no keys" } else { "has no keys any more" };
    told(context, &config.repository, &proposed, &format!("{object} {word}"))
}
