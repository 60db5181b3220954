//! The nouns. Plain data that every stage speaks of; no effect lives here.
//!
//! ```text
//!  Workspace ─┬─ Target ──selects──▶ Host
//!             ├─ Workload ── Deployment ──▶ Template
//!             │                 │
//!             │                 └── × Host = Assignment ──▶ Manifests ──▶ AssignmentStatus
//!             └─ Template
//!  Fleet = one valid, cross-referenced snapshot of all of them at one Revision
//! ```
//!
//! Files in the config branch have the form of [`Object`]; their `spec` types end in `Spec` and are
//! the source of the JSON Schemas. What the stages use are the resolved forms in [`fleet`].

pub mod access;
pub mod assignment;
pub(crate) mod base64;
pub mod desired;
pub mod diagnostic;
#[cfg(test)]
pub(crate) mod fixture;
pub mod fleet;
pub mod form;
pub(crate) mod hex;
pub mod host_key;
pub mod id;
pub mod identity;
pub mod labels;
pub mod limits;
pub mod manifest;
pub mod merge;
pub mod name;
pub(crate) mod nearest;
pub mod object;
pub mod path;
pub mod report;
pub mod request;
mod selector_text;
pub mod source;
pub mod status;
pub mod trees;
pub mod url;

pub use access::{Decision, Need, Person, Subject, Verb, authorize};
pub use assignment::{Assignments, Schedule, Unplaced};
pub use desired::{HostDeployment, HostDeployments, HostFile, HostProblem};
pub use diagnostic::{Diagnostic, Recovery, Severity, Span};
pub use fleet::{Deployment, Fleet, Held, Hold, Host, Target, Template, Workload, Workspace};
pub use host_key::{Enrollment, HostKey};
pub use id::{
    AssignmentRef, DeploymentRef, ObjectKind, ObjectRef, Revision, TargetRef, TemplateRef, TreeId,
    WorkloadRef,
};
pub use identity::{Admin, Algorithm, Issuer, IssuerKind, Job, Member, Role, Who};
pub use labels::{Labels, Operator, Requirement, Selector};
pub use limits::{Limits, Size, Span as TimeSpan};
pub use manifest::Manifests;
pub use name::{Name, NameError};
pub use object::{
    API_VERSION, Branches, DeploymentSpec, FleetSpec, Guards, HostSpec, Metadata, Object, Override,
    Policy, Removals, Runtime, TargetSpec, TemplateSpec, Values, WorkloadSpec, WorkspaceSpec,
};
pub use path::{PathError, RepoPath};
pub use report::{AssignmentReport, HostReport, ReportAnswer};
pub use request::{RequestId, RequestIdError, RequestStatus};
pub use selector_text::SelectorError;
pub use source::{Content, SourceChanges, SourceFile};
pub use status::{
    AssignmentStatus, Connection, Desired, DiagnosticsFile, FleetStatus, HostStatus, Observed,
    Phase, Trail,
};
pub use trees::{Pairs, Trees};

/// A point in time, to the millisecond, always UTC (RFC 3339 in files).
pub use jiff::Timestamp;
