//! How the demo is told.

use std::cell::Cell;
use std::io::{Read, Seek, SeekFrom};

use anstyle::{AnsiColor, Style};
use anyhow::{Result, ensure};

use super::world::World;
use crate::cli::output::Output;

const TITLE: Style = AnsiColor::Green.on_default().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();

/// The narrator.
pub(super) struct Stage {
    output: Output,
    number: Cell<u32>,
}

impl Stage {
    pub(super) fn new(output: Output) -> Self {
        Self { output, number: Cell::new(0) }
    }

    pub(super) fn begin(&self, title: &str, what: &str) -> Result<()> {
        self.number.set(self.number.get() + 1);
        self.line(&format!("\n{TITLE}{}. {title}{TITLE:#}: {what}", self.number.get()))
    }

    pub(super) fn line(&self, text: &str) -> Result<()> {
        Ok(self.output.print(&format!("{text}\n"))?)
    }

    /// Shows a command and what it prints. It must succeed.
    pub(super) fn show(&self, world: &World, arguments: &[&str]) -> Result<()> {
        let done = self.run(world, arguments)?;
        ensure!(done, "`titan {}` failed", arguments.join(" "));
        Ok(())
    }

    /// Shows a command that is to say no.
    pub(super) fn show_failing(&self, world: &World, arguments: &[&str]) -> Result<()> {
        let done = self.run(world, arguments)?;
        ensure!(!done, "`titan {}` should have said no", arguments.join(" "));
        Ok(())
    }

    fn run(&self, world: &World, arguments: &[&str]) -> Result<bool> {
        self.line(&format!("{COMMAND}$ titan {}{COMMAND:#}", arguments.join(" ")))?;
        let output = world.titan(arguments)?;
        self.output.print(&String::from_utf8_lossy(&output.stdout))?;
        self.output.print(&String::from_utf8_lossy(&output.stderr))?;
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            self.line(&format!("(exit code {code})"))?;
        }
        Ok(output.status.success())
    }

    /// The newest commits of a branch, with some of their trailers.
    pub(super) fn log(
        &self,
        world: &World,
        branch: &str,
        count: usize,
        trailers: &[&str],
    ) -> Result<()> {
        for commit in world.log(branch, count)? {
            self.line(&format!("  {}  {}", commit.id.short(), commit.subject))?;
            for key in trailers {
                if let Some(value) = commit.trailer(key) {
                    self.line(&format!("            {key}: {value}"))?;
                }
            }
        }
        Ok(())
    }

    /// The ends of all logs, for a stage that failed.
    pub(super) fn logs(&self, world: &World) {
        for path in world.logs() {
            let mut end = Vec::new();
            if let Ok(mut file) = std::fs::File::open(&path) {
                let length = file.metadata().map_or(0, |data| data.len());
                let _ = file.seek(SeekFrom::Start(length.saturating_sub(2000)));
                let _ = file.read_to_end(&mut end);
            }
            self.output.warn(&format!("{}:\n{}", path.display(), String::from_utf8_lossy(&end)));
        }
    }
}
