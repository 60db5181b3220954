//! Who may do what: one pure function, for the API and for `titan validate --as`.
//!
//! ```text
//!  Verb × ObjectRef ─ need ─▶ Need ─┐
//!  Subject × Fleet (members, admins)├─ authorize ─▶ Allowed │ Denied (403) │ Hidden (404)
//! ```
//! Denied by default: who is not listed may nothing, an empty name matches nobody, and a workspace that
//! does not exist, or cannot be read, has no members. What somebody may not even read is *hidden*: that
//! it exists is not told.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    Fleet, Issuer, IssuerKind, Labels, Name, ObjectRef, Role, Who, Workspace, WorkspaceSpec,
};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nobody in particular: may nothing.
    Anonymous,
    /// Whom an identity provider vouches for.
    Person(Person),
    /// A CI job, by all names that `Fleet.spec.identity` gives it.
    Ci(BTreeSet<String>),
    /// A host: may read itself.
    Host(Name),
    /// Whoever is at this machine, where the controller was started for development: may everything.
    Local,
}

/// Somebody as an identity provider knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The provider's name in `Fleet.spec.identity`; `None`: the first one of people.
    pub issuer: Option<String>,
    pub user: String,
    pub groups: BTreeSet<String>,
}

/// What somebody wants to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Read,
    /// Make it.
    Create,
    /// Change what it says.
    Change,
    /// Remove it.
    Delete,
    /// Change who is a member.
    Grant,
    /// Change what bounds a workspace: its `hosts` and its `policy`.
    Bound,
}

impl Verb {
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Create, Self::Change, Self::Delete, Self::Grant, Self::Bound];
}

/// What somebody has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need<'a> {
    /// At least this, in this workspace.
    Role(Role, &'a Name),
    /// A member of any workspace.
    Member,
    /// The host itself, or a member of a workspace that may use it.
    UserOf(&'a Name),
    /// An admin of the fleet.
    Admin,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    Allowed,
    /// They may read it, or know anyway that it exists.
    Denied(Need<'a>),
    /// They may not even know whether it exists.
    Hidden(Need<'a>),
}

impl Decision<'_> {
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

/// Whether `subject` may do `verb` with `object`, as the members and admins of `fleet` are. Whether the
/// object exists makes no difference.
#[must_use]
pub fn authorize<'a>(
    fleet: &Fleet,
    subject: &Subject,
    verb: Verb,
    object: &'a ObjectRef,
) -> Decision<'a> {
    let needs = need(verb, object);
    if holds(fleet, subject, needs) {
        Decision::Allowed
    } else if *object == ObjectRef::Fleet || holds(fleet, subject, need(Verb::Read, object)) {
        Decision::Denied(needs)
    } else {
        Decision::Hidden(needs)
    }
}

/// What somebody has to be to do `verb` with `object`.
#[must_use]
pub fn need(verb: Verb, object: &ObjectRef) -> Need<'_> {
    match (object, verb) {
        (ObjectRef::Host(host), Verb::Read) => Need::UserOf(host),
        (ObjectRef::Fleet | ObjectRef::Host(_), _) => Need::Admin,
        (ObjectRef::Workspace(own), verb) => match verb {
            Verb::Read => Need::Role(Role::Viewer, own),
            Verb::Change | Verb::Grant | Verb::Delete => Need::Role(Role::Owner, own),
            Verb::Create | Verb::Bound => Need::Admin,
        },
        (_, Verb::Grant | Verb::Bound) => Need::Admin,
        (object, verb) => match (object.workspace(), verb) {
            (None, Verb::Read) => Need::Member,
            (None, _) => Need::Admin,
            (Some(own), Verb::Read) => Need::Role(Role::Viewer, own),
            (Some(own), Verb::Delete) => Need::Role(Role::Owner, own),
            (Some(own), _) if matches!(object, ObjectRef::Deployment(_)) => {
                Need::Role(Role::Deployer, own)
            }
            (Some(own), _) => Need::Role(Role::Editor, own),
        },
    }
}

/// What turns one state of a workspace's own object into another; none where nothing differs.
#[must_use]
pub fn workspace_verbs(
    name: &Name,
    before: Option<&WorkspaceSpec>,
    after: Option<&WorkspaceSpec>,
) -> BTreeSet<Verb> {
    let none = WorkspaceSpec::default();
    let (old, new) = (before.unwrap_or(&none), after.unwrap_or(&none));
    // Without its file, `default` goes on without bounds; others stop.
    let goes_on = after.is_some() || *name == Name::default_workspace();
    let mut verbs = BTreeSet::new();
    verbs.extend(match (before, after) {
        (None, None) => None,
        (None, Some(_)) => Some(Verb::Create),
        (Some(_), None) => Some(Verb::Delete),
        (Some(old), Some(new)) => (old != new).then_some(Verb::Change),
    });
    if after.is_some() && old.members != new.members {
        verbs.insert(Verb::Grant);
    }
    if goes_on && (old.hosts != new.hosts || old.policy != new.policy) {
        verbs.insert(Verb::Bound);
    }
    verbs
}

