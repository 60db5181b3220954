//! Every host reports, each report with a change: 100,000 a minute in full.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use titan::git::Repository;
use titan::model::Revision;
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::fleet::{self, Host};
use super::{Latencies, Verdict, anonymous, cpu, number, raise_open_files, resident, say, seconds};
use crate::scenario::support::{eventually, free_address};

const STATUS: &str = "titan/status";

/// What all hosts have in common.
struct Plan {
    address: SocketAddr,
    rendered: Revision,
    /// When the first reports come, with everything in them, and for how long.
    start: Instant,
    warm: Duration,
    /// Then each host reports so often.
    period: Duration,
    rounds: usize,
    hosts: usize,
}

/// What one host saw.
#[derive(Default)]
struct Told {
    latencies: Latencies,
    /// Answers other than 200, by status; 0: none at all.
    failed: BTreeMap<u16, usize>,
    /// Everything was asked for again so often.
    resyncs: usize,
    opened: usize,
    /// Whether it said last that its assignments are degraded.
    degraded: Vec<bool>,
}

#[test]
fn reports_of_all_hosts() {
    raise_open_files();
    let (hosts, deployments) = (number("TITAN_HOSTS", 60), number("TITAN_DEPLOYMENTS", 3));
    let a_minute = number("TITAN_REPORTS", 6000);
    let flush = Duration::from_millis(if seconds(4).as_secs() < 60 { 1000 } else { 5000 });
    let mut limits = format!("statusFlush: {}ms", flush.as_millis());
    if a_minute > 10 * hosts {
        limits += &format!(", reportsPerMinute: {}", a_minute.div_ceil(hosts) + 1);
    }
    let repository = fleet::make(hosts, deployments, &limits);
    let address = free_address();
    let controller = repository.controller(&address);
    eventually("the first status", || repository.head(STATUS).is_some());
    let everybody = fleet::rendered(&repository.git);
    let count: usize = everybody.iter().map(|host| host.assignments.len()).sum();
    std::thread::sleep(Duration::from_secs(if hosts < 1000 { 1 } else { 10 }));
    let (process, idle) = (controller.id(), resident(controller.id()));
    let own = anonymous(process);
    say(&format!("{hosts} hosts, {count} assignments, {a_minute} reports a minute, {idle:.0} MiB"));

    let period = Duration::from_secs(60).mul_f64(hosts as f64 / a_minute as f64);
    let plan = Arc::new(Plan {
        address: address.parse().expect("an address"),
        rendered: repository.head("titan/rendered").expect("it is rendered"),
        start: Instant::now() + Duration::from_millis(200),
        warm: period * if hosts < 1000 { 1 } else { 10 },
        period,
        rounds: (seconds(4).as_secs_f64() / period.as_secs_f64()).round() as usize,
        hosts,
    });
    let measured = period * u32::try_from(plan.rounds).expect("few");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let everybody: Vec<_> = everybody.into_iter().map(Arc::new).collect();
    let host = |(at, host)| runtime.spawn(report(Arc::clone(&plan), at, Arc::clone(host)));
    let running: Vec<_> = everybody.iter().enumerate().map(host).collect();
    let (mut most, mut before) = (idle, None);
    let end = plan.start + plan.warm + measured;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(resident(process));
        if before.is_none() && Instant::now() > plan.start + plan.warm {
            before = Some((cpu(process), repository.head(STATUS), Instant::now()));
            say(&format!("all hosts have reported everything: {most:.0} MiB"));
        }
    }
    let (used, head, since) = before.expect("it was measured");
    say(&format!(
        "memory without pages of files: {:.0} MiB more than idle",
        anonymous(process) - own
    ));
    let cores = (cpu(process) - used) / since.elapsed().as_secs_f64();
    let told: Vec<Told> = runtime.block_on(async {
        let mut all = Vec::new();
        for one in running {
            all.push(one.await.expect("a host does not panic"));
        }
        all
    });
    judge(&repository.git, head, &everybody, told, (cores, most - idle, flush, measured));
}

fn judge(
    git: &Repository,
    head: Option<Revision>,
    everybody: &[Arc<Host>],
    told: Vec<Told>,
    (cores, grown, flush, measured): (f64, f64, Duration, Duration),
) {
    let (mut all, mut failed, mut last) = (Latencies::default(), BTreeMap::new(), Vec::new());
    let (mut resyncs, mut opened) = (0, 0);
    for one in told {
        all.add(one.latencies);
        one.failed.into_iter().for_each(|(what, n)| *failed.entry(what).or_insert(0) += n);
        resyncs += one.resyncs;
        opened += one.opened;
        last.push(one.degraded);
    }
    let rate = all.0.len() as f64 / measured.as_secs_f64();
    say(&format!(
        "{}; {rate:.0}/s; {opened} connections, {resyncs} asked for everything; {cores:.2} cores",
        all.told()
    ));
    let start = std::time::Instant::now();
    let mut missing = lost(git, everybody, &last);
    while missing > 0 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(500));
        missing = lost(git, everybody, &last);
    }
    let mut verdict = Verdict::new();
    verdict.gate("p99 of a report", all.percentile(0.99), 50.0, "ms");
    let window = measured.min(Duration::from_secs(60));
    let most = window.as_secs_f64() / flush.as_secs_f64();
    let most = if window < Duration::from_secs(60) { most.ceil() + 2.0 } else { most };
    verdict.exact("status commits within a minute", commits(git, head, window), most as usize);
    verdict.exact("final states that are lost", missing, 0);
    verdict.gate("resident memory more than idle", grown, 512.0, "MiB");
    verdict.exact(&format!("reports that failed {failed:?}"), failed.values().sum(), 0);
    verdict.end();
}

