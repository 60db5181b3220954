//! `titan status`: the fleet at a glance, one deployment host by host, or one host.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::table::{age, counted, table};
use crate::git::FleetRepository;
use crate::model::{
    AssignmentStatus, Connection, DeploymentRef, FleetStatus, Name, Phase, Revision, Timestamp,
};
use crate::observe::view::{Scope, StatusView, Verdict};

/// Show what is deployed, and what is not
///
/// Without a name: the whole fleet, a line for each deployment. All of it comes from the status branch;
/// no controller needs to run.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan status                              the fleet at a glance
  titan status iot/temperature-sensor/prod  one deployment, host by host
  titan status tim-pi                       one host, deployment by deployment
  titan status --watch                      again whenever something changes
  titan status --exit-code                  0 all deployed, 4 not yet, 5 failed or held,
                                            6 delivered by Flux or Argo CD, which tell titan nothing")]
pub(super) struct Args {
    /// A deployment (`<workspace>/<workload>/<deployment>`) or a host
    name: Option<String>,
    /// Show it again whenever it changes, until interrupted
    #[arg(long, short)]
    watch: bool,
    /// Tell the verdict by the exit code
    #[arg(long)]
    exit_code: bool,
}

/// Time between two looks at a local repository, and at a remote.
const LOOK: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// # Errors
/// When the status branch cannot be read, or the name is none.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let scope = scope(args.name.as_deref())?;
    let config = context.config()?;
    let branch = config.fleet().settings.branches.status.clone();
    let repository = config.repository;
    let head = repository.repository.branch(&branch)?;
    let view = StatusView::read(&repository.repository, head, &scope)?;
    let known = !view.assignments.is_empty() || !view.hosts.is_empty();
    if let (Some(name), false, false) = (&args.name, known, args.watch) {
        let hint = "`titan status` lists all deployments; `titan get hosts` lists all hosts";
        return Err(Failure::no(format!("no status of `{name}`")).hint(hint).into());
    }
    show(&view, &scope, context)?;
    if args.watch {
        return watch(&repository, &branch, head, &scope, context);
    }
    if !args.exit_code {
        return Ok(Exit::Fine);
    }
    let whole = scope == Scope::Fleet;
    Ok(exit(if whole { view.fleet_verdict() } else { view.verdict() }))
}

/// The exit code that stands for a verdict.
pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Deployed => Exit::Fine,
        Verdict::Unreported => Exit::Unreported,
        Verdict::Pending => Exit::Pending,
        Verdict::Held | Verdict::Failed => Exit::Failed,
    }
}

fn scope(name: Option<&str>) -> Result<Scope, Failure> {
    let Some(name) = name else { return Ok(Scope::Fleet) };
    let text = name.escape_default();
    let bad = || Failure::usage(format!("`{text}` is neither a deployment nor a host"));
    if name.contains('/') {
        return Ok(Scope::Deployment(name.parse::<DeploymentRef>().map_err(|_| bad())?));
    }
    Ok(Scope::Host(Name::new(name).map_err(|_| bad())?))
}

fn watch(
    repository: &FleetRepository,
    branch: &str,
    mut shown: Option<Revision>,
    scope: &Scope,
    context: &Context,
) -> Result<Exit> {
    let remote = matches!(repository.location, crate::git::Location::Remote(_));
    loop {
        std::thread::sleep(LOOK[usize::from(remote)]);
        repository.refresh()?;
        let head = repository.repository.branch(branch)?;
        if head != shown {
            let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "\n" };
            context.output.print(clear)?;
            show(&StatusView::read(&repository.repository, head, scope)?, scope, context)?;
            shown = head;
        }
    }
}

fn show(view: &StatusView, scope: &Scope, context: &Context) -> Result<()> {
    if !context.output.value(&serde_json::to_value(view)?)? {
        let now = Timestamp::now();
        let text = match scope {
            Scope::Fleet => fleet(view),
            Scope::Deployment(_) => details(view, now, "HOST", |s| s.assignment.host.to_string()),
            Scope::Host(_) => {
                let runs =
                    details(view, now, "DEPLOYMENT", |s| s.assignment.deployment.to_string());
                hosts(view, now) + if view.assignments.is_empty() { "" } else { "\n" } + &runs
            }
        };
        context.output.print(&text)?;
    }
    Ok(())
}

