//! `titan host token`.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::context::Context;
use super::exit::Exit;
use super::{names, told};
use crate::change::Edit;
use crate::change::edit::{FieldEdit, FieldPath};
use crate::model::ObjectKind;
use crate::model::hex;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Make a token for a host's agent, or take all of them back
    Token(TokenArgs),
}

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "The token is shown once. Git holds its digest only, in `spec.tokens` of the host; a host may have
several, so that a new one can be brought out before the old one goes.

Examples:
  titan host token tim-pi > /run/secrets/titan-token
  titan host token tim-pi --revoke"
)]
pub(crate) struct TokenArgs {
    /// The host
    name: String,
    /// Take all tokens of the host back; makes none
    #[arg(long)]
    revoke: bool,
    /// Message of the commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit> {
    let Command::Token(args) = command;
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
    let token = new_token()?;
    let digest = digest(&token);
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

/// 32 random bytes.
fn new_token() -> Result<String> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).context("the system gives no random numbers")?;
    Ok(format!("titan_{}", hex::encode(&random)))
}

/// How Git keeps a token: `sha256:<digest of its text>`.
fn digest(token: &str) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(token.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_tokens_text() {
        assert_eq!(
            digest("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(new_token().unwrap().len(), "titan_".len() + 64);
        assert_ne!(new_token().unwrap(), new_token().unwrap());
    }
}
