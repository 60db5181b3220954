//! `titan init`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use include_dir::{Dir, include_dir};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::told;
use crate::change::Edit;
use crate::git::{Location, Repository};
use crate::model::RepoPath;

/// What a new config repository holds.
static LAYOUT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/repo-layout");

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan init fleet
  titan init --fleet /srv/git/fleet.git     # an existing bare repository")]
pub(crate) struct Args {
    /// The folder; it becomes a Git repository if it is none [default: `--fleet`, or the current one]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let location = match (&args.dir, &context.global.fleet) {
        (Some(dir), _) => Location::Local(dir.clone()),
        (None, Some(fleet)) => fleet.parse()?,
        (None, None) => Location::Local(".".into()),
    };
    if let Location::Local(dir) = &location {
        prepare(dir, context.global.branch.as_deref().unwrap_or("main"))?;
    }
    let repository = context.open_at(&location)?;
    let git = &repository.repository;
    let head = git.branch(&repository.branch)?;
    let tree = head.map(|head| git.commit(head)).transpose()?.map(|commit| commit.tree);
    let exists = |path: &RepoPath| match tree {
        Some(tree) => git.entry(tree, path).map(|entry| entry.is_some()),
        None => Ok(false),
    };
    if exists(&RepoPath::new("titan.yaml")?)? {
        return Err(Failure::no("there is a fleet already: `titan.yaml` exists").into());
    }
    let mut edits = Vec::new();
    for (path, bytes) in files(&LAYOUT) {
        let path = RepoPath::new(&path)?;
        if exists(&path)? {
            context.output.note(&format!("`{path}` exists and stays as it is"));
        } else {
            edits.push(Edit::Put { path, bytes: bytes.to_vec() });
        }
    }
    let proposed = context.commit(&repository, &edits, "start a fleet with titan")?;
    context
        .output
        .note("next: `titan create host NAME --labels …`, and `titan validate` at any time");
    told(context, &repository, &proposed, "fleet created")
}

/// Makes the folder and a repository in it, where there is none.
fn prepare(dir: &Path, branch: &str) -> Result<()> {
    if Repository::open(dir).is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    Repository::init(dir, branch)?;
    Ok(())
}

fn files(dir: &Dir<'static>) -> Vec<(String, &'static [u8])> {
    let own = dir.files().map(|file| {
        // Windows paths are joined by `\`.
        let path = file.path().to_string_lossy().replace('\\', "/");
        (path, file.contents())
    });
    let below = dir.dirs().flat_map(files);
    own.chain(below).collect()
}
