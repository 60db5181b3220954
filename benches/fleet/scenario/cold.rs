//! From nothing to a rendered branch.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Bench;
use crate::sample::Samples;
use crate::yardstick;

/// Two sides of a ratio, in seconds, measured in turn.
struct Sides {
    titan: Samples,
    import: Samples,
    /// Bytes of all rendered files.
    bytes: u64,
    /// Bytes of the pack with them, and its index.
    pack: u64,
}

pub(super) fn cold(bench: &mut Bench) -> Result<()> {
    let fleet = bench.fleet(bench.report.sizes.small)?;
    let sides = against_import(bench, &fleet)?;
    ratio(bench, "cold/ratio", &sides);
    let detail = format!("{} ÷ {} MB", megabytes(sides.pack), megabytes(sides.bytes));
    let value = sides.pack as f64 / sides.bytes as f64;
    bench.report.measured("cold/pack", value, detail, &Samples::default());
    Ok(())
}

pub(super) fn retail(bench: &mut Bench) -> Result<()> {
    let fleet = bench.folder.join("retail.git");
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/retail");
    let hosts = bench.report.sizes.small.to_string();
    bench.titan.fleet(&fleet, &["--hosts", &hosts, "--from", from])?;
    let sides = against_import(bench, &fleet)?;
    ratio(bench, "retail/ratio", &sides);
    Ok(())
}

fn ratio(bench: &mut Bench, gate: &str, sides: &Sides) {
    let (titan, import) = (sides.titan.median(), sides.import.median());
    let detail = format!("{titan:.3} s ÷ {import:.3} s, {} MB", megabytes(sides.bytes));
    bench.report.measured(gate, titan / import, detail, &sides.titan);
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn against_import(bench: &Bench, fleet: &Path) -> Result<Sides> {
    let done = bench.scratch(fleet, "cold.git")?;
    bench.titan.reconcile(&done)?;
    let head = yardstick::rendered(&done)?;
    let stream = bench.folder.join("cold.stream");
    let bytes = yardstick::stream(&done, None, head, &stream)?;
    let pack = yardstick::pack_of(&done, head)?;
    let mut import = Samples::default();
    let titan = bench.times(bench.runs).take(|| {
        let copy = bench.scratch(fleet, "cold.git")?;
        let took = bench.titan.reconcile(&copy)?.render_and_publish();
        fs::remove_dir_all(&copy)?;
        yardstick::settle();
        let other = yardstick::import_anew(&bench.folder.join("import.git"), &stream)?;
        bench.say(&format!("titan {took:.3} s, fast-import {other:.3} s"));
        import.push(other);
        Ok(took)
    })?;
    fs::remove_file(stream)?;
    Ok(Sides { titan, import, bytes, pack })
}

/// The large fleet, with a small one in turn.
pub(super) fn large(bench: &mut Bench) -> Result<()> {
    let sizes = bench.report.sizes;
    let (large, small) = (bench.fleet(sizes.large)?, bench.fleet(sizes.small)?);
    let (mut memory, mut each, mut small_each) = <(Samples, Samples, Samples)>::default();
    // Long: three are enough.
    let wall = bench.times(bench.runs).take(|| {
        let copy = bench.scratch(&small, "cold.git")?;
        let pass = bench.titan.reconcile(&copy)?;
        small_each.push(pass.wall.as_secs_f64() / pass.assignments as f64);
        fs::remove_dir_all(&copy)?;
        let copy = bench.scratch(&large, "cold.git")?;
        let pass = bench.titan.reconcile(&copy)?;
        let wall = pass.wall.as_secs_f64();
        each.push(wall / pass.assignments as f64);
        memory.push(pass.peak as f64 / 1e6);
        bench.say(&format!("{wall:.2} s, {} MB", megabytes(pass.peak)));
        // The last one serves the other scenarios.
        let kept = bench.folder.join(format!("rendered-{}.git", sizes.large));
        if kept.exists() {
            fs::remove_dir_all(&copy)?
        } else {
            fs::rename(&copy, &kept)?
        }
        Ok(wall)
    })?;
    let report = &mut bench.report;
    report.measured("large/time", wall.median(), format!("of {}", wall.all().len()), &wall);
    report.measured("large/memory", memory.percentile(100), "the most of all runs".into(), &memory);
    let micro = |samples: &Samples| samples.median() * 1e6;
    let detail = format!("{:.1} µs ÷ {:.1} µs", micro(&each), micro(&small_each));
    report.measured("large/scaling", each.median() / small_each.median(), detail, &each);
    Ok(())
}
