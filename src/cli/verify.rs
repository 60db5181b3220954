//! `titan verify`: is the rendered branch what titan makes of the config branch?

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, workers};
use super::exit::{Exit, Failure};
use crate::controller::{Kind, Verified, Verifier};
use crate::git::{GitError, Repository};
use crate::model::Revision;

/// Render commits of the rendered branch again, and compare
///
/// Each commit is rendered again from the source commit that it names, on top of its parent, and compared: every
/// file, the message, author and dates. Needs a full clone and nothing else: no controller, no network.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan verify                                   the head of the rendered branch
  titan verify 4f2a9c1                           one commit
  titan verify origin/titan/rendered~20..origin/titan/rendered
  titan verify --all --output json               the whole branch, from its first commit

Exit codes: 0 all is as titan renders it; 1 something differs.")]
pub(super) struct Args {
    /// A commit of the rendered branch, or a range `A..B` without A [default: the branch's head]
    #[arg(value_name = "COMMIT|A..B")]
    range: Option<String>,
    /// Every commit up to that one
    #[arg(long)]
    all: bool,
}

/// # Errors
/// When a commit does not exist, or Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let branches = config.fleet().settings.branches.clone();
    let repository = &config.repository;
    let git = &repository.repository;
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() }.into());
    }
    let tip = git.head_of(&branches.rendered)?;
    let (revisions, end) = commits(args, git, &branches.rendered, tip)?;
    let source = git.head_of(&repository.branch)?;
    if source.is_none() {
        context.output.warn(&format!(
            "branch `{}` is not here; whether sources are on it is not checked",
            repository.branch
        ));
    }
    let verifier = Verifier::new(git, source, tip.or(Some(end)), workers()?)?;
    let mut verified = Vec::new();
    for revision in revisions.into_iter().rev() {
        verified.push(verifier.verify(revision)?);
    }
    let bad = verified.iter().filter(|one| !one.is_sound()).count();
    let value = json!({"verified": verified.len(), "differ": bad, "commits": verified});
    if !context.output.value(&value)? {
        context.output.print(&text(&verified, bad, context.output.verbose > 0))?;
    }
    Ok(if bad == 0 { Exit::Fine } else { Exit::No })
}

/// The commits to verify, newest first, and the newest of them.
fn commits(
    args: &Args,
    git: &Repository,
    branch: &str,
    tip: Option<Revision>,
) -> Result<(Vec<Revision>, Revision)> {
    let none = || Failure::no(format!("there is no branch `{branch}`")).hint("give a commit");
    let resolve =
        |name: &str| git.resolve(name).or_else(|e| tip.filter(|_| name == branch).ok_or(e));
    let (base, end) = match args.range.as_deref().map(|range| (range, range.split_once(".."))) {
        None => (None, tip.ok_or_else(none)?),
        Some((one, None)) => (None, resolve(one)?),
        Some((_, Some((base, end)))) => {
            let end = if end.is_empty() { tip.ok_or_else(none)? } else { resolve(end)? };
            (Some(resolve(base)?), end)
        }
    };
    if base.is_none() && !args.all {
        return Ok((vec![end], end));
    }
    let line = git.first_parents(end, base, usize::MAX)?;
    let oldest = line.last().copied().unwrap_or(end);
    if let Some(base) = base.filter(|base| *base != end)
        && git.commit(oldest)?.parents.first() != Some(&base)
    {
        let failure = Failure::no(format!("{} does not build on {}", end.short(), base.short()));
        return Err(failure.hint("a range goes from an older commit to a newer one").into());
    }
    Ok((line, end))
}

fn text(verified: &[Verified], bad: usize, all: bool) -> String {
    let mut text = String::new();
    for one in verified.iter().filter(|one| all || !one.is_sound() || one.renderer.is_some()) {
        let kind = match one.kind {
            Kind::Rendered => "rendered",
            Kind::Resumed => "resumed",
            Kind::Foreign => "foreign",
        };
        let state = if one.is_sound() { "ok" } else { "DIFFERS" };
        let source = one.source.map_or_else(|| "-".to_owned(), |source| source.short());
        text += &format!("{}  {kind:<8}  source {source}  {state}\n", one.revision.short());
        if let Some(renderer) = &one.renderer {
            let own = env!("CARGO_PKG_VERSION");
            text += &format!("  note: rendered by titan {renderer}, verified by {own}\n");
        }
        for finding in &one.findings {
            text += &format!("  {}: {}\n", finding.what, finding.detail);
        }
        for differing in &one.paths {
            let state = format!("{:?}", differing.state).to_lowercase();
            text += &format!("    {state:<10}  {}\n", differing.path);
        }
    }
    let commits = if verified.len() == 1 { "commit" } else { "commits" };
    text + &match bad {
        0 => format!("{} {commits}: all is as titan renders it\n", verified.len()),
        bad => format!("{} {commits}: {bad} not as titan renders it\n", verified.len()),
    }
}
