//! `titan create workspace`.

use anyhow::Result;
use serde_json::Value;

use super::{CommitArgs, LabelArgs, ValueArgs};
use crate::change::Scaffold;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::names::NameArgs;
use crate::cli::selector;
use crate::model::ObjectRef;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:
  titan create workspace iot --hosts 'platform=kubernetes,region in (eu,us)' --value team=iot")]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// The hosts that it may use, as a label selector [default: all]
    #[arg(long, value_name = "SELECTOR")]
    hosts: Option<String>,
    #[command(flatten)]
    values: ValueArgs,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let hosts = args.hosts.as_deref().map(selector::parse).transpose()?;
    let hosts: Option<Value> = hosts.map(|hosts| serde_json::to_value(&hosts)).transpose()?;
    let scaffold = Scaffold::new(ObjectRef::Workspace(args.name.get()?))
        .labels(args.labels.get()?)
        .field("hosts", hosts)
        .field("values", args.values.get()?);
    super::scaffold(context, &context.open()?, &scaffold, Vec::new(), &args.commit)
}
