//! `titan reconcile`: one pass, then the end. What a CI job runs.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, workers};
use super::exit::{Exit, Failure};
use super::table::counted;
use crate::controller::reconcile::{Pass, Reconciler};
use crate::controller::record;
use crate::controller::timings::Stage;

/// Bring the rendered branch up to the head of the config branch, and exit
///
/// Reads the config branch, renders what changed, and moves the rendered branch by compare-and-swap; then
/// writes what is held, wrong or pending to the status branch. Safe beside controllers and other passes.
/// When nothing differs, nothing is written.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan reconcile                                   the repository around the current folder
  titan reconcile --fleet git@git.example:fleet.git a remote: fetched, rendered, pushed
  titan reconcile --strict                          fail when something is held back")]
pub(super) struct Args {
    /// Exit with 1 when anything is held back
    #[arg(long)]
    strict: bool,
}

/// # Errors
/// When Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let repository = context.open()?;
    if repository.repository.branch(&repository.branch)?.is_none() {
        let message = format!("branch `{}` has no commit yet", repository.branch);
        return Err(Failure::no(message).hint("`titan init` makes the first").into());
    }
    let mut reconciler = Reconciler::new(repository.clone(), Arc::new(workers()?));
    let mut pass = reconciler.pass()?;
    check(&mut reconciler, &mut pass)?;
    let mut timings = std::mem::take(&mut pass.timings);
    let rendered = reconciler.rendered().context("nothing is known of the rendered branch")?;
    let status =
        timings.time(Stage::Status, || record(&repository, &pass, rendered, context.now))?;
    // All is done already: what is left for the next run is no failure of this one.
    if let Err(error) = repository.repository.upkeep() {
        tracing::warn!(%error, "packs are not merged");
    }
    context.output.diagnostics(&pass.diagnostics);
    let result = json!({
        "source": pass.source.id,
        "rendered": rendered.revision,
        "commits": pass.commits.iter().map(|commit| json!({
            "source": commit.source.id,
            "rendered": commit.revision,
            "generation": commit.generation,
            "changed": commit.changed.count(),
        })).collect::<Vec<_>>(),
        "status": status,
        "held": pass.held,
        "healed": pass.healed,
        "timings": timings,
    });
    if !context.output.value(&result)? {
        context.output.print(&summary(&pass))?;
    }
    Ok(if args.strict && !pass.held.is_empty() { Exit::No } else { Exit::Fine })
}

/// What was rendered before this pass is rendered once more and compared: nobody else will, and what is
/// said here is the whole truth.
fn check(reconciler: &mut Reconciler, pass: &mut Pass) -> Result<()> {
    if !pass.unchecked {
        return Ok(());
    }
    let start = std::time::Instant::now();
    while !reconciler.is_checked() {
        if reconciler.check_some()? {
            let commits = std::mem::take(&mut pass.commits);
            *pass = reconciler.pass()?;
            pass.commits.splice(0..0, commits);
        }
    }
    (pass.held, pass.diagnostics) = reconciler.problems();
    pass.timings.add(Stage::Check, start.elapsed());
    Ok(())
}

fn summary(pass: &Pass) -> String {
    let mut text = String::new();
    for commit in &pass.commits {
        text += &format!(
            "rendered {} as {} (generation {}): {} on {}\n",
            commit.source.id.short(),
            commit.revision.short(),
            commit.generation,
            counted(commit.changed.count(), "assignment"),
            counted(commit.changed.hosts.len(), "host"),
        );
    }
    if pass.commits.is_empty() {
        text += &format!("{}: nothing to render\n", pass.source.id.short());
    }
    for commit in &pass.healed {
        text += &format!("healed: {} of somebody else on the rendered branch\n", commit.short());
    }
    for (what, why) in &pass.held {
        text += &format!("held: {what}: {why}\n");
    }
    for (deployment, why) in &pass.unplaced {
        text += &format!("unplaced: {deployment}: {}\n", why.reason);
    }
    text
}
