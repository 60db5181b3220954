//! Whoever keeps what it knows, whoever forgets it after each pass, and whoever looks once at the end
//! come to the same history and say the same of it.

use std::sync::Arc;

use titan::controller::reconcile::{Pass, Reconciler};
use titan::controller::workers::Workers;
use titan::controller::{Kind, Verifier};
use titan::git::{CommitDraft, FleetRepository, Location, Signature, TreeEdit};
use titan::model::{Limits, RepoPath};
use titan::publish;

use super::support::{ConfigRepo, eventually};

/// Numbers that are the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Two repositories with the same history: one is served by two who stay, and take turns to be the first;
/// the other by somebody who comes anew each time.
struct Twins {
    repositories: [ConfigRepo; 2],
    staying: Reconciler,
    following: Reconciler,
    /// How often the second had to read everything.
    read_anew: usize,
    workers: Arc<Workers>,
}

fn fleet_repository(repository: &ConfigRepo) -> FleetRepository {
    let location = Location::Local(repository.path.clone());
    let cache = repository.folder.path().join("cache");
    FleetRepository::open(&location, Some("main"), &cache, &Limits::default()).expect("it opens")
}

impl Twins {
    fn new() -> Self {
        let shop = || {
            ConfigRepo::new()
                .file("titan.yaml", SETTINGS)
                .template()
                .file("templates/app/files/z.yaml.tera", "a: {{ values.version }}\n")
                .workload()
                .file(
                    "workspaces/default/targets/eu.yaml",
                    "apiVersion: titan.dev/v1\nkind: Target\nspec:\n  selector: {matchLabels: {region: eu}}\n",
                )
                .host("one", "region=eu")
                .host("eu/two", "region=eu")
                .host("three", "region=us")
                .host("us/four", "region=us")
                .deployment("prod", "1", "")
        };
        let repositories = [shop(), shop()];
        let workers = Arc::new(Workers::threads());
        let stays = || Reconciler::new(fleet_repository(&repositories[0]), Arc::clone(&workers));
        let (staying, following) = (stays(), stays());
        Self { repositories, staying, following, read_anew: 0, workers }
    }

    fn each(&mut self, change: impl Fn(&mut ConfigRepo)) {
        self.repositories.iter_mut().for_each(change);
    }

    /// All render; they must agree on everything.
    fn pass(&mut self, step: &str) {
        let mut stays = self.staying.pass().expect("a pass");
        complete(&mut self.staying, &mut stays);
        let mut follows = self.following.pass().expect("a pass");
        self.read_anew += usize::from(follows.touched.is_none());
        complete(&mut self.following, &mut follows);
        assert!(stays.commits.iter().all(|commit| commit.own), "{step}");
        assert!(follows.commits.iter().all(|commit| !commit.own), "{step}");
        assert_eq!((&stays.held, &stays.unplaced), (&follows.held, &follows.unplaced), "{step}");
        let fleet = fleet_repository(&self.repositories[1]);
        let mut comes = Reconciler::new(fleet, Arc::clone(&self.workers));
        let mut anew = comes.pass().expect("a pass");
        complete(&mut comes, &mut anew);
        let [one, two] = [&self.repositories[0], &self.repositories[1]];
        assert_eq!(one.head("titan/rendered"), two.head("titan/rendered"), "{step}");
        assert_eq!(stays.held, anew.held, "{step}");
        assert_eq!(stays.unplaced, anew.unplaced, "{step}");
        let told = |pass: &Pass| -> std::collections::BTreeSet<String> {
            pass.diagnostics.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(&stays), told(&anew), "{step}");
        assert_eq!(told(&follows), told(&anew), "{step}");
        let read =
            publish::read_last(&one.git, one.head("titan/rendered")).expect("it is readable");
        assert_eq!(self.staying.rendered(), Some(&read), "{step}");
        assert_eq!(self.following.rendered(), Some(&read), "{step}");
        std::mem::swap(&mut self.staying, &mut self.following);
    }
}

/// Looks at all that was rendered before.
fn complete(reconciler: &mut Reconciler, pass: &mut Pass) {
    while pass.unchecked && !reconciler.is_checked() {
        assert!(!reconciler.check_some().expect("a check"), "nobody made it differ");
    }
    if pass.unchecked {
        (pass.held, pass.diagnostics) = reconciler.problems();
    }
}

