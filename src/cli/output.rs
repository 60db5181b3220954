//! Results on stdout, notes and errors on stderr.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde_json::Value;

use super::diagnostics;
use crate::change::edit::yaml;
use crate::model::Diagnostic;

/// The form of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with all columns
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
    /// Names only, one on each line
    Name,
    /// For a comment on a pull request (plan)
    Markdown,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

/// Where and how a command writes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

impl Output {
    /// Decides about colours for the whole process.
    pub(crate) fn choose_color(color: Color) {
        match color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
    }

    /// Writes a result as it is.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Writes bytes that may not be text.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes a value as JSON or YAML, if one of them is wanted; tells whether it did.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn value(&self, value: &Value) -> io::Result<bool> {
        match self.format {
            Format::Json => self.print(&format!("{value:#}\n"))?,
            Format::Yaml => self.print(&yaml(value))?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Says something beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{HINT}note:{HINT:#} {text}"));
        }
    }

    /// Says what a person has to do now; `--quiet` does not silence it.
    pub(crate) fn ask(&self, text: &str) {
        self.say(text);
    }

    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{WARNING}warning:{WARNING:#} {text}"));
        }
    }

    pub(crate) fn error(&self, text: &str, hint: Option<&str>) {
        self.say(&format!("{ERROR}error:{ERROR:#} {text}"));
        if let Some(hint) = hint {
            self.say(&format!("  {HINT}hint:{HINT:#} {hint}"));
        }
    }

    /// Shows problems as a compiler does.
    pub(crate) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        let text = diagnostics::render(diagnostics, true);
        if !text.is_empty() {
            self.say(text.trim_end());
        }
    }

    fn say(&self, text: &str) {
        // Nobody is left to be told when stderr is closed.
        drop(writeln!(anstream::stderr().lock(), "{text}"));
    }
}
