//! `titan login`.

use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;

use super::account::{
    Account, AccountError, Asked, Offer, Provider, ServerArg, Session, Settings, Store, ask,
    browser, device, is_wanted, runtime, session_of,
};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::whoami;
use crate::model::TimeSpan;

/// Log in at a server, through its OpenID provider
///
/// The server says where people log in; without its help, give `--issuer` and `--client-id` once. With
/// `--browser` a browser on this machine comes back to titan (PKCE); with `--device` you type a code in
/// any browser. Without either, a browser is opened where there is one to open.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  titan login --server https://titan.example
  titan login --server https://titan.example --device
  titan login --server https://titan.example \\
      --issuer https://sso.example/realms/titan --client-id titan
  titan login                                      again, as the last time

Settings and tokens are kept in `servers.json` below $XDG_CONFIG_HOME/titan or ~/.config/titan, which
nobody else may read; tokens are renewed as long as the provider lets titan.

Exit codes: 0 logged in, 1 denied or refused, 3 the server or the provider does not answer as it
should, 4 nobody confirmed it in time")]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArg,
    /// The provider: its URL, or the name that the server has for it
    #[arg(long, value_name = "URL|NAME")]
    issuer: Option<String>,
    /// titan's id at the provider, as a client without a secret
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What to ask the provider for (may be repeated) [default: what it has of openid, profile, email,
    /// groups, offline_access]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Confirm a code in a browser, here or elsewhere
    #[arg(long, conflicts_with = "browser")]
    device: bool,
    /// Come back from a browser on this machine
    #[arg(long)]
    browser: bool,
    /// Longest time to wait for you
    #[arg(long, value_name = "TIME", default_value = "10m")]
    timeout: TimeSpan,
}

/// # Errors
/// When the login does not succeed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let store = Store::open()?;
    let accounts = store.read()?;
    let server = args.server.choose(&accounts)?;
    let known = accounts.get(&server).map(|account| &account.settings);
    let account = runtime()?.block_on(async {
        let settings = settings(args, output, &server, known).await?;
        let provider = Provider::discover(&settings.issuer).await?;
        let flow = log_in(args, output, &provider, &settings);
        let session = timeout(args.timeout.duration(), flow).await;
        let session = session.unwrap_or(Err(AccountError::TimedOut))?;
        anyhow::Ok(Account { settings, session: Some(session) })
    })?;
    store.change(|accounts| accounts.insert(server.clone(), account.clone()))?;
    warn_of(output, &account);
    whoami::show(output, &server, &account, whoami::Occasion::Login)?;
    Ok(Exit::Fine)
}

