//! The files of the status branch: where they lie, and how they are written and read.

mod plain;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::model::{
    AssignmentRef, AssignmentStatus, DeploymentRef, Name, RepoPath, RequestId, hex,
};

pub(super) use plain::Names;

/// `kind` of a host's status file.
pub const HOST_KIND: &str = "HostStatus";
/// `kind` of the fleet's status file.
pub const FLEET_KIND: &str = "FleetStatus";
/// `kind` of the file of diagnostics.
pub const DIAGNOSTICS_KIND: &str = "Diagnostics";

/// `kind` of the file of a request that was refused.
pub const REQUEST_KIND: &str = "RequestStatus";
/// The folder of these files.
pub(super) const REQUESTS: &str = "requests";

/// Most diagnostics that [`crate::model::DiagnosticsFile`] lists; its counts are exact.
pub const DIAGNOSTICS: usize = 1000;

/// A status file that cannot be read: somebody else wrote it.
#[derive(Debug, thiserror::Error)]
#[error("not a status file of titan: {0}")]
pub struct FileError(String);

/// Where [`crate::model::FleetStatus`] lies.
#[must_use]
pub fn fleet_path() -> RepoPath {
    fixed("fleet.yaml")
}

/// Where [`crate::model::DiagnosticsFile`] lies.
#[must_use]
pub fn diagnostics_path() -> RepoPath {
    fixed("diagnostics.yaml")
}

/// Where [`crate::model::RequestStatus`] lies: by a digest of the id, so that folders stay small and
/// whatever an id may hold makes a path.
#[must_use]
pub fn request_path(id: &RequestId) -> RepoPath {
    let digest = hex::encode(&Sha256::digest(id.as_str())[..20]);
    let (folder, name) = digest.split_at(2);
    fixed(&format!("{REQUESTS}/{folder}/{name}.yaml"))
}

/// Where a host's status lies; `folder` is the host's on the rendered branch, `hosts/[folder/…]<host>`.
#[must_use]
pub fn host_path(folder: &RepoPath) -> Option<RepoPath> {
    RepoPath::new(&format!("{folder}.yaml")).ok()
}

/// Where an assignment's status lies, below its host's folder; `None` when that path is too long for
/// Git's users.
#[must_use]
pub fn assignment_path(folder: &RepoPath, deployment: &DeploymentRef) -> Option<RepoPath> {
    folder.join(&assignment_file(deployment)).ok()
}

/// The same, below that folder.
pub(super) fn assignment_file(deployment: &DeploymentRef) -> String {
    format!("{deployment}.yaml")
}

fn fixed(path: &str) -> RepoPath {
    RepoPath::new(path).expect("a part of a valid path is a valid path")
}

/// The host's folder, if this is where the status of `host` may lie.
#[must_use]
pub fn folder_of_host(path: &RepoPath, host: &Name) -> Option<RepoPath> {
    let folder = path.as_str().strip_suffix(".yaml")?;
    let inside = folder.strip_prefix("hosts/")?;
    (inside.rsplit('/').next() == Some(host.as_str())).then(|| fixed(folder))
}

/// The host's folder, if this is where the status of `assignment` may lie.
#[must_use]
pub fn folder_of_assignment(path: &RepoPath, assignment: &AssignmentRef) -> Option<RepoPath> {
    let end = format!("/{}.yaml", assignment.deployment);
    let folder = path.as_str().strip_suffix(&end)?;
    let inside = folder.strip_prefix("hosts/")?;
    (inside.rsplit('/').next() == Some(assignment.host.as_str())).then(|| fixed(folder))
}

/// The content of a status file: YAML in block style, LF, one newline at the end. The same value
/// gives the same bytes.
#[must_use]
pub fn write<T: Serialize>(status: &T) -> Vec<u8> {
    let text = serde_saphyr::to_string(status).expect("status types hold nothing that YAML lacks");
    let mut text = text.trim_end_matches('\n').to_owned();
    text.push('\n');
    text.into_bytes()
}

/// The content of an assignment's file: what [`write()`] gives, faster.
#[must_use]
pub fn write_assignment(status: &AssignmentStatus) -> Vec<u8> {
    plain::write(status).unwrap_or_else(|| write(status))
}

/// Reads an assignment's file: what [`read`] gives, faster for what titan wrote.
pub(super) fn read_assignment(
    bytes: &[u8],
    names: &mut Names,
) -> Result<AssignmentStatus, FileError> {
    plain::read(bytes, names).map_or_else(|| read(bytes), Ok)
}

/// Reads a status file.
///
/// # Errors
/// [`FileError`] when it is not of the expected shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| FileError(error.to_string()))?;
    serde_saphyr::from_str(text).map_err(|error| FileError(first_line(&error.to_string())))
}

/// What kind of status file this is; cheaper than parsing it, for titan writes `kind` second.
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<&str> {
    let line = bytes.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"kind: "))?;
    std::str::from_utf8(&line[b"kind: ".len()..]).ok().map(str::trim)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
