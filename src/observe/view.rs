//! What people read: the statuses of a fleet, a deployment or a host, from the status branch.

use serde::Serialize;

use super::files;
use super::fold::{ASSIGNMENT_KIND, EXTERNAL};
use crate::git::{EntryKind, GitError, Repository};
use crate::model::{
    AssignmentStatus, DeploymentRef, DiagnosticsFile, FleetStatus, HostStatus, Name, Phase,
    RepoPath, Revision, TreeId,
};

/// One answer for many assignments; the worst of them decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// All is where it should be, and the hosts say so.
    Deployed,
    /// In Git for Flux or Argo CD, which tell titan nothing; the rest is deployed.
    Unreported,
    /// Not yet, or nobody knows: hosts that are silent.
    Pending,
    /// Something is held back until somebody mends it.
    Held,
    /// Something is Degraded, Failed or Stalled.
    Failed,
}

impl Verdict {
    /// The verdict on one assignment.
    #[must_use]
    pub fn of(status: &AssignmentStatus) -> Self {
        match status.phase {
            Phase::Deployed | Phase::Removed => Self::Deployed,
            Phase::Unknown if status.reason == EXTERNAL => Self::Unreported,
            phase if phase.is_bad() => Self::Failed,
            _ => Self::Pending,
        }
    }

    /// The worst of all; Deployed when there is none.
    #[must_use]
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::Deployed)
    }
}

/// The status branch at one of its commits, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The commit; `None` when the branch does not exist yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<DiagnosticsFile>,
    /// In the order of their names.
    pub hosts: Vec<HostStatus>,
    /// In the order of deployments, then hosts.
    pub assignments: Vec<AssignmentStatus>,
    /// Files that are not titan's, or damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<RepoPath>,
}

/// Which statuses to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Fleet,
    /// One deployment on all its hosts, and those hosts.
    Deployment(DeploymentRef),
    /// One host with all its assignments.
    Host(Name),
}

impl StatusView {
    /// Reads the status branch at `revision`; only the files that `scope` asks for.
    ///
    /// # Errors
    /// When objects cannot be read. A damaged status file is no error: it is named.
    pub fn read(
        repository: &Repository,
        revision: Option<Revision>,
        scope: &Scope,
    ) -> Result<Self, GitError> {
        let mut view = Self { revision, ..Self::default() };
        let Some(revision) = revision else { return Ok(view) };
        let tree = repository.commit(revision)?.tree;
        view.fleet = view.file(repository, tree, &files::fleet_path())?;
        view.diagnostics = view.file(repository, tree, &files::diagnostics_path())?;
        for (path, entry) in repository.walk(tree)? {
            if scope.may_hold(&path) {
                view.take(&path, &repository.blob(entry.id)?, scope);
            }
        }
        if let Scope::Deployment(deployment) = scope {
            view.hosts_of(repository, tree, deployment)?;
        }
        view.hosts.sort_by(|a, b| a.host.cmp(&b.host));
        view.assignments.sort_by(|a, b| a.assignment.cmp(&b.assignment));
        Ok(view)
    }

    /// The verdict on all assignments that were read. What is held back counts for the whole fleet only.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::worst(self.assignments.iter().map(Verdict::of))
    }

    /// The verdict on the fleet: assignments, what is held, what found no host.
    #[must_use]
    pub fn fleet_verdict(&self) -> Verdict {
        let fleet = self.fleet.as_ref();
        let held = fleet.is_some_and(|fleet| !fleet.held.is_empty() || !fleet.unplaced.is_empty());
        self.verdict().max(if held { Verdict::Held } else { Verdict::Deployed })
    }

    fn file<T: serde::de::DeserializeOwned>(
        &mut self,
        repository: &Repository,
        tree: TreeId,
        path: &RepoPath,
    ) -> Result<Option<T>, GitError> {
        let Some(bytes) = repository.file(tree, path)? else { return Ok(None) };
        let read = files::read(&bytes).ok();
        if read.is_none() {
            self.unreadable.push(path.clone());
        }
        Ok(read)
    }

    fn take(&mut self, path: &RepoPath, bytes: &[u8], scope: &Scope) {
        let read = match files::kind(bytes) {
            Some(files::HOST_KIND) => files::read::<HostStatus>(bytes).map(|status| {
                if *scope != Scope::Host(status.host.clone()) && *scope != Scope::Fleet {
                    return;
                }
                self.hosts.push(status);
            }),
            Some(ASSIGNMENT_KIND) => files::read::<AssignmentStatus>(bytes).map(|status| {
                if scope.holds(&status) {
                    self.assignments.push(status);
                }
            }),
            _ => return self.unreadable.push(path.clone()),
        };
        if read.is_err() {
            self.unreadable.push(path.clone());
        }
    }

    /// The hosts that have a status of the deployment.
    fn hosts_of(
        &mut self,
        repository: &Repository,
        tree: TreeId,
        deployment: &DeploymentRef,
    ) -> Result<(), GitError> {
        let end = format!("/{deployment}");
        for (path, entry) in repository.walk(tree)? {
            let text = path.as_str();
            let name = text.strip_suffix(".yaml").and_then(|text| text.rsplit('/').next());
            let host = name.and_then(|name| Name::new(name).ok());
            let wanted = host.is_some_and(|host| {
                self.assignments.iter().any(|status| status.assignment.host == host)
            });
            if wanted && !text.contains(&end) {
                let bytes = repository.blob(entry.id)?;
                if let (Some(files::HOST_KIND), Ok(status)) =
                    (files::kind(&bytes), files::read::<HostStatus>(&bytes))
                {
                    self.hosts.push(status);
                }
            }
        }
        Ok(())
    }
}

