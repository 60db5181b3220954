//! What is to run where.

use std::collections::{BTreeMap, BTreeSet};

use super::{AssignmentRef, DeploymentRef, Name};

/// Deployments and the hosts that run them.
///
/// As the *current* assignments they come from the rendered branch: the recorded choice for
/// deployments with `replicas`, the existing folders for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignments {
    pub hosts: BTreeMap<DeploymentRef, BTreeSet<Name>>,
}

impl Assignments {
    /// Returns whether it is new.
    pub fn insert(&mut self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.hosts.entry(deployment.clone()).or_default().insert(host.clone())
    }

    /// Returns whether it was there. A deployment without hosts has no entry any more.
    pub fn remove(&mut self, deployment: &DeploymentRef, host: &Name) -> bool {
        let Some(hosts) = self.hosts.get_mut(deployment) else { return false };
        let was = hosts.remove(host);
        if hosts.is_empty() {
            self.hosts.remove(deployment);
        }
        was
    }

    /// Sets all hosts of a deployment (none: it has no entry any more); returns those before.
    pub fn set(&mut self, deployment: &DeploymentRef, hosts: BTreeSet<Name>) -> BTreeSet<Name> {
        let before = if hosts.is_empty() {
            self.hosts.remove(deployment)
        } else {
            self.hosts.insert(deployment.clone(), hosts)
        };
        before.unwrap_or_default()
    }

    /// The hosts of one deployment.
    #[must_use]
    pub fn of(&self, deployment: &DeploymentRef) -> &BTreeSet<Name> {
        static NONE: BTreeSet<Name> = BTreeSet::new();
        self.hosts.get(deployment).unwrap_or(&NONE)
    }

    #[must_use]
    pub fn contains(&self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.of(deployment).contains(host)
    }

    /// All pairs, in the order of deployments, then hosts.
    pub fn iter(&self) -> impl Iterator<Item = (&DeploymentRef, &Name)> {
        self.hosts
            .iter()
            .flat_map(|(deployment, hosts)| hosts.iter().map(move |host| (deployment, host)))
    }

    /// How many pairs there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.values().map(BTreeSet::len).sum()
    }
}

impl FromIterator<AssignmentRef> for Assignments {
    fn from_iter<I: IntoIterator<Item = AssignmentRef>>(pairs: I) -> Self {
        let mut all = Self::default();
        for pair in pairs {
            all.insert(&pair.deployment, &pair.host);
        }
        all
    }
}

/// What the scheduler decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// What is to be rendered where.
    pub assignments: Assignments,
    /// What stays where it is without being rendered again: suspended or held deployments, and
    /// deployments on held hosts.
    pub kept: Assignments,
    /// Deployments with `replicas`: all their hosts, rendered and kept. Recorded in Git.
    pub recorded: Assignments,
    /// Deployments that got fewer hosts than they want.
    pub unplaced: BTreeMap<DeploymentRef, Unplaced>,
}

/// Why a deployment has fewer hosts than it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Hosts wanted; `None`: all that match, but none does.
    pub wanted: Option<u32>,
    pub placed: u32,
    /// One line for people, such as `3 hosts match, 1 of them is cordoned`.
    pub reason: String,
}
