//! References and object ids: a type for each, so that none is taken for another.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hex;
use super::name::Name;

/// Writes `$type` as its text in serde, and reads it back through `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    )+};
}
pub(crate) use serde_as_text;

/// A reference that has not the form that it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not of the form `{form}`")]
pub struct RefError {
    pub text: String,
    pub form: &'static str,
}

impl RefError {
    pub(crate) fn new(text: &str, form: &'static str) -> Self {
        Self { text: text.escape_default().to_string(), form }
    }
}

/// A workload: `<workspace>/<workload>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    pub workspace: Name,
    pub name: Name,
}

/// A target: `<workspace>/<target>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    pub workspace: Name,
    pub name: Name,
}

/// A template: `<template>` where it is shared, `<workspace>/<template>` where a workspace owns it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateRef {
    /// `None`: shared by all workspaces.
    pub workspace: Option<Name>,
    pub name: Name,
}

/// A deployment's full name: `<workspace>/<workload>/<deployment>`. As large as a pointer, and cheap to
/// clone: a fleet of ten thousand hosts repeats a few dozen of them half a million times.
#[derive(Clone)]
pub struct DeploymentRef(Arc<DeploymentName>);

/// What a [`DeploymentRef`] consists of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentName {
    pub workspace: Name,
    pub workload: Name,
    pub name: Name,
}

/// An assignment's full name: `<workspace>/<workload>/<deployment>@<host>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssignmentRef {
    pub deployment: DeploymentRef,
    pub host: Name,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.name)
    }
}
impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.name)
    }
}
impl fmt::Display for TemplateRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.workspace {
            Some(workspace) => write!(f, "{workspace}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}
impl fmt::Display for DeploymentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.workspace, self.workload, self.name)
    }
}
impl fmt::Display for AssignmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.deployment, self.host)
    }
}

impl Deref for DeploymentRef {
    type Target = DeploymentName;

    fn deref(&self) -> &DeploymentName {
        &self.0
    }
}

// As with names: most that are compared are clones of each other.
impl Ord for DeploymentRef {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}
impl PartialOrd for DeploymentRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for DeploymentRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}
impl Eq for DeploymentRef {}
impl Hash for DeploymentRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl DeploymentRef {
    #[must_use]
    pub fn new(workspace: Name, workload: Name, name: Name) -> Self {
        Self(Arc::new(DeploymentName { workspace, workload, name }))
    }

    /// The workload that it is an instance of.
    #[must_use]
    pub fn workload_ref(&self) -> WorkloadRef {
        WorkloadRef { workspace: self.workspace.clone(), name: self.workload.clone() }
    }

    /// This deployment on one host.
    #[must_use]
    pub fn on(&self, host: &Name) -> AssignmentRef {
        AssignmentRef { deployment: self.clone(), host: host.clone() }
    }
}

fn names<const N: usize>(text: &str, form: &'static str) -> Result<[Name; N], RefError> {
    let error = || RefError::new(text, form);
    let names: Result<Vec<Name>, _> = text.split('/').map(Name::new).collect();
    names.map_err(|_| error())?.try_into().map_err(|_| error())
}

impl FromStr for WorkloadRef {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        let [workspace, name] = names(text, "<workspace>/<workload>")?;
        Ok(Self { workspace, name })
    }
}
impl FromStr for TargetRef {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        let [workspace, name] = names(text, "<workspace>/<target>")?;
        Ok(Self { workspace, name })
    }
}
impl FromStr for TemplateRef {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        const FORM: &str = "[<workspace>/]<template>";
        if text.contains('/') {
            let [workspace, name] = names(text, FORM)?;
            return Ok(Self { workspace: Some(workspace), name });
        }
        let [name] = names(text, FORM)?;
        Ok(Self { workspace: None, name })
    }
}
impl FromStr for DeploymentRef {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        let [workspace, workload, name] = names(text, "<workspace>/<workload>/<deployment>")?;
        Ok(Self::new(workspace, workload, name))
    }
}
impl FromStr for AssignmentRef {
    type Err = RefError;
    fn from_str(text: &str) -> Result<Self, RefError> {
        let error = || RefError::new(text, "<workspace>/<workload>/<deployment>@<host>");
        let (deployment, host) = text.split_once('@').ok_or_else(error)?;
        let deployment = deployment.parse().map_err(|_| error())?;
        Ok(Self { deployment, host: Name::new(host).map_err(|_| error())? })
    }
}
serde_as_text!(WorkloadRef, TargetRef, TemplateRef, DeploymentRef, AssignmentRef);

