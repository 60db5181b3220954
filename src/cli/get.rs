//! `titan get`.

mod mine;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::context::{Config, Context};
use super::exit::{Exit, Failure};
use super::names::{self, KINDS_HELP, Kind, WorkspaceArg};
use super::output::Format;
use super::{selector, table};
use crate::model::nearest::nearest;
use crate::model::{
    API_VERSION, AssignmentRef, Fleet, Host, Labels, Name, ObjectKind, ObjectRef, Phase, Removals,
    Target, TreeId, form,
};
use crate::observe::view::{Scope, StatusView};
use crate::publish::Rendered;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan get workspaces              where you are logged in, or of --server: yours, and your roles
  titan get hosts -l region=eu,ring!=canary
  titan get deployments --workspace iot -o wide
  titan get assignments -o json")]
pub(crate) struct Args {
    /// What to list; one of the kinds, or assignments (as)
    #[arg(help = format!("What to list. {KINDS_HELP}, assignment (as)"))]
    kind: Listed,
    /// Only this one: a full name, or its end
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only what has these labels (assignments: whose host has them)
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    selector: Option<String>,
    #[command(flatten)]
    workspace: WorkspaceArg,
    /// Workspaces: those that you have access to at this titan server
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Objects(ObjectKind),
    Assignments,
}

impl std::str::FromStr for Listed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "assignment" | "assignments" | "as" => Ok(Self::Assignments),
            word => match word.parse::<Kind>() {
                Ok(Kind(kind)) => Ok(Self::Objects(kind)),
                Err(_) if nearest(word, ["assignments"]).is_some() => {
                    Err("unknown kind; did you mean `assignments`?".into())
                }
                Err(error) if error.contains(KINDS_HELP) => {
                    Err(format!("{error}, assignment (as)"))
                }
                Err(error) => Err(error),
            },
        }
    }
}

/// One line of a listing.
struct Row {
    /// The full name.
    name: String,
    workspace: Option<Name>,
    labels: Labels,
    cells: Vec<String>,
    object: Value,
}

/// A listing: its columns, of which the last `extra` are wide.
struct Listing {
    heading: Vec<&'static str>,
    extra: usize,
    rows: Vec<Row>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let workspace = args.workspace.given()?;
    let wanted = args.selector.as_deref().map(selector::parse).transpose()?;
    let keep = |row: &Row| {
        let in_workspace = workspace.is_none() || row.workspace == workspace;
        in_workspace && wanted.as_ref().is_none_or(|wanted| wanted.matches(&row.labels))
    };
    let single = args.name.is_some() || args.kind == Listed::Objects(ObjectKind::Fleet);
    if let Some(server) = mine::server(args, context)? {
        return show(context, mine::listing(&server, args.name.as_deref(), keep)?, single);
    }
    let config = context.config()?;
    config.mention_errors(&context.output);
    let mut listing = listing(args.kind, &config)?;
    listing.rows.retain(keep);
    if let Some(name) = &args.name {
        choose(&mut listing.rows, name, args, &config, workspace.as_ref())?;
    }
    show(context, listing, single)
}

/// Keeps the rows that `name` means.
fn choose(
    rows: &mut Vec<Row>,
    name: &str,
    args: &Args,
    config: &Config,
    workspace: Option<&Name>,
) -> Result<(), Failure> {
    let ending = format!("/{name}");
    let host = format!("@{name}");
    rows.retain(|row| row.name == name || row.name.ends_with(&ending) || row.name.ends_with(&host));
    if !rows.is_empty() {
        return Ok(());
    }
    match args.kind {
        Listed::Assignments => Err(Failure::no(format!("there is no assignment `{name}`"))),
        Listed::Objects(kind) => match names::existing(&config.files, kind, name, workspace) {
            // It has a file, and is not in the fleet.
            Ok(object) => Err(Failure::no(format!("{object} has errors, or does not match"))
                .hint("`titan validate` shows them")),
            Err(failure) => Err(failure),
        },
    }
}

fn show(context: &Context, listing: Listing, single: bool) -> Result<Exit> {
    let output = &context.output;
    let Listing { heading, extra, rows } = listing;
    match output.format {
        Format::Json | Format::Yaml => {
            let mut items: Vec<Value> = rows.into_iter().map(|row| row.object).collect();
            let value = match (single, items.len()) {
                (true, 1) => items.remove(0),
                _ => json!({"apiVersion": API_VERSION, "kind": "List", "items": items}),
            };
            output.value(&value)?;
        }
        Format::Name => {
            output.print(&rows.iter().map(|row| format!("{}\n", row.name)).collect::<String>())?;
        }
        _ if rows.is_empty() => output.note("nothing found"),
        _ => {
            let hidden = if output.format == Format::Wide { 0 } else { extra };
            let shown = heading.len() - hidden;
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|row| row.cells.into_iter().take(shown).collect()).collect();
            output.print(&table::table(&heading[..shown], &rows))?;
        }
    }
    Ok(Exit::Fine)
}

