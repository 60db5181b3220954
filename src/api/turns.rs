//! How many of something there may be at a time, together and of each caller or host: it takes a connection,
//! memory, or both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts them.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most of them together.
    all: usize,
    /// Most of one.
    of_one: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    each: BTreeMap<String, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    of: String,
}

impl Turns {
    pub(super) fn new(all: usize, of_one: usize) -> Self {
        Self(Arc::new(Shared { all, of_one, counts: Mutex::default() }))
    }

    /// `None`: there are too many.
    pub(super) fn begin(&self, of: &str) -> Option<Turn> {
        let mut counts = self.lock();
        let own = counts.each.get(of).copied().unwrap_or(0);
        if counts.all >= self.0.all || own >= self.0.of_one {
            return None;
        }
        counts.all += 1;
        counts.each.insert(of.to_owned(), own + 1);
        Some(Turn { turns: self.clone(), of: of.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.turns.lock();
        counts.all -= 1;
        let left = counts.each.get(&self.of).map_or(0, |own| own - 1);
        match left {
            0 => drop(counts.each.remove(&self.of)),
            left => drop(counts.each.insert(self.of.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_take_all_turns() {
        let turns = Turns::new(10, 4);
        let mut own: Vec<_> = (0..4).map(|_| turns.begin("ada").unwrap()).collect();
        assert!(turns.begin("ada").is_none() && turns.begin("eve").is_some());
        own.pop();
        assert!(turns.begin("ada").is_some());
        let others: Vec<_> = (0..).map_while(|n| turns.begin(&format!("u{n}"))).collect();
        assert_eq!(others.len(), 10 - own.len());
        drop((own, others));
        assert!(turns.lock().each.is_empty() && turns.lock().all == 0);
    }
}