/// The statuses of a host's assignments, in the order of their names, or of `only` one of them. The host
/// lies in `folder` below the `root` of the status branch. Files that are not titan's are left out.
///
/// # Errors
/// When objects cannot be read.
pub fn of_host(
    repository: &Repository,
    root: TreeId,
    folder: &RepoPath,
    only: Option<&DeploymentRef>,
) -> Result<Vec<AssignmentStatus>, GitError> {
    let read = |bytes: &[u8]| files::read::<AssignmentStatus>(bytes).ok();
    if let Some(only) = only {
        let path = files::assignment_path(folder, only);
        let file = path.map(|path| repository.file(root, &path)).transpose()?.flatten();
        return Ok(file.and_then(|bytes| read(&bytes)).into_iter().collect());
    }
    let Some(entry) = repository.entry(root, folder)? else { return Ok(Vec::new()) };
    if entry.kind != EntryKind::Tree {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (path, entry) in repository.walk(entry.id)? {
        let bytes = repository.blob(entry.id)?;
        // Other hosts may lie in the same folder.
        let status = read(&bytes).filter(|status| {
            let place = files::assignment_path(folder, &status.assignment.deployment);
            place == folder.join(path.as_str()).ok()
        });
        found.extend(status);
    }
    found.sort_by_cached_key(|status| status.assignment.deployment.to_string());
    Ok(found)
}

impl Scope {
    /// Whether the file at `path` can matter; saves reading it.
    fn may_hold(&self, path: &RepoPath) -> bool {
        let Some(text) = path.as_str().strip_prefix("hosts/") else { return false };
        match self {
            Self::Fleet => true,
            Self::Deployment(deployment) => text.ends_with(&format!("/{deployment}.yaml")),
            Self::Host(host) => {
                let mut parts = text.split('/');
                parts.any(|part| part.strip_suffix(".yaml").unwrap_or(part) == host.as_str())
            }
        }
    }

    fn holds(&self, status: &AssignmentStatus) -> bool {
        match self {
            Self::Fleet => true,
            Self::Deployment(deployment) => status.assignment.deployment == *deployment,
            Self::Host(host) => status.assignment.host == *host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::observe::fold::{self, Delivery, Origin};

    #[test]
    fn the_worst_assignment_decides() {
        let (id, time) = (Revision::NONE, Timestamp::UNIX_EPOCH);
        let origin = Origin { source: id, rendered: id, committed: time, published: time };
        let name = "iot/sensor/prod@a".parse().unwrap();
        let wish = |delivery| fold::desire(None, &name, None, origin, delivery, time).unwrap();
        assert_eq!(Verdict::of(&wish(Delivery::External)), Verdict::Unreported);
        for phase in Phase::ALL {
            let expected = match phase {
                Phase::Deployed | Phase::Removed => Verdict::Deployed,
                Phase::Degraded | Phase::Failed | Phase::Stalled => Verdict::Failed,
                _ => Verdict::Pending,
            };
            let status = AssignmentStatus { phase, ..wish(Delivery::Agent) };
            assert_eq!(Verdict::of(&status), expected, "{phase}");
        }
        assert_eq!(Verdict::worst([]), Verdict::Deployed);
        let mixed = [Verdict::Pending, Verdict::Failed, Verdict::Held, Verdict::Deployed];
        assert_eq!(Verdict::worst(mixed), Verdict::Failed);
    }
}
