//! `titan describe`.

use anyhow::Result;
use serde_json::{Map, Value};

use super::context::{Config, Context};
use super::exit::Exit;
use super::host::keys::{self, Known};
use super::names::{self, KINDS_HELP, Kind, WorkspaceArg};
use super::selector;
use crate::change::object;
use crate::model::{
    Content, Deployment, DeploymentRef, Diagnostic, Fleet, Host, Name, ObjectKind, ObjectRef,
    RepoPath, Timestamp, merge,
};
use crate::observe::view::StatusView;
use crate::publish::Rendered;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan describe host tim-pi
  titan describe deployment iot/temperature-sensor/prod")]
pub(crate) struct Args {
    /// The kind of object
    #[arg(help = KINDS_HELP)]
    kind: Kind,
    /// The name: in full, or its end
    #[arg(default_value = "fleet", hide_default_value = true)]
    name: String,
    #[command(flatten)]
    workspace: WorkspaceArg,
}

/// What runs where, and how it fares.
struct Runs {
    rendered: Rendered,
    status: StatusView,
}

/// What is said about an object: headings with their lines, in order.
type Sections = Vec<(&'static str, Vec<String>)>;

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let workspace = args.workspace.given()?;
    let Kind(kind) = args.kind;
    let object = match names::find(&config.files, kind, &args.name, workspace.as_ref())? {
        Some(object) => object,
        // They need no file.
        None if kind == ObjectKind::Fleet => ObjectRef::Fleet,
        None if kind == ObjectKind::Workspace && args.name == "default" => {
            ObjectRef::Workspace(Name::default_workspace())
        }
        None => names::existing(&config.files, kind, &args.name, workspace.as_ref())?,
    };
    let runs = Runs { rendered: config.rendered()?, status: config.status(&object)? };
    let mut sections = vec![("Name", vec![object.full_name()])];
    sections.push(("Kind", vec![object.kind().to_string()]));
    let path = path(&config, &object);
    sections.push(("Path", path.iter().map(ToString::to_string).collect()));
    sections.extend(about(config.fleet(), &runs, &object));
    sections.extend(identity(&config, &object, context.now)?);
    sections.push(("Problems", problems(&config, path.as_ref())));
    let text = path.as_ref().and_then(|path| text(&config, path));
    show(context, &sections, text.as_deref())
}

fn show(context: &Context, sections: &Sections, text: Option<&str>) -> Result<Exit> {
    let shown = sections.iter().filter(|(_, lines)| !lines.is_empty());
    let value = |lines: &Vec<String>| match lines.as_slice() {
        [line] => Value::String(line.clone()),
        lines => lines.iter().map(|line| Value::String(line.clone())).collect(),
    };
    let key = |heading: &str| heading[..1].to_ascii_lowercase() + &heading[1..].replace(' ', "");
    let mut map: Map<String, Value> =
        shown.clone().map(|(heading, lines)| (key(heading), value(lines))).collect();
    let read = text.and_then(|text| crate::change::edit::read(text).ok());
    map.insert("object".into(), read.unwrap_or(Value::Null));
    if context.output.value(&Value::Object(map))? {
        return Ok(Exit::Fine);
    }
    let width = sections.iter().map(|(heading, _)| heading.len()).max().unwrap_or_default() + 2;
    let mut out = String::new();
    for (heading, lines) in shown {
        let mut head = format!("{heading}:");
        for line in lines {
            out.push_str(&format!("{head:width$}{line}\n"));
            head.clear();
        }
    }
    if let Some(text) = text {
        out.push('\n');
        out.push_str(text);
    }
    context.output.print(&out)?;
    Ok(Exit::Fine)
}

fn path(config: &Config, object: &ObjectRef) -> Option<RepoPath> {
    let file = config.files.iter().find(|file| object::at(&file.path).as_ref() == Some(object));
    file.map(|file| file.path.clone())
}