const SETTINGS: &str =
    "apiVersion: titan.dev/v1\nkind: Fleet\nspec: {guards: {maxRemovals: 40%}}\n";
const HOSTS: [&str; 5] = ["one", "eu/two", "three", "us/four", "five"];
const DEPLOYMENTS: [&str; 4] = ["prod", "test", "edge", "batch"];

/// One random change; returns what it was, and the commit's message.
fn change(dice: &mut Dice, repository: &mut ConfigRepo) -> (String, String) {
    let host = HOSTS[usize::try_from(dice.roll(5)).expect("few")];
    let name = DEPLOYMENTS[usize::try_from(dice.roll(4)).expect("few")];
    let version = dice.roll(5).to_string();
    let path = format!("workspaces/default/workloads/web/deployments/{name}.yaml");
    let what = match dice.roll(16) {
        0 | 1 => {
            let region = ["eu", "us", "asia"][usize::try_from(dice.roll(3)).expect("few")];
            repository.edit_host(host, &format!("region={region}"));
            format!("{host} is in {region}")
        }
        2 => {
            let text = "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {labels: {region: eu}}\nspec: {runtime: directory, cordoned: true}\n";
            repository.edit(&format!("hosts/{host}.yaml"), text);
            format!("{host} is cordoned")
        }
        3 => {
            repository.remove(&format!("hosts/{host}.yaml"));
            format!("{host} goes")
        }
        4 => {
            repository.edit(&format!("hosts/{host}.yaml"), "kind: Hots\n");
            format!("{host} breaks")
        }
        5 => {
            repository.remove("hosts/three.yaml").edit_host("asia/three", "region=asia");
            "three moves".into()
        }
        6 => {
            repository.remove(&path);
            format!("{name} goes")
        }
        7 => {
            repository
                .edit(&path, "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {targit: all}\n");
            format!("{name} breaks")
        }
        8 => {
            let text = ["{{ values.nothing }}\n", "{% if %}\n", "b: {{ values.version }}\n", ""];
            let text = text[usize::try_from(dice.roll(4)).expect("few")];
            repository.edit("templates/app/files/z.yaml.tera", text);
            format!("the template has {text:?}")
        }
        9 => {
            let broken = dice.roll(2) == 0;
            repository.edit("titan.yaml", if broken { "a: [" } else { SETTINGS });
            format!("settings, broken: {broken}")
        }
        10 | 11 => {
            let replicas = dice.roll(4);
            repository.edit_deployment(name, &version, &format!("  replicas: {replicas}\n"));
            format!("{name} has {replicas} replicas")
        }
        12 => {
            repository.edit_deployment(name, &version, "  suspend: true\n");
            format!("{name} is suspended")
        }
        13 => {
            let text = format!(
                "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  target: eu\n  values: {{version: \"{version}\"}}\n"
            );
            repository.edit(&path, text);
            format!("{name} on eu")
        }
        _ => {
            repository.edit_deployment(name, &version, "");
            format!("{name} {version}")
        }
    };
    let trailer = ["", "\nTitan-Allow-Removals: all\n", "\nTitan-Allow-Removals: 2\n"];
    let message = format!("{what}\n{}", trailer[usize::try_from(dice.roll(3)).expect("few")]);
    (what, message)
}

/// Somebody writes to the rendered branch by hand.
fn deface(repository: &ConfigRepo, path: &str, seconds: i64) {
    let head = repository.head("titan/rendered").expect("it was rendered");
    let tree = repository.git.commit(head).expect("readable").tree;
    let mut edit = TreeEdit::new(&repository.git, Some(tree));
    edit.put(&RepoPath::new(path).expect("a path"), b"by hand\n").expect("put");
    let hand =
        Signature { name: "hand".into(), email: "hand@example.com".into(), seconds, offset: 0 };
    let draft = CommitDraft {
        tree: edit.write().expect("written"),
        parents: vec![head],
        author: hand.clone(),
        committer: hand,
        message: "by hand\n".into(),
    };
    let new = repository.git.write_commit(&draft).expect("written");
    repository.git.advance("titan/rendered", Some(head), new).expect("nobody else writes");
}

