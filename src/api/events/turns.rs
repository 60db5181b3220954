//! How many streams there may be: each keeps a connection, and some memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All together; less than there may be connections, so that most are left for others.
pub(super) const ALL: usize = 1000;
/// Of one caller.
pub(super) const OF_ONE: usize = 32;

/// Counts them.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    callers: BTreeMap<String, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    caller: String,
}

impl Turns {
    /// `None`: there are too many.
    pub(super) fn begin(&self, caller: &str) -> Option<Turn> {
        let mut counts = self.lock();
        let own = counts.callers.get(caller).copied().unwrap_or(0);
        if counts.all >= ALL || own >= OF_ONE {
            return None;
        }
        counts.all += 1;
        counts.callers.insert(caller.to_owned(), own + 1);
        Some(Turn { turns: self.clone(), caller: caller.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.turns.lock();
        counts.all -= 1;
        let left = counts.callers.get(&self.caller).map_or(0, |own| own - 1);
        match left {
            0 => drop(counts.callers.remove(&self.caller)),
            left => drop(counts.callers.insert(self.caller.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_take_all_turns() {
        let turns = Turns::default();
        let mut own: Vec<_> = (0..OF_ONE).map(|_| turns.begin("ada").unwrap()).collect();
        assert!(turns.begin("ada").is_none() && turns.begin("eve").is_some());
        own.pop();
        assert!(turns.begin("ada").is_some());
        let others: Vec<_> = (0..).map_while(|n| turns.begin(&format!("u{n}"))).collect();
        assert_eq!(others.len(), ALL - own.len());
        drop((own, others));
        assert!(turns.lock().callers.is_empty() && turns.lock().all == 0);
    }
}
