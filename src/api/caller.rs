//! Who calls, and what they may do.

use warp::http::HeaderMap;

use super::Context;
use super::error::Refused;
use super::identity;
use crate::change::access::decide;
use crate::change::wish::Wanted;
use crate::git::Signature;
use crate::model::access::{Need, authorize, first_issuer, holds, is_admin};
use crate::model::{Decision, Fleet, ObjectRef, Subject, Verb};

/// Somebody whom the API knows.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) subject: Subject,
}

impl Context {
    /// # Errors
    /// [`Refused::NoToken`] and the like.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let mut subject = identity::authenticate(self, headers).await?;
        if let Subject::Person(person) = &mut subject {
            let fleet = &self.snapshot().fleet;
            // Of the first issuer: its people need no second name.
            person.issuer = person.issuer.take().filter(|own| first_issuer(fleet) != Some(own));
        }
        Ok(Caller { subject })
    }
}

impl Caller {
    /// # Errors
    /// When this caller may not do that to this object: 403, or 404 where they may not even read it.
    pub(super) fn may(&self, fleet: &Fleet, wanted: &Wanted) -> Result<(), Refused> {
        match decide(fleet, &self.subject, wanted) {
            Decision::Allowed => Ok(()),
            Decision::Denied(needs) => Err(Refused::Forbidden(needs.to_string())),
            Decision::Hidden(_) => Err(Refused::NotFound),
        }
    }

    pub(super) fn may_read(&self, fleet: &Fleet, object: &ObjectRef) -> bool {
        authorize(fleet, &self.subject, Verb::Read, object).is_allowed()
    }

    /// Whether they have a role anywhere.
    pub(super) fn is_member(&self, fleet: &Fleet) -> bool {
        holds(fleet, &self.subject, Need::Member)
    }

    pub(super) fn may_read_all(&self, fleet: &Fleet) -> bool {
        is_admin(fleet, &self.subject)
    }

    /// For `Titan-Actor`.
    pub(super) fn actor(&self) -> String {
        self.subject.to_string()
    }

    /// The author of their commits.
    pub(super) fn signature(&self) -> Signature {
        signature(&self.actor())
    }
}

/// The author of an actor's commits.
pub(super) fn signature(actor: &str) -> Signature {
    let name: String = actor.chars().filter(|c| !"<>".contains(*c)).collect();
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"@._+-".contains(c);
    let email = match name.contains('@') && !name.contains(odd) {
        true => name.clone(),
        false => format!("{}@titan.invalid", name.replace(|c| odd(c) || c == '@', "-")),
    };
    Signature { name, email, seconds: 0, offset: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Person;

    #[test]
    fn authors_of_commits_have_a_name_and_an_address() {
        let of = |subject: Subject| {
            let Signature { name, email, .. } = Caller { subject }.signature();
            format!("{name} <{email}>")
        };
        let person =
            |user: &str| Subject::Person(Person { user: user.into(), ..Person::default() });
        assert_eq!(of(person("ada@example.com")), "ada@example.com <ada@example.com>");
        assert_eq!(of(person("a|b c")), "\"a|b c\" <-a-b-c-@titan.invalid>");
        assert_eq!(of(person("x> <root@evil")), "\"x root@evil\" <-x-root-evil-@titan.invalid>");
        assert_eq!(
            of(Subject::Ci(["release".into()].into())),
            "ci release <ci-release@titan.invalid>"
        );
        assert_eq!(of(Subject::Local), "development <development@titan.invalid>");
    }
}
