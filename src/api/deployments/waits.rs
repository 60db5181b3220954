//! Requests that wait for something to change for their host: how many, and who wakes them.
//!
//! ```text
//!  a new snapshot ──▶ [herald] ──▶ compares the trees of the hosts that wait ──▶ wakes those that differ
//! ```
//! Each waiting request keeps a connection. What changes for one host costs the others nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::Context;
use super::known::View;
use crate::model::Name;
use crate::observe::Snapshot;

/// All together: the agents of ten thousand hosts, and less than there may be connections, so that some
/// are left for those who do not wait.
const ALL: usize = 12_000;
/// Of one host: an old one may not know yet that its agent is gone.
const OF_HOST: usize = 4;

/// Counts them.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Waits {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    hosts: BTreeMap<Name, Waiting>,
}

/// The requests of one host.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    bell: Arc<Notify>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    waits: Waits,
    host: Name,
    /// Rings when something may be different for the host.
    pub(super) bell: Arc<Notify>,
}

impl Waits {
    /// `None`: there are too many. Who asked is answered at once.
    pub(super) fn begin(&self, host: &Name) -> Option<Turn> {
        let mut held = self.lock();
        let of_host = held.hosts.get(host).map_or(0, |waiting| waiting.count);
        if held.all >= ALL || of_host >= OF_HOST {
            return None;
        }
        held.all += 1;
        let waiting = held.hosts.entry(host.clone()).or_default();
        waiting.count += 1;
        Some(Turn { waits: self.clone(), host: host.clone(), bell: Arc::clone(&waiting.bell) })
    }

    /// Wakes the requests of the hosts that `differ`.
    fn wake(&self, differ: impl Fn(&Name) -> bool) {
        let held = self.lock();
        let woken = held.hosts.iter().filter(|(host, _)| differ(host));
        woken.for_each(|(_, waiting)| waiting.bell.notify_waiters());
    }

    fn is_empty(&self) -> bool {
        self.lock().all == 0
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut held = self.waits.lock();
        held.all -= 1;
        let Some(waiting) = held.hosts.get_mut(&self.host) else { return };
        waiting.count -= 1;
        if waiting.count == 0 {
            held.hosts.remove(&self.host);
        }
    }
}

/// Looks at each snapshot for all that wait, until the controller stops.
pub(super) async fn herald(context: Arc<Context>) {
    let mut snapshots = context.needs.snapshot.clone();
    let mut last: Option<(Arc<View>, Arc<Snapshot>)> = None;
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        if context.waits.is_empty() {
            last = None;
            continue;
        }
        let view = context.known.view(&context).await.ok();
        match (&last, &view) {
            (Some((before, then)), Some(view)) => context.waits.wake(|host| {
                before.places.of(host) != view.places.of(host)
                    || then.hosts.get(host) != snapshot.hosts.get(host)
                    || then.keys.get(host) != snapshot.keys.get(host)
            }),
            // Nothing is known to be as before.
            _ => context.waits.wake(|_| true),
        }
        last = view.map(|view| (view, snapshot));
    }
    drop(snapshots);
    context.waits.wake(|_| true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_take_all_turns() {
        let (waits, host) = (Waits::default(), Name::new("a").unwrap());
        let mut turns: Vec<_> = (0..OF_HOST).map(|_| waits.begin(&host).unwrap()).collect();
        assert!(waits.begin(&host).is_none());
        assert!(waits.begin(&Name::new("b").unwrap()).is_some());
        turns.pop();
        turns.push(waits.begin(&host).unwrap());
        drop(turns);
        assert!(waits.lock().all == 0 && waits.lock().hosts.is_empty());
    }
}
