//! The entries of a map: its own, then those that `<<` brings. Each key comes once.

use std::collections::BTreeSet;

use super::super::node::{Data, Entry, Node};
use super::super::{PROBLEMS, Problem};
use super::Composer;
use crate::model::Span;

impl Composer {
    /// Lays what `<<` brings behind the map's own entries; each key may come once.
    pub(super) fn merged(&mut self, own: Vec<Entry>, merges: Vec<(Span, Node)>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(own.len());
        let mut seen = Seen::default();
        for entry in own {
            let span = entry.key_span;
            self.add(&mut entries, &mut seen, entry, span);
        }
        for (index, (span, node)) in merges.into_iter().enumerate() {
            if index > 0 {
                self.duplicate("<<", span);
            }
            for source in self.merge_sources(span, node) {
                for entry in source {
                    self.add(&mut entries, &mut seen, entry, span);
                }
            }
        }
        entries
    }

    fn merge_sources(&mut self, span: Span, node: Node) -> Vec<Vec<Entry>> {
        let nodes = match node.data {
            Data::List(items) => items,
            _ => vec![node],
        };
        let mut maps = Vec::new();
        for node in nodes {
            match node.data {
                Data::Map(entries) => maps.push(entries),
                _ => self.problems.push(
                    Problem::new("field/type", span, "`<<` takes a map or a list of maps")
                        .fix("write an alias of a map behind it"),
                ),
            }
        }
        maps
    }

    fn add(&mut self, entries: &mut Vec<Entry>, seen: &mut Seen, entry: Entry, span: Span) {
        if seen.holds(entries, &entry.key) {
            self.duplicate(&entry.key, span);
        } else {
            seen.insert(entries, &entry.key);
            entries.push(entry);
        }
    }

    fn duplicate(&mut self, key: &str, span: Span) {
        if self.problems.len() < PROBLEMS {
            let key: String = key.chars().take(64).collect();
            let message = format!("the key `{}` comes twice in this map", key.escape_default());
            let problem = Problem::new("yaml/duplicate-key", span, message);
            self.problems.push(problem.fix("keep one of the two"));
        }
    }
}

/// The keys of one map: most maps are so small that looking through them is the fastest.
#[derive(Default)]
struct Seen(BTreeSet<Box<str>>);

impl Seen {
    const SMALL: usize = 12;

    fn holds(&self, entries: &[Entry], key: &str) -> bool {
        if entries.len() < Self::SMALL {
            return entries.iter().any(|entry| *entry.key == *key);
        }
        self.0.contains(key)
    }

    fn insert(&mut self, entries: &[Entry], key: &str) {
        if entries.len() + 1 == Self::SMALL {
            self.0.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        if entries.len() + 1 >= Self::SMALL {
            self.0.insert(key.into());
        }
    }
}
