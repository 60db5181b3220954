//! `titan host token`.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::change::Edit;
use crate::change::edit::{FieldEdit, FieldPath};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::{names, told};
use crate::model::ObjectKind;
use crate::proof::secret;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "A token is for what cannot sign: `curl`, simple devices. titan's agent has a key instead (`titan host enroll`).
The token is shown once. Git holds its digest only, in `spec.tokens` of the host; a host may have
several, so that a new one can be brought out before the old one goes.

Examples:
  titan host token tim-pi > /run/secrets/titan-token
  titan host token tim-pi --revoke"
)]
pub(crate) struct Args {
    /// The host
    name: String,
    /// Take all tokens of the host back; makes none
    #[arg(long)]
    revoke: bool,
    /// Message of the commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let object = names::existing(&config.files, ObjectKind::Host, &args.name, None)?;
    let field = FieldPath::of(&["spec", "tokens"]);
    if args.revoke {
        let edit = Edit::Fields { object: object.clone(), edits: vec![FieldEdit::Remove(field)] };
        let message = args.message.clone().unwrap_or(format!("revoke the tokens of {object}"));
        let proposed = context.commit(&config.repository, &[edit], &message)?;
        let word =
            if proposed.changed.is_empty() { "has no tokens" } else { "has no tokens any more" };
        return told(context, &config.repository, &proposed, &format!("{object} {word}"));
    }
    let token = secret::make().context("the system gives no random numbers")?;
    let digest = secret::digest(&token);
    let edit = FieldEdit::Append(field, digest.into());
    let edit = Edit::Fields { object: object.clone(), edits: vec![edit] };
    let message = args.message.clone().unwrap_or(format!("add a token for {object}"));
    let proposed = context.commit(&config.repository, &[edit], &message)?;
    let shown = json!({"host": object.name(), "token": token, "revision": proposed.revision});
    if !context.output.value(&shown)? {
        context.output.print(&format!("{token}\n"))?;
    }
    let (branch, short) = (&config.repository.branch, proposed.revision.short());
    context.output.note(&format!(
        "this token of {object} is shown only now; its digest is committed ({branch} {short})"
    ));
    Ok(Exit::Fine)
}
