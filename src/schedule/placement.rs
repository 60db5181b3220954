//! Who stays, who comes, who goes: for one deployment.

use std::collections::BTreeSet;

use super::matching::{Matches, Matching};
use super::spread::Order;
use crate::model::{Assignments, Deployment, DeploymentRef, Fleet, Host, Name, Unplaced};

/// What placing depends on.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) current: &'a Assignments,
    pub(super) matching: &'a Matching,
}

/// The hosts of one deployment.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// It is to be rendered for them.
    pub(super) assigned: BTreeSet<Name>,
    /// It stays there as it is.
    pub(super) kept: BTreeSet<Name>,
}

/// The deployment if it may be placed at all now.
pub(super) fn placeable<'a>(fleet: &'a Fleet, id: &DeploymentRef) -> Option<&'a Deployment> {
    let held = fleet.held.all.is_some() || fleet.held.deployments.contains_key(id);
    fleet.deployments.get(id).map(AsRef::as_ref).filter(|d| !held && !d.spec.suspend)
}

impl<'a> View<'a> {
    /// Places a deployment, or what is left of one that does not exist any more.
    pub(super) fn place(self, id: &DeploymentRef) -> Placed {
        let current = self.current.of(id);
        let fixed = self.fixed(id);
        let kept = current.iter().filter(|host| self.stays(fixed, host));
        let kept: BTreeSet<Name> = kept.cloned().collect();
        let Some(deployment) = placeable(self.fleet, id) else {
            return Placed { assigned: BTreeSet::new(), kept };
        };
        let matches = self.matching.of(deployment);
        let assigned = match deployment.spec.replicas {
            None => everywhere(matches, current),
            Some(replicas) => {
                self.limited(deployment, matches, count(replicas).saturating_sub(kept.len()))
            }
        };
        Placed { assigned, kept }
    }

    /// Whether one pair is kept.
    pub(super) fn keeps(self, id: &DeploymentRef, host: &Name) -> bool {
        self.current.contains(id, host) && self.stays(self.fixed(id), host)
    }

    /// Whether one pair of a deployment without `replicas` is assigned.
    pub(super) fn assigns(self, id: &DeploymentRef, host: &Name) -> bool {
        placeable(self.fleet, id).is_some_and(|deployment| {
            let matches = self.matching.of(deployment);
            matches.hosts.contains(host) && open(host, matches, self.current.of(id))
        })
    }

    /// Whatever cannot be read now stays where it is: it is never taken for deleted (invariant I6).
    /// On a held host that goes for deleted deployments too, as its whole folder stays.
    fn stays(self, fixed: bool, host: &Name) -> bool {
        let Fleet { held, hosts, .. } = self.fleet;
        held.all.is_some() || held.hosts.contains_key(host) || (fixed && hosts.contains_key(host))
    }

    /// Whether the deployment is held, or suspended because somebody said so.
    fn fixed(self, id: &DeploymentRef) -> bool {
        let suspended = self.fleet.deployments.get(id).is_some_and(|d| d.spec.suspend);
        suspended || self.fleet.held.deployments.contains_key(id)
    }

    /// `wanted` of the matching hosts: first those that have it, then the best of the others.
    fn limited(self, deployment: &Deployment, matches: &Matches, wanted: usize) -> BTreeSet<Name> {
        let current = self.current.of(&deployment.id);
        let mut stay: BTreeSet<Name> = matches.hosts.intersection(current).cloned().collect();
        if stay.len() == wanted {
            return stay;
        }
        let order = Order::new(&deployment.id, deployment.spec.spread.as_deref());
        if stay.len() > wanted {
            for gone in order.worst(&self.hosts(&stay), stay.len() - wanted) {
                stay.remove(gone);
            }
            return stay;
        }
        let others = matches.hosts.difference(current);
        let free = self.hosts(others.filter(|host| !matches.cordoned.contains(*host)));
        let lacking = wanted - stay.len();
        if free.len() <= lacking {
            stay.extend(free.into_iter().map(|host| host.name.clone()));
        } else {
            let chosen = order.best(&free, &self.hosts(&stay), lacking);
            stay.extend(chosen.into_iter().cloned());
        }
        stay
    }

