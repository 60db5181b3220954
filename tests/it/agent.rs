//! An agent as a process of its own: killed at any moment, it converges after the next start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::scenario::support::{ConfigRepo, Process, Random};

const HOST: &str = "tim-pi";
const KILLS: u64 = 200;

/// `titan agent` on the fleet's repository or another address of it, with a hook that tells.
fn arguments(home: &ConfigRepo, fleet: &str) -> Vec<String> {
    let hook = home.folder.path().join("hook");
    let dest = home.destination(HOST);
    let mut arguments: Vec<String> =
        ["agent", "--host", HOST, "--runtime", "directory", "--interval", "50ms"]
            .map(str::to_owned)
            .into();
    arguments.extend(["--fleet".into(), fleet.to_owned()]);
    arguments.extend(["--dest".into(), dest.display().to_string()]);
    let command = format!("echo \"$TITAN_RENDERED\" > '{}'", hook.display());
    arguments.extend(["--on-change".into(), command]);
    arguments
}

fn start(home: &ConfigRepo) -> Process {
    let arguments = arguments(home, &home.path.display().to_string());
    home.spawn("agent", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One pass.
fn once(home: &ConfigRepo, fleet: &str) -> Output {
    let mut command = home.command(&["-v"]);
    command.args(arguments(home, fleet)).arg("--once").output().expect("titan runs")
}

/// Some deployments with some files, all of one version.
fn files(version: u64, dice: &mut Random) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for deployment in 0..4 {
        for file in 0..dice.below(5) {
            let name = format!("ws/app/d{deployment}/conf{}/f{file}.yaml", dice.below(2));
            files.insert(name, format!("version: {version}\n").repeat(50));
        }
    }
    files
}

/// Moves the rendered branch to a commit with these files of the host, and no others.
fn render(home: &mut ConfigRepo, generation: u64, files: &BTreeMap<String, String>) {
    home.remove("hosts").edit(&format!("hosts/{HOST}/.titan"), format!("host: {HOST}\n"));
    for (path, text) in files {
        home.edit(&format!("hosts/{HOST}/{path}"), text);
    }
    home.commit_on("titan/rendered", &format!("render\n\nTitan-Generation: {generation}\n"));
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
    let mut home = ConfigRepo::new();
    let (dest, fleet) = (home.destination(HOST), home.path.display().to_string());
    let mut dice = Random(42);
    let mut generation = 0;
    let mut wanted = BTreeMap::new();
    let mine = "ws/app/d0/conf0/mine";
    for kill in 1..=KILLS {
        generation += 1;
        wanted = files(generation, &mut dice);
        render(&mut home, generation, &wanted);
        let agent = start(&home);
        // Not waiting for anything: this is the moment of the kill.
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        generation += 1;
        wanted = files(generation, &mut dice);
        render(&mut home, generation, &wanted);
        std::thread::sleep(Duration::from_millis(dice.below(30)));
        agent.kill();
        if kill == 1 {
            let path = dest.join(mine);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders are made");
            fs::write(path, "m").expect("it is written");
        }
        if kill % 10 == 0 {
            let output = once(&home, &fleet);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let mut expected = wanted.clone();
            expected.insert(mine.into(), "m".into());
            assert_eq!(delivered(&dest), expected, "after {kill} kills");
            let staging = fs::read_dir(dest.join(".titan/staging")).expect("a folder");
            assert_eq!(staging.count(), 0, "nothing is left behind");
            assert!(!dest.join(".titan/kept").exists(), "nothing was doubled");
        }
    }
    // The last change was told, whoever was killed meanwhile.
    let told = fs::read_to_string(home.folder.path().join("hook")).expect("the hook ran");
    let inventory = fs::read_to_string(dest.join(".titan/inventory.json")).expect("a file");
    let inventory: serde_json::Value = serde_json::from_str(&inventory).expect("JSON");
    assert_eq!(inventory["desired"]["rendered"].as_str(), Some(told.trim()));
    assert!(inventory.get("hook").is_none());
    assert!(!wanted.is_empty());
}

#[test]
fn a_remote_fleet_is_read_through_a_clone() {
    let mut home = ConfigRepo::new();
    let (dest, url) = (home.destination(HOST), format!("file://{}", home.path.display()));
    let mut dice = Random(7);
    for generation in 1..=3 {
        let wanted = files(generation, &mut dice);
        render(&mut home, generation, &wanted);
        let output = once(&home, &url);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(delivered(&dest), wanted);
    }
    // While the remote is away, what is there stays and is healed.
    fs::rename(&home.path, home.folder.path().join("away")).expect("it moves");
    let before = delivered(&dest);
    fs::remove_dir_all(dest.join("ws")).expect("it goes");
    let output = once(&home, &url);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(told.contains("cannot read the fleet: "), "{output:?}");
    assert_eq!(delivered(&dest), before);
}
