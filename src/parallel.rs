//! Work shared out to all processors; what comes out does not depend on how many there are.

use std::num::NonZero;
use std::sync::OnceLock;
use std::thread;

/// How many threads work at a time: one for each processor.
///
/// The system is asked once: on Linux the answer takes five system calls.
#[must_use]
pub fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// Cuts `items` into shares of at least `least` (0 counts as 1), at most as many as there are processors, and
/// does `work` on all of them at once; what it gives comes in the order of the items. A single share is
/// done by the calling thread. `state` is made here and given away: for what cannot be shared.
///
/// # Panics
/// When `work` does.
pub fn share_out<I: Send, S: Send, R: Send>(
    mut items: Vec<I>,
    least: usize,
    state: impl Fn() -> S,
    work: impl Fn(S, Vec<I>) -> R + Sync,
) -> Vec<R> {
    let share = items.len().div_ceil(processors()).max(least).max(1);
    if items.len() <= share {
        return vec![work(state(), items)];
    }
    let work = &work;
    thread::scope(|scope| {
        let mut workers = Vec::new();
        while !items.is_empty() {
            let rest = items.split_off(share.min(items.len()));
            let (state, part) = (state(), std::mem::replace(&mut items, rest));
            workers.push(scope.spawn(move || work(state, part)));
        }
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_in_order() {
        for (count, least) in [(0, 1), (1, 0), (7, 100), (1000, 1), (1001, 300)] {
            let items: Vec<usize> = (0..count).collect();
            let done = share_out(
                items.clone(),
                least,
                || 1,
                |one, part| {
                    assert!(part.len() >= least.min(count) || part.last() == items.last());
                    part.into_iter().map(|item| item + one).collect::<Vec<_>>()
                },
            );
            assert_eq!(done.concat(), (1..=count).collect::<Vec<_>>());
        }
    }
}