fn text(config: &Config, path: &RepoPath) -> Option<String> {
    let file = config.files.iter().find(|file| file.path == *path)?;
    match &file.content {
        Content::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn problems(config: &Config, path: Option<&RepoPath>) -> Vec<String> {
    let own = |found: &&Diagnostic| path.is_some() && found.path.as_ref() == path;
    config.parsed.diagnostics.iter().filter(own).map(ToString::to_string).collect()
}

/// What the fleet says about an object.
fn about(fleet: &Fleet, runs: &Runs, object: &ObjectRef) -> Sections {
    match object {
        ObjectRef::Fleet => vec![
            ("Hosts", vec![fleet.hosts.len().to_string()]),
            ("Deployments", vec![fleet.deployments.len().to_string()]),
        ],
        ObjectRef::Host(name) => match fleet.hosts.get(name) {
            Some(host) => about_host(fleet, runs, host),
            None => held(fleet.held.hosts.get(name).map(|hold| hold.reason.clone())),
        },
        ObjectRef::Workspace(name) => about_workspace(fleet, name),
        ObjectRef::Template(id) => {
            let used = users(fleet, |deployment| deployment.template == *id);
            let files = fleet.templates.get(id).map(|template| template.files.keys());
            let files = files.into_iter().flatten().map(ToString::to_string).collect();
            vec![("Files", files), ("Used by", used)]
        }
        ObjectRef::Target(id) => {
            let used = users(fleet, |deployment| deployment.target == *id);
            let Some(target) = fleet.targets.get(id) else { return vec![("Used by", used)] };
            let hosts = fleet.hosts.values().filter(|host| target.selector.matches(&host.labels));
            vec![
                ("Selector", vec![selector::show(&target.selector)]),
                ("Selects", hosts.map(|host| host.name.to_string()).collect()),
                ("Used by", used),
            ]
        }
        ObjectRef::Workload(id) => {
            vec![("Deployments", users(fleet, |deployment| deployment.id.workload_ref() == *id))]
        }
        ObjectRef::Deployment(id) => match fleet.deployments.get(id) {
            Some(deployment) => about_deployment(fleet, runs, deployment),
            None => held(fleet.held.deployments.get(id).map(|hold| hold.reason.clone())),
        },
    }
}

fn held(reason: Option<String>) -> Sections {
    vec![("Held", reason.into_iter().collect())]
}

/// With what a host proves who it is.
fn identity(config: &Config, object: &ObjectRef, now: Timestamp) -> Result<Sections> {
    let ObjectRef::Host(name) = object else { return Ok(Vec::new()) };
    let Some(host) = config.fleet().hosts.get(name) else { return Ok(Vec::new()) };
    let line = |known: Known| {
        let Known { fingerprint, since, by, revision, .. } = known;
        format!("{fingerprint} since {since} by {by} ({})", revision.short())
    };
    let open = host.spec.enrollment.iter().filter(|open| now < open.expires);
    Ok(vec![
        ("Keys", keys::of(config, host)?.into_iter().map(line).collect()),
        ("Enrolling", open.map(|open| format!("until {}", open.expires)).collect()),
    ])
}

/// The deployments for which `uses` holds.
fn users(fleet: &Fleet, uses: impl Fn(&Deployment) -> bool) -> Vec<String> {
    let found = fleet.deployments.values().filter(|deployment| uses(deployment));
    found.map(|deployment| format!("deployment {}", deployment.id)).collect()
}

fn about_host(fleet: &Fleet, runs: &Runs, host: &Host) -> Sections {
    let here = runs.rendered.current.iter().filter(|(_, name)| **name == host.name);
    let here =
        here.map(|(deployment, _)| runs.line(deployment, &host.name, deployment.to_string()));
    let connection = runs.status.hosts.iter().find(|status| status.host == host.name);
    let targets = fleet.targets.values().filter(|target| target.selector.matches(&host.labels));
    let spaces = fleet.workspaces.values().filter(|workspace| workspace.allows(host));
    vec![
        ("Usable by", spaces.map(|workspace| format!("workspace {}", workspace.name)).collect()),
        ("Selected by", targets.map(|target| format!("target {}", target.id)).collect()),
        (
            "Connection",
            connection.map(|status| status.connection.to_string()).into_iter().collect(),
        ),
        ("Runs", here.collect()),
    ]
}

fn about_workspace(fleet: &Fleet, name: &Name) -> Sections {
    let workloads = fleet.workloads.keys().filter(|id| id.workspace == *name);
    let targets = fleet.targets.keys().filter(|id| id.workspace == *name);
    let allowed = fleet.workspaces.get(name).map(|workspace| {
        let hosts = fleet.hosts.values().filter(|host| workspace.allows(host));
        hosts.map(|host| host.name.to_string()).collect()
    });
    vec![
        ("Hosts", allowed.unwrap_or_default()),
        ("Targets", targets.map(|id| id.name.to_string()).collect()),
        ("Workloads", workloads.map(|id| id.name.to_string()).collect()),
        ("Deployments", users(fleet, |deployment| deployment.id.workspace == *name)),
    ]
}

fn about_deployment(fleet: &Fleet, runs: &Runs, deployment: &Deployment) -> Sections {
    let id = &deployment.id;
    let matching = fleet.hosts.values().filter(|host| fleet.matches(deployment, host));
    let on = runs.rendered.current.of(id).iter();
    let on = on.map(|host| runs.line(id, host, host.to_string()));
    let values = merge::deployment_values(fleet, deployment);
    let values = crate::change::edit::yaml(&Value::Object(values));
    vec![
        ("Template", vec![deployment.template.to_string()]),
        ("Target", vec![deployment.target.to_string()]),
        ("Matches", matching.map(|host| host.name.to_string()).collect()),
        ("Runs on", on.collect()),
        ("Values", values.lines().map(str::to_owned).collect()),
    ]
}

impl Runs {
    /// A line about one assignment: how it fares, and the id of its folder.
    fn line(&self, deployment: &DeploymentRef, host: &Name, mut text: String) -> String {
        let assignment = deployment.on(host);
        let status = self.status.assignments.iter().find(|one| one.assignment == assignment);
        if let Some(status) = status {
            text += &format!(": {}", status.phase);
        }
        if let Some(tree) = self.rendered.trees.get(deployment, host) {
            text += &format!(" (tree {})", tree.short());
        }
        text
    }
}
