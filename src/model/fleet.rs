//! The resolved objects, and the snapshot that holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    DeploymentRef, DeploymentSpec, FleetSpec, HostSpec, Labels, Name, RepoPath, Revision, Selector,
    TargetRef, TemplateRef, Values, WorkloadRef, WorkloadSpec, WorkspaceSpec,
};

/// One valid, cross-referenced snapshot of all objects at one revision.
///
/// Every reference in it resolves: a deployment's workload, template, target and workspace are all
/// here. Objects that exist but cannot be used are not in the maps; [`Fleet::held`] names what must
/// therefore stay as it is.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub revision: Option<Revision>,
    pub settings: FleetSpec,
    pub hosts: BTreeMap<Name, Arc<Host>>,
    pub workspaces: BTreeMap<Name, Arc<Workspace>>,
    pub templates: BTreeMap<TemplateRef, Arc<Template>>,
    pub targets: BTreeMap<TargetRef, Arc<Target>>,
    pub workloads: BTreeMap<WorkloadRef, Arc<Workload>>,
    pub deployments: BTreeMap<DeploymentRef, Arc<Deployment>>,
    pub held: Held,
}

/// What exists at this revision and cannot be used: it keeps its last good manifests, and is never
/// taken for deleted (invariant I6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Everything: the fleet's own settings cannot be read.
    pub all: Option<Hold>,
    /// These hosts' folders stay as they are.
    pub hosts: BTreeMap<Name, Hold>,
    /// These deployments stay where and as they are.
    pub deployments: BTreeMap<DeploymentRef, Hold>,
}

/// Why something is held: the first diagnostic that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The diagnostic's code.
    pub code: String,
    /// One line, such as `hosts/a.yaml:3:1: unknown field`.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: Name,
    /// The file that defines it, `hosts/[folder/…]<host>.yaml`.
    pub path: RepoPath,
    pub labels: Labels,
    pub spec: HostSpec,
}

impl Host {
    /// Longest path of a host's folder, in bytes: three names must have room below it. A host that
    /// is moved deeper stays where it is.
    pub const LONGEST_FOLDER: usize = RepoPath::MAX - 256;

    /// Its folder on the rendered and status branches: `hosts/[folder/…]<host>`.
    #[must_use]
    pub fn folder(&self) -> RepoPath {
        let text = self.path.as_str();
        let text = text.strip_suffix(".yaml").unwrap_or(text);
        RepoPath::new(text).expect("a host's file has a name before its ending")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub name: Name,
    /// Absent for the `default` workspace that has no file.
    pub path: Option<RepoPath>,
    pub labels: Labels,
    pub spec: WorkspaceSpec,
}

impl Workspace {
    /// Whether the workspace may use a host with these labels.
    #[must_use]
    pub fn allows(&self, host: &Host) -> bool {
        self.takes(&host.labels)
    }

    /// The same by the labels alone, of a host that there may not be.
    #[must_use]
    pub fn takes(&self, labels: &Labels) -> bool {
        self.spec.hosts.as_ref().is_none_or(|selector| selector.matches(labels))
    }
}

/// A template with everything that it extends folded in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub id: TemplateRef,
    /// Its `template.yaml`.
    pub path: RepoPath,
    pub defaults: Values,
    /// JSON Schema of the merged values.
    pub parameters: Option<serde_json::Value>,
    /// The files by their path below `files/`, `.tera` suffix included.
    pub files: BTreeMap<RepoPath, TemplateFile>,
}

/// One file of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFile {
    /// Where it lies in the config branch (differs from the template's folder when it is inherited).
    pub path: RepoPath,
    #[serde(with = "text_or_hex")]
    pub bytes: Arc<[u8]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: TargetRef,
    pub path: RepoPath,
    pub labels: Labels,
    pub selector: Selector,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    pub id: WorkloadRef,
    pub path: RepoPath,
    pub labels: Labels,
    pub spec: WorkloadSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentRef,
    pub path: RepoPath,
    pub labels: Labels,
    pub spec: DeploymentSpec,
    /// `spec.template`, or the workload's, resolved.
    pub template: TemplateRef,
    /// `spec.target`, resolved.
    pub target: TargetRef,
}

impl Fleet {
    /// The selector of a deployment's target.
    #[must_use]
    pub fn target_of(&self, deployment: &Deployment) -> &Target {
        self.targets.get(&deployment.target).expect("a fleet's references resolve")
    }

    #[must_use]
    pub fn workspace_of(&self, deployment: &Deployment) -> &Workspace {
        self.workspaces.get(&deployment.id.workspace).expect("a fleet's references resolve")
    }

    #[must_use]
    pub fn workload_of(&self, deployment: &Deployment) -> &Workload {
        self.workloads.get(&deployment.id.workload_ref()).expect("a fleet's references resolve")
    }

    #[must_use]
    pub fn template_of(&self, deployment: &Deployment) -> &Arc<Template> {
        self.templates.get(&deployment.template).expect("a fleet's references resolve")
    }

    /// Whether the deployment may run on the host: its target selects it and its workspace may use it.
    #[must_use]
    pub fn matches(&self, deployment: &Deployment, host: &Host) -> bool {
        self.target_of(deployment).selector.matches(&host.labels)
            && self.workspace_of(deployment).allows(host)
    }
}

/// Files are text, most of them.
mod text_or_hex {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::model::hex;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Form<T> {
        Text(T),
        Hex(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(bytes).map(Form::Text);
        text.unwrap_or_else(|_| Form::Hex(hex::encode(bytes))).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        match Form::<String>::deserialize(from)? {
            Form::Text(text) => Ok(text.into_bytes().into()),
            Form::Hex(text) => {
                hex::decode_all(&text).map(Arc::from).ok_or_else(|| D::Error::custom("no bytes"))
            }
        }
    }
}
