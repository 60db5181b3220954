//! A flood of webhooks beside idle sockets: 5,000 a second beside 10,000 in full.
//!
//! Of four webhooks one tells of the config branch, one of another branch, one has a wrong signature and
//! one is a repetition. Nothing but a webhook makes the controller look at its remote.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Client;
use super::{Latencies, Verdict, cpu, number, raise_open_files, resident, say, seconds};
use crate::scenario::support::{ConfigRepo, eventually, free_address};

const SECRET: &str = "0123456789abcdef";
const TEXT: &str = "hosts/one/default/web/prod/sub/b.txt";
/// Connections that webhooks come through.
const SENDERS: usize = 64;
/// How often `/healthz` is asked, a second.
const PROBES: usize = 50;

/// Bodies and signatures, made once: 0 about the config branch, 1 about another one, 2 not signed well.
struct Hooks([(String, String); 3]);

impl Hooks {
    fn new() -> Self {
        let commits = r#"{"id":"0b8d2d7c9e1f","message":"a change","added":[],"modified":["x"]}"#;
        let commits = [commits; 30].join(",");
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let wrong = hmac::Key::new(hmac::HMAC_SHA256, b"somebody else's");
        let hook = |branch: &str, key: &hmac::Key| {
            let body = format!(r#"{{"ref":"refs/heads/{branch}","commits":[{commits}]}}"#);
            let signature = hmac::sign(key, body.as_bytes());
            let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            (body, format!("sha256={hex}"))
        };
        Self([hook("main", &key), hook("topic", &key), hook("main", &wrong)])
    }

    /// The request with this number, and the status of its answer.
    fn request(&self, number: usize) -> (Vec<u8>, u16) {
        let ((body, signature), id, expected) = match number % 4 {
            0 => (&self.0[0], number, 202),
            1 => (&self.0[1], number, 202),
            2 => (&self.0[2], number, 401),
            // Known, since one of the first was that.
            _ => (&self.0[0], 0, 202),
        };
        (self.text(body, signature, &format!("flood-{id}")), expected)
    }

    fn text(&self, body: &str, signature: &str, id: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "POST /webhooks/github HTTP/1.1\r\nHost: titan\r\nX-GitHub-Delivery: {id}\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// What `wrk` runs for each request; it pauses on each connection.
    fn script(&self, pause_ms: usize) -> String {
        let hook =
            |(body, signature): &(String, String)| format!("{{[==[{body}]==], \"{signature}\"}}");
        let hooks: Vec<_> = self.0.iter().map(hook).collect();
        format!(
            r#"
local hooks, number = {{ {} }}, 0
function delay() return {pause_ms} end
function request()
  number = number + 1
  local kind, id = number % 4 + 1, number
  if kind == 4 then kind, id = 1, 0 end
  local headers = {{ ["X-GitHub-Delivery"] = "flood-" .. id, ["X-Hub-Signature-256"] = hooks[kind][2] }}
  return wrk.format("POST", "/webhooks/github", headers, hooks[kind][1])
end
"#,
            hooks.join(", ")
        )
    }
}

#[derive(Default)]
struct Idle {
    open: AtomicUsize,
    opened: AtomicUsize,
}

/// Keeps a socket open that says nothing; the server may close it.
async fn idle(address: SocketAddr, wait: Duration, idle: Arc<Idle>) {
    sleep(wait).await;
    loop {
        let Ok(stream) = TcpStream::connect(address).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        idle.open.fetch_add(1, Relaxed);
        idle.opened.fetch_add(1, Relaxed);
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut [0; 512]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
        idle.open.fetch_sub(1, Relaxed);
    }
}

type Answers = (Latencies, BTreeMap<u16, usize>);

/// Sends requests at planned times until `end`: the first after `offset`, then one in each `period`.
async fn pace(
    address: SocketAddr,
    (start, end): (Instant, Instant),
    (offset, period): (Duration, Duration),
    mut next: impl FnMut(usize) -> (Vec<u8>, u16),
) -> Answers {
    let (mut client, mut latencies) = (Client::new(address), Latencies::default());
    let mut wrong = BTreeMap::new();
    for number in 0.. {
        let due = start + offset + period * number;
        if due >= end {
            break;
        }
        let (request, expected) = next(number as usize);
        sleep_until(due).await;
        let status = client.ask(&request).await.map_or(0, |(status, _)| status);
        latencies.note(due.elapsed());
        if status != expected {
            *wrong.entry(status).or_default() += 1;
        }
    }
    (latencies, wrong)
}

/// What is running beside each other.
struct Flood {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    hooks: Arc<Hooks>,
    /// A second.
    rate: usize,
    length: Duration,
}

impl Flood {
    /// titan's own webhooks.
    fn send(&self) -> Vec<tokio::task::JoinHandle<Answers>> {
        let start = Instant::now();
        let step = Duration::from_secs(1).div_f64(self.rate as f64);
        let period = step * SENDERS as u32;
        let sender = |sender: usize| {
            let (hooks, times) = (Arc::clone(&self.hooks), (start, start + self.length));
            let next = move |number: usize| hooks.request(number * SENDERS + sender + 4);
            let offset = step * u32::try_from(sender).expect("few");
            self.runtime.spawn(pace(self.address, times, (offset, period), next))
        };
        (0..SENDERS).map(sender).collect()
    }

    /// The same by `wrk`, which knows no plan: it pauses between an answer and the next request.
    fn wrk(&self, program: &str, script: &std::path::Path) -> std::process::Child {
        // So many that the pause is most of the time; answers take the rest.
        let connections = 4 * SENDERS;
        let pause = connections * 850 / self.rate;
        std::fs::write(script, self.hooks.script(pause.max(1))).expect("it is written");
        let seconds = self.length.as_secs().max(1).to_string();
        let mut wrk = Command::new(program);
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency", "-s"]);
        wrk.arg(script).arg(format!("http://{}", self.address)).stdout(Stdio::piped());
        wrk.spawn().expect("wrk runs")
    }

    fn probe(&self) -> tokio::task::JoinHandle<Answers> {
        let start = Instant::now();
        let period = Duration::from_secs(1) / PROBES as u32;
        let request = b"GET /healthz HTTP/1.1\r\nHost: titan\r\n\r\n".to_vec();
        let next = move |_| (request.clone(), 200);
        let times = (start, start + self.length);
        self.runtime.spawn(pace(self.address, times, (Duration::ZERO, period), next))
    }

    /// Tells of one commit, and says whether that was taken.
    fn tell(&self, id: &str) -> bool {
        let (body, signature) = &self.hooks.0[0];
        let request = self.hooks.text(body, signature, id);
        let asked = async {
            let mut client = Client::new(self.address);
            client.ask(&request).await.map_or(0, |(status, _)| status)
        };
        let late = Duration::from_secs(30);
        self.runtime.block_on(async { timeout(late, asked).await }) == Ok(202)
    }
}

#[test]
fn webhooks_in_a_flood() {
    raise_open_files();
    let (rate, sockets) = (number("TITAN_WEBHOOKS", 200), number("TITAN_IDLE", 400));
    let mut repository =
        ConfigRepo::new().quick().template().workload().host("one", "").deployment("prod", "0", "");
    repository.commit("the fleet");
    let file = repository.folder.path().join("secrets");
    std::fs::write(&file, SECRET).expect("it is written");
    let address = free_address();
    let fleet = format!("file://{}", repository.path.display());
    let arguments = ["controller", "--listen", &address, "--fleet", &fleet, "--poll", "1h"];
    let secrets = ["--webhook-secret-file", file.to_str().expect("text")];
    let controller = repository.spawn("controller", &[&arguments[..], &secrets].concat());
    eventually("it is rendered", || repository.read("titan/rendered", TEXT).is_some());
    let flood = Flood {
        runtime: tokio::runtime::Runtime::new().expect("a runtime"),
        address: address.parse().expect("an address"),
        hooks: Arc::new(Hooks::new()),
        rate,
        length: seconds(4),
    };
    eventually("the first webhook", || flood.tell("flood-0"));

    let (process, mut verdict) = (controller.id(), Verdict::new());
    let before = resident(process);
    let kept = Arc::new(Idle::default());
    // As they are closed after a while, they come evenly.
    let spread = Duration::from_secs(if sockets < 1000 { 1 } else { 10 });
    for socket in 0..sockets {
        let wait = spread.mul_f64(socket as f64 / sockets as f64);
        flood.runtime.spawn(idle(flood.address, wait, Arc::clone(&kept)));
    }
    eventually("sockets are open", || kept.open.load(Relaxed) * 100 >= sockets * 99);

    let kib = (resident(process) - before).max(0.0) * 1024.0 / sockets.max(1) as f64;
    verdict.exact("KiB of memory for each idle socket", kib as usize, 64);

    let used = cpu(process);
    let start = Instant::now();
    let probes = flood.probe();
    let program = std::env::var("TITAN_WRK").ok();
    let script = repository.folder.path().join("flood.lua");
    let wrk = program.map(|program| flood.wrk(&program, &script));
    let senders = if wrk.is_none() { flood.send() } else { Vec::new() };
    let (mut slowest, mut fewest, mut version) = (Duration::ZERO, sockets, 0);
    while start.elapsed() + Duration::from_millis(500) < flood.length {
        version += 1;
        repository.edit_deployment("prod", &version.to_string(), "").commit("a change");
        let began = Instant::now();
        assert!(flood.tell(&format!("change-{version}")), "the webhook of a change is taken");
        let expected = format!("{version}\n");
        eventually("it is acted on", || {
            fewest = fewest.min(kept.open.load(Relaxed));
            repository.read("titan/rendered", TEXT).as_deref() == Some(&*expected)
        });
        slowest = slowest.max(began.elapsed());
        std::thread::sleep(Duration::from_millis(500));
    }
    let cores = (cpu(process) - used) / start.elapsed().as_secs_f64();
    let opened = kept.opened.load(Relaxed);
    let memory = resident(process);
    say(&format!(
        "{version} changes; {fewest} sockets at least, {opened} opened; {cores:.2} cores, {memory:.0} MiB"
    ));

    let (mut asked, wrong) = flood.runtime.block_on(probes).expect("it ends");
    say(&format!("/healthz: {}", asked.told()));
    verdict.gate("p99 of /healthz", asked.percentile(0.99), 100.0, "ms");
    verdict.gate("a genuine webhook is acted on after", slowest.as_secs_f64(), 5.0, "s");
    verdict.exact(&format!("wrong answers of /healthz {wrong:?}"), wrong.values().sum(), 0);
    verdict.gate("sockets that are missing", (sockets - fewest) as f64, sockets as f64 / 50.0, "");
    let rate = match wrk {
        Some(wrk) => {
            let output = wrk.wait_with_output().expect("it ends");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            say(&text);
            let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
            line.expect("a rate").trim().parse().expect("a number")
        }
        None => answered(&flood, senders, &mut verdict),
    };
    let missing = flood.rate as f64 - rate;
    verdict.gate("webhooks a second that are missing", missing, flood.rate as f64 / 50.0, "");
    verdict.end();
}

/// How many were answered, a second.
fn answered(
    flood: &Flood,
    senders: Vec<tokio::task::JoinHandle<Answers>>,
    verdict: &mut Verdict,
) -> f64 {
    let (mut all, mut wrong) = (Latencies::default(), BTreeMap::new());
    for sender in senders {
        let (latencies, more) = flood.runtime.block_on(sender).expect("it ends");
        all.add(latencies);
        more.into_iter().for_each(|(status, n)| *wrong.entry(status).or_insert(0) += n);
    }
    say(&format!("webhooks: {}", all.told()));
    verdict.gate("p99 of a webhook", all.percentile(0.99), 50.0, "ms");
    verdict.exact(&format!("wrong answers to webhooks {wrong:?}"), wrong.values().sum(), 0);
    all.0.len() as f64 / flood.length.as_secs_f64()
}
