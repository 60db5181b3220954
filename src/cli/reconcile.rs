//! `titan reconcile`: one pass, then the end. What a CI job runs.

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::table::counted;
use crate::controller::reconcile::{Pass, reconcile};
use crate::controller::record;

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
    let pass = reconcile(&repository)?;
    let status = record(&repository, &pass, context.now)?;
    context.output.diagnostics(&pass.diagnostics);
    let result = json!({
        "source": pass.source.id,
        "rendered": pass.rendered.revision,
        "commits": pass.commits.iter().map(|commit| json!({
            "source": commit.source.id,
            "rendered": commit.revision,
            "generation": commit.generation,
            "changed": commit.changed.len(),
        })).collect::<Vec<_>>(),
        "status": status,
        "held": pass.held,
    });
    if !context.output.value(&result)? {
        context.output.print(&summary(&pass))?;
    }
    Ok(if args.strict && !pass.held.is_empty() { Exit::No } else { Exit::Fine })
}

fn summary(pass: &Pass) -> String {
    let mut text = String::new();
    for commit in &pass.commits {
        let hosts: std::collections::BTreeSet<_> = commit.changed.keys().map(|a| &a.host).collect();
        text += &format!(
            "rendered {} as {} (generation {}): {} on {}\n",
            commit.source.id.short(),
            commit.revision.short(),
            commit.generation,
            counted(commit.changed.len(), "assignment"),
            counted(hosts.len(), "host"),
        );
    }
    if pass.commits.is_empty() {
        text += &format!("{}: nothing to render\n", pass.source.id.short());
    }
    for (what, why) in &pass.held {
        text += &format!("held: {what}: {why}\n");
    }
    for (deployment, why) in &pass.schedule.unplaced {
        text += &format!("unplaced: {deployment}: {}\n", why.reason);
    }
    text
}
