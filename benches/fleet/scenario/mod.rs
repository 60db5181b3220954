//! What is measured, one file for each group of gates.

mod cold;
mod hostile;
mod overlays;
mod plan;
mod upkeep;
mod warm;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::report::Report;
use crate::sample::Times;
use crate::titan::Titan;
use crate::yardstick;

/// A scenario: the first part of its gates' ids, and what measures them.
type Scenario = (&'static str, fn(&mut Bench) -> Result<()>);

pub(crate) const SCENARIOS: [Scenario; 9] = [
    ("cold", cold::cold),
    ("retail", cold::retail),
    ("large", cold::large),
    ("warm", warm::warm),
    ("hostile", hostile::hostile),
    ("plan", plan::plan),
    ("upkeep", upkeep::upkeep),
    ("overlays", overlays::overlays),
    // Last, as removing a million files takes its time.
    ("worktree", warm::worktree),
];

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) titan: Titan,
    /// Where all repositories are made; removed at the end.
    pub(crate) folder: PathBuf,
    pub(crate) report: Report,
    /// How often the usual things are measured.
    pub(crate) runs: usize,
    /// Everything once, as small as can be: the harness is tested, not titan.
    pub(crate) smoke: bool,
    /// Milliseconds of a change of one host at the large size, once measured.
    value: Option<f64>,
}

impl Bench {
    pub(crate) fn new(
        titan: Titan,
        folder: &Path,
        report: Report,
        runs: usize,
        smoke: bool,
    ) -> Self {
        Self { titan, folder: folder.to_owned(), report, runs, smoke, value: None }
    }

    /// So many runs, of long things only as many as fit into some minutes.
    fn times(&self, wanted: usize) -> Times {
        let wanted = if self.smoke { 1 } else { wanted };
        Times { wanted, budget: Duration::from_secs(90) }
    }

    /// A fleet of the usual shape, made once.
    fn fleet(&self, hosts: usize) -> Result<PathBuf> {
        let fleet = self.folder.join(format!("fleet-{hosts}.git"));
        if !fleet.exists() {
            self.say(&format!("a fleet of {hosts} hosts"));
            self.titan.fleet(&fleet, &["--hosts", &hosts.to_string()])?;
        }
        Ok(fleet)
    }

    /// The same with everything rendered. Changes of it stay.
    fn rendered(&self, hosts: usize) -> Result<PathBuf> {
        let fleet = self.folder.join(format!("rendered-{hosts}.git"));
        if !fleet.exists() {
            yardstick::copy(&self.fleet(hosts)?, &fleet)?;
            self.say(&format!("rendering {hosts} hosts"));
            self.titan.reconcile(&fleet)?;
            yardstick::settle();
        }
        Ok(fleet)
    }

    /// A copy that is changed, and removed by the next of its name.
    fn scratch(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let to = self.folder.join(name);
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        yardstick::copy(from, &to)?;
        yardstick::settle();
        Ok(to)
    }

    /// Progress, on stderr.
    pub(crate) fn say(&self, what: &str) {
        crate::say(&format!("  {what}"));
    }
}
