//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double with every failure up to a ceiling and saturate there, whatever the count. Each
/// is drawn from the upper half of its range, so that hosts that failed together do not return together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// One more failure: how long to wait. `random` is any random number.
    pub fn fail(&mut self, random: u32) -> Duration {
        let factor = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let full = self.first.saturating_mul(factor).min(self.most);
        full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// It worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_saturate() {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(300));
        let mut backoff = Backoff::new(first, most);
        let waits: Vec<_> = (0..10).map(|_| backoff.fail(u32::MAX).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        for _ in 0..100_000 {
            assert_eq!(backoff.fail(0), most / 2);
        }
        assert_eq!(backoff.failures(), 100_010);
        backoff.reset();
        assert_eq!(backoff.fail(u32::MAX), first);
    }
}
