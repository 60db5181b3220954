//! Numbers, as Prometheus and its kin read them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::model::{Connection, Phase, Timestamp};

/// Names and values of `N` labels; all of them are known words, so their number is bounded.
type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges = Family<Labels<1>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    route: &'static str,
    status: u16,
}

/// From a commit until its effect is there: from a quarter of a second to a day.
const LATENCY: [f64; 15] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0,
    86_400.0,
];
/// Work of this process: from a millisecond to half a minute.
const WORK: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// There are new commits on the rendered branch.
    Rendered,
    /// Nothing differs.
    Unchanged,
    Failed,
}

/// Counters, gauges and histograms of one process. To clone a metric is to share it.
pub struct Metrics {
    registry: Registry,
    /// When the oldest commit was made that is not rendered yet.
    oldest: Mutex<Option<Timestamp>>,
    to_rendered: Histogram,
    to_deployed: Histogram,
    passes: Counters<1>,
    pass_time: Histogram,
    flushes: Counters<1>,
    behind: Gauge,
    behind_time: Gauge<f64, AtomicU64>,
    hosts: Gauges,
    assignments: Gauges,
    held: Gauge,
    queued: Gauge,
    waiting: Gauge,
    reports: Counters<1>,
    webhooks: Counters<2>,
    requests: Family<Answer, Counter>,
    request_time: Histograms<2>,
    connections: Gauge,
    streams: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(…)")
    }
}

/// An open connection, or a stream of events; it ends when this is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A commit is on the rendered branch, so long after it was made.
    pub fn rendered(&self, latency: Duration) {
        self.to_rendered.observe(latency.as_secs_f64());
    }

    /// An assignment is deployed, so long after the commit that changed it was made.
    pub fn deployed(&self, latency: Duration) {
        self.to_deployed.observe(latency.as_secs_f64());
    }

    pub fn pass(&self, passed: Passed, took: Duration) {
        self.passes.get_or_create(&[("outcome", passed.as_str())]).inc();
        if passed != Passed::Failed {
            self.pass_time.observe(took.as_secs_f64());
        }
    }

    /// The status branch was written, or could not be.
    pub fn flush(&self, worked: bool) {
        let outcome = if worked { "written" } else { "failed" };
        self.flushes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// So many commits of the config branch are not rendered; `oldest`: when the first of them was made.
    pub fn behind(&self, commits: usize, oldest: Option<Timestamp>) {
        self.behind.set(number(commits as u64));
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
    }

    /// Exact numbers of hosts by connection, and of assignments by phase.
    pub fn fleet(&self, hosts: &BTreeMap<Connection, u64>, assignments: &BTreeMap<Phase, u64>) {
        for connection in Connection::ALL {
            let count = hosts.get(&connection).copied().unwrap_or(0);
            self.hosts.get_or_create(&[("connection", connection.as_str())]).set(number(count));
        }
        for phase in Phase::ALL {
            let count = assignments.get(&phase).copied().unwrap_or(0);
            self.assignments.get_or_create(&[("phase", phase.as_str())]).set(number(count));
        }
    }

    /// So many objects and assignments are held back.
    pub fn held(&self, count: usize) {
        self.held.set(number(count as u64));
    }

    /// So many reports wait for a pass.
    pub fn waiting(&self, reports: usize) {
        self.waiting.set(number(reports as u64));
    }

    pub fn report(&self, outcome: &'static str) {
        self.reports.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub fn webhook(&self, provider: &'static str, outcome: &'static str) {
        self.webhooks.get_or_create(&[("provider", provider), ("outcome", outcome)]).inc();
    }

    /// A request was answered. Methods and routes are a known few.
    pub fn request(&self, method: &'static str, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answer { method, route, status }).inc();
        let time = self.request_time.get_or_create(&[("method", method), ("route", route)]);
        time.observe(took.as_secs_f64());
    }

    /// A connection was opened.
    #[must_use]
    pub fn connection(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// A stream of events was opened.
    #[must_use]
    pub fn stream(&self) -> Connected {
        self.streams.inc();
        Connected(self.streams.clone())
    }

    /// All of it in the form of OpenMetrics; so many reports wait in the queue `now`.
    #[must_use]
    pub fn text(&self, queued: usize, now: Timestamp) -> String {
        self.queued.set(number(queued as u64));
        let oldest = *self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        let age = oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
        self.behind_time.set(age);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("because a text takes all");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("titan");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program that runs", Info::new(version));
        let work: fn() -> Histogram = || Histogram::new(WORK);
        let metrics = Self {
            registry: Registry::default(),
            oldest: Mutex::default(),
            to_rendered: Histogram::new(LATENCY),
            to_deployed: Histogram::new(LATENCY),
            passes: Counters::default(),
            pass_time: Histogram::new(WORK),
            flushes: Counters::default(),
            behind: Gauge::default(),
            behind_time: Gauge::default(),
            hosts: Gauges::default(),
            assignments: Gauges::default(),
            held: Gauge::default(),
            queued: Gauge::default(),
            waiting: Gauge::default(),
            reports: Counters::default(),
            webhooks: Counters::default(),
            requests: Family::default(),
            request_time: Family::new_with_constructor(work),
            connections: Gauge::default(),
            streams: Gauge::default(),
        };
        metrics.register_work(&mut registry);
        metrics.register_fleet(&mut registry);
        metrics.register_door(&mut registry);
        metrics.fleet(&BTreeMap::new(), &BTreeMap::new());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// What the controller does.
    fn register_work(&self, registry: &mut Registry) {
        let mut timed = |name, help, metric: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        };
        timed("commit_to_rendered", "From a commit until it is rendered", &self.to_rendered);
        timed(
            "commit_to_deployed",
            "From a commit until an assignment that it changed is deployed",
            &self.to_deployed,
        );
        timed("pass_duration", "How long passes take that do not fail", &self.pass_time);
        registry.register("passes", "Passes by outcome", self.passes.clone());
        registry.register("status_flushes", "Status commits by outcome", self.flushes.clone());
        registry.register(
            "unrendered_commits",
            "Commits of the config branch that are not rendered yet",
            self.behind.clone(),
        );
        registry.register_with_unit(
            "unrendered_age",
            "Age of the oldest commit that is not rendered yet",
            Unit::Seconds,
            self.behind_time.clone(),
        );
    }

    /// What there is.
    fn register_fleet(&self, registry: &mut Registry) {
        registry.register("hosts", "Hosts by connection", self.hosts.clone());
        registry.register("assignments", "Assignments by phase", self.assignments.clone());
        registry.register("held", "Objects and assignments that are held back", self.held.clone());
    }

    /// What comes from outside.
    fn register_door(&self, registry: &mut Registry) {
        registry.register("reports", "Host reports by outcome", self.reports.clone());
        registry.register("reports_queued", "Reports in the queue", self.queued.clone());
        registry.register(
            "reports_waiting",
            "Reports that wait for the pass that is under way",
            self.waiting.clone(),
        );
        let help = "Webhooks by provider and outcome";
        registry.register("webhooks", help, self.webhooks.clone());
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until a request is answered",
            Unit::Seconds,
            self.request_time.clone(),
        );
        registry.register("http_connections", "Open connections", self.connections.clone());
        registry.register("event_streams", "Open streams of events", self.streams.clone());
    }
}

impl Passed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rendered => "rendered",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
