//! In which order the pairs of a call are rendered.
//!
//! ```text
//!  templates that rendered before ─▶ first wave: part after part, shared by all workers
//!  new or changed ones ─▶ a sample: one host ─┬─ fine ─▶ next wave
//!                                             └─ takes too much ─▶ last wave
//! ```
//! So what is known to be good never waits for a new template, whatever that does. New deployments may wait
//! for each other's samples, and a template that rendered before counts as good: where the values of
//! a deployment make it slow, its neighbours in the same share wait until it is stopped. The outcomes do not
//! depend on the order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::share::{self, OfHost, SMALLEST, Share};
use crate::model::{DeploymentRef, Fleet, Name, Pairs, Template, TemplateRef};

/// What the next wave waits for samples that are under way: as a rule they take less.
const GRACE: Duration = Duration::from_millis(25);

/// Templates that rendered in this process, as they were then.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<BTreeMap<TemplateRef, Arc<Template>>>);

impl Proven {
    /// Those of which nobody knows what they do.
    fn unknown<'d>(
        &self,
        fleet: &Fleet,
        deployments: &BTreeSet<&'d DeploymentRef>,
    ) -> BTreeSet<&'d DeploymentRef> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |id: &&DeploymentRef| {
            let template = &fleet.deployments[*id].template;
            let sides = known.get(template).zip(fleet.templates.get(template));
            sides.is_some_and(|(before, now)| Arc::ptr_eq(before, now))
        };
        deployments.iter().copied().filter(|id| !is_known(id)).collect()
    }

    /// Deployments of the fleet were rendered.
    pub(super) fn add<'d>(
        &self,
        fleet: &Fleet,
        deployments: impl IntoIterator<Item = &'d DeploymentRef>,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| fleet.templates.contains_key(id));
        for id in deployments {
            let template = &fleet.deployments[id].template;
            if let Some(now) = fleet.templates.get(template) {
                known.insert(template.clone(), Arc::clone(now));
            }
        }
    }
}

/// Deployments that are rendered together.
type Wave<'a> = Arc<BTreeSet<&'a DeploymentRef>>;

/// What a worker is to do next.
pub(super) enum Task<'q, 'a> {
    Sample(&'a DeploymentRef),
    /// What some hosts run of the wave.
    Part(&'q [OfHost<'a>], Wave<'a>),
}

/// See the module.
pub(super) struct Queue<'a> {
    fleet: &'a Fleet,
    parts: Vec<Vec<OfHost<'a>>>,
    /// The host of each sample, which is rendered by itself.
    samples: BTreeMap<&'a DeploymentRef, &'a Name>,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    wave: Wave<'a>,
    /// The wave's next part.
    next: usize,
    waiting: VecDeque<&'a DeploymentRef>,
    /// Samples that are under way.
    running: usize,
    /// Those whose sample was fine.
    fine: BTreeSet<&'a DeploymentRef>,
    /// Those whose sample took too much.
    suspect: BTreeSet<&'a DeploymentRef>,
    given_up: bool,
}

impl<'a> Queue<'a> {
    pub(super) fn new(fleet: &'a Fleet, pairs: &'a Pairs, workers: usize, proven: &Proven) -> Self {
        let parts = share::cut(fleet, pairs, workers);
        // Whichever is shorter names all that are wanted.
        let count = pairs.count();
        let all: BTreeSet<&DeploymentRef> = match count < fleet.deployments.len() {
            true => pairs.iter().map(|(id, _)| id).collect(),
            false => fleet.deployments.keys().collect(),
        };
        let mut new = proven.unknown(fleet, &all);
        if new.len() == all.len() && count <= SMALLEST {
            // Nothing has to be kept from waiting.
            new.clear();
        }
        let mut samples = BTreeMap::new();
        for (host, deployments) in &pairs.hosts {
            if samples.len() == new.len() {
                break;
            }
            for id in deployments.iter().filter(|id| new.contains(id)) {
                samples.entry(id).or_insert(host);
            }
        }
        let state = State {
            wave: Arc::new(all.difference(&new).copied().collect()),
            waiting: samples.keys().copied().collect(),
            ..State::default()
        };
        let changed = Condvar::new();
        Self { fleet, parts, samples, state: Mutex::new(state), changed }
    }

    /// How many workers can be busy.
    pub(super) fn width(&self) -> usize {
        self.parts.len().max(self.samples.len().min(2))
    }

    /// What to do next; waits where that depends on a sample. `None`: all is done, or in others' hands.
    pub(super) fn next(&self) -> Option<Task<'_, 'a>> {
        let mut state = self.state();
        let mut patient = true;
        loop {
            if state.given_up {
                return None;
            }
            if state.next < self.parts.len() && !state.wave.is_empty() {
                let (part, wave) = (&self.parts[state.next], Arc::clone(&state.wave));
                state.next += 1;
                drop(state);
                return Some(Task::Part(part, wave));
            }
            if let Some(id) = state.waiting.pop_front() {
                state.running += 1;
                return Some(Task::Sample(id));
            }
            if state.running > 0 && state.fine.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if state.running > 0 && patient {
                let waited = self.changed.wait_timeout(state, GRACE);
                let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                (state, patient) = (after, !waited.timed_out());
                continue;
            }
            let State { fine, suspect, .. } = &mut *state;
            let wave = std::mem::take(if fine.is_empty() { suspect } else { fine });
            if wave.is_empty() {
                return None;
            }
            (state.wave, state.next) = (Arc::new(wave), 0);
        }
    }

