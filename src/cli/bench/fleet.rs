//! `titan bench fleet`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{multiply, shape, write_commit};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::git::{Repository, Sibling, TreeEdit};
use crate::model::{RepoPath, Revision};

/// Make a config repository of any size
///
/// Every host runs as many deployments, from a few shared templates; or, with `--from`, the hosts and
/// workloads of a folder are multiplied. The repository holds one commit, and the same options give the
/// same commit everywhere. It is an ordinary fleet: any command works on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  titan bench fleet /tmp/fleet.git --hosts 10000
  titan bench fleet /tmp/fleet.git --hosts 500 --host-dependent 0.5 --replicas 0.1 --folders region
  titan bench fleet /tmp/fleet.git --hosts 1000 --from examples/retail
  titan reconcile --fleet /tmp/fleet.git")]
pub(crate) struct Args {
    /// The folder; it must be empty or new
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Check the files out, too; otherwise the repository is bare
    #[arg(long)]
    worktree: bool,
    /// Multiply the fleet in this folder until it has so many hosts and deployments
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "files", "file_size", "templates", "host_dependent", "workspaces", "rings", "replicas",
        "labels", "folders", "seed",
    ])]
    from: Option<PathBuf>,
    #[command(flatten)]
    shape: shape::Shape,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let branch = context.global.branch.as_deref().unwrap_or("main");
    let git = make(&args.dir, args.worktree, branch)?;
    let (hosts, deployments) = (args.shape.hosts, args.shape.deployments);
    let files = match &args.from {
        Some(folder) => multiply::sources(folder, hosts, deployments)?,
        None => args.shape.sources(),
    };
    let revision = write(&git, &files)?;
    git.advance(branch, None, revision)?;
    if args.worktree {
        let tops: std::collections::BTreeSet<_> =
            files.iter().filter_map(|(path, _)| path.split('/').next()).collect();
        let tops = tops.into_iter().map(RepoPath::new).collect::<Result<Vec<_>, _>>()?;
        git.check_out(revision, &tops)?;
    }
    let value =
        json!({"revision": revision, "branch": branch, "hosts": hosts, "files": files.len()});
    if !context.output.value(&value)? {
        let count = files.len();
        let short = revision.short();
        context.output.print(&format!("{hosts} hosts, {count} files ({branch} {short})\n"))?;
    }
    Ok(Exit::Fine)
}

fn make(folder: &Path, worktree: bool, branch: &str) -> Result<Repository> {
    let cannot = || format!("cannot make `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    if std::fs::read_dir(folder).with_context(cannot)?.next().is_some() {
        return Err(Failure::no(format!("`{}` is not empty", folder.display())).into());
    }
    Ok(match worktree {
        true => Repository::init(folder, branch)?,
        false => Repository::create_bare(folder, branch)?,
    })
}

/// All files as one commit, in one pack.
fn write(git: &Repository, files: &[(String, String)]) -> Result<Revision> {
    let objects = git.begin();
    let mut edit = TreeEdit::new(objects.repository(), None);
    for (path, text) in files {
        let path = RepoPath::new(path)?;
        // Hosts resemble each other, and so do files of one name.
        let family = path.strip_prefix("hosts").map_or(path.file_name(), |_| "hosts");
        edit.put_sibling(&path, text.as_bytes(), Sibling::of(&family))?;
    }
    let tree = edit.write()?;
    let revision = write_commit(objects.repository(), tree, None, "A fleet to measure titan with")?;
    objects.finish()?;
    Ok(revision)
}
