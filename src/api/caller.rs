//! Who calls, and what they may do.

use warp::http::HeaderMap;

use super::Context;
use super::error::Refused;
use crate::change::wish::Wanted;
use crate::git::Signature;
use crate::model::{Fleet, ObjectRef};

/// Somebody whom the API knows.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    name: String,
}

impl Context {
    /// # Errors
    /// [`Refused::NoToken`] and the like.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        std::future::ready(()).await;
        let _ = headers;
        if self.needs.development {
            return Ok(Caller { name: "development".into() });
        }
        Err(Refused::NoToken)
    }
}

impl Caller {
    /// # Errors
    /// When this caller may not do that to this object.
    pub(super) fn may(&self, _fleet: &Fleet, _wanted: &Wanted) -> Result<(), Refused> {
        Ok(())
    }

    pub(super) fn may_read(&self, _fleet: &Fleet, _object: &ObjectRef) -> bool {
        true
    }

    pub(super) fn may_read_all(&self, _fleet: &Fleet) -> bool {
        true
    }

    /// For `Titan-Actor`.
    pub(super) fn actor(&self) -> String {
        self.name.clone()
    }

    /// The author of their commits.
    pub(super) fn signature(&self) -> Signature {
        let email = format!("{}@titan.invalid", self.name);
        Signature { name: self.name.clone(), email, seconds: 0, offset: 0 }
    }
}
