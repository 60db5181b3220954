//! `titan agent`: what runs on a host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::service;
use crate::agent::{ClearText, Config, ControllerUrl, Mode, Origin, Summary, Token, has_keys};
use crate::deliver::Hook;
use crate::model::{Name, TimeSpan};

const TOKEN: &str = "TITAN_HOST_TOKEN";
const ENROLL: &str = "TITAN_ENROLL_TOKEN";
const HOW: &str = "`titan host enroll NAME` makes one";

/// Pull what this host must run, deliver it, and report.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  titan agent --host tim-pi --runtime directory --dest ./app --once
  titan agent --host tim-pi --runtime directory --dest /srv/app \
      --server https://titan.example --enroll TOKEN      `titan host enroll tim-pi` makes one
  titan agent --host tim-pi --runtime directory --dest /srv/app \\
      --fleet https://git.example/fleet.git --controller https://titan.example \\
      --token-file /etc/titan/token --on-change 'systemctl reload app'
  titan agent --host tim-pi --runtime directory --dest /srv/app \
      --server https://titan.example      no access to Git; the key of the host is in its folder

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
    /// Register a key of this host with this token, once: the agent makes the key, keeps the private one below
    /// its folder, and signs all requests with it from then on. Else it comes from TITAN_ENROLL_TOKEN
    #[arg(long, value_name = "TOKEN", conflicts_with = "enroll_file")]
    enroll: Option<String>,
    /// Read that token from a file
    #[arg(long, value_name = "FILE")]
    enroll_file: Option<PathBuf>,
    /// Replace the key of this host when it is as old as that; 0s: never
    #[arg(long, value_name = "TIME", default_value = "90d")]
    rotate_keys: TimeSpan,
    /// Read this host's token for reports from a file, where it has no key; else it comes from TITAN_HOST_TOKEN
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
pub(super) enum RuntimeKind {
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
    let (token, enroll) = (token(args.token_file.as_deref(), TOKEN)?, enroll(args)?);
    if enroll.is_some() && server.is_none() && controllers.is_empty() {
        let message = "a token to enroll is given, but no controller to enroll at";
        return Err(Failure::usage(message).hint("give `--server` or `--controller`").into());
    }
    let unknown = token.is_none() && enroll.is_none() && !has_keys(&args.dest);
    let origin = match server {
        Some(_) if unknown => {
            return Err(Failure::usage("`--server` needs a key or a token of this host")
                .hint("give `--enroll TOKEN` once; `titan host enroll NAME` makes the token")
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
    // An interval of zero would be a busy loop.
    let at_least = |time: TimeSpan| time.duration().max(Duration::from_millis(50));
    Ok(Config {
        host: args.host.clone(),
        origin,
        dest: std::path::absolute(&args.dest)
            .with_context(|| format!("`{}` is no path", args.dest.display()))?,
        hook: hook(args),
        controllers,
        token,
        enroll,
        rotate: rotate(args.rotate_keys),
        interval: at_least(args.interval),
        heartbeat: at_least(args.heartbeat),
        mode: if args.once { Mode::Once } else { Mode::UntilStopped },
    })
}

fn hook(args: &Args) -> Option<Hook> {
    args.on_change.as_ref().map(|command| Hook {
        command: command.clone(),
        limit: args.on_change_timeout.duration(),
        hidden: vec![TOKEN, ENROLL],
    })
}

/// The token to enroll. Its file may be gone once that is done.
fn enroll(args: &Args) -> anyhow::Result<Option<Token>> {
    match (&args.enroll, args.enroll_file.as_deref()) {
        (Some(text), _) => {
            Ok(Some(Token::new(text).map_err(|error| Failure::usage(error.to_string()))?))
        }
        (None, Some(file)) if !file.exists() && has_keys(&args.dest) => Ok(None),
        (None, file) => token(file, ENROLL),
    }
}

/// A key that is replaced all the time would be a commit all the time.
fn rotate(every: TimeSpan) -> Option<Duration> {
    let every = every.duration();
    (!every.is_zero()).then(|| every.max(Duration::from_secs(60)))
}

fn token(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<Token>> {
    let text = match file {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the token file `{}`", file.display()))?,
        ),
        None => std::env::var(variable).ok(),
    };
    let text = text.filter(|text| !text.trim().is_empty());
    let token = text.map(|text| Token::new(&text)).transpose();
    Ok(token.map_err(|error| Failure::no(error.to_string()).hint(HOW))?)
}
