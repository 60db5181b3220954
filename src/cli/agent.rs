//! `titan agent`: what runs on a host.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use crate::agent::{ClearText, Config, ControllerUrl, Mode, Summary, Token};
use crate::deliver::Hook;
use crate::git::Location;
use crate::model::{Name, TimeSpan};

const TOKEN: &str = "TITAN_HOST_TOKEN";

/// Pull what this host must run, deliver it, and report.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of this host in the fleet
    #[arg(long, value_name = "NAME")]
    host: Name,
    /// The config repository: a path or a URL
    #[arg(long, value_name = "PATH|URL", env = "TITAN_FLEET")]
    fleet: String,
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
    /// Report to this controller (may be repeated)
    #[arg(long, value_name = "URL")]
    controller: Vec<String>,
    /// Read this host's token from a file; else it comes from TITAN_HOST_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send reports and the token in clear text to controllers on other machines
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
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = config(args)?;
    let mode = config.mode;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let summary = runtime.block_on(async {
        let shutdown = stopped()?;
        anyhow::Ok(crate::agent::run(config, shutdown).await?)
    })?;
    Ok(match mode {
        Mode::UntilStopped => ExitCode::SUCCESS,
        Mode::Once => once(&summary),
    })
}

/// 5: something failed on the host; 3: the fleet could not be read.
fn once(summary: &Summary) -> ExitCode {
    match summary {
        Summary { failed: 1.., .. } => ExitCode::from(5),
        Summary { message: Some(_), .. } => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    }
}

/// Ready on the first SIGTERM or SIGINT.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn config(args: Args) -> anyhow::Result<Config> {
    let Args { runtime: RuntimeKind::Directory, .. } = args;
    let clear_text = if args.insecure_http { ClearText::Allowed } else { ClearText::Refused };
    let controllers = args.controller.iter().map(|url| ControllerUrl::new(url, clear_text));
    let controllers = controllers
        .collect::<Result<Vec<_>, _>>()
        .context("`--controller` is refused (`--insecure-http` allows `http` to other machines)")?;
    let hook = args.on_change.map(|command| Hook {
        command,
        limit: args.on_change_timeout.duration(),
        hidden: vec![TOKEN],
    });
    // An interval of zero would be a busy loop.
    let at_least = |time: TimeSpan| time.duration().max(Duration::from_millis(50));
    Ok(Config {
        host: args.host,
        fleet: args.fleet.parse::<Location>()?,
        rendered_branch: args.rendered_branch,
        dest: std::path::absolute(&args.dest)
            .with_context(|| format!("`{}` is no path", args.dest.display()))?,
        hook,
        controllers,
        token: token(args.token_file)?,
        interval: at_least(args.interval),
        heartbeat: at_least(args.heartbeat),
        mode: if args.once { Mode::Once } else { Mode::UntilStopped },
    })
}

fn token(file: Option<PathBuf>) -> anyhow::Result<Option<Token>> {
    let text = match file {
        Some(file) => Some(
            std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the token file `{}`", file.display()))?,
        ),
        None => std::env::var(TOKEN).ok(),
    };
    let text = text.filter(|text| !text.trim().is_empty());
    Ok(text.map(|text| Token::new(&text)).transpose()?)
}