/// Every commit of the rendered branch is what titan makes of its source; returns how many there are.
fn verify(repository: &ConfigRepo) -> usize {
    let git = &repository.git;
    let (config, tip) = (repository.head("main"), repository.head("titan/rendered"));
    let verifier = Verifier::new(git, config, tip, Workers::threads()).expect("readable");
    let line = git.first_parents(tip.expect("it was rendered"), None, 1000).expect("readable");
    for revision in &line {
        let verified = verifier.verify(*revision).expect("readable");
        assert!(verified.is_sound() || verified.kind == Kind::Foreign, "{verified:#?}");
    }
    line.len()
}

fn story(seed: u64, by_hand: bool) {
    let mut twins = Twins::new();
    twins.each(|repository| {
        repository.commit("the fleet");
    });
    twins.pass("the fleet");
    let mut dice = Dice(seed);
    for step in 0..40 {
        let (mut what, several) = (String::new(), 1 + dice.roll(5) / 4 * 2);
        for _ in 0..several {
            let seed = dice.roll(1 << 30);
            let (first, message) = change(&mut Dice(seed), &mut twins.repositories[0]);
            change(&mut Dice(seed), &mut twins.repositories[1]);
            what = format!("{what}; {first}");
            twins.each(|repository| {
                repository.commit_on("main", &message);
            });
        }
        if by_hand && dice.roll(5) == 0 {
            let paths =
                ["hosts/one/x", "hosts/one/default/web/prod/a.txt", "README", "assignments/x"];
            let path = paths[usize::try_from(dice.roll(4)).expect("few")];
            twins.each(|repository| deface(repository, path, 1_700_001_000 + step));
            what = format!("{what}; {path} by hand");
        }
        twins.pass(&format!("seed {seed}, step {step}: {what}"));
    }
    let [one, late] = &mut twins.repositories;
    assert!(verify(one) > 10, "the story has commits");
    if !by_hand {
        assert_eq!(twins.read_anew, 1, "what another titan did needs no reading");
        let tip = late.head("titan/rendered").expect("it was rendered");
        let gone = std::process::Command::new("git")
            .args(["update-ref", "-d", "refs/heads/titan/rendered"])
            .current_dir(&late.path)
            .status();
        assert!(gone.expect("git runs").success());
        Reconciler::new(fleet_repository(late), twins.workers).pass().expect("a pass");
        assert_eq!(late.head("titan/rendered"), Some(tip), "seed {seed}: all at once");
    }
}

#[test]
fn what_is_kept_between_passes_changes_nothing() {
    (1..=4).for_each(|seed| story(seed, false));
}

#[test]
fn what_hands_do_in_between_changes_nothing() {
    (11..=13).for_each(|seed| story(seed, true));
}

/// The check behind a restart goes on over many hosts, a part of them at a time, to the last.
#[test]
fn all_that_was_rendered_before_is_checked_after_a_restart() {
    let mut repository =
        ConfigRepo::new().quick().template().workload().deployment("prod", "1", "");
    for host in 0..600 {
        repository.edit_host(&format!("h{host}"), "");
    }
    repository.commit("a wide fleet");
    repository.titan_ok(&["reconcile"]);
    let log = repository.folder.path().join("controller.log");
    let _controller = repository.spawn("controller", &["-v", "controller", "--no-listen"]);
    eventually("all is checked", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("what was rendered before is checked")
    });
}

#[test]
fn moves_stay_held_when_broken_settings_are_mended() {
    let mut twins = Twins::new();
    twins.each(|one| {
        one.commit("the fleet");
    });
    twins.pass("the fleet");
    twins.each(|one| {
        one.remove("hosts/one.yaml").edit_host("eu/one", "region=eu");
        one.remove("hosts/three.yaml").edit_host("us/three", "region=us");
        one.remove("hosts/us/four.yaml").edit_host("four", "region=us");
        one.commit("three of four move");
    });
    twins.pass("three of four move");
    twins.each(|one| {
        one.edit("titan.yaml", "kind: Flit\n").commit("nobody can read the settings");
    });
    twins.pass("nobody can read the settings");
    twins.each(|one| {
        one.edit("titan.yaml", SETTINGS).edit_deployment("test", "1", "").commit("mended");
    });
    twins.pass("mended");
    let pass = twins.staying.pass().expect("a pass");
    assert!(pass.held.contains_key("removals"), "{:?}", pass.held);
    let read = |path: &str| twins.repositories[0].read("titan/rendered", path);
    assert_eq!(read("hosts/one/default/web/test/sub/b.txt").as_deref(), Some("1\n"));
    assert_eq!(read("hosts/eu/one/.titan"), None);
}
