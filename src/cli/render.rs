//! `titan render`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::context::{Config, Context};
use super::exit::{Exit, Failure};
use super::names::{self, WorkspaceArg};
use super::output::Format;
use crate::model::{
    AssignmentRef, DeploymentRef, Diagnostic, Manifests, Name, ObjectKind, ObjectRef, RepoPath,
};
use crate::plan::evaluate_part;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan render iot/temperature-sensor/prod --host tim-pi
  titan render --revision my-branch --output-dir /tmp/rendered")]
pub(crate) struct Args {
    /// The deployment [default: all]
    #[arg(value_name = "DEPLOYMENT")]
    deployment: Option<String>,
    /// For this host only
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A commit or branch of the config repository [default: the head of the config branch]
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Write the files below this folder, as they lie on the rendered branch
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    workspace: WorkspaceArg,
}

/// One rendered file.
struct File {
    assignment: String,
    path: String,
    bytes: std::sync::Arc<[u8]>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = config(args, context)?;
    let (files, problems) = rendered(args, context, &config)?;
    match &args.output_dir {
        Some(dir) => {
            write(dir, &files)?;
            context.output.note(&format!(
                "{} files written below `{}`",
                files.len(),
                dir.display()
            ));
        }
        None => print(context, &files)?,
    }
    if problems.is_empty() {
        return Ok(Exit::Fine);
    }
    context.output.diagnostics(&problems);
    Ok(Exit::No)
}

fn config(args: &Args, context: &Context) -> Result<Config> {
    let Some(name) = &args.revision else { return context.config() };
    let repository = context.open()?;
    let revision = repository.repository.resolve(name)?;
    context.config_at(repository, Some(revision))
}

fn rendered(
    args: &Args,
    context: &Context,
    config: &Config,
) -> Result<(Vec<File>, Vec<Diagnostic>)> {
    let fleet = config.fleet();
    let wanted =
        args.deployment.as_deref().map(|text| deployment(args, config, text)).transpose()?;
    let host = args.host.as_deref().map(|text| host(config, text)).transpose()?;
    let evaluation = evaluate_part(fleet, &config.rendered()?.current, |deployment, on| {
        wanted.as_ref().is_none_or(|wanted| wanted == deployment)
            && host.as_ref().is_none_or(|host| host == on)
    });
    let problems = evaluation.diagnostics;
    let mut files = Vec::new();
    for (assignment, manifests) in &evaluation.manifests {
        let host = fleet.hosts.get(&assignment.host).expect("it was scheduled from here");
        add(&mut files, assignment, &host.folder(), manifests);
    }
    if files.is_empty() && problems.is_empty() {
        if config.parsed.diagnostics.iter().any(Diagnostic::is_error) {
            config.mention_errors(&context.output);
        }
        context.output.note("nothing is to run there");
    }
    Ok((files, problems))
}

/// The deployment that `text` names, which must be usable.
fn deployment(args: &Args, config: &Config, text: &str) -> Result<DeploymentRef> {
    let workspace = args.workspace.given()?;
    let kind = ObjectKind::Deployment;
    let found = names::existing(&config.files, kind, text, workspace.as_ref())?;
    let ObjectRef::Deployment(found) = found else {
        unreachable!("only deployments were looked for")
    };
    match config.fleet().held.deployments.get(&found) {
        Some(hold) => {
            let message = format!("deployment `{found}` is held: {}", hold.reason);
            Err(Failure::no(message).hint("`titan validate` shows more").into())
        }
        None => Ok(found),
    }
}

fn host(config: &Config, text: &str) -> Result<Name> {
    match names::existing(&config.files, ObjectKind::Host, text, None)? {
        ObjectRef::Host(name) => Ok(name),
        _ => unreachable!("only hosts were looked for"),
    }
}

fn add(
    files: &mut Vec<File>,
    assignment: &AssignmentRef,
    folder: &RepoPath,
    manifests: &Manifests,
) {
    let deployment = &assignment.deployment;
    files.extend(manifests.files.iter().map(|(path, bytes)| File {
        assignment: assignment.to_string(),
        path: format!("{folder}/{deployment}/{path}"),
        bytes: bytes.clone(),
    }));
}

/// Prints the files; each starts a new YAML document, so that the whole can be piped on.
fn print(context: &Context, files: &[File]) -> Result<()> {
    let output = &context.output;
    let values = files.iter().map(|file| {
        let text = String::from_utf8_lossy(&file.bytes);
        json!({"assignment": file.assignment, "path": file.path, "content": text})
    });
    if output.value(&Value::Array(values.collect()))? {
        return Ok(());
    }
    for file in files {
        if output.format == Format::Name {
            output.print(&format!("{}\n", file.path))?;
            continue;
        }
        output.print(&format!("---\n# {}\n", file.path))?;
        output.bytes(&file.bytes)?;
        if !file.bytes.ends_with(b"\n") {
            output.print("\n")?;
        }
    }
    Ok(())
}

fn write(dir: &Path, files: &[File]) -> Result<()> {
    for file in files {
        let path = dir.join(&file.path);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &file.bytes))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}
