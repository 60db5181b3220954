//! A repository after many commits.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use crate::controller::Controller;
use crate::sample::Samples;
use crate::yardstick;

/// Longest time for the commits; of a slow titan, fewer are counted, and said so.
const BUDGET: Duration = Duration::from_secs(300);
/// Upkeep is done when nothing has changed for so long.
const QUIET: Duration = Duration::from_secs(5);

pub(super) fn upkeep(bench: &mut Bench) -> Result<()> {
    const KINDS: [&str; 5] = ["value", "host", "move", "add", "remove"];
    let fleet = bench.rendered(bench.report.sizes.small)?;
    let fleet = bench.scratch(&fleet, "upkeep.git")?;
    let wanted = if bench.smoke { 5 } else { 1000 };
    let controller = Controller::start(&bench.titan, &fleet, &[])?;
    controller.ready(&bench.titan, &fleet)?;
    let (start, mut commits) = (Instant::now(), 0);
    while commits < wanted && start.elapsed() < BUDGET {
        let (revision, moved) = bench.titan.change(&fleet, KINDS[commits % KINDS.len()], 1)?;
        controller.rendered(&revision, moved)?;
        commits += 1;
        if commits % 100 == 0 {
            bench.say(&format!("{commits} commits, {} packs", packs(&fleet)?.0));
        }
    }
    await_quiet(&fleet, if bench.smoke { Duration::ZERO } else { QUIET })?;
    drop(controller);
    let (packs, grown) = packs(&fleet)?;
    let repacked = bench.scratch(&fleet, "repacked.git")?;
    yardstick::timed(yardstick::git(&repacked).args(["repack", "-a", "-d", "-q"]))?;
    let full = self::packs(&repacked)?.1;
    let report = &mut bench.report;
    let none = Samples::default();
    report.measured("upkeep/packs", packs as f64, format!("after {commits} commits"), &none);
    let growth = (grown as f64 / full as f64 - 1.0) * 100.0;
    let detail = format!("{:.1} MB over {:.1} MB", grown as f64 / 1e6, full as f64 / 1e6);
    report.measured("upkeep/growth", growth, detail, &none);
    std::fs::remove_dir_all(&fleet)?;
    std::fs::remove_dir_all(&repacked)?;
    Ok(())
}

/// How many packs there are, and the bytes of the whole object database.
fn packs(fleet: &Path) -> Result<(usize, u64)> {
    let output = yardstick::git(fleet).args(["count-objects", "-v"]).output()?.stdout;
    let text = String::from_utf8(output)?;
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        line.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    let bytes = (number("size") + number("size-pack") + number("size-garbage")) * 1024;
    Ok((usize::try_from(number("packs"))?, bytes))
}

fn await_quiet(fleet: &Path, quiet: Duration) -> Result<()> {
    let (mut last, mut since) = (packs(fleet)?, Instant::now());
    while since.elapsed() < quiet {
        std::thread::sleep(Duration::from_millis(100));
        let now = packs(fleet)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}
