//! `titan controller`: watches the config branch, takes reports, writes the other branches.

use std::env::VarError;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::context::{Context, workers};
use super::exit::{Exit, Failure};
use super::forge::ForgeArgs;
use super::service;
use crate::change::Judge;
use crate::git::Location;
use crate::model::TimeSpan;
use crate::observe::Snapshot;
use crate::{api, controller};

/// Watch the config branch, render every commit, and take the reports of hosts
///
/// Notices commits by watching the repository's refs and by polling. Several controllers may work on one
/// fleet. A controller whose address is taken waits for it, and goes on with the rest of its work.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan controller --fleet /srv/fleet.git
  titan controller --fleet ssh://git@git.example/fleet.git --listen 0.0.0.0:7878
  titan controller --no-listen --poll 10s           no titan agents: Flux or Argo CD deliver

Stops on SIGTERM and SIGINT, after it has written what it knows. SIGKILL does no harm.")]
pub(super) struct Args {
    /// Address that takes the reports of hosts
    #[arg(
        long,
        env = "TITAN_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:7878",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// Take no reports; wins over `--listen`
    #[arg(long)]
    no_listen: bool,
    /// Let everybody who reaches the address do everything; for one's own machine only
    #[arg(long)]
    insecure_development: bool,
    /// Longest time between two looks at the config branch [default: `limits.poll` of the fleet, 60s]
    #[arg(long, value_name = "TIME")]
    poll: Option<TimeSpan>,
    /// Shortest time between two status commits [default: `limits.statusFlush` of the fleet, 5s]
    #[arg(long, value_name = "TIME")]
    flush: Option<TimeSpan>,
    /// File with the certificate (and its chain) to serve by TLS, as PEM; a new one is taken over
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File with the certificate's key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// File with the secrets that senders of webhooks use, one a line [default: `TITAN_WEBHOOK_SECRET`]
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    #[command(flatten)]
    forge: ForgeArgs,
    /// Write the log as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

/// Where the webhook secrets are when no file is named.
const WEBHOOK_SECRET: &str = "TITAN_WEBHOOK_SECRET";
const TLS_HINT: &str = "give the chain of certificates and its unencrypted key as PEM files, as certbot or cert-manager write them";

/// Reports, and as many refused requests, that wait for the loop; the limit's default, as the fleet is not read yet.
const QUEUE: usize = 10_000;
/// How often a taken address is tried.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// # Errors
/// When the fleet's repository cannot be opened.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let form = if args.log_json { service::Form::Json } else { service::Form::Text };
    service::log(context.global.verbose, form);
    let location = context.location()?;
    let options = options(args, &location)?;
    let repository = context.open_at(&location)?;
    let config = controller::Config {
        repository,
        vitals: Arc::default(),
        workers: Arc::new(workers()?),
        poll: args.poll.map(TimeSpan::duration),
        flush: args.flush.map(TimeSpan::duration),
    };
    let development = args.insecure_development;
    if development && !args.listen.ip().is_loopback() {
        let message =
            format!("`--insecure-development` does not go with `--listen {}`", args.listen);
        return Err(Failure::usage(message).hint("listen on 127.0.0.1, or leave it out").into());
    }
    let runtime = service::runtime()?;
    let door = Door { address: args.listen, options, development };
    let done = runtime.block_on(serve(config, (!args.no_listen).then_some(door)));
    // Upkeep may be under way. Nobody waits for it: it ends by itself, or the next one does its work.
    runtime.shutdown_background();
    done
}

/// Where the API is served, and how.
struct Door {
    address: SocketAddr,
    options: api::Options,
    development: bool,
}

/// What the operator chose for the door.
fn options(args: &Args, fleet: &Location) -> Result<api::Options> {
    let files = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let tls = files.map(|(certificate, key)| api::Tls::load(certificate, key)).transpose();
    let tls = tls.map_err(|error| Failure::no(told(&error)).hint(TLS_HINT))?;
    let connections = service::connections(api::Options::CONNECTIONS);
    let (webhook_secrets, forge) = (webhook_secrets(args)?, args.forge.choose(fleet)?);
    Ok(api::Options { connections, tls, webhook_secrets, forge })
}

/// The secrets of `--webhook-secret-file`, else of the environment; none, and there are no webhooks.
fn webhook_secrets(args: &Args) -> Result<api::Secrets> {
    let (text, place) = match (&args.webhook_secret_file, std::env::var(WEBHOOK_SECRET)) {
        (Some(path), _) => {
            let place = format!("`{}`", path.display());
            (std::fs::read_to_string(path).with_context(|| format!("cannot read {place}"))?, place)
        }
        (None, Ok(text)) if !text.is_empty() => (text, format!("`{WEBHOOK_SECRET}`")),
        (None, Ok(_) | Err(VarError::NotPresent)) => return Ok(api::Secrets::default()),
        (None, Err(VarError::NotUnicode(_))) => {
            return Err(Failure::no(format!("`{WEBHOOK_SECRET}` is not UTF-8")).into());
        }
    };
    let secrets = api::Secrets::read(&text);
    Ok(secrets.map_err(|error| Failure::no(format!("the webhook secret in {place}: {error}")))?)
}

/// An error with its cause.
fn told(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

async fn serve(config: controller::Config, door: Option<Door>) -> Result<Exit> {
    let (submit, submissions) = mpsc::channel(QUEUE);
    let (refuse, refused) = mpsc::channel(QUEUE);
    let (wake, wakes) = mpsc::channel(1);
    let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (statuses, status) = watch::channel(None);
    let (stop, stopped) = watch::channel(false);
    let (repository, vitals) = (config.repository.clone(), Arc::clone(&config.vitals));
    let workers = Arc::clone(&config.workers);
    let judge = Judge::new(move |fleet, pairs| workers.problems(fleet, pairs));
    let door = door.map(|Door { address, options, development }| {
        let needs = api::Needs {
            snapshot,
            status,
            submissions: submit,
            refused: refuse,
            wake,
            repository,
            judge,
            development,
            vitals,
            options,
        };
        tokio::spawn(open_door(address, needs, stopped.clone()))
    });
    let shutdown = async {
        service::stop_signal().await;
        tracing::info!("stopping");
        stop.send_replace(true);
    };
    tracing::info!(branch = %config.repository.branch, "the controller starts");
    let inbox = controller::Inbox { submissions, refused, wakes };
    let outbox = controller::Outbox { snapshots, status: statuses };
    controller::run(config, inbox, outbox, shutdown).await;
    if let Some(door) = door {
        door.await.context("the listener failed")?;
    }
    Ok(Exit::Fine)
}

/// Serves the API at `address`, as soon as nobody else does.
async fn open_door(address: SocketAddr, needs: api::Needs, mut stopped: watch::Receiver<bool>) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                tracing::warn!(%address, %error, "cannot listen yet; reports go to whoever does");
                told = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(BIND_AGAIN) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    };
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "taking reports");
    let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    api::serve(listener, needs, shutdown).await;
}
