//! `make bench`: titan's gates, measured through the real program on generated fleets, beside what Git
//! and kustomize do with the same files, in the same run.
//!
//! ```text
//!  titan bench fleet ──▶ fleets ──▶ scenario ─┬─ titan reconcile, controller, plan   (titan, controller)
//!  titan bench change ─▶ commits ─┘           ├─ git fast-import, git add + commit   (yardstick)
//!                                             └─ kustomize                           (scenario/overlays)
//!                                                     ▼
//!                               gates ──▶ report: table, target/bench/results.json, exit code
//! ```
//! `ONLY` (parts of gates' ids, with commas), `SIZE` (hosts of the large fleet; the small one has a tenth) and
//! `RUNS` choose what is measured; `README=1` writes
//! the table into the README. Without `--bench`, as `cargo test` runs it, everything is done once
//! at a few hosts, and no time is judged.

mod controller;
mod gates;
mod report;
mod sample;
mod scenario;
mod titan;
mod usage;
mod yardstick;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use gates::{GATES, Sizes};
use report::Report;
use scenario::{Bench, SCENARIOS};
use titan::Titan;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let sizes = match variable("SIZE")? {
        _ if smoke => Sizes { large: 8, small: 4 },
        Some(large) => Sizes { large, small: (large / 10).max(1) },
        None => Sizes::USUAL,
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let runs = variable("RUNS")?.unwrap_or(5);
    ensure!(runs > 0 && sizes.large > 0, "RUNS and SIZE must be more than 0");

    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut titan = Titan::new(env!("CARGO_BIN_EXE_titan"));
    titan.learn(folder.path())?;
    let mut bench = Bench::new(titan, folder.path(), Report::new(sizes), runs, smoke);
    let start = Instant::now();
    for (name, measure) in SCENARIOS {
        let chosen = |id: &str| only.split(',').any(|part| id.contains(part));
        if !GATES.iter().any(|gate| gate.scenario() == name && chosen(gate.id)) {
            continue;
        }
        say(&format!("{name} ({:.0} s)", start.elapsed().as_secs_f64()));
        let outcome = measure(&mut bench);
        let why = outcome.err().map_or_else(|| "not measured".into(), |error| format!("{error:#}"));
        bench.report.close(name, &why);
    }
    conclude(&bench, smoke)
}

/// Shows the results, and judges.
fn conclude(bench: &Bench, smoke: bool) -> Result<ExitCode> {
    let report = &bench.report;
    if smoke {
        let failed = report.failed();
        ensure!(failed.is_empty(), "the harness fails:\n{}", failed.join("\n"));
        print("the harness works; `make bench` measures\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Where cargo builds, also if that is not below the package.
    let program = Path::new(env!("CARGO_BIN_EXE_titan"));
    let target = program.ancestors().nth(2).context("the program lies in a target folder")?;
    let results = target.join("bench/results.json");
    std::fs::create_dir_all(target.join("bench"))?;
    std::fs::write(&results, format!("{:#}\n", report.json()))?;
    print(&report.table())?;
    if std::env::var_os("README").is_some_and(|wish| !wish.is_empty()) {
        ensure!(report.is_whole(), "the README shows all gates at the usual sizes");
        write_readme(&report.markdown())?;
    }
    say(&format!("results are in {}", results.display()));
    let broken = report.broken();
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("gates that do not hold: {}", broken.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Puts the table between its marks in the README.
fn write_readme(table: &str) -> Result<()> {
    const MARKS: [&str; 2] = ["<!-- bench -->\n", "<!-- /bench -->"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text.split_once(MARKS[0]).context("the README has no table")?;
    let (_, after) = rest.split_once(MARKS[1]).context("the README's table has no end")?;
    Ok(std::fs::write(path, format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))?)
}

fn variable(name: &str) -> Result<Option<usize>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).with_context(|| format!("{name}={text} is no number"))
        }
        _ => Ok(None),
    }
}

/// Progress and problems, on stderr.
fn say(what: &str) {
    drop(writeln!(std::io::stderr(), "{what}"));
}

fn print(what: &str) -> Result<()> {
    Ok(write!(std::io::stdout().lock(), "{what}")?)
}
