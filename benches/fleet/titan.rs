//! The program that is measured, run as people run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::usage::Watch;

#[derive(Debug, Clone)]
pub(crate) struct Titan {
    program: PathBuf,
    /// Whether it tells how long it took itself; else the clock on the wall is read.
    pub(crate) tells_times: bool,
}

/// One `titan reconcile`.
#[derive(Debug)]
pub(crate) struct Pass {
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    /// Milliseconds of stages, as titan tells them.
    timings: Value,
    /// Bytes that were resident at most.
    pub(crate) peak: u64,
    /// Assignments that were rendered.
    pub(crate) assignments: u64,
}

impl Pass {
    /// Seconds for rendering and publishing, or for all of it where titan does not say.
    pub(crate) fn render_and_publish(&self) -> f64 {
        let stage = |name: &str| self.timings[name].as_f64();
        match (stage("render"), stage("publish")) {
            (Some(render), Some(publish)) => (render + publish) / 1000.0,
            _ => self.wall.as_secs_f64(),
        }
    }
}

impl Titan {
    pub(crate) fn new(program: &str) -> Self {
        Self { program: program.into(), tells_times: false }
    }

    pub(crate) fn command(&self, fleet: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.env("TITAN_FLEET", fleet).env_remove("TITAN_BRANCH").env_remove("TITAN_LOG");
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end; returns what it printed.
    pub(crate) fn run(&self, fleet: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.command(fleet).args(arguments).output().context("titan does not run")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "titan {}: {}", arguments.join(" "), told.trim());
        Ok(output.stdout)
    }

    /// Makes a fleet at `folder`.
    pub(crate) fn fleet(&self, folder: &Path, options: &[&str]) -> Result<()> {
        let folder_text = folder.to_str().context("the folder's name is text")?;
        self.run(folder, &[&["bench", "fleet", folder_text], options].concat()).map(drop)
    }

    /// Commits changes; returns the new head, and when the branch had moved there.
    pub(crate) fn change(
        &self,
        fleet: &Path,
        kind: &str,
        count: usize,
    ) -> Result<(String, Instant)> {
        let count = count.to_string();
        let printed =
            self.run(fleet, &["bench", "change", kind, "--commits", &count, "-o", "json"])?;
        let moved = Instant::now();
        let value: Value = serde_json::from_slice(&printed)?;
        Ok((value["revision"].as_str().context("it names the commit")?.to_owned(), moved))
    }

    /// One pass.
    pub(crate) fn reconcile(&self, fleet: &Path) -> Result<Pass> {
        let mut command = self.command(fleet);
        command.args(["reconcile", "-o", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let child = command.spawn().context("titan does not run")?;
        let watch = Watch::of(child.id());
        let output = child.wait_with_output()?;
        let (wall, peak) = (start.elapsed(), watch.peak());
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "titan reconcile: {}", told.trim());
        let value: Value = serde_json::from_slice(&output.stdout)?;
        let commits = value["commits"].as_array().context("it lists commits")?;
        let assignments = commits.iter().filter_map(|commit| commit["changed"].as_u64()).sum();
        Ok(Pass { wall, timings: value["timings"].clone(), peak, assignments })
    }

    /// How long a command takes, and that it ends as it should.
    pub(crate) fn time(&self, fleet: &Path, arguments: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        self.run(fleet, arguments)?;
        Ok(start.elapsed())
    }

    /// Finds out what this titan tells, on a fleet of no size.
    pub(crate) fn learn(&mut self, folder: &Path) -> Result<()> {
        let fleet = folder.join("learn.git");
        self.fleet(&fleet, &["--hosts", "1", "--deployments", "1"])?;
        self.tells_times = self.reconcile(&fleet)?.timings.is_object();
        Ok(())
    }
}
