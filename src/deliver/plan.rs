//! Desired state × inventory → changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Inventory;
use crate::model::{DeploymentRef, Revision, Timestamp, TreeId};

/// What the host must run, as one rendered revision says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    pub rendered: Revision,
    /// `Titan-Generation` of that revision.
    pub generation: u64,
    /// The tree id of the host's folder: equal ids mean that nothing changed.
    pub tree: TreeId,
    /// When the host saw it.
    pub received: Timestamp,
    /// The tree id of each assignment's manifests.
    pub assignments: BTreeMap<DeploymentRef, TreeId>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Apply { deployment: DeploymentRef, tree: TreeId, cause: Cause },
    Remove { deployment: DeploymentRef },
}

/// Why something is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is new or different.
    Changed,
    /// A change was begun and not ended.
    Resumed,
    /// The host differs from what was applied.
    Drifted,
}

impl Change {
    #[must_use]
    pub fn deployment(&self) -> &DeploymentRef {
        match self {
            Self::Apply { deployment, .. } | Self::Remove { deployment } => deployment,
        }
    }

    /// What was done, in a word, for the log.
    #[must_use]
    pub fn done(&self) -> &'static str {
        match self {
            Self::Apply { cause: Cause::Changed, .. } => "applied",
            Self::Apply { cause: Cause::Resumed, .. } => "applied, after a break",
            Self::Apply { cause: Cause::Drifted, .. } => "healed",
            Self::Remove { .. } => "removed",
        }
    }
}

/// What to do so that the host is as desired: first what is applied, then what is removed, each in
/// the order of names. Only what the inventory owns is ever removed. `drifted` are assignments that
/// are not on the host as the inventory says.
#[must_use]
pub fn plan(
    desired: &Desired,
    inventory: &Inventory,
    drifted: &BTreeSet<DeploymentRef>,
) -> Vec<Change> {
    let cause = |deployment: &DeploymentRef, tree: TreeId| {
        let owned = inventory.assignments.get(deployment);
        match owned {
            Some(owned) if owned.tree != Some(tree) => Some(Cause::Changed),
            Some(owned) if owned.pending.is_some() => Some(Cause::Resumed),
            Some(_) => drifted.contains(deployment).then_some(Cause::Drifted),
            None => Some(Cause::Changed),
        }
    };
    let applies = desired.assignments.iter().filter_map(|(deployment, tree)| {
        let cause = cause(deployment, *tree)?;
        Some(Change::Apply { deployment: deployment.clone(), tree: *tree, cause })
    });
    let removals = inventory
        .assignments
        .keys()
        .filter(|deployment| !desired.assignments.contains_key(*deployment))
        .map(|deployment| Change::Remove { deployment: deployment.clone() });
    applies.chain(removals).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Owned, Pending};
    use super::*;

    const DEPLOYMENT: &str = "iot/sensor/prod";

    fn tree(n: u8) -> TreeId {
        TreeId::from_bytes([n; 20])
    }

    fn desired(trees: &[(&str, u8)]) -> Desired {
        let assignments =
            trees.iter().map(|(name, n)| (name.parse().expect("a deployment"), tree(*n)));
        Desired {
            rendered: Revision::NONE,
            generation: 1,
            tree: tree(0),
            received: Timestamp::UNIX_EPOCH,
            assignments: assignments.collect(),
        }
    }

    /// `+name` applied, `~name` resumed, `!name` healed, `-name` removed.
    fn check(desired: &Desired, owned: &[(&str, Option<u8>, bool)], drift: &[&str], plan: &[&str]) {
        let mut inventory = Inventory::new("tim-pi".parse().expect("a name"));
        for (name, n, pending) in owned {
            let pending = pending.then(Pending::default);
            let entry = Owned { tree: n.map(tree), pending, ..Owned::default() };
            inventory.assignments.insert(name.parse().expect("a deployment"), entry);
        }
        let drifted = drift.iter().map(|name| name.parse().expect("a deployment")).collect();
        let changes = super::plan(desired, &inventory, &drifted);
        let drawn = changes.iter().map(|change| match change {
            Change::Apply { deployment, cause: Cause::Changed, .. } => format!("+{deployment}"),
            Change::Apply { deployment, cause: Cause::Resumed, .. } => format!("~{deployment}"),
            Change::Apply { deployment, cause: Cause::Drifted, .. } => format!("!{deployment}"),
            Change::Remove { deployment } => format!("-{deployment}"),
        });
        assert_eq!(drawn.collect::<Vec<_>>(), plan);
    }

    #[test]
    fn only_what_differs_is_done() {
        let one = desired(&[(DEPLOYMENT, 1)]);
        let none = desired(&[]);
        check(&none, &[], &[], &[]);
        check(&one, &[], &[], &["+iot/sensor/prod"]);
        check(&one, &[(DEPLOYMENT, Some(1), false)], &[], &[]);
        check(&one, &[(DEPLOYMENT, Some(2), false)], &[], &["+iot/sensor/prod"]);
        check(&one, &[(DEPLOYMENT, None, true)], &[], &["+iot/sensor/prod"]);
        check(&one, &[(DEPLOYMENT, Some(1), true)], &[], &["~iot/sensor/prod"]);
        check(&one, &[(DEPLOYMENT, Some(1), false)], &[DEPLOYMENT], &["!iot/sensor/prod"]);
        check(&none, &[(DEPLOYMENT, Some(1), false)], &[DEPLOYMENT], &["-iot/sensor/prod"]);
        check(&none, &[(DEPLOYMENT, None, true)], &[], &["-iot/sensor/prod"]);
    }

    #[test]
    fn removals_come_last() {
        let owned = [("a/a/a", Some(1), false), ("b/b/b", Some(1), false)];
        let wanted = desired(&[("b/b/b", 2), ("c/c/c", 1)]);
        check(&wanted, &owned, &[], &["+b/b/b", "+c/c/c", "-a/a/a"]);
    }
}
