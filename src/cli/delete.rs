//! `titan delete`.

use anyhow::Result;

use super::context::Context;
use super::create::CommitArgs;
use super::exit::{Exit, Failure};
use super::names::{self, KINDS_HELP, Kind, WorkspaceArg};
use super::told;
use crate::change::Edit;
use crate::model::ObjectKind;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Deleting what is not there is fine. What others still refer to is not deleted.

Examples:
  titan delete deployment iot/temperature-sensor/prod
  titan delete workspace iot --recursive"
)]
pub(crate) struct Args {
    /// The kind of object
    #[arg(help = KINDS_HELP)]
    kind: Kind,
    /// The name of the object
    name: String,
    /// Delete also what a workspace or workload owns
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let Kind(kind) = args.kind;
    if kind == ObjectKind::Fleet {
        return Err(Failure::usage("the fleet's settings cannot be deleted")
            .hint("remove single fields with `titan set fleet field-`")
            .into());
    }
    let config = context.config()?;
    let workspace = args.workspace.given()?;
    let found = names::find(&config.files, kind, &args.name, workspace.as_ref())?;
    let Some(object) = found else {
        let word = kind.as_str().to_ascii_lowercase();
        context.output.note(&format!("there is no {word} `{}`: nothing to delete", args.name));
        return Ok(Exit::Fine);
    };
    let edit = Edit::Delete { object: object.clone(), recursive: args.recursive };
    let message = args.commit.message(format!("delete {object}"));
    let proposed = context.propose(&config.repository, &[edit], &message, args.commit.mode())?;
    let word = if proposed.changed.is_empty() { "is gone already" } else { "deleted" };
    told(context, &config.repository, &proposed, &format!("{object} {word}"))
}
