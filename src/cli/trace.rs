//! `titan trace`: where is my commit?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use super::status::exit;
use super::table::{duration, table};
use crate::git::{FleetRepository, Location};
use crate::model::{Branches, TimeSpan, Timestamp, Trail};
use crate::observe::trace::{Heads, Stage, Trace, Traced, trace};
use crate::observe::view::Verdict;

/// Follow a source commit from Git to the hosts
///
/// Says whether it was rendered and what it changed, how long each stage took on each host, and what is held
/// back and why. It reads the three branches; no controller needs to run.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan trace HEAD                       the last commit of the checkout
  titan trace 4f2a9c1 --wait             wait until it is deployed, failed or held
  titan trace main~3 --output json

Exit codes:
  0  deployed everywhere
  1  there is no such commit
  4  not yet, or the time to wait ran out
  5  failed, stalled or held
  6  in Git for Flux or Argo CD, which tell titan nothing; the rest is deployed")]
pub(super) struct Args {
    /// A commit of the config branch: an id, a branch, `main~2`
    revision: String,
    /// Wait until it is deployed, failed or held
    #[arg(long)]
    wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "wait")]
    timeout: TimeSpan,
}

/// Time between two looks at a local repository, and at a remote.
const LOOK: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(3)];

/// # Errors
/// When the commit does not exist, or Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let branches = config.fleet().settings.branches.clone();
    let repository = config.repository;
    let source = repository.repository.resolve(&args.revision)?;
    let end = Instant::now() + args.timeout.duration();
    let remote = matches!(repository.location, Location::Remote(_));
    let mut seen = None;
    loop {
        let heads = heads(&repository, &branches)?;
        if seen != Some(heads) {
            seen = Some(heads);
            let trace = trace(&repository.repository, &heads, source)?;
            if !args.wait || trace.verdict != Verdict::Pending {
                return tell(&trace, context);
            }
        }
        if Instant::now() >= end {
            let trace = trace(&repository.repository, &heads, source)?;
            context.output.warn(&format!("not deployed within {}", args.timeout));
            return tell(&trace, context);
        }
        std::thread::sleep(LOOK[usize::from(remote)]);
        repository.refresh()?;
    }
}

fn heads(repository: &FleetRepository, branches: &Branches) -> Result<Heads> {
    let git = &repository.repository;
    // The status branch is read first: it may be behind the others, never ahead of them.
    let status = git.branch(&branches.status)?;
    let rendered = git.branch(&branches.rendered)?;
    Ok(Heads { config: git.branch(&repository.branch)?, rendered, status })
}

fn tell(trace: &Trace, context: &Context) -> Result<Exit> {
    if !context.output.value(&serde_json::to_value(trace)?)? {
        context.output.print(&text(trace))?;
        context.output.diagnostics(&trace.diagnostics);
    }
    Ok(exit(trace.verdict))
}

fn text(trace: &Trace) -> String {
    let mut text = format!(
        "commit     {}  {}\nby         {}, {}\n",
        trace.source.short(),
        trace.subject,
        trace.author,
        trace.committed
    );
    if let Some(carrier) = trace.carrier.filter(|carrier| *carrier != trace.source) {
        text += &format!("merged as  {}\n", carrier.short());
    }
    text += &match &trace.stage {
        Stage::NotOnBranch => "stage      not on the config branch\n".to_owned(),
        Stage::Waiting => {
            "stage      on the config branch; no controller has looked at it yet\n".into()
        }
        Stage::Unchanged if trace.held.is_empty() => {
            "stage      seen; it changes nothing that runs\n".into()
        }
        Stage::Unchanged => "stage      seen; what it changes is held back\n".into(),
        Stage::Rendered { rendered, summary } => {
            format!("rendered   {}  {summary}\n", rendered.short())
        }
    };
    for (what, why) in &trace.held {
        text += &format!("held       {what}: {why}\n");
    }
    if !trace.assignments.is_empty() {
        text += &format!("hosts      {}\n\n", counts(&trace.assignments));
        text += &assignments(trace);
    }
    text
}

/// `2 deployed, 1 pending`.
fn counts(assignments: &[Traced]) -> String {
    let mut counts = BTreeMap::<Verdict, usize>::new();
    for one in assignments {
        *counts.entry(one.verdict).or_default() += 1;
    }
    let parts = counts.into_iter().map(|(verdict, count)| format!("{count} {}", word(verdict)));
    parts.collect::<Vec<_>>().join(", ")
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Deployed => "deployed",
        Verdict::Unreported => "not reported",
        Verdict::Pending => "pending",
        Verdict::Held => "held",
        Verdict::Failed => "failed",
    }
}

fn assignments(trace: &Trace) -> String {
    let row = |one: &Traced| {
        let status = one.status.as_ref();
        let phase = match (status, one.tree) {
            (Some(status), _) => status.phase.to_string(),
            (None, None) => "Removed".into(),
            (None, Some(_)) => "Pending".into(),
        };
        let trail = status.map(|status| status.trail.clone()).unwrap_or_default();
        let message = match one.superseded_by {
            Some(by) => format!("superseded by {}", by.short()),
            None => status.map(|status| status.message.clone()).unwrap_or_default(),
        };
        let mut row = vec![one.assignment.to_string(), phase];
        row.extend(stages(&trail));
        row.push(message.lines().next().unwrap_or_default().to_owned());
        row
    };
    let rows: Vec<_> = trace.assignments.iter().map(row).collect();
    table(&["ASSIGNMENT", "PHASE", "RENDERED", "RECEIVED", "APPLIED", "DEPLOYED", "MESSAGE"], &rows)
}

/// The time from the commit to each stage.
fn stages(trail: &Trail) -> [String; 4] {
    let since = |stage: Option<Timestamp>| match (trail.committed, stage) {
        (Some(start), Some(end)) => format!("+{}", duration(start, end)),
        _ => "-".into(),
    };
    [trail.rendered, trail.received, trail.applied, trail.deployed].map(since)
}
