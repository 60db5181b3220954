//! Objects in the form of their files, as JSON: what programs get when they list them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{API_VERSION, Fleet, Labels, ObjectKind, ObjectRef, RepoPath, Template};

/// An object in the form of its file.
#[must_use]
pub fn object(object: &ObjectRef, labels: &Labels, spec: Value) -> Value {
    let mut metadata = Map::new();
    if let Some(name) = object.name() {
        metadata.insert("name".into(), name.as_str().into());
    }
    if let Some(workspace) = object.workspace().filter(|_| object.kind() != ObjectKind::Workspace) {
        metadata.insert("workspace".into(), workspace.as_str().into());
    }
    if !labels.is_empty() {
        metadata.insert("labels".into(), json!(labels));
    }
    json!({"apiVersion": API_VERSION, "kind": object.kind(), "metadata": metadata, "spec": spec})
}

/// All objects of a kind with their labels, in the order of their names.
#[must_use]
pub fn list(fleet: &Fleet, kind: ObjectKind) -> Vec<(ObjectRef, &Labels)> {
    static NONE: Labels = Labels::new();
    macro_rules! all {
        ($objects:expr, $kind:path) => {
            $objects.iter().map(|(id, one)| ($kind(id.clone()), &one.labels)).collect()
        };
    }
    match kind {
        ObjectKind::Fleet => vec![(ObjectRef::Fleet, &NONE)],
        ObjectKind::Host => all!(fleet.hosts, ObjectRef::Host),
        ObjectKind::Workspace => all!(fleet.workspaces, ObjectRef::Workspace),
        ObjectKind::Template => {
            fleet.templates.keys().map(|id| (ObjectRef::Template(id.clone()), &NONE)).collect()
        }
        ObjectKind::Target => all!(fleet.targets, ObjectRef::Target),
        ObjectKind::Workload => all!(fleet.workloads, ObjectRef::Workload),
        ObjectKind::Deployment => all!(fleet.deployments, ObjectRef::Deployment),
    }
}

/// One object: `apiVersion`, `kind`, `metadata`, `spec`.
#[must_use]
pub fn find(fleet: &Fleet, of: &ObjectRef) -> Option<Value> {
    Some(match of {
        ObjectRef::Fleet => object(of, &Labels::new(), json(&fleet.settings)),
        ObjectRef::Host(id) => {
            fleet.hosts.get(id).map(|one| object(of, &one.labels, json(&one.spec)))?
        }
        ObjectRef::Workspace(id) => {
            fleet.workspaces.get(id).map(|one| object(of, &one.labels, json(&one.spec)))?
        }
        ObjectRef::Template(id) => template(of, fleet.templates.get(id)?),
        ObjectRef::Target(id) => {
            let target = fleet.targets.get(id)?;
            object(of, &target.labels, json!({"selector": target.selector}))
        }
        ObjectRef::Workload(id) => {
            fleet.workloads.get(id).map(|one| object(of, &one.labels, json(&one.spec)))?
        }
        ObjectRef::Deployment(id) => {
            fleet.deployments.get(id).map(|one| object(of, &one.labels, json(&one.spec)))?
        }
    })
}

fn json(spec: &impl Serialize) -> Value {
    serde_json::to_value(spec).expect("because it came from text")
}

/// With the names of its files.
fn template(of: &ObjectRef, template: &Template) -> Value {
    let mut spec = json!({"defaults": template.defaults});
    if let Some(parameters) = &template.parameters {
        spec["parameters"] = parameters.clone();
    }
    let mut form = object(of, &Labels::new(), spec);
    form["files"] = template.files.keys().map(RepoPath::as_str).collect();
    form
}

impl ObjectRef {
    /// Its full name, without the kind: `tim-pi`, `iot/sensor/prod`; `fleet` for the settings.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self {
            Self::Fleet => "fleet".into(),
            Self::Host(name) | Self::Workspace(name) => name.to_string(),
            Self::Template(template) => template.to_string(),
            Self::Target(target) => target.to_string(),
            Self::Workload(workload) => workload.to_string(),
            Self::Deployment(deployment) => deployment.to_string(),
        }
    }
}
