//! Which source commits are still to be rendered.

use crate::git::{FleetRepository, GitError, Repository};
use crate::model::{Revision, TreeId};
use crate::plan::guard::Allowance;
use crate::publish::Rendered;

/// The head of the config branch, whose whole history must be there.
pub(super) fn whole_head(repository: &FleetRepository) -> Result<Revision, GitError> {
    let git = &repository.repository;
    if git.is_shallow() {
        return Err(GitError::Shallow { path: git.git_dir().to_owned() });
    }
    let head = git.branch(&repository.branch)?;
    head.ok_or_else(|| GitError::UnknownRevision { name: repository.branch.clone() })
}

/// What there is to do.
pub(super) enum Backlog {
    /// The source commits that are still to be rendered, oldest first. It always ends with the head,
    /// so that a pass also finds what a new renderer, or a hand on the rendered branch, made different.
    Commits(Vec<Revision>),
    /// The head does not descend from `last`, which was rendered last (or accepted by a person).
    Rewritten { last: Revision },
}

/// The commits after `seen`, the last that was looked at by who goes on from there, whether it led to a
/// rendered commit or not; else as [`backlog`]. `None`: that is not on the way to the head, or too far back,
/// and what followed from it may not count.
///
/// # Errors
/// When history cannot be read.
pub(super) fn further(
    git: &Repository,
    seen: Revision,
    head: Revision,
    most: u32,
) -> Result<Option<Backlog>, GitError> {
    let mut chain = git.first_parents(head, Some(seen), most as usize + 1)?;
    let joins = match chain.last() {
        Some(first) => git.commit(*first)?.parents.first() == Some(&seen),
        None => true,
    };
    if !joins || chain.len() > most as usize {
        return Ok(None);
    }
    chain.reverse();
    differing(git, chain, Some(seen), head).map(|pending| Some(Backlog::Commits(pending)))
}

/// Finds the source commits to render. Those whose objects are those of the commit before are left
/// out, unless they allow removals. Too long a backlog is rendered as its head alone.
///
/// Where nothing was rendered they begin with the first commit: a clone, or a repository whose rendered
/// branch was deleted or replaced, gets the very commits that were made as the changes came, with their
/// generations and who stayed where.
///
/// # Errors
/// When history cannot be read.
pub(super) fn backlog(
    git: &Repository,
    rendered: &Rendered,
    head: Revision,
    most: u32,
) -> Result<Backlog, GitError> {
    let last = rendered.resume.or(rendered.source);
    let limit = most as usize;
    let mut chain = git.first_parents(head, last, limit + 1)?;
    let root = chain.last().copied().unwrap_or(head);
    let beside = last != Some(head) && git.commit(root)?.parents.first() != last.as_ref();
    if let Some(last) = last.filter(|_| beside)
        && !git.is_ancestor(last, head)?
    {
        return Ok(Backlog::Rewritten { last });
    }
    if chain.len() > limit {
        tracing::warn!(?last, %head, "too many commits are waiting; the last of them is rendered alone");
        return Ok(Backlog::Commits(vec![head]));
    }
    if let Some(last) = last.filter(|_| beside) {
        // A merge has it on its second side.
        let mut after = 0;
        while after < chain.len() && git.is_ancestor(last, chain[after])? {
            after += 1;
        }
        chain.truncate(after);
    }
    if let Some(last) = last.filter(|last| rendered.resume.is_some() || *last == head) {
        // What a person accepted has not been rendered yet.
        chain.push(last);
    }
    chain.reverse();
    let before = last.filter(|_| rendered.resume.is_none());
    Ok(Backlog::Commits(differing(git, chain, before, head)?))
}

/// Those of the commits whose objects are not those of the one `before`, those that allow removals, and
/// the head.
fn differing(
    git: &Repository,
    mut chain: Vec<Revision>,
    before: Option<Revision>,
    head: Revision,
) -> Result<Vec<Revision>, GitError> {
    if chain.is_empty() {
        chain.push(head);
    }
    let mut inputs = before.map_or_else(|| Ok(Vec::new()), |last| inputs_of(git, last))?;
    let mut pending = Vec::new();
    for revision in chain {
        let next = inputs_of(git, revision)?;
        let allows = || -> Result<bool, GitError> {
            Ok(Allowance::of(&git.commit(revision)?.trailers) != Allowance::Nothing)
        };
        if next != inputs || revision == head || allows()? {
            pending.push(revision);
        }
        inputs = next;
    }
    Ok(pending)
}

/// The ids of all that a fleet is read from: equal ids, equal fleet.
fn inputs_of(git: &Repository, revision: Revision) -> Result<Vec<TreeId>, GitError> {
    let entries = git.entries(git.commit(revision)?.tree)?;
    let read = ["titan.yaml", "hosts", "templates", "workspaces"];
    Ok(entries.into_iter().filter(|e| read.contains(&e.name.as_str())).map(|e| e.id).collect())
}
