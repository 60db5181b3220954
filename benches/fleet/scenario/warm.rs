//! A controller at work: changes of a fleet that is rendered already.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::Bench;
use crate::controller::Controller;
use crate::sample::Samples;
use crate::yardstick;

/// A fleet, and the controller that watches it.
struct Watched<'a> {
    bench: &'a Bench,
    fleet: &'a Path,
    controller: Controller,
}

impl<'a> Watched<'a> {
    fn start(bench: &'a Bench, fleet: &'a Path) -> Result<(Self, f64)> {
        let controller = Controller::start(&bench.titan, fleet, &[])?;
        let ready = controller.ready(&bench.titan, fleet)?;
        Ok((Self { bench, fleet, controller }, ready))
    }

    /// Milliseconds of a change, or of several that arrive together.
    fn change(&self, kind: &str, count: usize) -> Result<f64> {
        let (revision, moved) = self.bench.titan.change(self.fleet, kind, count)?;
        self.controller.rendered(&revision, moved)
    }

    fn changes(&self, kind: &str, times: usize) -> Result<Samples> {
        // The first of its kind meets cold caches.
        self.change(kind, 1)?;
        let samples = self.bench.times(times).take(|| self.change(kind, 1))?;
        self.bench.say(&format!("{kind}: {}", range(&samples)));
        Ok(samples)
    }

    /// Milliseconds of commits that change nothing rendered, if the controller tells of them.
    fn nothing(&self, times: usize) -> Result<Option<Samples>> {
        if !self.bench.titan.tells_times {
            return Ok(None);
        }
        let samples = self.bench.times(times).take(|| {
            self.bench.titan.change(self.fleet, "nothing", 1)?;
            self.controller.nothing()
        })?;
        Ok(Some(samples))
    }
}

/// Median and extremes, for people.
fn range(samples: &Samples) -> String {
    let (least, most) = (samples.percentile(1), samples.percentile(100));
    format!("{:.1} ms ({least:.1}–{most:.1}) of {}", samples.median(), samples.all().len())
}

pub(super) fn warm(bench: &mut Bench) -> Result<()> {
    let sizes = bench.report.sizes;
    let (large, small) = (bench.rendered(sizes.large)?, bench.rendered(sizes.small)?);
    restart(bench, &large)?;
    imports(bench, &large)?;
    let (watched, _) = Watched::start(bench, &large)?;
    // Of a hundred, the 99th percentile would be the greatest but one.
    let value = watched.changes("value", 300)?;
    let mut found = Vec::new();
    for (gate, kind) in [("warm/host", "host"), ("warm/move", "move"), ("warm/add", "add")] {
        found.push((gate, watched.changes(kind, 15)?));
    }
    let nothing = watched.nothing(15)?;
    drop(watched);
    let (watched, _) = Watched::start(bench, &small)?;
    let small_value = watched.changes("value", 30)?;
    drop(watched);

    bench.value = Some(value.median());
    let report = &mut bench.report;
    report.measured("warm/value", value.median(), range(&value), &value);
    report.measured("warm/value-p99", value.percentile(99), range(&value), &value);
    let detail = format!("{:.1} ms ÷ {:.1} ms", value.median(), small_value.median());
    report.measured("warm/scaling", value.median() / small_value.median(), detail, &small_value);
    for (gate, samples) in found {
        report.measured(gate, samples.median(), range(&samples), &samples);
    }
    match nothing {
        Some(nothing) => {
            report.measured("warm/nothing", nothing.median(), range(&nothing), &nothing);
        }
        None => report.absent("warm/nothing", "this titan does not log such a pass"),
    }
    Ok(())
}

fn restart(bench: &mut Bench, fleet: &Path) -> Result<()> {
    let samples = bench.times(bench.runs).take(|| {
        let (_, ready) = Watched::start(bench, fleet)?;
        bench.say(&format!("ready after {ready:.0} ms"));
        Ok(ready / 1000.0)
    })?;
    let detail = format!("of {}", samples.all().len());
    bench.report.measured("warm/restart", samples.median(), detail, &samples);
    Ok(())
}

/// One deployment on all hosts, beside `git fast-import` of the same change; and ten changes together,
/// of which that is the largest.
fn imports(bench: &mut Bench, fleet: &Path) -> Result<()> {
    let base = bench.scratch(fleet, "import.git")?;
    let stream = bench.folder.join("change.stream");
    let (mut import, mut ten) = (Samples::default(), Samples::default());
    let (watched, _) = Watched::start(bench, fleet)?;
    // A controller without a `ready` was given a change.
    let follow = |from| -> Result<_> {
        let to = yardstick::rendered(fleet)?;
        yardstick::stream(fleet, Some(from), to, &stream)?;
        Ok((to, yardstick::import(&base, &stream)?))
    };
    let known = yardstick::rendered(&base)?;
    let mut head = if yardstick::rendered(fleet)? == known { known } else { follow(known)?.0 };
    let alone = bench.times(bench.runs).take(|| {
        let alone = watched.change("deployment", 1)?;
        let (to, took) = follow(head)?;
        import.push(took * 1000.0);
        ten.push(watched.change("mixed", 10)?);
        head = follow(to)?.0;
        bench.say(&format!("deployment {alone:.0} ms, import {:.0} ms", took * 1000.0));
        Ok(alone)
    })?;
    drop(watched);
    fs::remove_dir_all(&base)?;
    let report = &mut bench.report;
    let (titan, other, together) = (alone.median(), import.median(), ten.median());
    let detail = format!("{titan:.0} ms ÷ {other:.0} ms");
    report.measured("warm/deployment", titan / other, detail, &alone);
    let detail = format!("{together:.0} ms ÷ {titan:.0} ms");
    report.measured("warm/ten", together / titan, detail, &ten);
    Ok(())
}

/// What a script does that renders into a worktree and commits. The time for writing the file is not
/// counted.
pub(super) fn worktree(bench: &mut Bench) -> Result<()> {
    let fleet = bench.rendered(bench.report.sizes.large)?;
    let value = match bench.value {
        Some(value) => value,
        None => Watched::start(bench, &fleet)?.0.changes("value", 20)?.median(),
    };
    let folder = bench.folder.join("worktree");
    bench.say("a worktree of all that is rendered");
    let mut clone = yardstick::git(&bench.folder);
    clone.args(["clone", "--quiet", "--shared", "--branch", yardstick::RENDERED]);
    yardstick::timed(clone.arg(&fleet).arg(&folder))?;
    yardstick::settle();
    let files = yardstick::git(&folder).args(["ls-files", "*.yaml"]).output()?.stdout;
    let files = String::from_utf8(files)?;
    let paths: Vec<&str> = files.lines().filter(|path| path.starts_with("hosts/")).collect();
    let mut number = 0;
    // The first one writes the index anew.
    let samples = bench.times(bench.runs + 1).take(|| {
        let path = folder.join(paths[number * 7919 % paths.len()]);
        number += 1;
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{text}# {number}\n"))?;
        let start = Instant::now();
        yardstick::timed(yardstick::git(&folder).args(["add", "-A"]))?;
        yardstick::timed(yardstick::git(&folder).args(["commit", "--quiet", "-m", "change"]))?;
        let took = start.elapsed().as_secs_f64() * 1000.0;
        bench.say(&format!("git add, commit: {took:.0} ms"));
        Ok(took)
    })?;
    bench.say("removing the worktree");
    fs::remove_dir_all(&folder)?;
    let detail = format!("{value:.1} ms ÷ {:.0} ms", samples.median());
    bench.report.measured("worktree/ratio", value / samples.median(), detail, &samples);
    Ok(())
}
