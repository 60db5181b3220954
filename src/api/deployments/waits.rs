//! How many requests may be held at one time: each keeps a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::Name;

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
    hosts: BTreeMap<Name, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    waits: Waits,
    host: Name,
}

impl Waits {
    /// `None`: there are too many. Who asked is answered at once.
    pub(super) fn begin(&self, host: &Name) -> Option<Turn> {
        let mut held = self.lock();
        let of_host = held.hosts.get(host).copied().unwrap_or(0);
        if held.all >= ALL || of_host >= OF_HOST {
            return None;
        }
        held.all += 1;
        held.hosts.insert(host.clone(), of_host + 1);
        Some(Turn { waits: self.clone(), host: host.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut held = self.waits.lock();
        held.all -= 1;
        let left = held.hosts.get(&self.host).map_or(0, |count| count - 1);
        match left {
            0 => drop(held.hosts.remove(&self.host)),
            left => drop(held.hosts.insert(self.host.clone(), left)),
        }
    }
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
