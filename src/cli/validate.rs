//! `titan validate`.

mod author;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::context::Context;
use super::diagnostics;
use super::exit::{Exit, Failure};
use super::table::counted;
use crate::change::check;
use crate::git::{Repository, directory_files};
use crate::model::{Revision, SourceFile};
use crate::parse::{self, Parsed};

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Without PATH and revision: the files of the checkout around the current folder as they are,
committed or not; with `--fleet`, the head of the config branch. All deployments are scheduled and
rendered, so errors in templates are found too.

With `--as`, every path that differs from BASE must be one that the author may change: by the members of the
workspace and the admins of the fleet as BASE has them.

Examples:
  titan validate
  titan validate examples/retail --strict
  titan validate --revision HEAD~1 --output json
  titan validate . --as ada@example.com --as-group iot-developers --base origin/main"
)]
pub(crate) struct Args {
    /// A folder with the files of a config repository
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// A commit or branch of the config repository
    #[arg(long, value_name = "REVISION", conflicts_with = "path")]
    revision: Option<String>,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    author: author::Args,
}

/// What is checked, and what came out of it.
struct Checked {
    what: String,
    head: Head,
    parsed: Parsed,
}

/// Where the files come from.
enum Head {
    Commit(Revision),
    Folder { path: PathBuf, files: Vec<SourceFile> },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let Checked { what, head, mut parsed } = checked(args, context)?;
    let denied = author::judge(&args.author, &head, &parsed.fleet, context)?;
    parsed.diagnostics.extend(denied);
    let found = &parsed.diagnostics;
    let errors = found.iter().filter(|found| found.is_error()).count();
    let warnings = found.len() - errors;
    let bad = errors > 0 || (args.strict && warnings > 0);
    let value = json!({
        "valid": !bad,
        "errors": errors,
        "warnings": warnings,
        "diagnostics": found,
    });
    if !context.output.value(&value)? {
        context.output.diagnostics(found);
        let fleet = &parsed.fleet;
        let (hosts, deployments) = (fleet.hosts.len(), fleet.deployments.len());
        context.output.print(&if found.is_empty() {
            format!(
                "{what}: fine ({}, {})\n",
                counted(hosts, "host"),
                counted(deployments, "deployment")
            )
        } else {
            format!("{what}: {}\n", diagnostics::summary(found))
        })?;
    }
    Ok(if bad { Exit::No } else { Exit::Fine })
}

/// Checks what the arguments name.
fn checked(args: &Args, context: &Context) -> Result<Checked> {
    if let Some(path) = &args.path {
        return directory(path);
    }
    let here = Repository::discover(Path::new(".")).ok();
    let worktree = here.as_ref().and_then(|repository| repository.worktree());
    if args.revision.is_none()
        && context.global.fleet.is_none()
        && let Some(worktree) = worktree
    {
        return directory(worktree);
    }
    let repository = context.open()?;
    let revision = match &args.revision {
        Some(name) => Some(repository.repository.resolve(name)?),
        None => repository.repository.branch(&repository.branch)?,
    };
    let Some(revision) = revision else {
        return Err(Failure::no(format!("branch `{}` has no commit yet", repository.branch)).into());
    };
    let files = repository.repository.source_files(revision, parse::limits)?;
    let name = args.revision.clone().unwrap_or_else(|| repository.branch.clone());
    Ok(Checked {
        what: format!("{name} ({})", revision.short()),
        head: Head::Commit(revision),
        parsed: check::check(Some(revision), &files),
    })
}

fn directory(path: &Path) -> Result<Checked> {
    if !path.is_dir() {
        return Err(Failure::no(format!("`{}` is not a folder", path.display())).into());
    }
    let files: Vec<SourceFile> = directory_files(path, parse::limits)?;
    Ok(Checked {
        what: path.display().to_string(),
        parsed: check::check(None, &files),
        head: Head::Folder { path: path.to_owned(), files },
    })
}
