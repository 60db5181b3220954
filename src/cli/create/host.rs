//! `titan create host`.

use anyhow::Result;
use clap::ValueEnum;

use super::{CommitArgs, LabelArgs, ValueArgs};
use crate::change::{Edit, Scaffold, object};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::names::NameArgs;
use crate::model::{ObjectRef, RepoPath};
use crate::parse::layout;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan create host --name tim-pi --labels name=tim-pi,platform=kubernetes
  titan create host store-7 --labels region=eu --runtime docker --folder eu --value site=7")]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// What brings manifests to life there [default: kubernetes]
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    #[command(flatten)]
    values: ValueArgs,
    /// Folder below `hosts/`
    #[arg(long, value_name = "FOLDER")]
    folder: Option<String>,
    /// Place nothing new there for now
    #[arg(long)]
    cordoned: bool,
    #[command(flatten)]
    commit: CommitArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runtime {
    /// A Kubernetes cluster
    Kubernetes,
    /// A Docker machine, with Compose files
    Docker,
    /// A directory on a machine
    Directory,
    /// Flux or Argo CD, without a titan agent
    External,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let object = ObjectRef::Host(args.name.get()?);
    let runtime = args.runtime.and_then(|runtime| runtime.to_possible_value());
    let scaffold = Scaffold::new(object.clone())
        .labels(args.labels.get()?)
        .field("runtime", runtime.map(|runtime| runtime.get_name().to_owned()))
        .field("values", args.values.get()?)
        .field("cordoned", args.cordoned.then_some(true));
    let path = match &args.folder {
        Some(folder) => {
            let folder = folder.trim_matches('/');
            let folder = folder.strip_prefix("hosts/").unwrap_or(folder);
            let folder = RepoPath::new(folder)
                .map_err(|error| Failure::no(format!("`--folder {folder}`: {error}")))?;
            layout::path_of(&object, Some(&folder))
        }
        None => object::path(&object),
    };
    let repository = context.open()?;
    let edit = Edit::Create { object: object.clone(), path, text: scaffold.text() };
    super::create(context, &repository, &object, vec![edit], &args.commit)
}
