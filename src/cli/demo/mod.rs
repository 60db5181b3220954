//! `titan demo`: the whole system on one machine, commit to deploy.
//!
//! It runs this same program as a person would: a controller, an agent for each host, commands. The
//! only difference to a real fleet is that every host is a directory.

mod stage;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use stage::Stage;
use world::World;

/// Run the whole system on this machine, commit to deploy
///
/// Shows a commit that arrives, a broken one that is held, its fix, and the proof in Git.
/// Makes a bare config repository from the retail example, starts a controller and an agent for each of its
/// 12 hosts (directories, here), and tells the story of a few commits. Needs nothing but git. Cleans up.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan demo
  titan demo --keep /tmp/demo    leave everything there, to look around in")]
pub(super) struct Args {
    /// Work in this folder (it must be empty or new) and leave it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Commits for the measurement at the end
    #[arg(long, default_value_t = 20, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    commits: u32,
}

/// The deployment that the story is about: it runs on the three directory devices of the example.
const DEPLOYMENT: &str = "stores/price-labels/prod";
const DEPLOYMENT_FILE: &str = "workspaces/stores/workloads/price-labels/deployments/prod.yaml";

/// # Errors
/// When a stage does not end as it should; then the logs' last lines are shown.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let temporary = match &args.keep {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
    };
    let folder = match (&args.keep, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => unreachable!("one of them is there"),
    };
    let mut world = World::new(&folder)?;
    let stage = Stage::new(context.output);
    let told = tell(&mut world, &stage, args.commits);
    world.stop();
    if told.is_err() {
        stage.logs(&world);
    }
    told?;
    if args.keep.is_some() {
        stage.line(&format!("Everything is left in {}; start with", folder.display()))?;
        stage.line(&format!("  TITAN_FLEET={} titan status", world.fleet.display()))?;
    }
    Ok(Exit::Fine)
}

fn tell(world: &mut World, stage: &Stage, commits: u32) -> Result<()> {
    let start = Instant::now();
    fill(world, stage)?;
    start_up(world, stage)?;
    change(world, stage)?;
    break_and_mend(world, stage)?;
    measure(world, stage, commits)?;
    prove(world, stage)?;
    stage.line("")?;
    stage.line(&format!("All stages shown in {:.0} s.", start.elapsed().as_secs_f64()))
}

fn fill(world: &mut World, stage: &Stage) -> Result<()> {
    stage.begin(
        "A config repository",
        "bare, filled from examples/retail; every host is a directory here",
    )?;
    world.fill()?;
    stage.show(world, &["get", "hosts"])?;
    stage.show(world, &["get", "deployments"])?;
    stage.show(world, &["validate"])
}

fn start_up(world: &mut World, stage: &Stage) -> Result<()> {
    stage.begin(
        "A controller, and an agent on each host",
        "a token for each, its digest committed",
    )?;
    world.start()?;
    world.until("all is deployed", |world| world.is_deployed())?;
    stage.show(world, &["status"])
}

fn change(world: &mut World, stage: &Stage) -> Result<()> {
    stage.begin(
        "A change",
        "a new version for one deployment, committed and followed to the hosts",
    )?;
    let before = world.rendered()?;
    stage.show(world, &["set", "deployment", DEPLOYMENT, "spec.values.version=2.1.0"])?;
    stage.show(world, &["trace", "main", "--wait", "--timeout", "30s"])?;
    let after = world.rendered()?;
    stage.line("What differs on the rendered branch:")?;
    for path in world.changed(before, after)? {
        stage.line(&format!("  {path}"))?;
    }
    Ok(())
}

fn break_and_mend(world: &mut World, stage: &Stage) -> Result<()> {
    stage.begin(
        "A broken commit",
        "pushed past all checks: it is held, and what ran goes on running",
    )?;
    let good = world.file(DEPLOYMENT_FILE)?;
    let broken = good.replace("target:", "tarjet:");
    ensure!(broken != good, "the example has no target to break");
    let before = world.rendered()?;
    world.commit(DEPLOYMENT_FILE, &broken, "A slip of the finger")?;
    world.until("the commit is seen", |world| world.is_seen())?;
    stage.show_failing(world, &["trace", "main"])?;
    ensure!(world.rendered()? == before, "a broken commit must not change what runs");
    stage.line("The rendered branch has not moved; every host keeps what it had.")?;

    stage.begin("Its fix", "an ordinary commit; nothing else is to be done")?;
    let fixed = good.replace("2.1.0", "2.1.1");
    world.commit(DEPLOYMENT_FILE, &fixed, "Mend the target, and go to 2.1.1")?;
    stage.show(world, &["trace", "main", "--wait", "--timeout", "30s"])
}

/// From a commit to `Deployed` in the status branch, over and over.
fn measure(world: &mut World, stage: &Stage, commits: u32) -> Result<()> {
    stage.begin("How long it takes", "from the commit to `Deployed` on the status branch")?;
    let mut times = Vec::new();
    for round in 0..commits {
        let text = world.file(DEPLOYMENT_FILE)?;
        let version = format!("3.0.{round}");
        let old = text.lines().find(|line| line.trim_start().starts_with("version:"));
        let old = old.context("the deployment has a version")?.to_owned();
        let indent = &old[..old.len() - old.trim_start().len()];
        let new = text.replace(&old, &format!("{indent}version: \"{version}\""));
        let start = Instant::now();
        let source = world.commit(DEPLOYMENT_FILE, &new, &format!("Version {version}"))?;
        world.until("it is deployed", |world| world.is_deployed_from(DEPLOYMENT, source))?;
        times.push(start.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    let longest = times.last().copied().unwrap_or(Duration::ZERO);
    stage.line(&format!(
        "{commits} commits: median {:.2} s, longest {:.2} s",
        median.as_secs_f64(),
        longest.as_secs_f64()
    ))
}

fn prove(world: &mut World, stage: &Stage) -> Result<()> {
    stage.begin("The proof", "Git history, without any of the processes")?;
    world.stop();
    stage.line("main, the last commits of people:")?;
    stage.log(world, "main", 4, &[])?;
    stage.line("titan/rendered, what it made of them:")?;
    let trailers = ["Titan-Source-Commit", "Titan-Generation", "Titan-Changed-Hosts"];
    stage.log(world, "titan/rendered", 2, &trailers)?;
    stage.line("titan/status, what the hosts answered:")?;
    stage.log(world, "titan/status", 4, &[])?;
    let before = world.heads()?;
    stage.show(world, &["reconcile"])?;
    ensure!(world.heads()? == before, "a further pass must write nothing");
    stage.line("A further pass writes nothing: no branch has moved.")
}
