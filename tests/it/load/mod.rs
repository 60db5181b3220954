//! Load on the real program: all hosts report, and webhooks come in a flood beside idle sockets.
//!
//! ```text
//!  fleet ──▶ controller ◀── reports: a connection for each host, at planned times
//!                 ▲  ▲  ◀── webhooks: so many a second      ◀── idle sockets, opened again when closed
//!                 │  └───── /healthz, at planned times
//!                 └──────── resident memory, CPU time, commits of the status branch
//! ```
//! A usual run is small, takes seconds, and judges what is right and wrong; times are only printed. With
//! `TITAN_GATES=1` the limits of time and memory count, too. In full (release, on a quiet machine):
//!
//! ```sh
//! TITAN_GATES=1 TITAN_HOSTS=10000 TITAN_DEPLOYMENTS=50 TITAN_REPORTS=100000 TITAN_SECONDS=600 \
//!     cargo test --release --test it load::reports -- --nocapture
//! TITAN_GATES=1 TITAN_WEBHOOKS=5000 TITAN_IDLE=10000 TITAN_SECONDS=60 \
//!     cargo test --release --test it load::webhooks -- --nocapture
//! ```
//! `TITAN_REPORTS` are reports a minute. With `TITAN_WRK=wrk` it is `wrk` that sends the webhooks. Both
//! sides share the machine, and each needs about as many open files as there are hosts or sockets: the
//! soft limit is raised as far as the hard one allows.
//!
//! **Times count from when a request was planned**, not from when it was sent: who waits for a slow
//! answer would otherwise ask less often just when it is slow.

mod client;
mod fleet;
mod reports;
mod webhooks;

use std::io::Write as _;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A number from the environment.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn seconds(usual: usize) -> Duration {
    Duration::from_secs(number("TITAN_SECONDS", usual) as u64)
}

/// As many open files as the system allows.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("a soft limit may be raised");
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("it is written");
}

/// What was measured against its limit; each has its line.
struct Verdict {
    /// Limits of time and memory count.
    strict: bool,
    missed: Vec<String>,
}

impl Verdict {
    fn new() -> Self {
        Self { strict: number("TITAN_GATES", 0) != 0, missed: Vec::new() }
    }

    /// Something that depends on the machine.
    fn gate(&mut self, what: &str, found: f64, most: f64, unit: &str) {
        let counts = self.strict;
        self.judge(what, found, most, unit, counts);
    }

    /// Something that is right or wrong on any machine.
    fn exact(&mut self, what: &str, found: usize, most: usize) {
        self.judge(what, found as f64, most as f64, "", true);
    }

    fn judge(&mut self, what: &str, found: f64, most: f64, unit: &str, counts: bool) {
        let holds = found <= most;
        let word = if holds { "holds " } else { "MISSED" };
        let line = format!("{word} {what}: {found:.1} {unit} (at most {most} {unit})");
        say(&line);
        if counts && !holds {
            self.missed.push(line);
        }
    }

    fn end(self) {
        assert!(self.missed.is_empty(), "{:#?}", self.missed);
    }
}

/// How long answers took, in microseconds.
#[derive(Default)]
struct Latencies(Vec<u32>);

impl Latencies {
    fn note(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// In milliseconds; `part` is from 0 to 1.
    fn percentile(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).ceil() as usize).map_or(0.0, |&us| f64::from(us) / 1e3)
    }

    fn told(&mut self) -> String {
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|part| self.percentile(part));
        let count = self.0.len();
        format!("{count} answers, ms: p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {most:.2}")
    }
}

/// Resident memory of a process, in MiB (proc(5): `VmRSS`).
fn resident(process: u32) -> f64 {
    memory(process, "VmRSS:")
}

/// The part of it that is no page of a file: Git's packs are mapped, and the kernel takes their pages
/// back when it needs them.
fn anonymous(process: u32) -> f64 {
    memory(process, "RssAnon:")
}

fn memory(process: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number");
    kib / 1024.0
}

/// CPU time of a process so far, in seconds (proc(5): fields 14 and 15, in hundredths of a second).
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}
