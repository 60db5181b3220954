//! How long a pass took, stage by stage.

use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A part of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Git objects → fleet.
    Read,
    Schedule,
    Render,
    /// Trees and the commit.
    Publish,
    /// Objects durable, refs moved.
    Write,
    /// The status branch.
    Status,
    /// Rendering once more what was there before.
    Check,
}

/// Durations by stage; stages that did not run are not there. As JSON: milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    stages: std::collections::BTreeMap<Stage, Duration>,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Schedule => "schedule",
            Self::Render => "render",
            Self::Publish => "publish",
            Self::Write => "write",
            Self::Status => "status",
            Self::Check => "check",
        }
    }
}

impl Timings {
    /// Runs `work` as a part of `stage`.
    pub fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        *self.stages.entry(stage).or_default() += start.elapsed();
        done
    }

    pub fn add(&mut self, stage: Stage, duration: Duration) {
        *self.stages.entry(stage).or_default() += duration;
    }

    #[must_use]
    pub fn total(&self) -> Duration {
        self.stages.values().sum()
    }
}

impl std::fmt::Display for Timings {
    /// `read 2.1 ms, render 0.8 ms`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, (stage, duration)) in self.stages.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {} ms", stage.as_str(), millis(*duration))?;
        }
        Ok(())
    }
}

/// Milliseconds, with three digits behind the point.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.stages.len() + 1))?;
        for (stage, duration) in &self.stages {
            map.serialize_entry(stage.as_str(), &millis(*duration))?;
        }
        map.serialize_entry("total", &millis(self.total()))?;
        map.end()
    }
}
