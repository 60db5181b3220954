//! From a request's id to how far its commit has come: Git knows.

use std::sync::PoisonError;

use super::{Change, State};
use crate::api::Context;
use crate::change::own_branch;
use crate::git::{GitError, Repository};
use crate::model::{RequestId, RequestStatus, Revision};
use crate::observe::Verdict;
use crate::observe::files;
use crate::observe::trace::{self, Heads, Stage, Trace};

/// The request, wherever it was made; `None`: it is not in history. `commit` is its commit, where that
/// is known.
pub(super) fn follow(
    context: &Context,
    id: &RequestId,
    commit: Option<Revision>,
) -> Result<Option<Change>, GitError> {
    let fleet = &context.needs.repository;
    let git = &fleet.repository;
    let branches = context.snapshot().fleet.settings.branches.clone();
    let heads = Heads {
        config: git.branch(&fleet.branch)?,
        rendered: git.branch(&branches.rendered)?,
        status: git.branch(&branches.status)?,
    };
    let commit = match (commit, heads.config) {
        (None, Some(head)) => {
            let requests = &context.changes.requests;
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.follow(git, head)?;
            requests.get(id).map(|known| known.commit)
        }
        (commit, _) => commit,
    };
    if let Some(commit) = commit {
        let trace = trace::trace(git, &heads, commit)?;
        let actor = git.commit(commit)?.trailer("Titan-Actor").map(str::to_owned);
        return Ok(Some(Change { actor, ..change(id, commit, &trace) }));
    }
    if let Some(status) = refused(git, heads.status, id)? {
        return Ok(Some(status.into()));
    }
    let branch = own_branch(id);
    let proposed = if crate::git::valid_branch_name(&branch) { git.branch(&branch)? } else { None };
    let Some(commit) = proposed else { return Ok(None) };
    let actor = git.commit(commit)?.trailer("Titan-Actor").map(str::to_owned);
    let (commit, branch) = (Some(commit), Some(branch));
    Ok(Some(Change { commit, branch, actor, ..Change::new(id, State::Proposed) }))
}

/// What is written down of a request that was refused.
pub(super) fn refused(
    git: &Repository,
    head: Option<Revision>,
    id: &RequestId,
) -> Result<Option<RequestStatus>, GitError> {
    let Some(head) = head else { return Ok(None) };
    let bytes = git.file(git.commit(head)?.tree, &files::request_path(id))?;
    // What is no status file was not written by titan.
    let status = bytes.and_then(|bytes| files::read::<RequestStatus>(&bytes).ok());
    Ok(status.filter(|status| status.id == *id))
}

/// What a trace says of a request.
fn change(id: &RequestId, commit: Revision, trace: &Trace) -> Change {
    let mut change = Change { commit: Some(commit), ..Change::new(id, State::Committed) };
    if let Stage::Rendered { rendered, .. } = trace.stage {
        change.rendered = Some(rendered);
    }
    change.diagnostics.clone_from(&trace.diagnostics);
    let looked_at = matches!(trace.stage, Stage::Rendered { .. } | Stage::Unchanged);
    change.state = match trace.verdict {
        _ if !looked_at => State::Committed,
        Verdict::Deployed => State::Deployed,
        Verdict::Failed => State::Failed,
        Verdict::Pending | Verdict::Held | Verdict::Unreported => State::Rendered,
    };
    change.reason = match (&trace.stage, trace.verdict) {
        (Stage::Unchanged, Verdict::Deployed) => Some("nothing that runs differs".to_owned()),
        (_, Verdict::Unreported) => {
            Some("Flux or Argo CD deliver it, and tell titan nothing".into())
        }
        _ => trace.held.iter().next().map(|(what, why)| format!("{what} is held: {why}")),
    };
    if change.state == State::Failed {
        let bad = trace.assignments.iter().find(|one| one.verdict == Verdict::Failed);
        change.reason = bad.map(|one| {
            let status = one.status.as_ref();
            let why = status.map_or_else(String::new, |status| format!(": {}", status.reason));
            format!("{} failed{why}", one.assignment)
        });
    }
    change
}
