//! `titan create`: new objects.

mod deployment;
mod host;
mod target;
mod template;
mod workload;
mod workspace;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Map, Value};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::{selector, told};
use crate::change::edit::{FieldEdit, assign, read};
use crate::change::{Edit, Mode, Scaffold, object};
use crate::git::FleetRepository;
use crate::model::{Labels, ObjectRef};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Something that accepts workloads: a cluster, a Docker machine, a device
    #[command(visible_alias = "ho")]
    Host(host::Args),
    /// A tenant: owns workloads, targets and deployments
    #[command(visible_alias = "ws")]
    Workspace(workspace::Args),
    /// A directory of files, filled with values for each deployment on each host
    #[command(visible_alias = "tpl")]
    Template(template::Args),
    /// A named selector of hosts
    #[command(visible_alias = "tg")]
    Target(target::Args),
    /// An app: a set of resources deployed as a unit
    #[command(visible_alias = "wl")]
    Workload(workload::Args),
    /// One instance of a workload, with its template, target and values
    #[command(visible_alias = "dep")]
    Deployment(deployment::Args),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Host(args) => host::run(args, context),
        Command::Workspace(args) => workspace::run(args, context),
        Command::Template(args) => template::run(args, context),
        Command::Target(args) => target::run(args, context),
        Command::Workload(args) => workload::run(args, context),
        Command::Deployment(args) => deployment::run(args, context),
    }
}

/// `--labels`.
#[derive(Debug, Clone, ClapArgs)]
struct LabelArgs {
    /// Labels, such as `region=eu,ring=canary`
    #[arg(long, short, value_delimiter = ',', value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

impl LabelArgs {
    fn get(&self) -> Result<Labels, Failure> {
        selector::labels(&self.labels)
    }
}

/// `--value` and `--values-file`.
#[derive(Debug, Clone, ClapArgs)]
struct ValueArgs {
    /// One value, such as `image=registry.example/x:1.2` or `log.level=debug`
    #[arg(long = "value", value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// A YAML file of values; `--value` wins
    #[arg(long, value_name = "FILE")]
    values_file: Option<std::path::PathBuf>,
}

impl ValueArgs {
    /// The values, if any were given.
    fn get(&self) -> Result<Option<Value>> {
        let mut values = match &self.values_file {
            Some(file) => values_file(file)?,
            None => Value::Object(Map::new()),
        };
        for text in &self.values {
            assign(&mut values, &text.parse::<FieldEdit>()?)
                .map_err(|error| Failure::usage(format!("`--value {text}`: {error}")))?;
        }
        Ok(values.as_object().is_some_and(|values| !values.is_empty()).then_some(values))
    }
}

/// Reads a file of values.
pub(crate) fn values_file(file: &std::path::Path) -> Result<Value> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::no(format!("cannot read `{shown}`: {error}")))?;
    let values = read(&text).map_err(|error| Failure::no(format!("`{shown}`: {error}")))?;
    match values {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(values),
        _ => Err(Failure::no(format!("`{shown}` holds no map of values")).into()),
    }
}

/// How the change is committed, or whether at all.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct CommitArgs {
    /// Message of the commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Commit nothing: show the change, and what it would change on which hosts
    #[arg(long)]
    dry_run: bool,
}

impl CommitArgs {
    pub(crate) fn message(&self, default: String) -> String {
        self.message.clone().unwrap_or(default)
    }

    pub(crate) fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Commit }
    }
}

/// Commits a new object's file with what else it needs, and says so.
fn scaffold(
    context: &Context,
    repository: &FleetRepository,
    scaffold: &Scaffold,
    mut edits: Vec<Edit>,
    commit: &CommitArgs,
) -> Result<Exit> {
    let object = &scaffold.object;
    let path = object::path(object);
    edits.push(Edit::Create { object: object.clone(), path, text: scaffold.text() });
    create(context, repository, object, edits, commit)
}

/// Commits the edits that make a new object, and says so.
fn create(
    context: &Context,
    repository: &FleetRepository,
    made: &ObjectRef,
    edits: Vec<Edit>,
    commit: &CommitArgs,
) -> Result<Exit> {
    let message = commit.message(format!("create {made}"));
    let proposed = context.propose(repository, &edits, &message, commit.mode())?;
    let by_the_way = edits.iter().filter_map(|edit| match edit {
        Edit::Ensure { object, .. } if object != made => Some(object),
        _ => None,
    });
    for object in by_the_way.filter(|object| proposed.changed.contains(&object::path(object))) {
        let like = match object {
            ObjectRef::Target(_) => ", like that of workspace `default`",
            _ => "",
        };
        context.output.note(&format!("{object} did not exist and was created with it{like}"));
    }
    let word = if proposed.changed.is_empty() { "is there already, unchanged" } else { "created" };
    told(context, repository, &proposed, &format!("{made} {word}"))
}
