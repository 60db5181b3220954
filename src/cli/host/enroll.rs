//! `titan host enroll`.

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde_json::json;

use crate::change::host_key;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::model::{Name, ObjectKind, Runtime};
use crate::proof::secret;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "The token is shown once. Git holds its digest only, in `spec.enrollment` of the host, until the host's agent
has registered its public key with it; the private key never leaves the host. A token that was not used
within ten minutes is worth nothing, and the next one takes its place.

Examples:
  titan host enroll tim-pi
  titan host enroll tim-pi | ssh tim-pi 'cat > /run/titan-enroll'"
)]
pub(crate) struct Args {
    /// The host
    name: String,
    /// Address of the controller, for the command that is shown
    #[arg(long, value_name = "URL", env = "TITAN_SERVER", hide_env_values = true)]
    server: Option<String>,
    /// Message of the commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let object = names::existing(&config.files, ObjectKind::Host, &args.name, None)?;
    let name = object.name().context("a host has a name")?;
    let token = secret::make().context("the system gives no random numbers")?;
    let expires = host_key::expires(context.now);
    let edit = host_key::enroll(name, &secret::digest(&token), expires);
    let message = args.message.clone().unwrap_or(format!("let {object} enroll"));
    let proposed = context.commit(&config.repository, &[edit], &message)?;
    let runtime = config.fleet().hosts.get(name).map(|host| host.spec.runtime);
    let command = command(name, runtime.unwrap_or_default(), args.server.as_deref(), &token);
    let shown = json!({
        "host": name, "token": token, "expires": expires, "command": command,
        "revision": proposed.revision,
    });
    if !context.output.value(&shown)? {
        context.output.print(&format!("{token}\n"))?;
    }
    let (branch, short) = (&config.repository.branch, proposed.revision.short());
    context.output.note(&format!(
        "this token is shown only now, counts once, and is good until {expires}; its digest is committed ({branch} {short})"
    ));
    context.output.note(&format!("on the device, run\n  {command}"));
    Ok(Exit::Fine)
}

/// What is to be run on the device.
fn command(name: &Name, runtime: Runtime, server: Option<&str>, token: &str) -> String {
    let server = server.unwrap_or("https://CONTROLLER");
    // Others are delivered to by Flux or Argo CD, or later.
    let runtime = crate::cli::agent::RuntimeKind::value_variants()
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value)
        .find(|kind| serde_json::to_value(runtime).is_ok_and(|own| own == kind.get_name()))
        .map_or("directory".to_owned(), |kind| kind.get_name().to_owned());
    format!(
        "titan agent --host {name} --runtime {runtime} --dest FOLDER --server {server} --enroll {token}"
    )
}
