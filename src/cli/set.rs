//! `titan set`.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::context::Context;
use super::create::{CommitArgs, values_file};
use super::exit::{Exit, Failure};
use super::names::{self, KINDS_HELP, Kind, WorkspaceArg};
use super::told;
use crate::change::Edit;
use crate::change::edit::{FieldEdit, FieldPath};
use crate::model::ObjectKind;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "A value is read as JSON where it can be (`3`, `true`, `[\"a\"]`), else it is text; `'\"3\"'` is the text 3.
A part of a field with a dot in it is quoted: `metadata.labels.\"app.kubernetes.io/name\"=x`.
Comments, order and quoting of the file stay as they are.

Examples:
  titan set deployment iot/temperature-sensor/prod spec.values.image=registry.example/temp-sensor:1.4.3
  titan set host tim-pi metadata.labels.ring=canary spec.cordoned=true
  titan set deployment prod spec.replicas-
  titan set workload camera --values-file values.yaml
  titan set fleet spec.guards.maxRemovals=50%"
)]
pub(crate) struct Args {
    /// The kind of object
    #[arg(help = KINDS_HELP)]
    kind: Kind,
    /// The name of the object (not for `fleet`), then `field=value` to set and `field-` to remove
    #[arg(value_name = "NAME FIELD=VALUE|FIELD-", required = true)]
    words: Vec<String>,
    /// A YAML file that is laid on `spec.values`
    #[arg(long, value_name = "FILE")]
    values_file: Option<PathBuf>,
    #[command(flatten)]
    workspace: WorkspaceArg,
    #[command(flatten)]
    commit: CommitArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let Kind(kind) = args.kind;
    let (name, fields) = match args.words.split_first() {
        Some((name, fields)) if kind != ObjectKind::Fleet => (name.as_str(), fields),
        _ => ("fleet", args.words.as_slice()),
    };
    let mut edits = Vec::new();
    if let Some(file) = &args.values_file {
        lay(&FieldPath::of(&["spec", "values"]), &values_file(file)?, &mut edits);
    }
    for field in fields {
        edits.push(field.parse::<FieldEdit>().map_err(|error| {
            Failure::usage(error.to_string()).hint("`titan help set` shows examples")
        })?);
    }
    if edits.is_empty() {
        return Err(Failure::usage("nothing to set")
            .hint("give `field=value`, `field-` or `--values-file`")
            .into());
    }
    let config = context.config()?;
    let workspace = args.workspace.given()?;
    let object = names::existing(&config.files, kind, name, workspace.as_ref())?;
    let fields: Vec<String> = edits.iter().map(|edit| edit.path().to_string()).collect();
    let message = args.commit.message(format!("set {} of {object}", fields.join(", ")));
    let edit = Edit::Fields { object: object.clone(), edits };
    let proposed = context.propose(&config.repository, &[edit], &message, args.commit.mode())?;
    let word = if proposed.changed.is_empty() { "is like that already" } else { "changed" };
    told(context, &config.repository, &proposed, &format!("{object} {word}"))
}

/// Lays a map on the field at `path`: what the map does not name stays.
fn lay(path: &FieldPath, value: &Value, edits: &mut Vec<FieldEdit>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                lay(&path.below(key), value, edits);
            }
        }
        _ => edits.push(FieldEdit::Set(path.clone(), value.clone())),
    }
}