    fn hosts<'n>(self, names: impl IntoIterator<Item = &'n Name>) -> Vec<&'a Host> {
        let host = |name| self.fleet.hosts.get(name).expect("because matching hosts exist");
        names.into_iter().map(|name| host(name).as_ref()).collect()
    }

    /// Why the deployment has fewer hosts than it wants, if it has.
    pub(super) fn lack(self, id: &DeploymentRef, assigned: usize, kept: usize) -> Option<Unplaced> {
        let deployment = placeable(self.fleet, id)?;
        let wanted = deployment.spec.replicas;
        let placed = assigned + kept;
        // Without `replicas` nobody said how many there should be: only "none at all" is worth a word.
        let lacks = wanted.map_or(placed == 0, |wanted| placed < count(wanted));
        lacks.then(|| {
            let matches = self.matching.of(deployment);
            let reason = reason(deployment, matches, self.current.of(id), kept);
            Unplaced { wanted, placed: u32::try_from(placed).unwrap_or(u32::MAX), reason }
        })
    }
}

fn count(replicas: u32) -> usize {
    usize::try_from(replicas).unwrap_or(usize::MAX)
}

/// Whether the host may get or keep the deployment: a cordoned one takes nothing new.
fn open(host: &Name, matches: &Matches, current: &BTreeSet<Name>) -> bool {
    !matches.cordoned.contains(host) || current.contains(host)
}

/// Every matching host.
fn everywhere(matches: &Matches, current: &BTreeSet<Name>) -> BTreeSet<Name> {
    let mut hosts = matches.hosts.clone();
    for closed in matches.cordoned.difference(current) {
        hosts.remove(closed);
    }
    hosts
}

/// One line: what was wanted, what there is, and what is in the way.
fn reason(
    deployment: &Deployment,
    matches: &Matches,
    current: &BTreeSet<Name>,
    held: usize,
) -> String {
    let target = &deployment.target.name;
    let workspace = &deployment.id.workspace;
    let cordoned = matches.cordoned.difference(current).count();
    let mut parts = Vec::new();
    if let Some(wanted) = deployment.spec.replicas {
        parts.push(format!("wants {wanted}"));
    }
    parts.push(match (matches.hosts.len(), matches.foreign.len()) {
        (0, 0) => format!("no host matches target `{target}`"),
        (0, 1) => {
            format!("target `{target}` selects 1 host, which workspace `{workspace}` may not use")
        }
        (0, n) => format!(
            "target `{target}` selects {n} hosts, none of which workspace `{workspace}` may use"
        ),
        (n, foreign) => {
            let mut part = format!("{}{}", matching(n), of_them(n, cordoned));
            if foreign > 0 {
                part += &format!("; {foreign} more may not be used by workspace `{workspace}`");
            }
            part
        }
    });
    match held {
        0 => {}
        1 => parts.push("1 place is on a held host".to_owned()),
        n => parts.push(format!("{n} places are on held hosts")),
    }
    parts.join("; ")
}

fn matching(hosts: usize) -> String {
    if hosts == 1 { "1 host matches".to_owned() } else { format!("{hosts} hosts match") }
}

/// `, 1 of them is cordoned`.
fn of_them(hosts: usize, cordoned: usize) -> String {
    match (hosts, cordoned) {
        (_, 0) => String::new(),
        (1, _) => ", but it is cordoned".to_owned(),
        (_, 1) => ", 1 of them is cordoned".to_owned(),
        (n, c) if n == c => ", but all of them are cordoned".to_owned(),
        (_, c) => format!(", {c} of them are cordoned"),
    }
}
