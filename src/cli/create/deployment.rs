//! `titan create deployment`.

use anyhow::Result;

use super::{CommitArgs, LabelArgs, ValueArgs};
use crate::change::{Edit, Scaffold, object};
use crate::cli::context::{Config, Context};
use crate::cli::exit::Exit;
use crate::cli::names::{self, NameArgs, WorkspaceArg};
use crate::model::{Content, Name, ObjectKind, ObjectRef, WorkloadRef};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan create deployment prod --workload temperature-sensor \\
      --template device-service --target tim-pi
  titan create deployment prod --workload iot/camera --target cameras \\
      --replicas 2 --spread region --value image=registry.example/camera:1.4.2")]
pub(crate) struct Args {
    #[command(flatten)]
    name: NameArgs,
    /// The workload that it is an instance of: `<workload>` or `<workspace>/<workload>`
    #[arg(long, value_name = "NAME")]
    workload: String,
    /// The template [default: the workload's]
    #[arg(long, short, value_name = "NAME")]
    template: Option<String>,
    /// The target whose hosts run it
    #[arg(long, value_name = "NAME")]
    target: String,
    /// On how many of the target's hosts [default: all]
    #[arg(long, value_name = "NUMBER")]
    replicas: Option<u32>,
    /// With `--replicas`: a label whose values should differ between the hosts
    #[arg(long, requires = "replicas", value_name = "LABEL")]
    spread: Option<String>,
    #[command(flatten)]
    values: ValueArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// The workspace [default: the one that has the workload]
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let name = args.name.get()?;
    let target = names::name(&args.target)?;
    let config = context.config()?;
    let workload = workload(args, &config)?;
    let deployment = names::deployment(workload.workspace.clone(), workload.name, name);
    let scaffold = Scaffold::new(deployment)
        .labels(args.labels.get()?)
        .field("template", args.template.clone())
        .field("target", Some(args.target.clone()))
        .field("replicas", args.replicas)
        .field("spread", args.spread.clone())
        .field("values", args.values.get()?);
    let more = shared_target(&config, &workload.workspace, &target);
    super::scaffold(context, &config.repository, &scaffold, more, &args.commit)
}

/// The workload, in the workspace that was given, or in the only one that has it.
fn workload(args: &Args, config: &Config) -> Result<WorkloadRef> {
    let workspace = args.workspace.given()?;
    let kind = ObjectKind::Workload;
    let default = Name::default_workspace();
    // What `default` has comes first, where nothing was said.
    let in_default = match &workspace {
        None => names::find(&config.files, kind, &args.workload, Some(&default))?,
        Some(_) => None,
    };
    let found = match in_default {
        Some(object) => object,
        None => names::existing(&config.files, kind, &args.workload, workspace.as_ref())?,
    };
    let ObjectRef::Workload(workload) = found else {
        unreachable!("only workloads were looked for")
    };
    Ok(workload)
}

/// A target of the `default` workspace that another workspace's deployment names is copied there:
/// a workspace refers to its own targets only.
fn shared_target(config: &Config, workspace: &Name, target: &Name) -> Vec<Edit> {
    let own = names::target(workspace.clone(), target.clone());
    let default = names::target(Name::default_workspace(), target.clone());
    let file = |object: &ObjectRef| {
        let path = object::path(object);
        config.files.iter().find(move |file| file.path == path)
    };
    if file(&own).is_some() {
        return Vec::new();
    }
    match file(&default).map(|file| &file.content) {
        Some(Content::Bytes(bytes)) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            vec![Edit::Ensure { object: own, text }]
        }
        _ => Vec::new(),
    }
}