/// How to log in: as the arguments say, else as the server does, else as the last time.
async fn settings(
    args: &Args,
    output: &Output,
    server: &str,
    known: Option<&Settings>,
) -> Result<Settings> {
    let (offers, problem) = match ask(server).await {
        Ok(offers) => (offers, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let offer = choose(&offers, args)?;
    let named = offer.as_ref().filter(|offer| args.issuer.as_ref() == Some(&offer.name));
    // A name stands for the server's own issuer.
    let given = if named.is_some() { None } else { args.issuer.clone() };
    let issuer = given
        .or_else(|| offer.as_ref().map(|offer| offer.issuer.clone()))
        .or_else(|| known.map(|known| known.issuer.clone()));
    // What was remembered belongs to the issuer that it was remembered of.
    let known = known.filter(|known| Some(&known.issuer) == issuer.as_ref());
    let client_id = args
        .client_id
        .clone()
        .or_else(|| offer.as_ref().map(|offer| offer.client_id.clone()))
        .or_else(|| known.map(|known| known.client_id.clone()));
    let (Some(issuer), Some(client_id)) = (issuer, client_id) else {
        return Err(match problem {
            Some(problem) => problem.into(),
            None => Failure::no(format!("`{server}` does not say where people log in"))
                .hint("give `--issuer` and `--client-id`; they are remembered")
                .into(),
        });
    };
    if let Some(problem) = problem.filter(|_| output.verbose > 0) {
        output.note(&format!("{problem}; going on without its help"));
    }
    let scopes = match (&offer, known) {
        _ if !args.scope.is_empty() => args.scope.clone(),
        (Some(offer), _) => offer.scopes.clone(),
        (None, Some(known)) => known.scopes.clone(),
        (None, None) => Vec::new(),
    };
    let audience = match offer {
        Some(offer) => offer.audience,
        None => known.and_then(|known| known.audience.clone()),
    };
    Ok(Settings { issuer, client_id, scopes, audience })
}

/// The server's offer that is meant.
fn choose(offers: &[Offer], args: &Args) -> Result<Option<Offer>> {
    let Some(issuer) = &args.issuer else {
        return match offers {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => {
                let names: Vec<_> = several.iter().map(|offer| offer.name.as_str()).collect();
                let hint = format!("`--issuer` with one of {}", names.join(", "));
                Err(Failure::usage("the server knows several providers").hint(hint).into())
            }
        };
    };
    let is_meant = |offer: &&Offer| {
        offer.name == *issuer || offer.issuer.trim_end_matches('/') == issuer.trim_end_matches('/')
    };
    Ok(offers.iter().find(is_meant).cloned())
}

async fn log_in(
    args: &Args,
    output: &Output,
    provider: &Provider,
    settings: &Settings,
) -> Result<Session, AccountError> {
    let opener = browser::opener();
    if args.device || (!args.browser && opener.is_none() && provider.has_device_flow()) {
        return by_device(output, provider, settings).await;
    }
    let request = browser::start(provider, settings).await?;
    output.ask(&format!("log in with a browser on this machine:\n\n  {}\n", request.url));
    if let Some(program) = opener {
        browser::open(program, &request.url);
    }
    output.note("waiting for the browser");
    let mut told = false;
    let stray = || {
        if !std::mem::replace(&mut told, true) {
            output.warn("an answer that belongs to another login was refused; still waiting");
        }
    };
    let answer = request.finish(provider, settings, stray).await?;
    let asked = Asked { nonce: Some(&request.nonce), ..Asked::default() };
    session_of(provider, settings, answer, &asked).await
}

async fn by_device(
    output: &Output,
    provider: &Provider,
    settings: &Settings,
) -> Result<Session, AccountError> {
    let grant = device::start(provider, settings).await?;
    let minutes = Duration::from_secs(grant.expires_in).as_secs().div_ceil(60);
    let mut text = format!(
        "log in with any browser, within {minutes} min:\n\n  {}\n  code: {}\n",
        grant.verification_uri, grant.user_code
    );
    if let Some(url) = &grant.verification_uri_complete {
        text += &format!("\nor, with the code in it:\n\n  {url}\n");
    }
    output.ask(&text);
    output.note("waiting until you have confirmed it");
    let answer = device::wait(provider, settings, &grant).await?;
    session_of(provider, settings, answer, &Asked::default()).await
}

/// Tells what will not work later.
fn warn_of(output: &Output, account: &Account) {
    let Some(session) = &account.session else { return };
    if session.refresh_token.is_none() {
        output.warn("the provider gave no refresh token: the session ends with its token");
    }
    if let Some(audience) = account.settings.audience.as_ref()
        && !is_wanted(&account.settings, session)
    {
        output.warn(&format!(
            "the server wants tokens for `{audience}`, and the provider gave none; choose its scope with `--scope`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn offer(name: &str) -> Offer {
        Offer {
            name: name.into(),
            issuer: format!("https://{name}.example/"),
            client_id: "titan".into(),
            audience: None,
            scopes: Vec::new(),
        }
    }

    #[test]
    fn an_offer_is_chosen_by_name_or_issuer() {
        let choose = |offers: &[Offer], line: &str| {
            let line = ["titan"].into_iter().chain(line.split_whitespace());
            choose(offers, &Line::try_parse_from(line).unwrap().args)
                .map(|found| found.map(|offer| offer.name))
        };
        let two = [offer("a"), offer("b")];
        assert_eq!(choose(&[], "").unwrap(), None);
        assert_eq!(choose(&two[..1], "").unwrap().as_deref(), Some("a"));
        assert!(choose(&two, "").is_err());
        assert_eq!(choose(&two, "--issuer b").unwrap().as_deref(), Some("b"));
        assert_eq!(choose(&two, "--issuer https://b.example").unwrap().as_deref(), Some("b"));
        assert_eq!(choose(&two, "--issuer https://c.example").unwrap(), None);
    }
}
