//! How often a host may report, or take another key: a token bucket for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Name;
use crate::observe::Snapshot;

/// The buckets. Only hosts of the fleet get one.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<BTreeMap<Name, Bucket>>,
}

/// Holds as many as may come at once; fills up evenly within a minute, or an hour.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Keys that a host may register in an hour.
pub(super) const KEYS_PER_HOUR: u32 = 6;

impl Rates {
    /// Takes one report of `host` out of its bucket.
    ///
    /// # Errors
    /// The time until there is one again.
    pub(super) fn take(
        &self,
        host: &Name,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Result<(), Duration> {
        let limit = f64::from(snapshot.limits.reports_per_minute.max(1));
        self.take_of(host, snapshot, now, (limit, 60.0))
    }

    /// Takes one new key of `host`: each is a commit for good.
    ///
    /// # Errors
    /// The time until there is one again.
    pub(super) fn take_key(
        &self,
        host: &Name,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Result<(), Duration> {
        self.take_of(host, snapshot, now, (f64::from(KEYS_PER_HOUR), 3600.0))
    }

    fn take_of(
        &self,
        host: &Name,
        snapshot: &Snapshot,
        now: Instant,
        (limit, seconds): (f64, f64),
    ) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > snapshot.hosts.len() {
            buckets.retain(|host, _| snapshot.hosts.contains_key(host));
        }
        let bucket = buckets.entry(host.clone()).or_insert(Bucket { left: limit, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let left = (bucket.left + passed * limit / seconds).min(limit);
        *bucket = Bucket { left, at: now };
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) * seconds / limit));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_burst_is_followed_by_an_even_flow() {
        let (rates, mut snapshot) = (Rates::default(), Snapshot::default());
        let (host, other) = (Name::new("tim-pi").unwrap(), Name::new("b").unwrap());
        Arc::make_mut(&mut snapshot.hosts)
            .extend([(host.clone(), vec![]), (other.clone(), vec![])]);
        let start = Instant::now();
        for _ in 0..snapshot.limits.reports_per_minute {
            assert_eq!(rates.take(&host, &snapshot, start), Ok(()));
        }
        let wait = rates.take(&host, &snapshot, start).unwrap_err();
        assert!(wait > Duration::from_millis(5990) && wait < Duration::from_millis(6010));
        assert_eq!(rates.take(&host, &snapshot, start + wait * 2), Ok(()));
        assert_eq!(rates.take(&other, &snapshot, start), Ok(()), "hosts do not share a bucket");

        let rotations = Rates::default();
        for _ in 0..KEYS_PER_HOUR {
            assert_eq!(rotations.take_key(&other, &snapshot, start), Ok(()));
        }
        let wait = rotations.take_key(&other, &snapshot, start).unwrap_err();
        assert!(wait > Duration::from_secs(500) && wait < Duration::from_secs(601), "{wait:?}");

        Arc::make_mut(&mut snapshot.hosts).remove(&host);
        assert_eq!(rates.take(&other, &snapshot, start), Ok(()));
        assert_eq!(
            rates.buckets.lock().unwrap().len(),
            1,
            "hosts that are gone leave nothing behind"
        );
    }
}
