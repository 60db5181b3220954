//! `titan plan`: what a change does, from Git alone.
//!
//! ```text
//!  range ─▶ two states ─ sides ─▶ read and placed ─ plan::preview ─▶ Report ─┬─ story ─▶ text
//!                                                                            ├─ story ─▶ markdown
//!                                                                            └─ JSON, YAML, names
//! ```

mod markdown;
mod range;
mod sides;
mod story;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::output::Format;
use crate::git::{GitError, Repository};
use crate::model::{API_VERSION, AssignmentRef, Revision};
use crate::plan::preview::{Preview, RemovalGuard, fresh, preview, removals};
use range::{Point, Range, range};
use sides::Sides;

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

/// All that is told. As JSON, this is what programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    api_version: &'static str,
    kind: &'static str,
    base: Point,
    head: Point,
    /// The commit of the rendered branch that says what is current.
    rendered: Option<Revision>,
    /// Whether anything happens.
    changes: bool,
    removals: RemovalGuard,
    #[serde(flatten)]
    preview: Preview,
}

impl Report {
    /// Whether there is nothing to tell. What was held before is told: it may be why nothing changes.
    fn is_quiet(&self) -> bool {
        let Preview { held, diagnostics, .. } = &self.preview;
        !self.changes && held.is_empty() && diagnostics.is_empty()
    }
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

fn report(git: &Repository, base: Point, head: Point) -> Result<Report> {
    let sides = Sides::read(git, &base, &head)?;
    let (before, after) = (sides.base.side(), sides.head.side());
    let failed = Mutex::new(None);
    let mut preview = preview(before, after, &|pair| sides.old(git, pair, &failed));
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error.into());
    }
    let known = &sides.base.parsed.diagnostics;
    let mut diagnostics = fresh(known, sides.head.parsed.diagnostics.clone());
    diagnostics.append(&mut preview.diagnostics);
    preview.diagnostics = diagnostics;
    let removals = removals(before, after, &preview, sides.held, &sides.head.trailers);
    Ok(Report {
        api_version: API_VERSION,
        kind: "Plan",
        changes: !preview.is_empty(),
        base,
        head,
        rendered: sides.rendered,
        removals,
        preview,
    })
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
