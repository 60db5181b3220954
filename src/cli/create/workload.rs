//! `titan create workload`.

use anyhow::Result;

use super::{CommitArgs, LabelArgs, ValueArgs};
use crate::change::{Edit, Scaffold};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::names::{self, NameArgs, WorkspaceArg};
use crate::model::{Name, ObjectRef};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:
  titan create workload temperature-sensor --workspace iot \\
      --repo https://github.com/timfpark/temp-sensor

A workspace that does not exist is created with it.")]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    /// The workload's own source repository
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// The template of its deployments, unless they name another
    #[arg(long, short, value_name = "NAME")]
    template: Option<String>,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    values: ValueArgs,
    /// The workspace; made where there is none
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let workspace = args.workspace.or_default()?;
    let scaffold = Scaffold::new(names::workload(workspace.clone(), args.name.get()?))
        .labels(args.labels.get()?)
        .field("repo", args.repo.clone())
        .field("template", args.template.clone())
        .field("values", args.values.get()?);
    // The `default` workspace needs no file.
    let mut more = Vec::new();
    if workspace != Name::default_workspace() {
        let object = ObjectRef::Workspace(workspace);
        more.push(Edit::Ensure { text: Scaffold::new(object.clone()).text(), object });
    }
    super::scaffold(context, &context.open()?, &scaffold, more, &args.commit)
}
