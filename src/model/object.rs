//! The objects as people write them: Kubernetes' object form, one `spec` type for each kind.
//!
//! The JSON Schemas in `schemas/` are generated from these types; their doc comments are the
//! descriptions that an editor shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::host_key::MOST_KEYS;
use super::{Admin, Enrollment, HostKey, Issuer, Labels, Limits, Member, Selector};

/// The `apiVersion` of every object.
pub const API_VERSION: &str = "titan.dev/v1";

/// Values for templates: a map of anything that JSON can hold.
pub type Values = Map<String, Value>;

/// One file of the config branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object<Spec> {
    /// Always `titan.dev/v1`
    pub api_version: String,
    /// The kind of object; the path decides which it must be
    pub kind: String,
    /// Name and labels
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// What is wanted
    pub spec: Spec,
}

/// Name and labels of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// May repeat the name that the path tells
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// May repeat the workspace that the path tells
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// What selectors match; keys and values as in Kubernetes
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Notes for people and other tools; titan does not read them
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

impl Metadata {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Settings of the whole fleet (`titan.yaml`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetSpec {
    /// Where people find the config repository; written to `hydrator.metadata`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
    /// What is too dangerous to do without a second look
    #[serde(default)]
    pub guards: Guards,
    /// Names of the branches that titan writes
    #[serde(default)]
    pub branches: Branches,
    /// Bounds on sizes, numbers and times
    #[serde(default)]
    pub limits: Limits,
    /// Who may change everything
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admins: Vec<Admin>,
    /// Whose tokens say who somebody is: OpenID Connect providers, of people and of CI jobs
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<Issuer>,
}

/// What is held until somebody confirms it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guards {
    /// How many assignments one commit may remove: a number, or a share such as `20%` (`100%` holds
    /// nothing); unless set, `20%`, but always 10
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_removals: Option<Removals>,
}

/// A number of assignments, or a share of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Removals {
    /// At most so many
    Count(u32),
    /// At most this share of all assignments
    Percent(#[schemars(regex(pattern = r"^(100|[0-9]{1,2})%$"))] String),
}

/// Names of the branches that titan writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Branches {
    /// What every host must run
    pub rendered: String,
    /// What hosts report
    pub status: String,
}

impl Default for Branches {
    fn default() -> Self {
        Self { rendered: "titan/rendered".into(), status: "titan/status".into() }
    }
}

/// Something that accepts workloads declaratively as a unit: a cluster, a Docker machine, a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSpec {
    /// What brings the manifests to life there
    #[serde(default)]
    pub runtime: Runtime,
    /// Facts about this host; templates read them as `host.values.*`
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Values,
    /// `true`: nothing new is placed here, what is here stays
    #[serde(default)]
    pub cordoned: bool,
    /// SHA-256 digests of the tokens with which the host's agent reports (`titan host token`)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^sha256:[0-9a-f]{64}$")))]
    pub tokens: Vec<String>,
    /// Public keys with which the host's agent proves itself; the private ones never leave the host (`titan host enroll`)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_KEYS))]
    pub keys: Vec<HostKey>,
    /// A single-use token with which the agent registers its key; gone when that is done
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<Enrollment>,
}

/// What brings manifests to life on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A Kubernetes cluster; manifests are Kubernetes objects
    #[default]
    Kubernetes,
    /// A Docker machine; manifests are Compose files
    Docker,
    /// A directory on a machine; manifests are any files
    Directory,
    /// Flux or Argo CD pull the folder themselves; manifests are Kubernetes objects
    External,
}

impl Runtime {
    /// Whether every YAML file must be a Kubernetes object.
    #[must_use]
    pub fn wants_kubernetes_objects(self) -> bool {
        matches!(self, Self::Kubernetes | Self::External)
    }
}

/// The tenant: owns workloads, targets and deployments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceSpec {
    /// The hosts that this workspace may use; absent: all
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Selector>,
    /// Values for all its deployments
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Values,
    /// What its manifests may contain; absent: anything
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Who may do what here
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// What a workspace's manifests may contain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Allowed kinds; absent: any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Allowed namespaces; absent: any. An object without a namespace is refused then
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
}

/// How files are filled for a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateSpec {
    /// Another template whose files, defaults and parameters this one starts from
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Values where nobody gives others
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub defaults: Values,
    /// A JSON Schema that the merged values must satisfy
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

/// A named set of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSpec {
    /// Which hosts; `{}` selects every host
    pub selector: Selector,
}

/// A set of resources deployed as a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// The workload's own source repository
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The template of its deployments, unless they name another
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Values for all its deployments
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Values,
}

/// One instance of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentSpec {
    /// The template; absent: the workload's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The target whose hosts run it
    pub target: String,
    /// On how many of the target's hosts; absent: on all
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: Option<u32>,
    /// With `replicas`: a label whose values should differ between the chosen hosts
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
    /// Values for this deployment
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Values,
    /// Values for some of its hosts, applied in order
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// `true`: what is deployed stays as it is
    #[serde(default)]
    pub suspend: bool,
}

/// Values for the hosts that a selector matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// Which of the deployment's hosts
    pub selector: Selector,
    /// What differs there
    pub values: Values,
}