fn fleet(view: &StatusView) -> String {
    let Some(fleet) = &view.fleet else {
        return "nothing is known yet: no controller and no `titan reconcile` has run\n".into();
    };
    let mut text = heading(fleet, view);
    if !view.assignments.is_empty() {
        text += "\n";
        text += &deployments(view);
    }
    let away = |c: Connection| matches!(c, Connection::Offline | Connection::Never);
    let silent: Vec<_> = view.hosts.iter().filter(|host| away(host.connection)).collect();
    text += &section("HELD", fleet.held.iter().map(|(what, why)| format!("{what}: {why}")));
    text += &section("UNPLACED", fleet.unplaced.iter().map(|(id, why)| format!("{id}: {why}")));
    let lines = silent.iter().map(|host| format!("{}: {}", host.host, word(host.connection)));
    text += &section("NOT REPORTING", lines);
    text
}

fn heading(fleet: &FleetStatus, view: &StatusView) -> String {
    let mut connections = BTreeMap::<Connection, u64>::new();
    for host in &view.hosts {
        *connections.entry(host.connection).or_default() += 1;
    }
    let counts = |parts: Vec<String>| {
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    };
    let connections = connections.iter().map(|(c, n)| format!("{n} {}", word(*c))).collect();
    let phases = fleet.phases.iter().filter(|(_, count)| **count > 0);
    let phases = phases.map(|(phase, count)| format!("{count} {phase}").to_lowercase()).collect();
    let problems = view.diagnostics.as_ref().map_or((0, 0), |d| (d.errors, d.warnings));
    let rendered = fleet.rendered.map_or_else(|| "nothing yet".into(), |id| id.short());
    format!(
        "source       {}\nrendered     {rendered}\nhosts        {}{}\nassignments  {}{}\nproblems     {}, {}\n",
        fleet.source.short(),
        fleet.hosts,
        counts(connections),
        fleet.assignments,
        counts(phases),
        counted(problems.0, "error"),
        counted(problems.1, "warning"),
    )
}

/// For people.
fn word(connection: Connection) -> &'static str {
    match connection {
        Connection::Online => "online",
        Connection::Offline => "offline",
        Connection::Never => "never reported",
        Connection::External => "external",
    }
}

/// A line for each deployment: how many of its assignments are how far.
fn deployments(view: &StatusView) -> String {
    let mut all = BTreeMap::<&DeploymentRef, [u64; 5]>::new();
    for status in &view.assignments {
        let counts = all.entry(&status.assignment.deployment).or_default();
        counts[0] += 1;
        counts[match status.phase {
            Phase::Deployed => 1,
            Phase::Unknown => 4,
            phase if phase.is_bad() => 3,
            _ => 2,
        }] += 1;
    }
    let rows = all.into_iter().map(|(id, counts)| {
        let mut row = vec![id.to_string()];
        row.extend(counts.iter().map(ToString::to_string));
        row
    });
    table(
        &["DEPLOYMENT", "HOSTS", "DEPLOYED", "PENDING", "FAILED", "UNKNOWN"],
        &rows.collect::<Vec<_>>(),
    )
}

fn section(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.map(|line| format!("  {line}\n")).collect();
    if lines.is_empty() { String::new() } else { format!("\n{title}\n{}", lines.concat()) }
}

fn hosts(view: &StatusView, now: Timestamp) -> String {
    let row = |host: &crate::model::HostStatus| {
        vec![
            host.host.to_string(),
            host.connection.to_string(),
            age(host.since, now),
            host.generation.map_or_else(String::new, |generation| generation.to_string()),
            host.agent.clone().unwrap_or_default(),
            host.message.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = view.hosts.iter().map(row).collect();
    table(&["HOST", "CONNECTION", "SINCE", "GENERATION", "AGENT", "MESSAGE"], &rows)
}

fn details(
    view: &StatusView,
    now: Timestamp,
    title: &str,
    name: impl Fn(&AssignmentStatus) -> String,
) -> String {
    let row = |status: &AssignmentStatus| {
        let last = status.last.map(|last| format!(" (was {last})")).unwrap_or_default();
        vec![
            name(status),
            format!("{}{last}", status.phase),
            status.reason.clone(),
            age(status.since, now),
            status.desired.source.short(),
            status.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<_> = view.assignments.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&[title, "PHASE", "REASON", "SINCE", "SOURCE", "MESSAGE"], &rows)
}