/// The kinds of object that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    Fleet,
    Host,
    Workspace,
    Template,
    Target,
    Workload,
    Deployment,
}

impl ObjectKind {
    pub const ALL: [Self; 7] = [
        Self::Fleet,
        Self::Host,
        Self::Workspace,
        Self::Template,
        Self::Target,
        Self::Workload,
        Self::Deployment,
    ];

    /// As `kind:` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Host => "Host",
            Self::Workspace => "Workspace",
            Self::Template => "Template",
            Self::Target => "Target",
            Self::Workload => "Workload",
            Self::Deployment => "Deployment",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Any object, by its kind and full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectRef {
    Fleet,
    Host(Name),
    Workspace(Name),
    Template(TemplateRef),
    Target(TargetRef),
    Workload(WorkloadRef),
    Deployment(DeploymentRef),
}

impl ObjectRef {
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Fleet => ObjectKind::Fleet,
            Self::Host(_) => ObjectKind::Host,
            Self::Workspace(_) => ObjectKind::Workspace,
            Self::Template(_) => ObjectKind::Template,
            Self::Target(_) => ObjectKind::Target,
            Self::Workload(_) => ObjectKind::Workload,
            Self::Deployment(_) => ObjectKind::Deployment,
        }
    }

    /// The workspace that owns it; `None` for what belongs to the platform team.
    #[must_use]
    pub fn workspace(&self) -> Option<&Name> {
        match self {
            Self::Fleet | Self::Host(_) => None,
            Self::Workspace(name) => Some(name),
            Self::Template(template) => template.workspace.as_ref(),
            Self::Target(target) => Some(&target.workspace),
            Self::Workload(workload) => Some(&workload.workspace),
            Self::Deployment(deployment) => Some(&deployment.workspace),
        }
    }

    /// Its last name: what the path ends with.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Fleet => None,
            Self::Host(name) | Self::Workspace(name) => Some(name),
            Self::Template(template) => Some(&template.name),
            Self::Target(target) => Some(&target.name),
            Self::Workload(workload) => Some(&workload.name),
            Self::Deployment(deployment) => Some(&deployment.name),
        }
    }
}

impl fmt::Display for ObjectRef {
    /// `host tim-pi`, `deployment iot/temperature-sensor/prod`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => write!(f, "fleet"),
            Self::Host(name) => write!(f, "host {name}"),
            Self::Workspace(name) => write!(f, "workspace {name}"),
            Self::Template(template) => write!(f, "template {template}"),
            Self::Target(target) => write!(f, "target {target}"),
            Self::Workload(workload) => write!(f, "workload {workload}"),
            Self::Deployment(deployment) => write!(f, "deployment {deployment}"),
        }
    }
}

/// Defines a Git object id: 40 lower-case hexadecimal digits (SHA-1).
macro_rules! object_id {
    ($(#[$doc:meta])* $type:ident, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; 20]);

        impl $type {
            #[must_use]
            pub fn from_bytes(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }
            /// The first 8 digits: enough for people, not for programs.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }
        impl FromStr for $type {
            type Err = RefError;
            fn from_str(text: &str) -> Result<Self, RefError> {
                hex::decode(text).map(Self).ok_or_else(|| RefError::new(text, $form))
            }
        }
        serde_as_text!($type);
    };
}

object_id!(
    /// A Git commit id.
    Revision,
    "<40 hexadecimal digits of a commit id>"
);
object_id!(
    /// A Git tree id: equal ids mean equal content.
    TreeId,
    "<40 hexadecimal digits of a tree id>"
);

impl Revision {
    /// Stands for "no commit": a directory that is validated, or a branch that does not exist.
    pub const NONE: Self = Self([0; 20]);
}