/// Reports everything once, and then a change at each planned time.
async fn report(plan: Arc<Plan>, at: usize, host: Arc<Host>) -> Told {
    let part = at as f64 / plan.hosts as f64;
    let mut client = Client::new(plan.address);
    let count = host.assignments.len();
    let mut told = Told { degraded: vec![false; count], ..Told::default() };
    let mut full = true;
    sleep_until(plan.start + plan.warm.mul_f64(part)).await;
    for round in 0..=plan.rounds {
        let due = match round.checked_sub(1) {
            None => Instant::now(),
            Some(rounds) => {
                let begin = plan.start + plan.warm + plan.period.mul_f64(part);
                begin + plan.period * u32::try_from(rounds).expect("few")
            }
        };
        let changed = round.checked_sub(1).filter(|_| count > 0).map(|rounds| rounds % count);
        if let Some(changed) = changed {
            told.degraded[changed] = !told.degraded[changed];
        }
        sleep_until(due).await;
        let named = if full { 0..count } else { changed.map_or(0..0, |one| one..one + 1) };
        let body = body(&plan, &host, (round as u64 + 1, full), &told.degraded, named);
        match client.ask(&request(&host.name, &body)).await {
            Ok((200, answer)) => {
                full = answer.ends_with(b"\"resync\":true}");
                told.resyncs += usize::from(full);
            }
            Ok((status, _)) => *told.failed.entry(status).or_default() += 1,
            Err(_) => *told.failed.entry(0).or_default() += 1,
        }
        if round > 0 {
            told.latencies.note(due.elapsed());
        }
    }
    told.opened = client.opened;
    told
}

fn request(host: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /api/v1/hosts/{host}/reports HTTP/1.1\r\nHost: titan\r\nAuthorization: Bearer {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn body(
    plan: &Plan,
    host: &Host,
    (sequence, full): (u64, bool),
    degraded: &[bool],
    named: std::ops::Range<usize>,
) -> String {
    let rendered = plan.rendered;
    let one = |at: usize| {
        let (deployment, tree) = &host.assignments[at];
        let (phase, more) = match degraded[at] {
            true => ("Degraded", r#","message":"2 of 3 are ready""#),
            false => ("Deployed", ""),
        };
        format!(
            r#"{{"deployment":"{deployment}","rendered":"{rendered}","tree":"{tree}","phase":"{phase}","reason":"Applied"{more}}}"#
        )
    };
    let assignments: Vec<_> = named.map(one).collect();
    let (name, assignments) = (&host.name, assignments.join(","));
    format!(
        r#"{{"host":"{name}","sequence":{sequence},"agent":"0.1.0","interval":60,"rendered":"{rendered}","full":{full},"assignments":[{assignments}]}}"#
    )
}

/// How many assignments the status branch shows otherwise than their hosts said last.
fn lost(git: &Repository, everybody: &[Arc<Host>], last: &[Vec<bool>]) -> usize {
    let head = git.branch(STATUS).expect("it is readable").expect("it is there");
    let reader = git.reader();
    let shown: BTreeMap<_, _> =
        fleet::folders(&reader, fleet::top(git, head, "hosts")).into_iter().collect();
    let mut lost = 0;
    for (host, degraded) in everybody.iter().zip(last) {
        let files = shown.get(&host.name).map(|tree| fleet::leaves(&reader, *tree));
        let files: BTreeMap<_, _> = files.into_iter().flatten().collect();
        for ((deployment, _), degraded) in host.assignments.iter().zip(degraded) {
            let phase = if *degraded { "\nphase: Degraded\n" } else { "\nphase: Deployed\n" };
            let file = files.get(&format!("{deployment}.yaml"));
            let text = file.map(|id| reader.blob(*id).expect("it is readable"));
            let shows = text.is_some_and(|text| String::from_utf8_lossy(&text).contains(phase));
            lost += usize::from(!shows);
        }
    }
    lost
}

/// Most commits of the status branch since `head` within any time so long.
fn commits(git: &Repository, head: Option<Revision>, window: Duration) -> usize {
    let tip = git.branch(STATUS).expect("it is readable").expect("it is there");
    let all = git.first_parents(tip, head, usize::MAX).expect("it is readable");
    let time = |id: &Revision| git.commit(*id).expect("it is readable").committer.seconds;
    let mut times: Vec<i64> = all.iter().map(time).collect();
    times.sort_unstable();
    let window = i64::try_from(window.as_secs()).expect("short");
    let within =
        |from: &i64| times.iter().filter(|at| (*from..*from + window).contains(at)).count();
    times.iter().map(within).max().unwrap_or(0)
}
