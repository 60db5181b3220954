//! An answer, read from Git objects.

use std::collections::BTreeSet;

use super::super::error::Refused;
use super::known::unreadable;
use crate::git::{Reader, Repository};
use crate::model::{
    DeploymentRef, HostDeployment, HostDeployments, HostFile, HostProblem, Limits, Name, Revision,
    TreeId,
};
use crate::publish::{Changes, FilesError, FolderError, HostFolder, host_files, host_folder};

/// Bytes of files in one answer; the assignments that come after that are asked for one by one.
const INLINE: usize = 4 << 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) host: Name,
    /// Of its folder.
    pub(super) tree: TreeId,
    /// Of its folder as the client knows it; `None`: everything is told.
    pub(super) base: Option<TreeId>,
    /// Nothing but this.
    pub(super) only: Option<DeploymentRef>,
}

/// Reads it; `head` is the rendered commit and its generation.
pub(super) fn read(
    repository: &Repository,
    limits: &Limits,
    (rendered, generation): (Revision, u64),
    wanted: &Wanted,
) -> Result<HostDeployments, Refused> {
    let reader = repository.reader();
    let Wanted { host, tree, .. } = wanted;
    let mut now = host_folder(&reader, host, *tree).map_err(refused)?;
    if let Some(only) = &wanted.only {
        now.assignments.retain(|deployment, _| deployment == only);
    }
    // A base that is not this host's counts as none.
    let base = wanted.base.and_then(|base| host_folder(&reader, host, base).ok());
    let full = base.is_none();
    let Changes { changed, removed } = now.changes(&base.unwrap_or_default());
    let mut left = INLINE;
    let mut deployments = Vec::with_capacity(changed.len());
    for (deployment, tree) in changed {
        deployments.push(assignment(&reader, limits, deployment, tree, &mut left)?);
    }
    let HostFolder { nested, .. } = now;
    Ok(HostDeployments {
        host: host.clone(),
        rendered,
        generation,
        tree: *tree,
        full,
        deployments,
        removed: removed.into_iter().collect(),
        nested,
    })
}

/// One assignment, with its files as long as there is room for some.
fn assignment(
    reader: &Reader,
    limits: &Limits,
    deployment: DeploymentRef,
    tree: TreeId,
    left: &mut usize,
) -> Result<HostDeployment, Refused> {
    let mut found = HostDeployment { deployment, tree, files: None, problem: None };
    if *left == 0 {
        return Ok(found);
    }
    match host_files(reader, &BTreeSet::new(), limits, tree) {
        Ok(manifests) => {
            // The first one is told whatever it takes: it may have been asked for by its name.
            let fits = manifests.size() <= *left || *left == INLINE;
            *left = if fits { left.saturating_sub(manifests.size()) } else { 0 };
            found.files = fits.then(|| Vec::<HostFile>::from(&manifests));
        }
        Err(FilesError::Refused(why)) => {
            let reason = why.reason().to_owned();
            found.problem = Some(HostProblem { reason, message: why.to_string() });
        }
        Err(FilesError::Git(error)) => return Err(unreadable(error)),
    }
    Ok(found)
}

/// Somebody else than titan wrote there; the next commit takes it back.
fn refused(error: FolderError) -> Refused {
    match error {
        FolderError::Git(error) => unreadable(error),
        other => Refused::Conflict(other.to_string()),
    }
}
