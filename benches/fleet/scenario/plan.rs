//! `titan plan` from a cold start: a new process for each.

use anyhow::{Context as _, Result, bail};

use super::Bench;

pub(super) fn plan(bench: &mut Bench) -> Result<()> {
    let fleet = bench.rendered(bench.report.sizes.large)?;
    if bench.titan.run(&fleet, &["help", "plan"]).is_err() {
        bail!("this titan has no `plan`");
    }
    for (gate, kind) in [("plan/all", "deployment"), ("plan/host", "value")] {
        let (head, _) = bench.titan.change(&fleet, kind, 1)?;
        let range = format!("{head}~1..{head}");
        let samples = bench.times(bench.runs).take(|| {
            let took = bench.titan.time(&fleet, &["plan", &range]).context("titan plan")?;
            bench.say(&format!("plan of one {kind}: {:.2} s", took.as_secs_f64()));
            Ok(took.as_secs_f64())
        })?;
        let detail = format!("of {}", samples.all().len());
        bench.report.measured(gate, samples.median(), detail, &samples);
    }
    Ok(())
}
