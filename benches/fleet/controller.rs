//! A controller at work, and what its log says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::titan::Titan;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub(crate) struct Controller {
    child: Child,
    events: Receiver<Event>,
    started: Instant,
    tells_times: bool,
}

/// One line of the log.
#[derive(Debug)]
struct Event {
    seen: Instant,
    fields: Value,
}

impl Event {
    fn is(&self, message: &str) -> bool {
        self.fields["message"] == message
    }

    fn took(&self) -> Option<f64> {
        self.fields["took_ms"].as_f64()
    }
}

impl Controller {
    pub(crate) fn start(titan: &Titan, fleet: &Path, options: &[&str]) -> Result<Self> {
        let mut command = titan.command(fleet);
        command.args(["controller", "--no-listen", "--log-json"]).args(options);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("titan does not run")?;
        let log = child.stderr.take().context("it is piped")?;
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let seen = Instant::now();
                let fields = match serde_json::from_str::<Value>(&line) {
                    Ok(mut value) => value["fields"].take(),
                    Err(_) => continue,
                };
                if send.send(Event { seen, fields }).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, events, started, tells_times: titan.tells_times })
    }

    /// Milliseconds until it could take the next change. A titan that does not say so is given one.
    pub(crate) fn ready(&self, titan: &Titan, fleet: &Path) -> Result<f64> {
        if self.tells_times {
            let event = self.wait(|event| event.is("ready"))?;
            let wall = event.seen.duration_since(self.started).as_secs_f64() * 1000.0;
            // The process had to start, too.
            return Ok(event.took().map_or(wall, |took| took.max(wall)));
        }
        let (revision, _) = titan.change(fleet, "value", 1)?;
        self.rendered(&revision, self.started)
    }

    /// Milliseconds from when a commit was seen until what it renders to was durable; without titan's
    /// own word, from `moved` on.
    pub(crate) fn rendered(&self, revision: &str, moved: Instant) -> Result<f64> {
        // Of several commits that arrived together, each tells its own time.
        let mut longest: f64 = 0.0;
        let event = self.wait(|event| {
            if event.is("rendered") {
                longest = longest.max(event.took().unwrap_or_default());
            }
            let source = event.fields["source"].as_str().filter(|source| !source.is_empty());
            event.is("rendered") && source.is_some_and(|source| revision.starts_with(source))
        })?;
        let wall = event.seen.saturating_duration_since(moved).as_secs_f64() * 1000.0;
        Ok(event.took().map_or(wall, |_| longest))
    }

    /// Waits until what the branch had when it started is checked; told only with `--verbose`.
    pub(crate) fn checked(&self) -> Result<()> {
        self.wait(|event| event.is("what was rendered before is checked")).map(drop)
    }

    /// Milliseconds until the last assignment that can be rendered was, from when the workers were asked;
    /// told only with `--verbose`.
    pub(crate) fn good(&self) -> Result<f64> {
        let event = self.wait(|event| event.is("rendered by workers"))?;
        event.fields["good_ms"].as_f64().context("it does not say when")
    }

    /// Milliseconds of a pass that found nothing to render.
    pub(crate) fn nothing(&self) -> Result<f64> {
        let event = self.wait(|event| event.is("nothing to render"))?;
        event.took().context("it does not say how long it took")
    }

    fn wait(&self, mut wanted: impl FnMut(&Event) -> bool) -> Result<Event> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) if wanted(&event) => return Ok(event),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("waited in vain for the controller"),
                Err(RecvTimeoutError::Disconnected) => bail!("the controller has ended"),
            }
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Politely: it writes what it knows.
        if let Some(id) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(60);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
