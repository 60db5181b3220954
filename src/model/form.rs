//! Objects in the form of their files, as JSON: what programs get when they list them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{API_VERSION, Fleet, Labels, ObjectKind, ObjectRef, RepoPath, Template};

/// An object of a fleet, for a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub of: ObjectRef,
    pub labels: Labels,
    /// `apiVersion`, `kind`, `metadata`, `spec`.
    pub object: Value,
}

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

/// All objects of a kind, in the order of their names.
#[must_use]
pub fn list(fleet: &Fleet, kind: ObjectKind) -> Vec<Listed> {
    let all: Vec<ObjectRef> = match kind {
        ObjectKind::Fleet => vec![ObjectRef::Fleet],
        ObjectKind::Host => fleet.hosts.keys().cloned().map(ObjectRef::Host).collect(),
        ObjectKind::Workspace => {
            fleet.workspaces.keys().cloned().map(ObjectRef::Workspace).collect()
        }
        ObjectKind::Template => fleet.templates.keys().cloned().map(ObjectRef::Template).collect(),
        ObjectKind::Target => fleet.targets.keys().cloned().map(ObjectRef::Target).collect(),
        ObjectKind::Workload => fleet.workloads.keys().cloned().map(ObjectRef::Workload).collect(),
        ObjectKind::Deployment => {
            fleet.deployments.keys().cloned().map(ObjectRef::Deployment).collect()
        }
    };
    all.iter().filter_map(|of| find(fleet, of)).collect()
}

/// One object.
#[must_use]
pub fn find(fleet: &Fleet, of: &ObjectRef) -> Option<Listed> {
    let none = Labels::new();
    Some(match of {
        ObjectRef::Fleet => listed(of, &none, &fleet.settings),
        ObjectRef::Host(id) => fleet.hosts.get(id).map(|one| listed(of, &one.labels, &one.spec))?,
        ObjectRef::Workspace(id) => {
            fleet.workspaces.get(id).map(|one| listed(of, &one.labels, &one.spec))?
        }
        ObjectRef::Template(id) => template(of, fleet.templates.get(id)?),
        ObjectRef::Target(id) => {
            let target = fleet.targets.get(id)?;
            listed(of, &target.labels, &json!({"selector": target.selector}))
        }
        ObjectRef::Workload(id) => {
            fleet.workloads.get(id).map(|one| listed(of, &one.labels, &one.spec))?
        }
        ObjectRef::Deployment(id) => {
            fleet.deployments.get(id).map(|one| listed(of, &one.labels, &one.spec))?
        }
    })
}

fn listed(of: &ObjectRef, labels: &Labels, spec: &impl Serialize) -> Listed {
    let spec = serde_json::to_value(spec).expect("because it came from text");
    Listed { object: object(of, labels, spec), labels: labels.clone(), of: of.clone() }
}

/// With the names of its files.
fn template(of: &ObjectRef, template: &Template) -> Listed {
    let mut spec = json!({"defaults": template.defaults});
    if let Some(parameters) = &template.parameters {
        spec["parameters"] = parameters.clone();
    }
    let mut listed = listed(of, &Labels::new(), &spec);
    listed.object["files"] = template.files.keys().map(RepoPath::as_str).collect();
    listed
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
