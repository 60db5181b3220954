//! Assignments host by host: what each one's folder holds, and which of them something is about.

use std::collections::{BTreeMap, BTreeSet};

use super::{AssignmentRef, DeploymentRef, Name, TreeId};

/// The tree id of every assignment's folder, by host: what a host runs is found at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trees {
    hosts: BTreeMap<Name, BTreeMap<DeploymentRef, TreeId>>,
    count: usize,
}

impl Trees {
    /// The assignments of one host.
    #[must_use]
    pub fn of(&self, host: &Name) -> &BTreeMap<DeploymentRef, TreeId> {
        static NONE: BTreeMap<DeploymentRef, TreeId> = BTreeMap::new();
        self.hosts.get(host).unwrap_or(&NONE)
    }

    #[must_use]
    pub fn get(&self, deployment: &DeploymentRef, host: &Name) -> Option<TreeId> {
        self.of(host).get(deployment).copied()
    }

    #[must_use]
    pub fn contains(&self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.of(host).contains_key(deployment)
    }

    /// Sets an assignment's tree (`None`: it has none any more); returns what was there.
    pub fn set(
        &mut self,
        deployment: &DeploymentRef,
        host: &Name,
        tree: Option<TreeId>,
    ) -> Option<TreeId> {
        let before = match tree {
            Some(tree) => {
                let of_host = self.hosts.entry(host.clone()).or_default();
                of_host.insert(deployment.clone(), tree)
            }
            None => self.remove(deployment, host),
        };
        match (before, tree) {
            (None, Some(_)) => self.count += 1,
            (Some(_), None) => self.count -= 1,
            _ => {}
        }
        before
    }

    /// Sets trees of one host (`None`: it has none any more).
    pub fn set_all(&mut self, host: &Name, trees: &BTreeMap<DeploymentRef, Option<TreeId>>) {
        if let Some(of_host) = self.hosts.get_mut(host) {
            let before = of_host.len();
            for (deployment, tree) in trees {
                match tree {
                    Some(tree) => of_host.insert(deployment.clone(), *tree),
                    None => of_host.remove(deployment),
                };
            }
            self.count = self.count + of_host.len() - before;
            if of_host.is_empty() {
                self.hosts.remove(host);
            }
            return;
        }
        let there =
            trees.iter().filter_map(|(deployment, tree)| Some((deployment.clone(), (*tree)?)));
        let all: BTreeMap<_, _> = there.collect();
        if !all.is_empty() {
            self.count += all.len();
            self.hosts.insert(host.clone(), all);
        }
    }

    fn remove(&mut self, deployment: &DeploymentRef, host: &Name) -> Option<TreeId> {
        let of_host = self.hosts.get_mut(host)?;
        let before = of_host.remove(deployment);
        if of_host.is_empty() {
            self.hosts.remove(host);
        }
        before
    }

    /// Takes over other assignments; of those that are in both, the other ones count.
    pub fn append(&mut self, other: Self) {
        for (host, trees) in other.hosts {
            let of_host = self.hosts.entry(host).or_default();
            let before = of_host.len();
            if of_host.is_empty() {
                *of_host = trees;
            } else {
                of_host.extend(trees);
            }
            self.count += of_host.len() - before;
        }
    }

    /// Hosts that have an assignment.
    pub fn hosts(&self) -> impl Iterator<Item = &Name> {
        self.hosts.keys()
    }

    /// All, in the order of hosts, then deployments.
    pub fn iter(&self) -> impl Iterator<Item = (&DeploymentRef, &Name, TreeId)> {
        let pairs = |(host, of_host)| {
            let of_host: &BTreeMap<DeploymentRef, TreeId> = of_host;
            of_host.iter().map(move |(deployment, tree)| (deployment, host, *tree))
        };
        self.hosts.iter().flat_map(pairs)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl FromIterator<(AssignmentRef, TreeId)> for Trees {
    fn from_iter<I: IntoIterator<Item = (AssignmentRef, TreeId)>>(pairs: I) -> Self {
        let mut trees = Self::default();
        for (pair, tree) in pairs {
            trees.set(&pair.deployment, &pair.host, Some(tree));
        }
        trees
    }
}

/// A set of assignments, by host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    pub hosts: BTreeMap<Name, BTreeSet<DeploymentRef>>,
}

impl Pairs {
    pub fn insert(&mut self, deployment: &DeploymentRef, host: &Name) {
        self.hosts.entry(host.clone()).or_default().insert(deployment.clone());
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (host, deployments) in &other.hosts {
            self.hosts.entry(host.clone()).or_default().extend(deployments.iter().cloned());
        }
    }

    #[must_use]
    pub fn contains(&self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.hosts.get(host).is_some_and(|of_host| of_host.contains(deployment))
    }

    /// All, in the order of hosts, then deployments.
    pub fn iter(&self) -> impl Iterator<Item = (&DeploymentRef, &Name)> {
        let pairs = |(host, of_host)| {
            let of_host: &BTreeSet<DeploymentRef> = of_host;
            of_host.iter().map(move |deployment| (deployment, host))
        };
        self.hosts.iter().flat_map(pairs)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.values().map(BTreeSet::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.values().all(BTreeSet::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_follows_every_change() {
        let (a, b) = ("w/l/a".parse().expect("a name"), "w/l/b".parse().expect("a name"));
        let host = Name::new("h").expect("a name");
        let tree = |byte| Some(TreeId::from_bytes([byte; 20]));
        let mut trees = Trees::default();
        assert_eq!(trees.set(&a, &host, tree(1)), None);
        assert_eq!(trees.set(&a, &host, tree(2)), tree(1));
        assert_eq!(trees.set(&b, &host, tree(3)), None);
        assert_eq!((trees.len(), trees.get(&a, &host)), (2, tree(2)));
        assert_eq!(trees.set(&b, &host, None), tree(3));
        assert_eq!(trees.set(&b, &host, None), None);
        assert_eq!(trees.set(&a, &host, None), tree(2));
        assert!(trees.is_empty() && trees.hosts().next().is_none() && trees == Trees::default());
    }
}
