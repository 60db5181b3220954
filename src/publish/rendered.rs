//! What the rendered branch holds, in memory: read once, then kept up to date by each commit.

use std::collections::{BTreeMap, BTreeSet};

use super::Commit;
use crate::model::{Assignments, DeploymentRef, Name, Pairs, RepoPath, Revision, TreeId, Trees};

/// What the rendered branch holds at one of its commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub revision: Option<Revision>,
    /// `Titan-Source-Commit` of that commit.
    pub source: Option<Revision>,
    /// `Titan-Generation` of that commit; 0 before the first.
    pub generation: u64,
    /// `Titan-Renderer` of that commit: the version that wrote it.
    pub renderer: Option<String>,
    /// For the scheduler: recorded hosts for deployments with `replicas`, folders for the others.
    pub current: Assignments,
    /// Deployments that have a file below `assignments/`.
    pub records: BTreeSet<DeploymentRef>,
    /// The tree id of each assignment's folder.
    pub trees: Trees,
    /// Where each host's folder lies.
    pub folders: BTreeMap<Name, RepoPath>,
    /// The tree that all this was read from.
    pub tree: Option<TreeId>,
    /// `Titan-Resume`: the source commit from which to go on after the config branch was rewritten.
    pub resume: Option<Revision>,
    /// Removals are held; the number of all assignments when that began.
    pub held_removals: Option<usize>,
    /// Commits of others on top of what was read, newest first; `revision` is the newest of them.
    pub foreign: Vec<Revision>,
    /// What lies below `hosts/` and `assignments/` and is not titan's: a hand put it there. A GitOps
    /// tool would apply it, so the next commit leaves it out.
    pub strangers: BTreeSet<RepoPath>,
}

/// How one commit's files differ from those of the commit before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// As in [`Commit::changed`].
    pub(super) changed: Changed,
    /// Hosts whose folder is new, somewhere else (`Some`) or gone.
    pub(super) folders: BTreeMap<Name, Option<RepoPath>>,
    /// What is recorded now of a deployment's hosts; `None`: nothing any more.
    pub(super) records: BTreeMap<DeploymentRef, Option<BTreeSet<Name>>>,
}

/// Assignments whose folder is new, moved or different (`Some`), or gone, by host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    pub hosts: BTreeMap<Name, BTreeMap<DeploymentRef, Option<TreeId>>>,
}

impl Changed {
    /// Notes one.
    pub(super) fn insert(&mut self, deployment: &DeploymentRef, host: &Name, to: Option<TreeId>) {
        self.hosts.entry(host.clone()).or_default().insert(deployment.clone(), to);
    }

    #[must_use]
    pub fn contains(&self, deployment: &DeploymentRef, host: &Name) -> bool {
        self.hosts.get(host).is_some_and(|of_host| of_host.contains_key(deployment))
    }

    /// All, in the order of hosts, then deployments.
    pub fn iter(&self) -> impl Iterator<Item = (&DeploymentRef, &Name, Option<TreeId>)> {
        let of_host = |(host, pairs)| {
            let pairs: &BTreeMap<DeploymentRef, Option<TreeId>> = pairs;
            pairs.iter().map(move |(deployment, tree)| (deployment, host, *tree))
        };
        self.hosts.iter().flat_map(of_host)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hosts.values().map(BTreeMap::len).sum()
    }
}

impl Rendered {
    /// Takes over the commit that was made on top of this. The result is what reading it gives.
    pub(super) fn advance(&mut self, commit: &Commit, difference: &Difference) {
        self.take(difference);
        self.revision = Some(commit.revision);
        self.source = Some(commit.source);
        self.generation = commit.generation;
        self.renderer = Some(env!("CARGO_PKG_VERSION").to_owned());
        self.tree = Some(commit.tree);
        self.held_removals = commit.held_removals;
        self.resume = None;
        self.foreign.clear();
        self.strangers.clear();
    }

    /// Takes over what differs in the files.
    pub(super) fn take(&mut self, difference: &Difference) {
        let mut runs: BTreeMap<&DeploymentRef, Vec<(&Name, bool)>> = BTreeMap::new();
        for (host, pairs) in &difference.changed.hosts {
            self.trees.set_all(host, pairs);
            for (deployment, tree) in pairs {
                runs.entry(deployment).or_default().push((host, tree.is_some()));
            }
        }
        runs.retain(|deployment, _| !self.records.contains(*deployment));
        for (deployment, hosts) in runs {
            self.set_current(deployment, hosts);
        }
        for (host, folder) in &difference.folders {
            match folder {
                Some(folder) => drop(self.folders.insert(host.clone(), folder.clone())),
                None => drop(self.folders.remove(host)),
            }
        }
        for (deployment, hosts) in &difference.records {
            self.record(deployment, hosts.as_ref());
        }
    }

    fn set_current(&mut self, deployment: &DeploymentRef, hosts: Vec<(&Name, bool)>) {
        let mut now = self.current.hosts.remove(deployment).unwrap_or_default();
        for (host, _) in hosts.iter().filter(|(_, runs)| !runs) {
            now.remove(*host);
        }
        let new = hosts.iter().filter(|(_, runs)| *runs).map(|(host, _)| (*host).clone());
        // `append` goes through all that is there.
        if hosts.len() < now.len() / 8 {
            now.extend(new);
        } else {
            now.append(&mut new.collect());
        }
        if !now.is_empty() {
            self.current.hosts.insert(deployment.clone(), now);
        }
    }

    fn record(&mut self, deployment: &DeploymentRef, hosts: Option<&BTreeSet<Name>>) {
        match hosts {
            Some(hosts) => {
                self.records.insert(deployment.clone());
                self.current.hosts.insert(deployment.clone(), hosts.clone());
            }
            None => {
                // From now on the folders tell.
                self.records.remove(deployment);
                self.current.hosts.remove(deployment);
                let hosts = self.trees.hosts().filter(|host| self.trees.contains(deployment, host));
                for host in hosts {
                    self.current.insert(deployment, host);
                }
            }
        }
    }
}

impl Difference {
    /// The assignments whose place among the current ones may be another now.
    pub(super) fn moved(&self, before: &Assignments) -> Pairs {
        let of_host = |(host, pairs): (&Name, &BTreeMap<DeploymentRef, Option<TreeId>>)| {
            (host.clone(), pairs.keys().cloned().collect())
        };
        let mut moved = Pairs { hosts: self.changed.hosts.iter().map(of_host).collect() };
        for (deployment, hosts) in &self.records {
            let hosts = hosts.iter().flatten().chain(before.of(deployment));
            hosts.for_each(|host| moved.insert(deployment, host));
        }
        moved
    }
}
