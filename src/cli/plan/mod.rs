//! `titan plan`: what a change does, from Git alone.
//!
//! ```text
//!  range ─▶ two states ─ sides ─▶ read and placed ─ plan::preview ─▶ Report ─┬─ story ─▶ text
//!                                                                            ├─ story ─▶ markdown
//!                                                                            └─ JSON, YAML, names
//! ```

mod markdown;
mod range;
mod story;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::context::Context;
use super::exit::Exit;
use super::output::Format;
use crate::git::{GitError, Repository};
use crate::model::AssignmentRef;
use crate::publish::forecast::{Point, Report, report};
pub(super) use range::resolve;
use range::{Range, range};

/// Show what a change does, before it is merged
///
/// Compares two commits of the config repository, or files with a commit: hosts and deployments that come, go and
/// move, the difference of all rendered files (equal ones of many hosts as one), what is held back and why, and what the
/// guard on removals will say. No host is asked, nothing is written, no branch moves. What is current comes from the
/// rendered branch where there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Revisions:
  A..B     what B does where A is now
  A...B    the same since B left A: what a pull request of B into A does
  A        what the commit A did: its first parent, then A
  A --worktree[=DIR]   the files of the checkout, or of DIR, where A is now
  nothing  the files of the checkout, committed or not, where HEAD is now

Examples:
  titan plan                                    before you commit
  titan plan main...my-branch                   before you merge
  titan plan origin/main --worktree
  titan plan main...my-branch --output markdown --full plan.md
  titan plan HEAD~1..HEAD --output json
  titan plan main...my-branch --exit-code       0 nothing changes, 4 something does")]
pub(super) struct Args {
    /// `A..B`, `A...B` or one revision: see below
    #[arg(value_name = "REVISIONS")]
    revisions: Option<String>,
    /// Compare files as they are: those of the checkout, or below DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    worktree: Option<Option<PathBuf>>,
    /// Name all hosts, not only the first, and show all files
    #[arg(long)]
    all_hosts: bool,
    /// Write all of it, as Markdown without a limit, to FILE
    #[arg(long, value_name = "FILE")]
    full: Option<PathBuf>,
    /// Exit with 4 when anything changes
    #[arg(long)]
    exit_code: bool,
}

/// # Errors
/// When a revision does not exist, or Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let repository = context.open()?;
    let git = &repository.repository;
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() }.into());
    }
    let folder = args.worktree.as_ref().map(Option::as_deref);
    let Range { base, head } = range(args.revisions.as_deref(), folder, &repository, context)?;
    let apart = apart(git, &base, &head)?;
    let report = report(git, base, head)?;
    if apart {
        let (base, head) = (&report.base.name, &report.head.name);
        context.output.note(&format!(
            "`{base}` has commits that `{head}` has not, shown here as if they were undone; `{base}...{head}` leaves them out"
        ));
    }
    if let Some(path) = &args.full {
        let text = markdown::whole(&report);
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    show(args, context, &report)?;
    Ok(if args.exit_code && report.changes { Exit::Pending } else { Exit::Fine })
}

/// Whether the base has gone on since the head left it.
fn apart(git: &Repository, base: &Point, head: &Point) -> Result<bool, GitError> {
    match (base.revision, head.revision) {
        (Some(base), Some(head)) => Ok(!git.is_ancestor(base, head)?),
        _ => Ok(false),
    }
}

fn show(args: &Args, context: &Context, report: &Report) -> Result<()> {
    let output = &context.output;
    match output.format {
        Format::Json | Format::Yaml => {
            output.value(&serde_json::to_value(report)?)?;
        }
        Format::Name => {
            let names = assignments(report).into_iter().map(|name| format!("{name}\n"));
            output.print(&names.collect::<String>())?;
        }
        Format::Markdown => output.print(&markdown::comment(report, args.full.as_deref()))?,
        Format::Table | Format::Wide => {
            let all = args.all_hosts || output.format == Format::Wide;
            output.print(&text::text(report, all))?;
        }
    }
    Ok(())
}

/// Every assignment that something happens to.
fn assignments(report: &Report) -> BTreeSet<AssignmentRef> {
    let preview = &report.preview;
    let groups = preview.groups.iter().flat_map(|group| &group.deployments);
    let changed = groups.flat_map(|(id, hosts)| hosts.iter().map(|host| id.on(host)));
    let placed = preview.deployments.iter().flat_map(|one| {
        let moved = one.moved.iter().flat_map(|one| [&one.from, &one.to]);
        one.lost.iter().chain(&one.gained).chain(moved).map(|host| one.deployment.on(host))
    });
    changed.chain(placed).chain(preview.emptied.iter().cloned()).collect()
}