    /// The pairs of a task whose deployment is `wanted`.
    pub(super) fn share(
        &self,
        task: &Task<'_, 'a>,
        wanted: impl Fn(&DeploymentRef) -> bool,
    ) -> Share {
        match task {
            Task::Sample(id) => {
                let only = BTreeSet::from([(*id).clone()]);
                Share::new(self.fleet, &[(self.samples[id], &only)], |_, _| true)
            }
            Task::Part(part, wave) => Share::new(self.fleet, part, |id, host| {
                wave.contains(id) && self.samples.get(id) != Some(&host) && wanted(id)
            }),
        }
    }

    /// A sample is done; whether it took too much.
    pub(super) fn sampled(&self, id: &'a DeploymentRef, too_much: bool) {
        let mut state = self.state();
        state.running -= 1;
        let side = if too_much { &mut state.suspect } else { &mut state.fine };
        side.insert(id);
        self.changed.notify_all();
    }

    /// Nobody needs the rest.
    pub(super) fn give_up(&self) {
        self.state().given_up = true;
        self.changed.notify_all();
    }

    /// For as long as somebody works: others do not wait for one that panics.
    pub(super) fn shift(&self) -> impl Drop {
        struct Shift<'q, 'a>(&'q Queue<'a>);
        impl Drop for Shift<'_, '_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.give_up();
                }
            }
        }
        Shift(self)
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::FleetBuilder;
    use serde_json::json;

    fn fleet() -> Fleet {
        let mut builder = FleetBuilder::new()
            .template("app", json!({}), &[])
            .template("new", json!({}), &[])
            .deployment("default/app/a", json!({}))
            .deployment("default/app/b", json!({"template": "new"}))
            .deployment("default/app/c", json!({"template": "new"}));
        for host in 0..100 {
            builder = builder.host(&format!("h{host:02}"), "");
        }
        builder.fleet
    }

    fn all(fleet: &Fleet) -> Pairs {
        let mut pairs = Pairs::default();
        for host in fleet.hosts.keys() {
            fleet.deployments.keys().for_each(|id| pairs.insert(id, host));
        }
        pairs
    }

    /// What a single worker does, in its order: deployments of each task, and how many pairs.
    fn tasks(fleet: &Fleet, proven: &Proven, bad: &str) -> Vec<(String, usize)> {
        let pairs = all(fleet);
        let queue = Queue::new(fleet, &pairs, 1, proven);
        let (mut tasks, mut seen): (Vec<(String, usize)>, _) = (Vec::new(), Pairs::default());
        while let Some(task) = queue.next() {
            let share = queue.share(&task, |_| true);
            let names: BTreeSet<&str> = share.pairs().map(|(id, _)| id.name.as_str()).collect();
            let names = names.into_iter().collect::<Vec<_>>().join("+");
            match tasks.last_mut() {
                Some((last, count)) if *last == names => *count += share.len(),
                _ => tasks.push((names, share.len())),
            }
            for (id, host) in share.pairs() {
                assert!(!seen.contains(id, host), "{id}@{host} comes twice");
                seen.insert(id, host);
            }
            if let Task::Sample(id) = task {
                queue.sampled(id, id.name.as_str() == bad);
            }
        }
        assert_eq!(seen, pairs);
        tasks
    }

    #[test]
    fn what_is_known_comes_first_and_what_is_suspect_last() {
        let fleet = fleet();
        let proven = Proven::default();
        let one = |name: &str, count| (name.to_owned(), count);
        let cold = vec![one("a", 1), one("b", 1), one("c", 1), one("a+c", 198), one("b", 99)];
        assert_eq!(tasks(&fleet, &proven, "b"), cold);
        proven.add(&fleet, [&"default/app/a".parse().expect("a name")]);
        // The sample of `c`, then its other hosts.
        let warm = vec![one("a", 100), one("b", 1), one("c", 100), one("b", 99)];
        assert_eq!(tasks(&fleet, &proven, "b"), warm);
        proven.add(&fleet, fleet.deployments.keys());
        assert_eq!(tasks(&fleet, &proven, ""), vec![one("a+b+c", 300)]);
    }

    #[test]
    fn a_changed_template_is_new_again() {
        let (before, after) = (fleet(), fleet());
        let proven = Proven::default();
        proven.add(&before, before.deployments.keys());
        let ids = before.deployments.keys().collect();
        assert_eq!(proven.unknown(&before, &ids), BTreeSet::new());
        assert_eq!(proven.unknown(&after, &ids), ids);
    }
}
