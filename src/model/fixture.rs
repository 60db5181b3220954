//! Fleets for tests, built without the parser.

use std::sync::Arc;

use serde_json::Value;

use super::fleet::TemplateFile;
use super::{
    Deployment, Fleet, Hold, Host, Labels, Name, RepoPath, Target, TargetRef, Template,
    TemplateRef, TemplateSpec, Workload, WorkloadSpec, Workspace, WorkspaceSpec,
};

/// Adds objects one by one; every method panics on a malformed argument.
#[derive(Debug, Default)]
pub(crate) struct FleetBuilder {
    pub(crate) fleet: Fleet,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a test's name is valid")
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a test's path is valid")
}

fn spec<T: serde::de::DeserializeOwned>(spec: Value) -> T {
    serde_json::from_value(spec).expect("a test's spec is valid")
}

/// `region=eu,ring=canary`.
pub(crate) fn labels(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

impl FleetBuilder {
    /// A fleet with the default workspace, the target `default/all` and the workload `default/app`.
    pub(crate) fn new() -> Self {
        Self::default().workspace("default", serde_json::json!({}))
    }

    pub(crate) fn host(self, host: &str, labels: &str) -> Self {
        self.host_with(host, labels, serde_json::json!({}))
    }

    pub(crate) fn host_with(mut self, host: &str, of: &str, object: Value) -> Self {
        let host = Host {
            name: name(host),
            path: path(&format!("hosts/{host}.yaml")),
            labels: labels(of),
            spec: spec(object),
        };
        self.fleet.hosts.insert(host.name.clone(), Arc::new(host));
        self
    }

    /// The workspace, with its target `all` and its workload `app` (template `app`).
    pub(crate) fn workspace(mut self, workspace: &str, object: Value) -> Self {
        let path = Some(path(&format!("workspaces/{workspace}/workspace.yaml")));
        let spec: WorkspaceSpec = spec(object);
        let object = Workspace { name: name(workspace), path, labels: Labels::new(), spec };
        self.fleet.workspaces.insert(object.name.clone(), Arc::new(object));
        self.target(&format!("{workspace}/all"), serde_json::json!({}))
            .workload(&format!("{workspace}/app"), serde_json::json!({"template": "app"}))
    }

    pub(crate) fn target(mut self, id: &str, selector: Value) -> Self {
        let id: TargetRef = id.parse().expect("a test's target is valid");
        let path = path(&format!("workspaces/{}/targets/{}.yaml", id.workspace, id.name));
        let selector = spec(selector);
        let target = Target { id, path, labels: Labels::new(), selector };
        self.fleet.targets.insert(target.id.clone(), Arc::new(target));
        self
    }

    pub(crate) fn workload(mut self, id: &str, object: Value) -> Self {
        let id: super::WorkloadRef = id.parse().expect("a test's workload is valid");
        let path =
            path(&format!("workspaces/{}/workloads/{}/workload.yaml", id.workspace, id.name));
        let spec: WorkloadSpec = spec(object);
        let workload = Workload { id, path, labels: labels("tier=edge"), spec };
        self.fleet.workloads.insert(workload.id.clone(), Arc::new(workload));
        self
    }

    /// A shared template; `files` are paths below `files/` and their contents.
    pub(crate) fn template(mut self, id: &str, object: Value, files: &[(&str, &str)]) -> Self {
        let id: TemplateRef = id.parse().expect("a test's template is valid");
        let folder = format!("templates/{}", id.name);
        let spec: TemplateSpec = spec(object);
        let file = |(below, content): &(&str, &str)| {
            let at = path(&format!("{folder}/files/{below}"));
            (path(below), TemplateFile { path: at, bytes: content.as_bytes().into() })
        };
        let template = Template {
            id,
            path: path(&format!("{folder}/template.yaml")),
            defaults: spec.defaults,
            parameters: spec.parameters.map(Value::Object),
            files: files.iter().map(file).collect(),
        };
        self.fleet.templates.insert(template.id.clone(), Arc::new(template));
        self
    }

    /// Without a `target`: `all`; without a `template`: the workload's, else `app`.
    pub(crate) fn deployment(mut self, id: &str, mut object: Value) -> Self {
        let id: super::DeploymentRef = id.parse().expect("a test's deployment is valid");
        if object.get("target").is_none() {
            object["target"] = "all".into();
        }
        let spec: super::DeploymentSpec = spec(object);
        let workload = self.fleet.workloads.get(&id.workload_ref());
        let template = spec.template.clone().or_else(|| workload?.spec.template.clone());
        let path = format!(
            "workspaces/{}/workloads/{}/deployments/{}.yaml",
            id.workspace, id.workload, id.name
        );
        let deployment = Deployment {
            path: self::path(&path),
            labels: labels("stage=prod"),
            template: template.as_deref().unwrap_or("app").parse().expect("a template's name"),
            target: TargetRef { workspace: id.workspace.clone(), name: name(&spec.target) },
            spec,
            id,
        };
        self.fleet.deployments.insert(deployment.id.clone(), Arc::new(deployment));
        self
    }

    /// Takes a host or a deployment out of the maps and holds it.
    pub(crate) fn hold(mut self, what: &str) -> Self {
        let hold = Hold { code: "field/unknown".into(), reason: "broken".into() };
        if what.contains('/') {
            let id: super::DeploymentRef = what.parse().expect("a test's deployment is valid");
            self.fleet.deployments.remove(&id);
            self.fleet.held.deployments.insert(id, hold);
        } else {
            self.fleet.hosts.remove(what);
            self.fleet.held.hosts.insert(name(what), hold);
        }
        self
    }
}
