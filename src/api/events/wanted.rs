//! What a client wants to hear of, and what it may: `?kinds=&selector=&workspace=&host=&deployment=`.

use std::collections::BTreeSet;

use super::super::Caller;
use super::super::error::Refused;
use super::super::query::{self, Query};
use super::told::{KINDS, kind};
use crate::model::access::could_read_host;
use crate::model::{Fleet, Labels, Name, ObjectRef};
use crate::observe::events::{Action, Event};

/// The parameters, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Empty: all.
    kinds: BTreeSet<&'static str>,
    query: Query,
}

/// Those of lists that narrow down.
const NARROW: [&str; 4] = ["selector", "workspace", "host", "deployment"];

impl Wanted {
    /// # Errors
    /// [`Refused::BadRequest`] for what is unknown, comes twice, or makes no sense.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let (mut kinds, mut rest) = (None, Vec::new());
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "kinds" if kinds.is_some() => return Err(query::bad(key, "comes twice")),
                "kinds" => kinds = Some(read_kinds(value)?),
                _ if NARROW.contains(&key) => rest.push(pair),
                _ => return Err(query::bad(key, "is not known here")),
            }
        }
        let query = Query::parse(&rest.join("&"))?;
        Ok(Self { kinds: kinds.unwrap_or_default(), query })
    }

    /// Whether an event was asked for. Of what has no workspace, host or labels, all is told.
    pub(super) fn takes(&self, event: &Event, fleets: &Fleets<'_>) -> bool {
        if !self.kinds.is_empty() && !self.kinds.contains(kind(event)) {
            return false;
        }
        let query = &self.query;
        let has = |own: &Option<Name>, name: Option<&Name>| own.is_none() || own.as_ref() == name;
        match event {
            Event::Object { object, labels, .. } => {
                let deployment = match object {
                    ObjectRef::Deployment(deployment) => Some(deployment),
                    _ => None,
                };
                let host = match object {
                    ObjectRef::Host(host) => Some(host),
                    _ => None,
                };
                has(&query.workspace, object.workspace())
                    && has(&query.host, host)
                    && (query.deployment.is_none() || query.deployment.as_ref() == deployment)
                    && query.selects(labels.iter())
            }
            Event::Host { host, .. } => {
                query.workspace.is_none()
                    && query.deployment.is_none()
                    && has(&query.host, Some(host))
                    && query.selects(fleets.labels(host))
            }
            Event::Assignment { assignment, .. } => {
                has(&query.workspace, Some(&assignment.deployment.workspace))
                    && query.names(assignment)
                    && query.selects(fleets.labels(&assignment.host))
            }
            Event::Change { .. } | Event::Diagnostic { .. } | Event::Revision { .. } => true,
        }
    }
}

impl Query {
    /// Whether the selector matches some of these labels.
    fn selects<'a>(&self, labels: impl Iterator<Item = &'a Labels>) -> bool {
        let mut labels = labels.peekable();
        let none = labels.peek().is_none();
        (none && self.selector.matches(&Labels::new()))
            || labels.any(|labels| self.selector.matches(labels))
    }
}

fn read_kinds(value: &str) -> Result<BTreeSet<&'static str>, Refused> {
    let text = query::decode(value).unwrap_or_default();
    let known = |word: &str| KINDS.into_iter().find(|kind| *kind == word);
    let kinds: Option<BTreeSet<_>> = text.split(',').map(known).collect();
    kinds.ok_or_else(|| query::bad("kinds", &format!("is some of {}", KINDS.join(","))))
}

/// By what rights are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fleets<'a> {
    pub(super) now: &'a Fleet,
    /// For what is gone meanwhile, with the rights to it.
    pub(super) before: &'a Fleet,
}

impl Fleets<'_> {
    /// Whether somebody may hear of an event: whoever may read what it is about, or might until it went.
    pub(super) fn show(&self, event: &Event, caller: &Caller) -> bool {
        let reads = |action: Action, object: &ObjectRef| {
            caller.may_read(self.now, object)
                || (action == Action::Deleted && caller.may_read(self.before, object))
        };
        match event {
            Event::Object { object, action, labels, .. } => {
                let gone = matches!(object, ObjectRef::Host(_)) && *action == Action::Deleted;
                let could = |labels: &Labels| could_read_host(self.now, &caller.subject, labels);
                reads(*action, object) || (gone && labels.iter().any(could))
            }
            Event::Host { host, action, .. } => reads(*action, &ObjectRef::Host(host.clone())),
            Event::Assignment { assignment, action, .. } => {
                reads(*action, &ObjectRef::Deployment(assignment.deployment.clone()))
            }
            Event::Change { actor, .. } => {
                caller.may_read_all(self.now) || actor.as_deref() == Some(&caller.actor())
            }
            Event::Diagnostic { .. } => caller.may_read_all(self.now),
            Event::Revision { .. } => true,
        }
    }

    fn labels(&self, host: &Name) -> impl Iterator<Item = &Labels> {
        let hosts = [self.now, self.before].map(|fleet| fleet.hosts.get(host));
        hosts.into_iter().flatten().map(|host| &host.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        for good in ["", "kinds=object", "kinds=host%2Cassignment&workspace=iot", "selector=a%3Db"]
        {
            assert!(Wanted::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "kinds=",
            "kinds=objects",
            "kinds=host&kinds=host",
            "limit=1",
            "continue=a",
            "x",
            "host=A",
        ] {
            assert!(matches!(Wanted::parse(bad), Err(Refused::BadRequest(_))), "{bad}");
        }
    }
}
