//! Hosts by label: a selector costs the hosts that its narrowest term names, not the fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Host, Labels, Name, Operator, Requirement, Selector};

/// The usable hosts of a fleet, filed under their labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    hosts: BTreeMap<Name, Arc<Host>>,
    /// Key → value → who bears it.
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<Name>>>,
}

impl Index {
    /// Files a host under the labels that it has now; `None`: it is gone.
    pub(super) fn set(&mut self, name: &Name, host: Option<&Arc<Host>>) {
        let before = match host {
            Some(host) => self.hosts.insert(name.clone(), Arc::clone(host)),
            None => self.hosts.remove(name),
        };
        if let Some(before) = before {
            self.take_out(name, &before.labels);
        }
        for (key, value) in host.into_iter().flat_map(|host| &host.labels) {
            entry(entry(&mut self.labels, key), value).insert(name.clone());
        }
    }

    fn take_out(&mut self, name: &Name, labels: &Labels) {
        for (key, value) in labels {
            let Some(values) = self.labels.get_mut(key) else { continue };
            if let Some(bearers) = values.get_mut(value) {
                bearers.remove(name);
                if bearers.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.labels.remove(key);
            }
        }
    }

    /// The hosts that a selector matches. Where every term names most of the fleet, going through all
    /// hosts is cheaper than looking up each.
    pub(super) fn select(&self, selector: &Selector) -> Vec<&Arc<Host>> {
        let exact = selector.match_labels.iter().map(|(key, value)| self.bearers(key, [value]));
        let others = selector.match_expressions.iter().filter_map(|term| self.named(term));
        let size = |bearers: &Vec<&BTreeSet<Name>>| bearers.iter().map(|b| b.len()).sum::<usize>();
        let narrowest = exact.chain(others).min_by_key(size);
        let matches = |host: &&Arc<Host>| selector.matches(&host.labels);
        match narrowest.filter(|bearers| size(bearers) < self.hosts.len() / 4) {
            Some(bearers) => {
                let names = bearers.into_iter().flatten();
                names.filter_map(|name| self.hosts.get(name)).filter(matches).collect()
            }
            None => self.hosts.values().filter(matches).collect(),
        }
    }

    /// Who may satisfy a term; `None`: it only says who does not.
    fn named(&self, term: &Requirement) -> Option<Vec<&BTreeSet<Name>>> {
        match term.operator {
            Operator::In => Some(self.bearers(&term.key, &term.values)),
            Operator::Exists => {
                Some(self.labels.get(&term.key).into_iter().flat_map(BTreeMap::values).collect())
            }
            Operator::NotIn | Operator::DoesNotExist => None,
        }
    }

    fn bearers<'a>(
        &self,
        key: &str,
        values: impl IntoIterator<Item = &'a String>,
    ) -> Vec<&BTreeSet<Name>> {
        let Some(known) = self.labels.get(key) else { return Vec::new() };
        // A value that is named twice has its hosts once.
        let values: BTreeSet<_> = values.into_iter().collect();
        values.into_iter().filter_map(|value| known.get(value)).collect()
    }
}

/// As `BTreeMap::entry`, without a copy of a key that is there.
fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("because it was put there if it was missing")
}
