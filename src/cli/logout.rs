//! `titan logout`.

use anyhow::Result;
use serde_json::json;

use super::account::{Account, AccountError, Provider, ServerArg, Store, runtime};
use super::context::Context;
use super::exit::Exit;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The tokens are removed here first, then taken back at the provider where it can do that. How to log in
is remembered.

Examples:
  titan logout
  titan logout --server https://titan.example")]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArg,
}

/// # Errors
/// When the tokens cannot be removed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let store = Store::open()?;
    let server = args.server.choose(&store.read()?)?;
    let before = store.change(|accounts| {
        let account = accounts.get_mut(&server)?;
        let before = account.clone();
        account.session = None;
        Some(before)
    })?;
    let was_in = before.as_ref().is_some_and(|account| account.session.is_some());
    let revoked = match before {
        Some(account) if was_in => runtime()?.block_on(revoke(&account)),
        _ => Ok(false),
    };
    match &revoked {
        Ok(false) if was_in => {
            output.note("the provider takes no tokens back; a copy would be good until it ends");
        }
        Ok(_) => {}
        Err(problem) => output.warn(&format!("{problem}; the tokens were removed here only")),
    }
    let revoked = revoked.unwrap_or_default();
    let value = json!({"server": server, "loggedOut": was_in, "revoked": revoked});
    if !output.value(&value)? {
        let text = if was_in { "logged out of" } else { "nobody was logged in at" };
        output.print(&format!("{text} {server}\n"))?;
    }
    Ok(Exit::Fine)
}

/// Takes back what the provider gave; tells whether it can do that.
async fn revoke(account: &Account) -> Result<bool, AccountError> {
    let (settings, Some(session)) = (&account.settings, &account.session) else {
        return Ok(false);
    };
    let provider = Provider::discover(&settings.issuer).await?;
    let tokens =
        [(&session.refresh_token, "refresh_token"), (&session.access_token, "access_token")];
    let mut revoked = false;
    for (token, kind) in tokens {
        if let Some(token) = token {
            revoked = provider.revoke(&settings.client_id, token, kind).await?;
        }
    }
    Ok(revoked)
}
