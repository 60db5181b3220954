//! `titan create template`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use walkdir::WalkDir;

use super::CommitArgs;
use crate::change::{Edit, Scaffold, object};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::names::{self, NameArgs, WorkspaceArg};
use crate::model::{API_VERSION, Limits, ObjectRef, RepoPath};

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Files that end in `.tera` are rendered and lose the ending, others are copied; names that start
with `_` are partials. A `template.yaml` of kind Template in the folder becomes the template's own
file. Without `--workspace` every workspace may use the template.

Examples:
  titan create template device-service -f ./device-service
  titan create template device-service -f ./device-service --replace -m 'add a readiness probe'"
)]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    /// Folder of the template's files
    #[arg(long, short, value_name = "DIR")]
    file: Option<PathBuf>,
    /// Another template that this one builds on
    #[arg(long, value_name = "NAME")]
    extends: Option<String>,
    /// A value where nobody gives another, such as `replicas=1`
    #[arg(long = "default", value_name = "KEY=VALUE")]
    defaults: Vec<String>,
    /// Put the files in the place of an existing template's
    #[arg(long)]
    replace: bool,
    /// The workspace that owns it [default: none, every workspace may use it]
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let object = names::template(args.workspace.given()?, args.name.get()?);
    let folder = object::folder(&object).expect("a template has a folder");
    let mut files = match &args.file {
        Some(dir) => read(dir)?,
        None => Vec::new(),
    };
    if files.is_empty() && args.extends.is_none() {
        return Err(empty(args).into());
    }
    let own = files.iter().position(|(path, bytes)| is_own(path, bytes));
    let text = own.map(|index| files.remove(index).1);
    if text.is_some() && (args.extends.is_some() || !args.defaults.is_empty()) {
        return Err(Failure::usage("the folder has a `template.yaml` of its own")
            .hint("write there what `--extends` and `--default` would say")
            .into());
    }
    let mut edits = Vec::new();
    if args.replace {
        edits.push(Edit::Clear { path: folder.join("files")? });
    }
    edits.push(definition(args, &object, text)?);
    let nested = own.is_some() && nested(&files)?;
    for (path, bytes) in files {
        let path = if nested { path.to_string() } else { format!("files/{path}") };
        edits.push(Edit::Put { path: folder.join(&path)?, bytes });
    }
    super::create(context, &context.open()?, &object, edits, &args.commit)
}

/// Whether the files lie in `files/`, as they do in a fleet, beside a `template.yaml`.
fn nested(files: &[(RepoPath, Vec<u8>)]) -> Result<bool, Failure> {
    let mut beside = files.iter().filter(|(path, _)| !path.as_str().starts_with("files/"));
    let count = beside.clone().count();
    match beside.next() {
        Some((path, _)) if count < files.len() => {
            Err(Failure::no(format!("`{path}` lies beside `files/`: is it one of the files?"))
                .hint("move it into `files/`, or away"))
        }
        beside => Ok(beside.is_none()),
    }
}

fn empty(args: &Args) -> Failure {
    match &args.file {
        Some(dir) => Failure::no(format!("`{}` holds no files", dir.display())),
        None => Failure::usage("the template has no files")
            .hint("give their folder with `-f DIR`, or a template to build on with `--extends`"),
    }
}

/// The edit for `template.yaml`.
fn definition(args: &Args, object: &ObjectRef, text: Option<Vec<u8>>) -> Result<Edit> {
    let path = object::path(object);
    if text.is_none() && args.replace && args.extends.is_none() && args.defaults.is_empty() {
        // The settings stay; only the files are new.
        let text = Scaffold::new(object.clone()).text();
        return Ok(Edit::Ensure { object: object.clone(), text });
    }
    let text = match text {
        Some(text) => {
            String::from_utf8(text).map_err(|_| Failure::no("`template.yaml` is not UTF-8"))?
        }
        None => Scaffold::new(object.clone())
            .field("extends", args.extends.clone())
            .field("defaults", defaults(&args.defaults)?)
            .text(),
    };
    if args.replace {
        return Ok(Edit::Put { path, bytes: text.into_bytes() });
    }
    Ok(Edit::Create { object: object.clone(), path, text })
}

fn defaults(pairs: &[String]) -> Result<Option<Value>> {
    let values = super::ValueArgs { values: pairs.to_vec(), values_file: None };
    values.get()
}

/// The files of a folder. Links are refused: what they lead to is nobody's intention.
fn read(dir: &Path) -> Result<Vec<(RepoPath, Vec<u8>)>> {
    if !dir.is_dir() {
        return Err(Failure::no(format!("`{}` is not a folder", dir.display())).into());
    }
    let limit = Limits::default().blob_size;
    let mut files = Vec::new();
    let walk = WalkDir::new(dir).min_depth(1).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.file_name() != ".git") {
        let entry = entry.with_context(|| format!("cannot read `{}`", dir.display()))?;
        let shown = entry.path().display();
        if entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() {
            return Err(Failure::no(format!("[git/symlink] `{shown}` is no regular file"))
                .hint("put a copy of the file that it leads to there")
                .into());
        }
        if entry.metadata().is_ok_and(|data| data.len() > limit.0) {
            return Err(Failure::no(format!("[object/size] `{shown}` is over {limit}")).into());
        }
        let below = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        let path = RepoPath::new(&below.to_string_lossy())
            .map_err(|error| Failure::no(format!("`{}`: {error}", below.display())))?;
        let bytes = std::fs::read(entry.path())
            .map_err(|error| Failure::no(format!("cannot read `{shown}`: {error}")))?;
        files.push((path, bytes));
    }
    Ok(files)
}

/// Whether a file is the template's own definition, not one of its files.
fn is_own(path: &RepoPath, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    path.as_str() == "template.yaml"
        && text.lines().any(|line| line.trim_end() == "kind: Template")
        && text.contains(API_VERSION)
}
