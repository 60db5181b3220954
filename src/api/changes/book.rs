//! What is under way, and what became of it lately.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Change, State};
use crate::model::RequestId;

/// How many are remembered of those that are decided. What is committed is found in history too.
const DECIDED: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    entries: HashMap<RequestId, Entry>,
    /// Those that are decided, oldest first.
    decided: VecDeque<RequestId>,
}

#[derive(Debug)]
struct Entry {
    digest: String,
    change: watch::Sender<Change>,
}

/// What the book says of a request that comes in.
pub(super) enum Seen {
    /// It is new, and noted now.
    Never(watch::Receiver<Change>),
    /// The same was asked for before.
    Before(watch::Receiver<Change>),
    /// Something else was asked for under this id.
    Other,
}

impl Book {
    /// Notes a request. One that failed may come again.
    pub(super) fn enter(&self, id: &RequestId, digest: &str, actor: &str) -> Seen {
        let mut pages = self.pages();
        if let Some(entry) = pages.entries.get(id) {
            if entry.digest != digest {
                return Seen::Other;
            }
            if entry.change.borrow().state != State::Failed {
                return Seen::Before(entry.change.subscribe());
            }
            pages.decided.retain(|other| other != id);
        }
        let actor = Some(actor.to_owned());
        let (change, receiver) =
            watch::channel(Change { actor, ..Change::new(id, State::Accepted) });
        pages.entries.insert(id.clone(), Entry { digest: digest.to_owned(), change });
        Seen::Never(receiver)
    }

    /// What became of it.
    pub(super) fn decide(&self, change: Change) {
        let mut pages = self.pages();
        let id = change.id.clone();
        let Some(entry) = pages.entries.get(&id) else { return };
        let actor = entry.change.borrow().actor.clone();
        entry.change.send_replace(Change { actor, ..change });
        pages.decided.push_back(id);
        if pages.decided.len() > DECIDED
            && let Some(oldest) = pages.decided.pop_front()
        {
            pages.entries.remove(&oldest);
        }
    }

    /// Something more is known of it.
    pub(super) fn amend(&self, id: &RequestId, amend: impl FnOnce(&mut Change)) {
        if let Some(entry) = self.pages().entries.get(id) {
            entry.change.send_modify(amend);
        }
    }

    /// It was not taken: as if it had never come.
    pub(super) fn forget(&self, id: &RequestId) {
        self.pages().entries.remove(id);
    }

    pub(super) fn get(&self, id: &RequestId) -> Option<Change> {
        self.pages().entries.get(id).map(|entry| entry.change.borrow().clone())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_is_forgotten_in_the_end() {
        let (book, id) =
            (Book::default(), |n: usize| format!("r{n}").parse::<RequestId>().unwrap());
        for n in 0..=DECIDED {
            assert!(matches!(book.enter(&id(n), "x", "anna"), Seen::Never(_)));
            book.decide(Change::new(&id(n), State::Unchanged));
        }
        assert_eq!(book.get(&id(0)), None);
        assert!(matches!(book.enter(&id(1), "x", "anna"), Seen::Before(_)));
        assert!(matches!(book.enter(&id(1), "y", "anna"), Seen::Other));
        book.enter(&id(0), "x", "anna");
        book.decide(Change::failed(&id(0), "no".into()));
        assert!(matches!(book.enter(&id(0), "x", "anna"), Seen::Never(_)), "it may be tried again");
    }
}
