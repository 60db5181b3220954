//! What the guard will say to the removals of a change.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Preview, Side};
use crate::model::{Host, Name, Pairs, RepoPath, TreeId, Trees};
use crate::plan::guard::{self, ALLOW_TRAILER, After, Allowance, Before};

/// What the guard on removals says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalGuard {
    pub ruling: Ruling,
    /// Assignments whose folder would vanish from its place, those of moved hosts included.
    pub removals: usize,
    /// All assignments: the budget is a share of them.
    pub of: usize,
    pub budget: usize,
    /// Removals are held already, since an earlier commit.
    pub already: bool,
    /// What the guard says where it holds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The trailer that lets them through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trailer: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Nothing is removed.
    Nothing,
    /// They are no more than one commit may make.
    Within,
    /// They are more, and a trailer allows them.
    Allowed,
    /// They would be held: all of them stay.
    Held,
}

/// Asks the guard itself. `held` is the number of all assignments when removals began to be held, if
/// they are already; `trailers` are those of the commit.
#[must_use]
pub fn removals(
    before: Side<'_>,
    after: Side<'_>,
    preview: &Preview,
    held: Option<usize>,
    trailers: &[(String, String)],
) -> RemovalGuard {
    let of = held.unwrap_or(preview.counts.before);
    let budget = guard::budget(after.fleet.settings.guards.max_removals.as_ref(), of);
    let mut ruling = RemovalGuard {
        ruling: Ruling::Nothing,
        removals: 0,
        of,
        budget,
        already: held.is_some(),
        reason: None,
        trailer: None,
    };
    let moved =
        preview.hosts.moved.iter().any(|host| host.to.as_str().len() <= Host::LONGEST_FOLDER);
    if preview.counts.removed == 0 && !moved {
        return ruling;
    }
    let (trees, folders) = (trees(before), folders(before));
    let mut empty = Pairs::default();
    preview.emptied.iter().for_each(|pair| empty.insert(&pair.deployment, &pair.host));
    let before = Before { trees: &trees, folders: &folders, held };
    let after = After { fleet: after.fleet, schedule: after.schedule, empty: &empty };
    let all = trees.iter().map(|(deployment, host, _)| (deployment, host));
    let pending = guard::pending(&before, &after, all);
    ruling.removals = pending.removals.count();
    if ruling.removals == 0 {
        return ruling;
    }
    let within = held.is_none() && ruling.removals <= budget;
    match guard::guard(&before, &after, &pending, trailers) {
        Some(held) => {
            ruling.ruling = Ruling::Held;
            ruling.reason = Some(held.reason);
        }
        None if within => ruling.ruling = Ruling::Within,
        None => ruling.ruling = Ruling::Allowed,
    }
    let allowance = Allowance::of(trailers) != Allowance::Nothing;
    if ruling.ruling == Ruling::Held || (ruling.ruling == Ruling::Allowed && allowance) {
        ruling.trailer = Some(format!("{ALLOW_TRAILER}: {}", ruling.removals));
    }
    ruling
}

/// Every assignment before. The guard only counts and names them, so any tree will do.
fn trees(side: Side<'_>) -> Trees {
    let schedule = side.schedule;
    let pairs = schedule.assignments.iter().chain(schedule.kept.iter());
    let mut trees = Trees::default();
    for (deployment, host) in pairs {
        trees.set(deployment, host, Some(TreeId::from_bytes([0; 20])));
    }
    trees
}

fn folders(side: Side<'_>) -> BTreeMap<Name, RepoPath> {
    let hosts = side.fleet.hosts.iter();
    let hosts = hosts.map(|(name, host)| (name.clone(), host.folder()));
    hosts.filter(|(_, folder)| folder.as_str().len() <= Host::LONGEST_FOLDER).collect()
}
