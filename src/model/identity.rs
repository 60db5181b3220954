//! Who is who, and who may do what: members, admins, and those whose word on it is taken.
//!
//! ```text
//!  Fleet.spec.identity    Issuer (people) ─▶ user, groups ─┐
//!                         Issuer (ci)     ─▶ jobs          ├─ matched by ─▶ Member: role in a workspace
//!                                                          └─ matched by ─▶ Admin: everything
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Somebody, and what they may do. Exactly one of `user`, `group` and `ci` says who
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// One person, by the subject or address that the identity provider gives
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Everybody in a group of the identity provider
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// CI jobs, by their name in `Fleet.spec.identity`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    /// Whose user or group it is: a name in `Fleet.spec.identity`; absent: the first one of people
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What they may do
    pub role: Role,
}

/// Somebody who may change everything. Exactly one of `user`, `group` and `ci` says who
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// One person, by the subject or address that the identity provider gives
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Everybody in a group of the identity provider
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// CI jobs, by their name in `Fleet.spec.identity`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    /// Whose user or group it is: a name in `Fleet.spec.identity`; absent: the first one of people
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// What somebody may do in a workspace.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read
    Viewer,
    /// Read; make and change deployments
    Deployer,
    /// Also make and change workloads, targets and templates
    Editor,
    /// Also delete, and change the workspace and its members; not its bounds (`hosts`, `policy`)
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Deployer, Self::Editor, Self::Owner];

    /// As `role:` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

/// An OpenID Connect provider whose tokens are accepted
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issuer {
    /// What members and admins call it
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// The `iss` of its tokens, exactly: an `https` URL (`http` only on loopback)
    pub issuer: String,
    /// The `aud` that its tokens must have: what titan is called there
    pub audience: String,
    /// What `titan login` is called there: a public client; absent: nobody logs in with it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What `titan login` asks for beside `openid`; absent: `profile email offline_access`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whom it speaks of
    #[serde(default)]
    pub kind: IssuerKind,
    /// The claim that members' `user` is compared with; `email` counts only where `email_verified` is true
    #[serde(default = "sub", skip_serializing_if = "is_sub")]
    pub subject_claim: String,
    /// The claim that members' `group` is compared with
    #[serde(default = "groups", skip_serializing_if = "is_groups")]
    pub groups_claim: String,
    /// Where its keys are; absent: where its discovery document says
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// How its tokens may be signed; absent: `RS256` or `ES256`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<Algorithm>>,
    /// With `kind: ci`: which jobs are known. A job that none of them matches is nobody
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
}

/// Whom an issuer's tokens speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// People, by a subject and groups
    #[default]
    People,
    /// Jobs of a CI system, by their claims
    Ci,
}

/// CI jobs that are known by what their token claims
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// What members and admins call it (`ci:`)
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// Claims that the token must have, each with exactly this value
    #[serde(rename = "match")]
    pub claims: BTreeMap<String, String>,
}

/// How a token may be signed: always with a key pair, never with a shared secret (RFC 7518, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Issuer {
    /// How its tokens may be signed.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        self.algorithms.as_deref().unwrap_or(&[Algorithm::RS256, Algorithm::ES256])
    }
}

fn sub() -> String {
    "sub".into()
}

fn is_sub(claim: &str) -> bool {
    claim == "sub"
}

fn groups() -> String {
    "groups".into()
}

fn is_groups(claim: &str) -> bool {
    claim == "groups"
}

/// Who is meant by a [`Member`] or an [`Admin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who<'a> {
    pub user: Option<&'a str>,
    pub group: Option<&'a str>,
    pub ci: Option<&'a str>,
    pub issuer: Option<&'a str>,
}

impl Member {
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        who(&self.user, &self.group, &self.ci, &self.issuer)
    }
}

impl Admin {
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        who(&self.user, &self.group, &self.ci, &self.issuer)
    }
}

fn who<'a>(
    user: &'a Option<String>,
    group: &'a Option<String>,
    ci: &'a Option<String>,
    issuer: &'a Option<String>,
) -> Who<'a> {
    Who {
        user: user.as_deref(),
        group: group.as_deref(),
        ci: ci.as_deref(),
        issuer: issuer.as_deref(),
    }
}
