//! `titan create target`.

use anyhow::Result;

use super::CommitArgs;
use crate::change::Scaffold;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::names::{self, NameArgs, WorkspaceArg};
use crate::cli::selector;
use crate::model::Selector;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan create target tim-pi --labels name=tim-pi
  titan create target canaries --workspace iot --selector 'ring=canary,region in (eu,us)'
  titan create target everywhere --all")]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    /// Labels that a host must have
    #[arg(long, short, value_delimiter = ',', value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// A label selector that a host must match
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Select every host
    #[arg(long, conflicts_with_all = ["labels", "selector"])]
    all: bool,
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let mut selector = match &args.selector {
        Some(text) => selector::parse(text)?,
        None => Selector::default(),
    };
    selector.match_labels.extend(selector::labels(&args.labels)?);
    if selector == Selector::default() && !args.all {
        return Err(Failure::usage("the target selects nothing in particular")
            .hint("give `--labels` or `--selector`, or `--all` for every host")
            .into());
    }
    let target = names::target(args.workspace.or_default()?, args.name.get()?);
    let scaffold = Scaffold::new(target).field("selector", Some(serde_json::to_value(&selector)?));
    super::scaffold(context, &context.open()?, &scaffold, Vec::new(), &args.commit)
}
