//! The commit by which a person lets titan go on after the config branch was rewritten.

use super::{GENERATION_TRAILER, RESUME_TRAILER, Rendered, SOURCE_TRAILER};
use crate::git::{CommitDraft, GitError, Repository, Signature};
use crate::model::Revision;

/// Who accepts what, and why.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The source commit from which to go on.
    pub accept: Revision,
    pub by: Signature,
    /// A word on the reason; may be empty.
    pub reason: String,
}

/// Writes the commit on top of `rendered`, whose tree it leaves as it is; moves no ref. It names the
/// old source still: what is on the branch comes from there until the next commit is rendered.
///
/// # Errors
/// When the branch is empty (`None`), or Git fails.
pub fn resume(
    repository: &Repository,
    rendered: &Rendered,
    resume: &Resume,
) -> Result<Option<Revision>, GitError> {
    let (Some(tip), Some(source)) = (rendered.revision, rendered.source) else { return Ok(None) };
    let accept = resume.accept;
    let mut message = format!("resume from {}\n\n", accept.short());
    message +=
        &format!("The config branch was rewritten and goes on without {}.\n", source.short());
    // Its lines may not be taken for trailers.
    for line in resume.reason.lines().filter(|line| !line.trim().is_empty()) {
        message += &format!("> {}\n", line.trim());
    }
    message += &format!("\n{RESUME_TRAILER}: {accept}\n{SOURCE_TRAILER}: {source}\n");
    message += &format!("{GENERATION_TRAILER}: {}\n", rendered.generation + 1);
    let draft = CommitDraft {
        tree: repository.commit(tip)?.tree,
        parents: vec![tip],
        author: resume.by.clone(),
        committer: resume.by.clone(),
        message,
    };
    repository.write_commit(&draft).map(Some)
}
