//! What happened, compared once for all who listen, and only while somebody does.
//!
//! ```text
//!  positions of streams   a ─▶ b ─▶ c ─▶ d   the latest moves, in memory
//!            ▲ older ones: compared in Git, by the first that asks
//! ```
//! Nobody is sent anything: each stream asks for the move that goes on from where it is, and waits while
//! there is none. So a slow one holds up nobody, and nothing piles up for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;

use super::told::Told;
use crate::git::{GitError, Repository};
use crate::observe::events::{self, Branch, Move, Position};

/// Commits back to which a client may go on.
pub(super) const BACK: usize = 10_000;
/// Moves that stay in memory.
const MOVES: usize = 256;
/// And their events, but for the last move.
const EVENTS: usize = 20_000;
/// Comparisons at one time.
const READS: usize = 4;

/// A move, with what happened in it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) way: Move,
    /// `None`: more than anybody is told of.
    pub(super) events: Option<Vec<Told>>,
}

/// Shared by all streams.
#[derive(Debug)]
pub(super) struct Steps {
    ring: Mutex<VecDeque<Entry>>,
    reads: Semaphore,
}

/// From each position at most one move leads on.
#[derive(Debug)]
struct Entry {
    way: Move,
    step: Cell,
}

type Cell = Arc<OnceCell<Arc<Step>>>;

impl Default for Steps {
    fn default() -> Self {
        Self { ring: Mutex::default(), reads: Semaphore::new(READS) }
    }
}

impl Steps {
    /// What happened next after `from`, on the way to `goal`; `None`: nothing. Whoever asks first compares.
    pub(super) async fn next(
        &self,
        git: &Repository,
        from: Position,
        goal: Position,
    ) -> Result<Option<Arc<Step>>, GitError> {
        let Some(way) = from.toward(goal) else { return Ok(None) };
        let (way, cell) = self.enter(way);
        let step = cell.get_or_try_init(|| self.compare(git, way)).await.map(Arc::clone);
        self.forget();
        step.map(Some)
    }

    /// What happened in a move that a client names. It is not kept: how it goes on for others is not for
    /// clients to say.
    pub(super) async fn of(&self, git: &Repository, way: Move) -> Result<Arc<Step>, GitError> {
        let own = |entry: &&Entry| entry.way == way;
        let known = self.ring().iter().find(own).and_then(|entry| entry.step.get().cloned());
        match known {
            Some(step) => Ok(step),
            None => self.compare(git, way).await,
        }
    }

    async fn compare(&self, git: &Repository, way: Move) -> Result<Arc<Step>, GitError> {
        let git = git.clone();
        let told = |events: Vec<_>| events.into_iter().map(Told::of).collect();
        let events = self.read(move || events::events(&git, &way).map(|all| all.map(told)));
        events.await.map(|events| Arc::new(Step { way, events }))
    }

    /// Whether the branches came by these positions not too long ago.
    pub(super) async fn are_known(
        &self,
        git: &Repository,
        positions: [Position; 2],
        goal: Position,
    ) -> bool {
        let git = git.clone();
        let is_known = move |position: Position| {
            Branch::ALL.into_iter().all(|branch| match (position.of(branch), goal.of(branch)) {
                (None, _) => true,
                (Some(_), None) => false,
                // Where history ends early, nobody knows.
                (Some(old), Some(head)) => git.is_near_ancestor(old, head, BACK).unwrap_or(false),
            })
        };
        self.read(move || positions.into_iter().all(is_known)).await
    }

    /// Git is read on a thread where waiting does no harm.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _turn = self.reads.acquire().await.expect("the semaphore is never closed");
        spawn_blocking(work).await.expect("the work does not panic")
    }

    /// The move from where `way` begins that is known, or else this one.
    fn enter(&self, way: Move) -> (Move, Cell) {
        let mut ring = self.ring();
        if let Some(known) = ring.iter().find(|entry| entry.way.from == way.from) {
            return (known.way, Arc::clone(&known.step));
        }
        // Branches may be set back: what led away from here before is not how it goes on now. So moves
        // never lead in a circle.
        let to = way.to();
        ring.retain(|entry| entry.way.from != to);
        let step = Cell::default();
        ring.push_back(Entry { way, step: Arc::clone(&step) });
        (way, step)
    }

    /// Keeps the latest.
    fn forget(&self) {
        let mut ring = self.ring();
        let count = |entry: &Entry| {
            let events = entry.step.get().and_then(|step| step.events.as_ref());
            events.map_or(0, Vec::len)
        };
        let mut all: usize = ring.iter().map(count).sum();
        while ring.len() > MOVES || (all > EVENTS && ring.len() > 1) {
            all -= ring.pop_front().as_ref().map_or(0, count);
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
