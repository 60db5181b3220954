//! `titan validate --as`: may this author make this change?
//!
//! ```text
//!  base ──────────────── members, admins ─────────────┐
//!    └─ where the head left it ─ paths ─ head, files ─┴─▶ `access/denied`
//! ```
//! Rights are those of the base as it is now: who lost a role since the change began has lost it, and a
//! change cannot grant what it needs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::super::context::Context;
use super::super::exit::Failure;
use super::super::plan::resolve;
use super::Head;
use crate::change::access::{States, Touched, denied};
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{Diagnostic, Fleet, Person, RepoPath, Revision, SourceFile, Subject, TreeId};
use crate::parse;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Who makes the change")]
pub(super) struct Args {
    /// Judge too whether this person may make the change since BASE: what members call them (`user`)
    #[arg(long = "as", value_name = "USER", requires = "base")]
    user: Option<String>,
    /// A group that they are in; may be given several times
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// Who vouches for them, by name [default: the first issuer of people]
    #[arg(long = "as-issuer", value_name = "NAME", requires = "user")]
    issuer: Option<String>,
    /// Judge a CI job instead, by its name in the fleet's settings
    #[arg(long = "as-ci", value_name = "JOB", requires = "base", conflicts_with = "user")]
    ci: Vec<String>,
    /// The branch or commit that the change is made to; its members count
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
}

/// Everything that the author may not change; nothing where nobody is judged.
///
/// # Errors
/// When the base does not exist, or Git fails.
pub(super) fn judge(
    args: &Args,
    head: &Head,
    after: &Fleet,
    context: &Context,
) -> Result<Vec<Diagnostic>> {
    let Some((subject, base)) = asked(args)? else { return Ok(Vec::new()) };
    let repository = context.open()?;
    let git = repository.repository.clone();
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() }.into());
    }
    let base = resolve(&git, base)?;
    let tip = match head {
        Head::Commit(revision) => *revision,
        Head::Folder { path, .. } => own_head(&git, path)?.unwrap_or(base),
    };
    let Some(start) = git.merge_base(base, tip)? else {
        return Err(Failure::no("the change and its base have no commit in common").into());
    };
    let before = git.source_files(start, parse::limits)?;
    let mut touched = committed(&git, start, tip)?;
    if let Head::Folder { files, .. } = head {
        uncommitted(&before, files, &mut touched);
    }
    let touched: Vec<Touched> = touched
        .into_iter()
        .map(|(path, (before, after))| Touched { path, before, after })
        .collect();
    let before = parse::parse(Some(start), &before).fleet;
    let rights = context.config_at(repository, Some(base))?;
    let states = States { before: &before, after };
    Ok(denied(rights.fleet(), &subject, states, &touched))
}

/// Who is judged, and against what.
fn asked(args: &Args) -> Result<Option<(Subject, &str)>> {
    let subject = match &args.user {
        Some(user) => Subject::Person(Person {
            issuer: args.issuer.clone(),
            user: user.clone(),
            groups: args.groups.iter().cloned().collect(),
        }),
        None if !args.ci.is_empty() => Subject::Ci(args.ci.iter().cloned().collect()),
        None if args.base.is_some() => {
            let failure = Failure::usage("`--base` says nothing without an author");
            return Err(failure.hint("add `--as USER`").into());
        }
        None => return Ok(None),
    };
    let names = args.user.iter().chain(&args.ci);
    let odd = |name: &String| name.is_empty() || name.chars().any(char::is_control);
    if names.into_iter().any(odd) {
        return Err(Failure::usage("the author's name is empty, or has control characters").into());
    }
    let base = args.base.as_deref().expect("because clap requires it beside the others");
    Ok(Some((subject, base)))
}

/// What is checked out in a folder, where that is the repository's own checkout.
fn own_head(git: &Repository, folder: &Path) -> Result<Option<Revision>, GitError> {
    let own = git.worktree().and_then(|worktree| worktree.canonicalize().ok());
    if own.is_none() || own != folder.canonicalize().ok() {
        return Ok(None);
    }
    git.resolve("HEAD").map(Some)
}

/// Path → whether it is a file before, and after.
type Paths = BTreeMap<RepoPath, (bool, bool)>;

/// All paths that differ between two commits, those that titan does not read too.
fn committed(git: &Repository, before: Revision, after: Revision) -> Result<Paths, GitError> {
    let (before, after) = (git.commit(before)?.tree, git.commit(after)?.tree);
    let is_file = |tree: TreeId, path: &RepoPath| -> Result<bool, GitError> {
        Ok(git.entry(tree, path)?.is_some_and(|entry| entry.kind != EntryKind::Tree))
    };
    let paths = git.changed_paths(Some(before), Some(after))?;
    let side = |path: RepoPath| {
        let sides = (is_file(before, &path)?, is_file(after, &path)?);
        Ok((path, sides))
    };
    paths.into_iter().map(side).collect()
}

/// Adds what differs in files as they are.
fn uncommitted(before: &[SourceFile], after: &[SourceFile], touched: &mut Paths) {
    let by_path = |files: &'_ [SourceFile]| -> BTreeMap<_, _> {
        files.iter().map(|file| (file.path.clone(), file.content.clone())).collect()
    };
    let (before, after) = (by_path(before), by_path(after));
    for path in before.keys().chain(after.keys()) {
        if before.get(path) != after.get(path) {
            let sides = (before.contains_key(path), after.contains_key(path));
            touched.insert(path.clone(), sides);
        }
    }
}