fn listing(kind: Listed, config: &Config) -> Result<Listing> {
    let fleet = config.fleet();
    Ok(match kind {
        Listed::Objects(ObjectKind::Fleet) => settings(fleet)?,
        Listed::Objects(ObjectKind::Host) => hosts(fleet, &config.rendered()?)?,
        Listed::Objects(ObjectKind::Workspace) => workspaces(fleet)?,
        Listed::Objects(ObjectKind::Template) => templates(fleet),
        Listed::Objects(ObjectKind::Target) => targets(fleet)?,
        Listed::Objects(ObjectKind::Workload) => workloads(fleet)?,
        Listed::Objects(ObjectKind::Deployment) => deployments(fleet, &config.rendered()?)?,
        Listed::Assignments => {
            assignments(fleet, &config.rendered()?, &config.statuses(&Scope::Fleet)?)
        }
    })
}

fn row(of: &ObjectRef, labels: &Labels, spec: Value, cells: Vec<String>) -> Row {
    Row {
        name: of.full_name(),
        workspace: of.workspace().cloned(),
        labels: labels.clone(),
        cells,
        object: form::object(of, labels, spec),
    }
}

fn label_cell(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

fn settings(fleet: &Fleet) -> Result<Listing> {
    let settings = &fleet.settings;
    let removals = match &settings.guards.max_removals {
        None => "20% or 10".to_owned(),
        Some(Removals::Percent(share)) => share.clone(),
        Some(Removals::Count(count)) => count.to_string(),
    };
    let branches = &settings.branches;
    let cells = vec![branches.rendered.clone(), branches.status.clone(), removals];
    let rows = vec![row(&ObjectRef::Fleet, &Labels::new(), serde_json::to_value(settings)?, cells)];
    Ok(Listing { heading: vec!["RENDERED", "STATUS", "MAX-REMOVALS"], extra: 0, rows })
}

fn hosts(fleet: &Fleet, rendered: &Rendered) -> Result<Listing> {
    let mut rows = Vec::new();
    for host in fleet.hosts.values() {
        let runs = rendered.current.iter().filter(|(_, name)| **name == host.name).count();
        let runtime = serde_json::to_value(host.spec.runtime)?;
        let cells = vec![
            host.name.to_string(),
            runtime.as_str().unwrap_or_default().to_owned(),
            if host.spec.cordoned { "yes".into() } else { String::new() },
            runs.to_string(),
            label_cell(&host.labels),
            host.path.to_string(),
        ];
        let spec = serde_json::to_value(&host.spec)?;
        rows.push(row(&ObjectRef::Host(host.name.clone()), &host.labels, spec, cells));
    }
    let heading = vec!["NAME", "RUNTIME", "CORDONED", "ASSIGNMENTS", "LABELS", "PATH"];
    Ok(Listing { heading, extra: 1, rows })
}

fn workspaces(fleet: &Fleet) -> Result<Listing> {
    let mut rows = Vec::new();
    for workspace in fleet.workspaces.values() {
        let name = &workspace.name;
        let hosts = fleet.hosts.values().filter(|host| workspace.allows(host)).count();
        let workloads = fleet.workloads.keys().filter(|id| id.workspace == *name).count();
        let deployments = fleet.deployments.keys().filter(|id| id.workspace == *name).count();
        let cells = vec![
            name.to_string(),
            hosts.to_string(),
            workloads.to_string(),
            deployments.to_string(),
            workspace.spec.members.len().to_string(),
            workspace.spec.hosts.as_ref().map(selector::show).unwrap_or_default(),
        ];
        let spec = serde_json::to_value(&workspace.spec)?;
        rows.push(row(&ObjectRef::Workspace(name.clone()), &workspace.labels, spec, cells));
    }
    let heading = vec!["NAME", "HOSTS", "WORKLOADS", "DEPLOYMENTS", "MEMBERS", "ALLOWED-HOSTS"];
    Ok(Listing { heading, extra: 2, rows })
}

fn templates(fleet: &Fleet) -> Listing {
    let rows = fleet.templates.values().map(|template| {
        let used = fleet.deployments.values().filter(|by| by.template == template.id).count();
        let cells = vec![
            template.id.name.to_string(),
            template.id.workspace.as_ref().map(ToString::to_string).unwrap_or_default(),
            template.files.len().to_string(),
            used.to_string(),
            template.path.to_string(),
        ];
        let files: Vec<&str> = template.files.keys().map(crate::model::RepoPath::as_str).collect();
        let mut spec = json!({"defaults": template.defaults});
        if let Some(parameters) = &template.parameters {
            spec["parameters"] = parameters.clone();
        }
        let of = ObjectRef::Template(template.id.clone());
        let mut row = row(&of, &Labels::new(), spec, cells);
        row.object["files"] = json!(files);
        row
    });
    let heading = vec!["NAME", "WORKSPACE", "FILES", "DEPLOYMENTS", "PATH"];
    Listing { heading, extra: 1, rows: rows.collect() }
}

/// How many hosts a target selects of those that its workspace may use.
fn selected(fleet: &Fleet, target: &Target) -> usize {
    let workspace = fleet.workspaces.get(&target.id.workspace);
    let usable = |host: &Host| workspace.is_none_or(|workspace| workspace.allows(host));
    let hosts = fleet.hosts.values().filter(|host| usable(host));
    hosts.filter(|host| target.selector.matches(&host.labels)).count()
}

fn targets(fleet: &Fleet) -> Result<Listing> {
    let mut rows = Vec::new();
    for target in fleet.targets.values() {
        let used = fleet.deployments.values().filter(|by| by.target == target.id).count();
        let cells = vec![
            target.id.name.to_string(),
            target.id.workspace.to_string(),
            selector::show(&target.selector),
            selected(fleet, target).to_string(),
            used.to_string(),
            target.path.to_string(),
        ];
        let spec = json!({"selector": serde_json::to_value(&target.selector)?});
        rows.push(row(&ObjectRef::Target(target.id.clone()), &target.labels, spec, cells));
    }
    let heading = vec!["NAME", "WORKSPACE", "SELECTOR", "HOSTS", "DEPLOYMENTS", "PATH"];
    Ok(Listing { heading, extra: 1, rows })
}

fn workloads(fleet: &Fleet) -> Result<Listing> {
    let mut rows = Vec::new();
    for workload in fleet.workloads.values() {
        let of = |id: &crate::model::DeploymentRef| id.workload_ref() == workload.id;
        let deployments = fleet.deployments.keys().filter(|id| of(id)).count();
        let cells = vec![
            workload.id.name.to_string(),
            workload.id.workspace.to_string(),
            workload.spec.template.clone().unwrap_or_default(),
            deployments.to_string(),
            workload.spec.repo.clone().unwrap_or_default(),
            workload.path.to_string(),
        ];
        let spec = serde_json::to_value(&workload.spec)?;
        rows.push(row(&ObjectRef::Workload(workload.id.clone()), &workload.labels, spec, cells));
    }
    let heading = vec!["NAME", "WORKSPACE", "TEMPLATE", "DEPLOYMENTS", "REPO", "PATH"];
    Ok(Listing { heading, extra: 1, rows })
}

fn deployments(fleet: &Fleet, rendered: &Rendered) -> Result<Listing> {
    let mut rows = Vec::new();
    for deployment in fleet.deployments.values() {
        let id = &deployment.id;
        let matching = fleet.hosts.values().filter(|host| fleet.matches(deployment, host)).count();
        let wanted = deployment.spec.replicas.map_or("all".into(), |count| count.to_string());
        let cells = vec![
            id.name.to_string(),
            id.workspace.to_string(),
            id.workload.to_string(),
            deployment.template.to_string(),
            deployment.target.name.to_string(),
            wanted,
            rendered.current.of(id).len().to_string(),
            if deployment.spec.suspend { "yes".into() } else { String::new() },
            matching.to_string(),
            deployment.path.to_string(),
        ];
        let spec = serde_json::to_value(&deployment.spec)?;
        rows.push(row(&ObjectRef::Deployment(id.clone()), &deployment.labels, spec, cells));
    }
    let heading = vec![
        "NAME",
        "WORKSPACE",
        "WORKLOAD",
        "TEMPLATE",
        "TARGET",
        "REPLICAS",
        "HOSTS",
        "SUSPENDED",
        "MATCHING",
        "PATH",
    ];
    Ok(Listing { heading, extra: 2, rows })
}

fn assignments(fleet: &Fleet, rendered: &Rendered, status: &StatusView) -> Listing {
    let phases = status.assignments.iter().map(|one| (&one.assignment, one.phase));
    let phases: BTreeMap<_, _> = phases.collect();
    let trees = rendered.trees.iter().map(|(deployment, host, tree)| (deployment.on(host), tree));
    let trees: BTreeMap<_, _> = trees.collect();
    let rows = trees
        .iter()
        .map(|(id, tree)| assignment(fleet, rendered, id, *tree, phases.get(id).copied()));
    let heading = vec!["WORKSPACE", "WORKLOAD", "DEPLOYMENT", "HOST", "PHASE", "TREE", "PATH"];
    Listing { heading, extra: 2, rows: rows.collect() }
}

fn assignment(
    fleet: &Fleet,
    rendered: &Rendered,
    id: &AssignmentRef,
    tree: TreeId,
    phase: Option<Phase>,
) -> Row {
    let deployment = &id.deployment;
    let folder = rendered.folders.get(&id.host).map(|folder| format!("{folder}/{deployment}"));
    let folder = folder.unwrap_or_default();
    let host = fleet.hosts.get(&id.host);
    Row {
        name: id.to_string(),
        workspace: Some(deployment.workspace.clone()),
        labels: host.map(|host| host.labels.clone()).unwrap_or_default(),
        cells: vec![
            deployment.workspace.to_string(),
            deployment.workload.to_string(),
            deployment.name.to_string(),
            id.host.to_string(),
            phase.map(|phase| phase.to_string()).unwrap_or_default(),
            tree.short(),
            folder.clone(),
        ],
        object: json!({
            "deployment": deployment,
            "host": id.host,
            "phase": phase,
            "tree": tree,
            "path": folder,
            "rendered": rendered.revision,
            "source": rendered.source,
        }),
    }
}
