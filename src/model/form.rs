//! Objects in the form of their files, as JSON: what programs get when they list them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    API_VERSION, Deployment, Fleet, Labels, ObjectKind, ObjectRef, RepoPath, Target, Template,
    Workload, Workspace,
};

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
    match kind {
        ObjectKind::Fleet => vec![listed(ObjectRef::Fleet, &Labels::new(), &fleet.settings)],
        ObjectKind::Host => {
            let hosts = fleet.hosts.values();
            hosts
                .map(|one| listed(ObjectRef::Host(one.name.clone()), &one.labels, &one.spec))
                .collect()
        }
        ObjectKind::Workspace => {
            let of = |one: &Workspace| ObjectRef::Workspace(one.name.clone());
            fleet.workspaces.values().map(|one| listed(of(one), &one.labels, &one.spec)).collect()
        }
        ObjectKind::Template => fleet.templates.values().map(|one| template(one)).collect(),
        ObjectKind::Target => {
            let spec = |one: &Target| json!({"selector": one.selector});
            let of = |one: &Target| ObjectRef::Target(one.id.clone());
            fleet.targets.values().map(|one| listed(of(one), &one.labels, &spec(one))).collect()
        }
        ObjectKind::Workload => {
            let of = |one: &Workload| ObjectRef::Workload(one.id.clone());
            fleet.workloads.values().map(|one| listed(of(one), &one.labels, &one.spec)).collect()
        }
        ObjectKind::Deployment => {
            let of = |one: &Deployment| ObjectRef::Deployment(one.id.clone());
            fleet.deployments.values().map(|one| listed(of(one), &one.labels, &one.spec)).collect()
        }
    }
}

fn listed(of: ObjectRef, labels: &Labels, spec: &impl Serialize) -> Listed {
    let spec = serde_json::to_value(spec).expect("because it came from text");
    Listed { object: object(&of, labels, spec), labels: labels.clone(), of }
}

/// With the names of its files.
fn template(template: &Template) -> Listed {
    let mut spec = json!({"defaults": template.defaults});
    if let Some(parameters) = &template.parameters {
        spec["parameters"] = parameters.clone();
    }
    let mut listed = listed(ObjectRef::Template(template.id.clone()), &Labels::new(), &spec);
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
