//! Who stays, who comes, who goes: for one deployment.

use std::collections::BTreeSet;

use super::matching::{Matches, Matching};
use super::spread::Order;
use crate::model::{Deployment, Fleet, Host, Name, Schedule, Unplaced};

/// Places one deployment, and says so when it gets fewer hosts than it wants.
pub(super) fn place<'a>(
    fleet: &'a Fleet,
    deployment: &'a Deployment,
    current: &BTreeSet<Name>,
    matching: &mut Matching<'a>,
    schedule: &mut Schedule,
) {
    let id = &deployment.id;
    if deployment.spec.suspend {
        for host in current.iter().filter(|host| super::exists(fleet, host)) {
            schedule.kept.insert(id, host);
        }
        return;
    }
    let matches = matching.of(deployment);
    let chosen = match deployment.spec.replicas {
        None => everywhere(&matches, current),
        Some(replicas) => {
            let fixed = schedule.kept.of(id).len();
            limited(deployment, &matches, current, count(replicas).saturating_sub(fixed))
        }
    };
    for host in chosen {
        schedule.assignments.insert(id, host);
    }
    let placed = schedule.assignments.of(id).len() + schedule.kept.of(id).len();
    // Without `replicas` nobody said how many there should be: only "none at all" is worth a word.
    let lacks = deployment.spec.replicas.map_or(placed == 0, |wanted| placed < count(wanted));
    if lacks {
        let reason = reason(deployment, &matches, current, schedule.kept.of(id).len());
        let placed = u32::try_from(placed).unwrap_or(u32::MAX);
        let unplaced = Unplaced { wanted: deployment.spec.replicas, placed, reason };
        schedule.unplaced.insert(id.clone(), unplaced);
    }
}

fn count(replicas: u32) -> usize {
    usize::try_from(replicas).unwrap_or(usize::MAX)
}

/// Whether the host may get or keep the deployment: a cordoned one takes nothing new.
fn open(host: &Host, current: &BTreeSet<Name>) -> bool {
    !host.spec.cordoned || current.contains(&host.name)
}

/// Every matching host.
fn everywhere<'a>(matches: &Matches<'a>, current: &BTreeSet<Name>) -> Vec<&'a Name> {
    matches.hosts.iter().filter(|host| open(host, current)).map(|host| &host.name).collect()
}

/// `wanted` of the matching hosts: first those that have it, then the best of the others.
fn limited<'a>(
    deployment: &Deployment,
    matches: &Matches<'a>,
    current: &BTreeSet<Name>,
    wanted: usize,
) -> Vec<&'a Name> {
    let order = Order::new(&deployment.id, deployment.spec.spread.as_deref());
    let (stay, others): (Vec<&Host>, Vec<&Host>) =
        matches.hosts.iter().copied().partition(|host| current.contains(&host.name));
    if stay.len() > wanted {
        let gone: BTreeSet<_> = order.worst(&stay, stay.len() - wanted).into_iter().collect();
        return stay.iter().map(|host| &host.name).filter(|name| !gone.contains(name)).collect();
    }
    let free: Vec<&Host> = others.into_iter().filter(|host| !host.spec.cordoned).collect();
    let mut chosen = order.best(&free, &stay, wanted - stay.len());
    chosen.extend(stay.iter().map(|host| &host.name));
    chosen
}

/// One line: what was wanted, what there is, and what is in the way.
fn reason(
    deployment: &Deployment,
    matches: &Matches<'_>,
    current: &BTreeSet<Name>,
    held: usize,
) -> String {
    let target = &deployment.target.name;
    let workspace = &deployment.id.workspace;
    let cordoned = matches.hosts.iter().filter(|host| !open(host, current)).count();
    let mut parts = Vec::new();
    if let Some(wanted) = deployment.spec.replicas {
        parts.push(format!("wants {wanted}"));
    }
    parts.push(match (matches.hosts.len(), matches.foreign) {
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