/// The highest role that `subject` has in a workspace, by its members alone.
#[must_use]
pub fn role_in(fleet: &Fleet, subject: &Subject, workspace: &Name) -> Option<Role> {
    let members = &fleet.workspaces.get(workspace)?.spec.members;
    let own = members.iter().filter(|member| means(fleet, member.who(), subject));
    own.map(|member| member.role).max()
}

/// Whether `subject` may do everything.
#[must_use]
pub fn is_admin(fleet: &Fleet, subject: &Subject) -> bool {
    let admins = &fleet.settings.admins;
    *subject == Subject::Local || admins.iter().any(|admin| means(fleet, admin.who(), subject))
}

/// Whether `subject` could read a host that is gone, if it was there, with these labels.
#[must_use]
pub fn could_read_host(fleet: &Fleet, subject: &Subject, labels: &Labels) -> bool {
    let role = |own: &Workspace| role_in(fleet, subject, &own.name);
    is_admin(fleet, subject)
        || fleet.workspaces.values().any(|own| own.takes(labels) && role(own).is_some())
}

/// Whether `subject` is what is needed.
#[must_use]
pub fn holds(fleet: &Fleet, subject: &Subject, needs: Need<'_>) -> bool {
    let role = |workspace: &Name| role_in(fleet, subject, workspace);
    let is_in = |allows: &dyn Fn(&Workspace) -> bool| {
        fleet.workspaces.values().any(|own| allows(own) && role(&own.name).is_some())
    };
    let by_role = match needs {
        Need::Admin => false,
        Need::Role(least, workspace) => role(workspace).is_some_and(|role| role >= least),
        Need::Member => is_in(&|_| true),
        Need::UserOf(host) => {
            *subject == Subject::Host(host.clone())
                || fleet.hosts.get(host).is_some_and(|host| is_in(&|own| own.allows(host)))
        }
    };
    by_role || is_admin(fleet, subject)
}

/// The issuer of people who are named without one.
#[must_use]
pub fn first_issuer(fleet: &Fleet) -> Option<&str> {
    let people = |of: &&Issuer| of.kind == IssuerKind::People;
    fleet.settings.identity.iter().find(people).map(|of| of.name.as_str())
}

/// Whether a member or an admin is `subject`.
fn means(fleet: &Fleet, who: Who<'_>, subject: &Subject) -> bool {
    let Who { user, group, ci, issuer } = who;
    match subject {
        Subject::Person(person) => {
            let first = || first_issuer(fleet);
            let same = |name: &str, own: &str| !name.is_empty() && name == own;
            let named = match (user, group, ci) {
                (Some(user), None, None) => same(user, &person.user),
                (None, Some(group), None) => !group.is_empty() && person.groups.contains(group),
                _ => false,
            };
            named && issuer.or_else(first) == person.issuer.as_deref().or_else(first)
        }
        Subject::Ci(jobs) => match (user, group, ci) {
            (None, None, Some(job)) => !job.is_empty() && jobs.contains(job),
            _ => false,
        },
        Subject::Anonymous | Subject::Host(_) | Subject::Local => false,
    }
}

impl fmt::Display for Subject {
    /// `ada@example.com`, `ada@example.org (partner)`, `ci release`, `host berlin`: what one is called no
    /// other subject can be called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => write!(f, "nobody"),
            Self::Person(Person { issuer, user, .. }) => {
                let odd = |c: char| c.is_whitespace() || c.is_control() || "\"()".contains(c);
                let reserved = ["nobody", "development"].contains(&user.as_str());
                if reserved || user.contains(odd) {
                    write!(f, "{user:?}")?;
                } else {
                    write!(f, "{user}")?;
                }
                issuer.as_ref().map_or(Ok(()), |issuer| write!(f, " ({issuer})"))
            }
            Self::Ci(jobs) => {
                write!(f, "ci {}", jobs.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::Host(name) => write!(f, "host {name}"),
            Self::Local => write!(f, "development"),
        }
    }
}

impl fmt::Display for Need<'_> {
    /// `role editor in workspace iot`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role, workspace) => {
                write!(f, "role `{}` in workspace `{workspace}`", role.as_str())
            }
            Self::Member => write!(f, "a role in a workspace"),
            Self::UserOf(host) => write!(f, "a role in a workspace that may use host `{host}`"),
            Self::Admin => write!(f, "an admin of the fleet"),
        }
    }
}

#[cfg(test)]
mod tests;
