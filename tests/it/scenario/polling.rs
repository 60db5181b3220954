//! Many agents that ask one controller what they are to run. A few in a usual run; to measure:
//!
//! ```sh
//! ulimit -n 50000
//! TITAN_AGENTS=10000 TITAN_PERIOD=30 TITAN_ROUNDS=4 cargo test --release --test it polling -- --nocapture
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sha2::Digest as _;

use super::support::{ConfigRepo, eventually, free_address};

/// How often each agent asks.
fn period() -> Duration {
    Duration::from_secs(number("TITAN_PERIOD", 2) as u64)
}

/// The hosts are in so many parts, of which one changes in each period.
const PARTS: usize = 100;

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn fleet(agents: usize) -> ConfigRepo {
    let mut repository = ConfigRepo::new().quick().template().workload();
    for part in 0..PARTS {
        let head = "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: ";
        let target = format!("{head}{{matchLabels: {{part: \"{part}\"}}}}\n");
        repository.edit(&format!("workspaces/default/targets/p{part}.yaml"), target);
        deploy(&mut repository, part, 0);
    }
    for host in 0..agents {
        let digest: String =
            sha2::Sha256::digest(format!("h{host}")).iter().map(|b| format!("{b:02x}")).collect();
        let part = host % PARTS;
        let text = format!(
            "apiVersion: titan.dev/v1\nkind: Host\nmetadata:\n  labels: {{part: \"{part}\"}}\nspec:\n  runtime: directory\n  tokens: [\"sha256:{digest}\"]\n"
        );
        repository.edit(&format!("hosts/h{host}.yaml"), text);
    }
    repository.commit("the fleet");
    repository
}

fn deploy(repository: &mut ConfigRepo, part: usize, version: usize) {
    let text = format!(
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: p{part}\n  values: {{version: \"{version}\"}}\n"
    );
    let path = format!("workspaces/default/workloads/web/deployments/d{part}.yaml");
    repository.edit(&path, text);
}

#[derive(Default)]
struct Counts {
    same: AtomicUsize,
    changed: AtomicUsize,
    failed: AtomicUsize,
    slowest_ms: AtomicUsize,
}

/// One agent, as far as the controller sees it.
async fn agent(host: usize, url: String, counts: Arc<Counts>, agents: usize) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (mut tag, mut since) = (String::new(), String::new());
    tokio::time::sleep(period().mul_f64(host as f64 / agents as f64)).await;
    let mut ticks = tokio::time::interval(period());
    loop {
        ticks.tick().await;
        let address = format!("{url}/api/v1/hosts/h{host}/deployments{since}");
        let request = client.get(address).header("authorization", format!("Bearer h{host}"));
        let start = Instant::now();
        let response = request.header("if-none-match", &tag).send().await;
        let took = usize::try_from(start.elapsed().as_millis()).unwrap_or(usize::MAX);
        counts.slowest_ms.fetch_max(took, Relaxed);
        let Ok(response) = response else {
            counts.failed.fetch_add(1, Relaxed);
            continue;
        };
        let status = response.status().as_u16();
        let count = match status {
            200 => &counts.changed,
            304 => &counts.same,
            _ => &counts.failed,
        };
        count.fetch_add(1, Relaxed);
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
        };
        if status < 400 {
            (tag, since) = (header("etag"), format!("?since={}", header("titan-rendered")));
        }
        drop(response.bytes().await);
    }
}

/// CPU time of a process so far, in seconds (proc(5): fields 14 and 15, in hundredths of a second).
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

#[test]
fn agents_that_ask() {
    let (agents, rounds) = (number("TITAN_AGENTS", 200), number("TITAN_ROUNDS", 2));
    let mut repository = fleet(agents);
    let address = free_address();
    let controller = repository.controller(&address);
    eventually("the first commit", || repository.head("titan/rendered").is_some());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let counts = Arc::new(Counts::default());
    for host in 0..agents {
        runtime.spawn(agent(host, format!("http://{address}"), Arc::clone(&counts), agents));
    }
    let (mut out, mut all_changed) = (std::io::stdout(), 0);
    // In the first period everybody gets everything.
    for round in 0..=rounds {
        let before = cpu(controller.id());
        let start = Instant::now();
        if round > 0 {
            deploy(&mut repository, round % PARTS, round);
            repository.commit("one part");
        }
        std::thread::sleep(period());
        let share = (cpu(controller.id()) - before) / start.elapsed().as_secs_f64();
        let [same, changed, failed, slowest] =
            [&counts.same, &counts.changed, &counts.failed, &counts.slowest_ms]
                .map(|count| count.swap(0, Relaxed));
        let line = format!(
            "{agents} agents, period {round}: {share:.3} cores; {same} the same, {changed} changed, {failed} failed, slowest {slowest} ms"
        );
        writeln!(out, "{line}").expect("it is written");
        assert_eq!(failed, 0, "{line}");
        all_changed += if round > 0 { changed } else { 0 };
    } // Of a part each agent hears, and of nothing else; the last may not have asked again yet.
    let of_part = agents / PARTS;
    assert!(all_changed >= of_part * (rounds - 1), "{all_changed}");
    assert!(all_changed < agents, "{all_changed}");
}
