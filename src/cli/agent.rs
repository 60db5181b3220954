//! `titan agent`: what runs on a host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::service;
use crate::agent::{ClearText, Config, ControllerUrl, Mode, Origin, Summary, Token};
use crate::deliver::Hook;
use crate::model::{Name, TimeSpan};

const TOKEN: &str = "TITAN_HOST_TOKEN";
const HOW: &str = "`titan host token NAME` makes one";

/// Pull what this host must run, deliver it, and report.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  titan agent --host tim-pi --runtime directory --dest ./app --once
  titan agent --host tim-pi --runtime directory --dest /srv/app \\
      --fleet https://git.example/fleet.git --controller https://titan.example \\
      --token-file /etc/titan/token --on-change 'systemctl reload app'
  titan agent --host tim-pi --runtime directory --dest /srv/app \
      --server https://titan.example --token-file /etc/titan/token      no access to Git

Exit codes: 0 stopped by a signal; with `--once`: 0 all is as it should be, 3 the fleet cannot be
read or does not know the host, 5 something could not be delivered")]
pub(super) struct Args {
    /// Name of this host in the fleet
    #[arg(long, value_name = "NAME")]
    host: Name,
    /// What runs the workloads here
    #[arg(long, value_enum)]
    runtime: RuntimeKind,
    /// The folder that the runtime `directory` fills: `DIR/<workspace>/<workload>/<deployment>/…`
    #[arg(long, value_name = "DIR")]
    dest: PathBuf,
    /// Run `sh -c CMD` after something changed; it finds TITAN_HOST, TITAN_DEST, TITAN_RENDERED,
    /// TITAN_CHANGED and TITAN_REMOVED in its environment
    #[arg(long, value_name = "CMD")]
    on_change: Option<String>,
    /// Longest time that the command of --on-change may take
    #[arg(long, value_name = "TIME", default_value = "60s")]
    on_change_timeout: TimeSpan,
    /// Ask this controller what to run, rather than Git: changes arrive at once, `--fleet` is not needed,
    /// and reports go there too unless `--controller` says where. Plain http only on this machine, as
    /// behind a proxy; see --insecure-http
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Report to this controller (may be repeated)
    #[arg(long, value_name = "URL")]
    controller: Vec<String>,
    /// Read this host's token from a file; else it comes from TITAN_HOST_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send reports and the token, and get what is to run, in clear text: over http to other machines
    #[arg(long)]
    insecure_http: bool,
    /// Longest time until a change of the fleet, or on the host, is noticed
    #[arg(long, value_name = "TIME", default_value = "10s")]
    interval: TimeSpan,
    /// Longest time between two reports
    #[arg(long, value_name = "TIME", default_value = "20s")]
    heartbeat: TimeSpan,
    /// The branch that the controller renders into
    #[arg(long, value_name = "BRANCH", default_value = "titan/rendered")]
    rendered_branch: String,
    /// Make one pass, report, and exit
    #[arg(long)]
    once: bool,
}

/// Runtimes that titan's agent drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeKind {
    /// Files below a folder
    Directory,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When the arguments do not make sense together or the destination cannot be used.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    service::log(context.global.verbose, service::Form::Text);
    let config = config(args, context)?;
    let mode = config.mode;
    let agent = crate::agent::run(config, service::stop_signal());
    let summary = service::runtime()?.block_on(agent)?;
    Ok(match mode {
        Mode::UntilStopped => Exit::Fine,
        Mode::Once => once(&summary),
    })
}

/// What one pass came to.
fn once(summary: &Summary) -> Exit {
    match summary {
        Summary { failed: 1.., .. } => Exit::Failed,
        Summary { message: Some(_), .. } => Exit::Git,
        _ => Exit::Fine,
    }
}

fn config(args: &Args, context: &Context) -> anyhow::Result<Config> {
    let RuntimeKind::Directory = args.runtime;
    let clear_text = if args.insecure_http { ClearText::Allowed } else { ClearText::Refused };
    let url = |option: &str, url: &String| {
        ControllerUrl::new(url, clear_text).map_err(|error| {
            Failure::usage(format!("`{option}` is refused: {error}"))
                .hint("use `https`, or `--insecure-http` in a network that you trust")
        })
    };
    let controllers = args.controller.iter().map(|text| url("--controller", text));
    let mut controllers = controllers.collect::<Result<Vec<_>, _>>()?;
    let server = args.server.as_ref().map(|text| url("--server", text)).transpose()?;
    let token = token(args.token_file.as_deref())?;
    let origin = match server {
        Some(_) if token.is_none() => {
            return Err(Failure::usage("`--server` needs the token of this host")
                .hint("give `--token-file`, or set TITAN_HOST_TOKEN; `titan host token NAME` makes one")
                .into());
        }
        Some(server) => {
            if controllers.is_empty() {
                controllers.push(server.clone());
            }
            Origin::Server(server)
        }
        None => Origin::Git { fleet: context.location()?, branch: args.rendered_branch.clone() },
    };
    let hook = args.on_change.as_ref().map(|command| Hook {
        command: command.clone(),
        limit: args.on_change_timeout.duration(),
        hidden: vec![TOKEN],
    });
    // An interval of zero would be a busy loop.
    let at_least = |time: TimeSpan| time.duration().max(Duration::from_millis(50));
    Ok(Config {
        host: args.host.clone(),
        origin,
        dest: std::path::absolute(&args.dest)
            .with_context(|| format!("`{}` is no path", args.dest.display()))?,
        hook,
        controllers,
        token,
        interval: at_least(args.interval),
        heartbeat: at_least(args.heartbeat),
        mode: if args.once { Mode::Once } else { Mode::UntilStopped },
    })
}

fn token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let text = match file {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the token file `{}`", file.display()))?,
        ),
        None => std::env::var(TOKEN).ok(),
    };
    let text = text.filter(|text| !text.trim().is_empty());
    let token = text.map(|text| Token::new(&text)).transpose();
    Ok(token.map_err(|error| Failure::no(error.to_string()).hint(HOW))?)
}
