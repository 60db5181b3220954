//! Which deliveries were taken already.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::provider::Provider;

/// So many are remembered: at 5,000 a second, two seconds; at one a second, three hours.
const KNOWN: usize = 10_000;

/// The last deliveries. Only those that were proven are here: nobody else can fill it.
#[derive(Debug, Default)]
pub(in crate::api) struct Deliveries {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    ids: BTreeSet<Arc<str>>,
    /// In the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl Deliveries {
    /// Remembers a delivery; `false` when it was known.
    pub(super) fn is_new(&self, provider: Provider, id: &str) -> bool {
        let id: Arc<str> = format!("{} {id}", provider.as_str()).into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.ids.insert(Arc::clone(&id)) {
            return false;
        }
        known.order.push_back(id);
        if known.order.len() > KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known() {
        let deliveries = Deliveries::default();
        assert!(deliveries.is_new(Provider::GitHub, "1"));
        assert!(!deliveries.is_new(Provider::GitHub, "1"));
        assert!(deliveries.is_new(Provider::Gitea, "1"), "ids are the provider's own");
        for id in 0..KNOWN {
            deliveries.is_new(Provider::Generic, &id.to_string());
        }
        assert!(!deliveries.is_new(Provider::Generic, "0"));
        assert!(deliveries.is_new(Provider::GitHub, "1"), "the oldest are forgotten");
        assert_eq!(deliveries.known.lock().unwrap().ids.len(), KNOWN);
    }
}
