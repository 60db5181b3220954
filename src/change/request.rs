//! What is asked for under an id, and what becomes of it.

use super::access;
use super::commit::{ChangeError, Options};
use super::wish::Wanted;
use crate::git::GitError;
use crate::model::{Decision, Fleet, ObjectRef, RequestId, Revision, Subject};

/// A change that is asked for under an id.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: RequestId,
    /// Of what is asked for: the same id with another digest is a mistake.
    pub digest: String,
    pub wanted: Vec<Wanted>,
    /// Who asks, and is judged by what is at the head when it is committed; `None`: nobody is judged.
    pub subject: Option<Subject>,
    /// Trailers for id and digest are added.
    pub options: Options,
    /// A branch of its own, where it is not for the config branch.
    pub branch: Option<String>,
}

/// The branch of a request that is for somebody to merge.
#[must_use]
pub fn own_branch(id: &RequestId) -> String {
    format!("titan/change/{id}")
}

impl Request {
    /// Whether it may change who may do what.
    pub(super) fn is_about_rights(&self) -> bool {
        let about =
            |object: &ObjectRef| matches!(object, ObjectRef::Workspace(_) | ObjectRef::Fleet);
        self.wanted.iter().any(|wanted| about(&wanted.object))
    }

    /// Whether who asks may do all that is wanted, as the fleet is now.
    pub(super) fn judge(&self, fleet: &Fleet) -> Result<(), ChangeError> {
        let Some(subject) = &self.subject else { return Ok(()) };
        for wanted in &self.wanted {
            match access::decide(fleet, subject, wanted) {
                Decision::Allowed => {}
                Decision::Denied(needs) => {
                    return Err(ChangeError::Denied { needs: needs.to_string() });
                }
                Decision::Hidden(_) => {
                    return Err(ChangeError::Missing { object: wanted.object.clone() });
                }
            }
        }
        Ok(())
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It is in history, on disk; perhaps since long.
    Committed(Revision),
    /// It is on a branch of its own.
    Proposed(Revision),
    /// All that it wants is so at this commit already; there is none with its id.
    Unchanged(Revision),
    /// Another request with this id is in history.
    Taken(Revision),
    Refused(ChangeError),
    /// It was not made, and may come again.
    Failed(GitError),
}
