//! One app on many hosts, each a little different: rendered by titan, and by kustomize as an overlay for
//! each host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use titan::git::Repository;
use titan::model::RepoPath;

use super::Bench;
use crate::yardstick;

const GATES: [&str; 2] = ["overlays/each", "overlays/one"];
const DEPLOYMENT: &str = "team-1/app-000/prod";

pub(super) fn overlays(bench: &mut Bench) -> Result<()> {
    let hosts = bench.report.sizes.small;
    let fleet = bench.folder.join("overlays.git");
    let shape = ["--deployments", "1", "--workspaces", "1", "--templates", "1", "--rings", "0"];
    bench.titan.fleet(&fleet, &[&["--hosts", &hosts.to_string()], &shape[..]].concat())?;
    let done = bench.scratch(&fleet, "overlays-done.git")?;
    bench.titan.reconcile(&done)?;
    let folder = bench.folder.join("overlays");
    let overlays = write_overlays(&done, &folder, hosts)?;
    if bench.smoke {
        // What the yardstick needs is fetched from afar.
        GATES.iter().for_each(|gate| bench.report.skipped(gate, "not in a smoke run"));
        return Ok(());
    }
    let Some(one) = build(bench)? else { return Ok(()) };
    let kubectl = version_of_kubectl();

    let mut together = crate::sample::Samples::default();
    let titan = bench.times(bench.runs).take(|| {
        let copy = bench.scratch(&fleet, "overlays-done.git")?;
        let took = bench.titan.reconcile(&copy)?.wall.as_secs_f64();
        let start = Instant::now();
        let all = Command::new(&one).args(&overlays).stdout(Stdio::null()).status()?;
        ensure!(all.success(), "kustomize fails");
        together.push(start.elapsed().as_secs_f64());
        bench.say(&format!("titan {took:.3} s, one kustomize {:.2} s", together.percentile(100)));
        Ok(took)
    })?;
    let kind = kubectl.as_deref().unwrap_or("kustomize's library, as kubectl is not here");
    bench.say(&format!("{hosts} processes ({kind})"));
    let each = each(&overlays, kubectl.is_some().then_some("kubectl"), &one)?;
    fs::remove_dir_all(&folder)?;
    let (own, once) = (titan.median(), together.median());
    let report = &mut bench.report;
    let detail = format!("{each:.1} s ({kind}; once, on all processors) ÷ {own:.3} s");
    report.measured(GATES[0], each / own, detail, &titan);
    report.measured(GATES[1], once / own, format!("{once:.2} s ÷ {own:.3} s"), &together);
    Ok(())
}

/// Seconds for a process for each overlay, as many at a time as there are processors.
fn each(overlays: &[PathBuf], kubectl: Option<&str>, one: &Path) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(overlay) = overlays.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = match kubectl {
                Some(kubectl) => Command::new(kubectl),
                None => Command::new(one),
            };
            command.args(kubectl.map(|_| "kustomize")).arg(overlay).stdout(Stdio::null());
            ensure!(command.status()?.success(), "{command:?} fails");
        }
        Ok(())
    };
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let processors = std::thread::available_parallelism()?.get();
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn version_of_kubectl() -> Option<String> {
    let output = Command::new("kubectl").args(["version", "--client"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("Client Version: "))?;
    output.status.success().then(|| format!("kubectl {version}"))
}

/// The program in `benches/kustomize`, built where caches are; nothing without Go.
fn build(bench: &mut Bench) -> Result<Option<PathBuf>> {
    if Command::new("go").arg("version").output().is_err() {
        let why = "Go is not installed; it builds kustomize";
        crate::say(&format!("  skipped: {why}"));
        GATES.iter().for_each(|gate| bench.report.skipped(gate, why));
        return Ok(None);
    }
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let folder = cache.unwrap_or_else(std::env::temp_dir).join("titan-bench");
    fs::create_dir_all(&folder)?;
    let program = folder.join("kustomize");
    bench.say("building kustomize from its Go modules");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/kustomize");
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(".").current_dir(source);
    let built = go.output()?;
    ensure!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
    Ok(Some(program))
}

/// A base from what the first host runs, and an overlay for each host.
fn write_overlays(fleet: &Path, folder: &Path, hosts: usize) -> Result<Vec<PathBuf>> {
    let git = Repository::open(fleet)?;
    let tree = git.commit(yardstick::rendered(fleet)?)?.tree;
    let base = folder.join("base");
    fs::create_dir_all(&base)?;
    for name in ["deployment.yaml", "service.yaml"] {
        let path = RepoPath::new(&format!("hosts/host-00000/{DEPLOYMENT}/{name}"))?;
        let bytes = git.file(tree, &path)?.context("the first host runs it")?;
        fs::write(base.join(name), bytes)?;
    }
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let resources = "resources: [deployment.yaml, service.yaml]\n";
    fs::write(base.join("kustomization.yaml"), format!("{head}{resources}"))?;
    let overlay = |number: usize| {
        let overlay = folder.join(format!("hosts/host-{number:05}"));
        fs::create_dir_all(&overlay)?;
        fs::write(overlay.join("kustomization.yaml"), format!("{head}{}", patches(number)))?;
        Ok(overlay)
    };
    (0..hosts).map(overlay).collect()
}

fn patches(number: usize) -> String {
    format!(
        "\
resources: [../../base]
patches:
  - patch: |-
      apiVersion: v1
      kind: Service
      metadata:
        name: app-000-prod
        namespace: team-1
        labels: {{host: host-{number:05}}}
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: app-000-prod, namespace: team-1}}
      spec:
        template:
          spec:
            containers:
              - name: app
                env:
                  - {{name: HOST, value: host-{number:05}}}
                  - {{name: SITE, value: site-{number:05}}}
"
    )
}
