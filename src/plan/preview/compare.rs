//! The pairs that may differ, rendered on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Side;
use super::facts::Facts;
use super::group::{Change, Groups, Kind};
use super::held::Failures;
use crate::model::{
    AssignmentRef, Deployment, DeploymentRef, Diagnostic, Host, Manifests, Name, TemplateRef,
};
use crate::parallel::{processors, share_out};
use crate::plan::Changes;
use crate::render::Renderer;

/// Reads what an assignment has now; `None`: nothing, or nobody knows.
pub type Old<'a> = &'a (dyn Fn(&AssignmentRef) -> Option<Manifests> + Sync);

/// Pairs that one thread compares at a time.
const SHARE: usize = 1024;

/// What came of comparing.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) groups: Groups,
    /// How many assignments stay with other files.
    pub(super) changed: BTreeMap<DeploymentRef, usize>,
    pub(super) emptied: Vec<AssignmentRef>,
    pub(super) failures: Failures,
}

impl Found {
    fn join(&mut self, other: Self) {
        self.groups.join(other.groups);
        for (deployment, count) in other.changed {
            *self.changed.entry(deployment).or_default() += count;
        }
        self.emptied.extend(other.emptied);
        self.failures.join(other.failures);
    }
}

/// What is known of a pair before it is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It is rendered on both sides.
    Both,
    /// Before, it is kept as it is.
    Kept,
    New,
}

struct Pair<'a> {
    deployment: &'a Deployment,
    host: &'a Host,
    origin: Origin,
}

/// Compares what may differ, on all processors: each share by itself, and all of them added in
/// order.
pub(super) fn compare(before: Side<'_>, after: Side<'_>, old: Old<'_>) -> Found {
    let pairs = pairs(before, after);
    let mut found = Found::default();
    let one = |share| Comparison::new(before, after, old).all(share);
    let shares: Vec<_> = pairs.chunks(SHARE).collect();
    for round in shares.chunks(processors()) {
        let compared = share_out(
            round.to_vec(),
            1,
            || (),
            |(), shares| shares.into_iter().map(one).collect::<Vec<_>>(),
        );
        compared.into_iter().flatten().for_each(|part| found.join(part));
    }
    found
}

/// What is rendered after and may differ from what was there.
fn pairs<'a>(before: Side<'_>, after: Side<'a>) -> Vec<Pair<'a>> {
    let Changes { hosts, deployments, .. } = Changes::between(before.fleet, after.fleet);
    let mut pairs = Vec::new();
    for (id, chosen) in &after.schedule.assignments.hosts {
        let deployment = after.fleet.deployments.get(id).expect("it was scheduled from here");
        let dirty = deployments.contains(id);
        let (was, kept) = (before.schedule.assignments.of(id), before.schedule.kept.of(id));
        let mut add = |name: &Name, origin| {
            let host = after.fleet.hosts.get(name).expect("it was scheduled from here");
            pairs.push(Pair { deployment, host, origin });
        };
        if !dirty && was == chosen {
            // By far most deployments of most changes.
            let few = hosts.iter().filter(|host| chosen.contains(*host));
            few.for_each(|host| add(host, Origin::Both));
            continue;
        }
        for host in chosen {
            match (was.contains(host), kept.contains(host)) {
                (true, _) if dirty || hosts.contains(host) => add(host, Origin::Both),
                (true, _) => {}
                (false, true) => add(host, Origin::Kept),
                (false, false) => add(host, Origin::New),
            }
        }
    }
    pairs
}

/// Compares one share of the pairs.
struct Comparison<'a> {
    before: Side<'a>,
    then: Renderer<'a>,
    now: Renderer<'a>,
    old: Old<'a>,
    found: Found,
}

impl<'a> Comparison<'a> {
    fn new(before: Side<'a>, after: Side<'a>, old: Old<'a>) -> Self {
        let (then, now) = (Renderer::new(before.fleet), Renderer::new(after.fleet));
        Self { before, then, now, old, found: Found::default() }
    }

    fn all(mut self, share: &[Pair<'a>]) -> Found {
        for pair in share {
            self.pair(pair);
        }
        self.found
    }

    fn pair(&mut self, pair: &Pair<'a>) {
        let Pair { deployment, host, origin } = *pair;
        let assignment = deployment.id.on(&host.name);
        let before = self.before(&assignment, origin);
        let after = match self.now.render(deployment, host) {
            Ok(after) => after,
            Err(error) => {
                self.found.failures.add(&assignment, error.0, before.err());
                return;
            }
        };
        let before = match before {
            Ok(before) => before,
            // It could not be rendered before either: what is there was made earlier.
            Err(_) => Arc::new((self.old)(&assignment).unwrap_or_default()),
        };
        if before == after {
            return;
        }
        if after.files.is_empty() {
            self.found.emptied.push(assignment);
        } else if origin != Origin::New {
            *self.found.changed.entry(deployment.id.clone()).or_default() += 1;
        }
        self.files(pair, &before, &after);
    }

    /// What was there; the problems where it cannot be rendered.
    fn before(
        &mut self,
        assignment: &AssignmentRef,
        origin: Origin,
    ) -> Result<Arc<Manifests>, Vec<Diagnostic>> {
        match origin {
            Origin::New => Ok(Arc::default()),
            Origin::Kept => Ok(Arc::new((self.old)(assignment).unwrap_or_default())),
            Origin::Both => {
                let fleet = self.before.fleet;
                let deployment = fleet.deployments.get(&assignment.deployment);
                let deployment = deployment.expect("it was scheduled from here");
                let host = fleet.hosts.get(&assignment.host).expect("it was scheduled from here");
                self.then.render(deployment, host).map_err(|error| error.0)
            }
        }
    }

    fn files(&mut self, pair: &Pair<'_>, before: &Manifests, after: &Manifests) {
        let old_host = self.before.fleet.hosts.get(&pair.host.name);
        let facts = Facts::of(old_host.map(AsRef::as_ref), pair.host);
        let template: &TemplateRef = &pair.deployment.template;
        let paths: BTreeSet<_> = before.files.keys().chain(after.files.keys()).collect();
        for file in paths {
            let (old, new) = (before.files.get(file), after.files.get(file));
            let kind = match (old, new) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(_), Some(_)) => Kind::Changed,
                (Some(_), None) => Kind::Removed,
                (None, _) if pair.origin == Origin::New => Kind::New,
                (None, _) => Kind::Added,
            };
            self.found.groups.add(&Change {
                kind,
                template,
                file,
                deployment: &pair.deployment.id,
                host: &pair.host.name,
                facts: &facts,
                before: old.map_or(&[], |bytes| bytes),
                after: new.map_or(&[], |bytes| bytes),
            });
        }
    }
}
