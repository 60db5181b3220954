//! Times, and what is made of several.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What several runs gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

/// How often something is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) wanted: usize,
    /// Fewer are taken when it has lasted so long, but never fewer than three.
    pub(crate) budget: Duration,
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }

    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// By nearest rank: of few samples, the largest.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl Times {
    /// Calls `measure` until there are enough values.
    pub(crate) fn take(self, mut measure: impl FnMut() -> Result<f64>) -> Result<Samples> {
        let (start, mut samples) = (Instant::now(), Samples::default());
        let least = self.wanted.min(3);
        while samples.0.len() < least
            || (samples.0.len() < self.wanted && start.elapsed() < self.budget)
        {
            samples.push(measure()?);
        }
        Ok(samples)
    }
}
