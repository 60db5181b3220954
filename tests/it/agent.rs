//! An agent as a process of its own: killed at any moment, it converges after the next start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use titan::agent::{Config, Mode, Summary, run};
use titan::deliver::Hook;
use titan::git::{CommitDraft, Location, Repository, Signature, TreeEdit};
use titan::model::RepoPath;

const HOST: &str = "tim-pi";
const BRANCH: &str = "titan/rendered";
const HOME: &str = "TITAN_TEST_HOME";
const KILLS: u64 = 200;

fn config(home: &Path, fleet: Location, mode: Mode) -> Config {
    let command = format!("echo \"$TITAN_RENDERED\" > {}", home.join("hook").display());
    Config {
        host: HOST.parse().expect("a name"),
        fleet,
        rendered_branch: BRANCH.into(),
        dest: home.join("dest"),
        hook: Some(Hook { command, limit: Duration::from_secs(30), hidden: vec![] }),
        controllers: vec![],
        token: None,
        interval: Duration::from_millis(50),
        heartbeat: Duration::from_secs(20),
        mode,
    }
}

fn run_agent(config: Config) -> Summary {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(config, std::future::pending())).expect("it runs")
}

/// Not a test of its own: the process that the test below kills.
#[test]
#[ignore = "the process that `killed_at_any_moment_it_converges` starts"]
fn child() {
    if let Some(home) = std::env::var_os(HOME).map(PathBuf::from) {
        let fleet = Location::Local(home.join("fleet.git"));
        let summary = run_agent(config(&home, fleet, Mode::UntilStopped));
        assert_eq!(summary, Summary::default(), "it only ends by being killed");
    }
}

fn start(home: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "agent::child", "--ignored"])
        .env(HOME, home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % sides
    }
}

/// Some deployments with some files, all of one version.
fn files(version: u64, dice: &mut Dice) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for deployment in 0..4 {
        for file in 0..dice.roll(5) {
            let name = format!("ws/app/d{deployment}/conf{}/f{file}.yaml", dice.roll(2));
            files.insert(name, format!("version: {version}\n").repeat(50));
        }
    }
    files
}

fn init(home: &Path) -> Repository {
    let path = home.join("fleet.git");
    let init = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&path).status();
    assert!(init.expect("git runs").success());
    Repository::open(&path).expect("a repository")
}

fn render(repository: &Repository, generation: u64, files: &BTreeMap<String, String>) {
    let mut edit = TreeEdit::new(repository, None);
    let mut put = |path: &str, text: &str| {
        let path = RepoPath::new(&format!("hosts/{HOST}/{path}")).expect("a path");
        edit.put(&path, text.as_bytes()).expect("it is put");
    };
    put(".titan", &format!("host: {HOST}\n"));
    files.iter().for_each(|(path, text)| put(path, text));
    let titan = Signature {
        name: "titan".into(),
        email: "titan@titan.dev".into(),
        seconds: 1_800_000_000,
        offset: 0,
    };
    let before = repository.branch(BRANCH).expect("it can be read");
    let draft = CommitDraft {
        tree: edit.write().expect("a tree"),
        parents: before.into_iter().collect(),
        author: titan.clone(),
        committer: titan,
        message: format!("render\n\nTitan-Generation: {generation}\n"),
    };
    let commit = repository.write_commit(&draft).expect("a commit");
    repository.advance(BRANCH, before, commit).expect("it moves");
}

/// All files below `dest` but those of the state directory.
fn delivered(dest: &Path) -> BTreeMap<String, String> {
    let walk = walkdir::WalkDir::new(dest).into_iter();
    let entries = walk.filter_entry(|entry| entry.file_name() != ".titan");
    let files = entries.map(|entry| entry.expect("an entry")).filter(|e| e.file_type().is_file());
    let read = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(dest).expect("below").to_str().expect("UTF-8");
        (path.to_owned(), fs::read_to_string(entry.path()).expect("a file"))
    };
    files.map(read).collect()
}

#[test]
fn killed_at_any_moment_it_converges() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let repository = init(home);
    let mut dice = Dice(42);
    let mut generation = 0;
    let mut wanted = BTreeMap::new();
    let mine = "ws/app/d0/conf0/mine";
    for kill in 1..=KILLS {
        generation += 1;
        wanted = files(generation, &mut dice);
        render(&repository, generation, &wanted);
        let mut child = start(home);
        // Not waiting for anything: this is the moment of the kill.
        std::thread::sleep(Duration::from_millis(dice.roll(60)));
        generation += 1;
        wanted = files(generation, &mut dice);
        render(&repository, generation, &wanted);
        std::thread::sleep(Duration::from_millis(dice.roll(30)));
        child.kill().expect("it is killed");
        child.wait().expect("it has ended");
        if kill == 1 {
            let path = home.join("dest").join(mine);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders are made");
            fs::write(path, "m").expect("it is written");
        }
        if kill % 10 == 0 {
            let fleet = Location::Local(home.join("fleet.git"));
            assert_eq!(run_agent(config(home, fleet, Mode::Once)), Summary::default());
            let mut expected = wanted.clone();
            expected.insert(mine.into(), "m".into());
            assert_eq!(delivered(&home.join("dest")), expected, "after {kill} kills");
            let staging = fs::read_dir(home.join("dest/.titan/staging")).expect("a folder");
            assert_eq!(staging.count(), 0, "nothing is left behind");
            assert!(!home.join("dest/.titan/kept").exists(), "nothing was doubled");
        }
    }
    // The last change was told, whoever was killed meanwhile.
    let told = fs::read_to_string(home.join("hook")).expect("the hook ran");
    let inventory = fs::read_to_string(home.join("dest/.titan/inventory.json")).expect("a file");
    let inventory: serde_json::Value = serde_json::from_str(&inventory).expect("JSON");
    assert_eq!(inventory["desired"]["rendered"].as_str(), Some(told.trim()));
    assert!(inventory.get("hook").is_none());
    assert!(!wanted.is_empty());
}

#[test]
fn a_remote_fleet_is_read_through_a_clone() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    let repository = init(home);
    let url: Location =
        format!("file://{}", home.join("fleet.git").display()).parse().expect("a location");
    let mut dice = Dice(7);
    for generation in 1..=3 {
        let wanted = files(generation, &mut dice);
        render(&repository, generation, &wanted);
        let summary = run_agent(config(home, url.clone(), Mode::Once));
        assert_eq!(summary, Summary::default());
        assert_eq!(delivered(&home.join("dest")), wanted);
    }
    // While the remote is away, what is there stays and is healed.
    fs::rename(home.join("fleet.git"), home.join("away")).expect("it moves");
    let before = delivered(&home.join("dest"));
    fs::remove_dir_all(home.join("dest/ws")).expect("it goes");
    let summary = run_agent(config(home, url, Mode::Once));
    assert!(summary.message.is_some_and(|text| text.starts_with("cannot read the fleet: ")));
    assert_eq!(delivered(&home.join("dest")), before);
}
