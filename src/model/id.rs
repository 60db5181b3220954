//! Names, references and object ids: a type for each, so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an object: an RFC 1123 label (lower case, digits, `-`; at most 63 characters; starts
/// and ends with a letter or digit). Such a name is safe as a path segment, a ref segment, a
/// Kubernetes name and a command argument.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Box<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name may not be empty")]
    Empty,
    #[error("a name has at most 63 characters, this one has {0}")]
    TooLong(usize),
    #[error("`{}` may not stand in a name", .0.escape_default())]
    Character(char),
    #[error("a name starts and ends with a letter or a digit")]
    Edge,
    #[error("`{0}` is reserved by some file systems")]
    Reserved(String),
}

/// Device names that Windows checkouts cannot hold.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

impl Name {
    /// Longest name, in characters.
    pub const MAX: usize = 63;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(NameError::Character(bad));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Edge);
        }
        let port = text.strip_prefix("com").or_else(|| text.strip_prefix("lpt"));
        let numbered = port.is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
        if RESERVED.contains(&text) || numbered {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The workspace that exists without a file.
    #[must_use]
    pub fn default_workspace() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An RFC 1123 label: lower case, digits and `-`, at most 63 characters",
            "type": "string",
            "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "maxLength": 63
        })
    }
}

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

/// A deployment's full name: `<workspace>/<workload>/<deployment>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentRef {
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

impl DeploymentRef {
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
        Ok(Self { workspace, workload, name })
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
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl FromStr for $type {
            type Err = RefError;
            fn from_str(text: &str) -> Result<Self, RefError> {
                let error = || RefError::new(text, $form);
                if text.len() != 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(error());
                }
                let mut bytes = [0; 20];
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let digits = std::str::from_utf8(digits).map_err(|_| error())?;
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| error())?;
                }
                Ok(Self(bytes))
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
