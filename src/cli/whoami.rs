//! `titan whoami`.

use anyhow::Result;
use serde_json::json;

use super::account::{Account, AccountError, Person, ServerArg, Store, renewed, runtime};
use super::context::Context;
use super::exit::Exit;
use super::output::{Format, Output};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Renews the session if less than a minute of it is left. Shows no token.

Examples:
  titan whoami
  titan whoami --server https://titan.example -o json

Exit codes: 0 somebody is logged in, 1 nobody is, or the session has ended")]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArg,
}

/// Why an account is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    Question,
    Login,
}

/// # Errors
/// When nobody is logged in.
pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let store = Store::open()?;
    let server = args.server.choose(&store.read()?)?;
    let account = runtime()?.block_on(renewed(&store, &server))?;
    let account = account.ok_or_else(|| AccountError::NotLoggedIn { server: server.clone() })?;
    show(&context.output, &server, &account, Occasion::Question)?;
    Ok(Exit::Fine)
}

/// Shows who is logged in.
///
/// # Errors
/// When nobody is, or stdout is closed.
pub(crate) fn show(
    output: &Output,
    server: &str,
    account: &Account,
    occasion: Occasion,
) -> Result<()> {
    let nobody = || AccountError::NotLoggedIn { server: server.to_owned() };
    let session = account.session.as_ref().ok_or_else(nobody)?;
    let person = Person::named_by(&session.id_token).ok_or_else(nobody)?;
    let value = json!({
        "server": server,
        "name": person.name,
        "email": person.email,
        "subject": person.subject,
        "groups": person.groups,
        "issuer": person.issuer,
        "expires": session.expires,
        "renewable": session.refresh_token.is_some(),
    });
    if output.value(&value)? {
        return Ok(());
    }
    let text = match (output.format, occasion) {
        (Format::Name, _) => format!("{}\n", clean(&person.subject)),
        (_, Occasion::Login) => format!("logged in at {server} as {}\n", clean(person.called())),
        (_, Occasion::Question) => table(server, &person, account),
    };
    output.print(&text)?;
    Ok(())
}

fn table(server: &str, person: &Person, account: &Account) -> String {
    let session = account.session.as_ref();
    let ends = session.map(|session| session.expires.to_string()).unwrap_or_default();
    let renewed = session.is_some_and(|session| session.refresh_token.is_some());
    let or_none = |text: Option<&str>| clean(text.unwrap_or("-"));
    let groups = if person.groups.is_empty() { "-".into() } else { person.groups.join(", ") };
    let lines = [
        ("server", server.to_owned()),
        ("name", or_none(person.name.as_deref())),
        ("email", or_none(person.email.as_deref())),
        ("subject", clean(&person.subject)),
        ("groups", clean(&groups)),
        ("issuer", clean(&person.issuer)),
        ("expires", format!("{ends}{}", if renewed { " (renewed in time)" } else { "" })),
    ];
    lines.iter().map(|(name, value)| format!("{name:<9}{value}\n")).collect()
}

/// A provider's text on a terminal's line.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::account::{Secret, Session, Settings};
    use crate::model::Timestamp;

    #[test]
    fn a_person_is_shown_without_control_characters() {
        let settings = Settings {
            issuer: "https://login.example".into(),
            client_id: "titan".into(),
            scopes: Vec::new(),
            audience: None,
        };
        let session = Session {
            id_token: Secret::new("s3cret"),
            access_token: None,
            refresh_token: Some(Secret::new("s3cret")),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let account = Account { settings, session: Some(session) };
        let person = Person {
            subject: "ann".into(),
            name: Some("Ann\u{1b}[2J".into()),
            email: None,
            groups: vec!["dev".into(), "ops".into()],
            issuer: "https://login.example".into(),
        };
        insta::assert_snapshot!(table("https://titan.example", &person, &account), @r"
        server   https://titan.example
        name     Ann[2J
        email    -
        subject  ann
        groups   dev, ops
        issuer   https://login.example
        expires  2027-01-15T08:00:00Z (renewed in time)
        ");
    }
}
