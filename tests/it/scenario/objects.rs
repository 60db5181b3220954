//! SIGKILL while objects are written or merged: the repository is sound each time, and the next run
//! completes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{ConfigRepo, Random, eventually};

/// Each: so many in a usual run; `TITAN_KILLS` for more.
const KILLS: u64 = 30;

fn kills() -> u64 {
    std::env::var("TITAN_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"))
}

/// Fresh each time, with the same ids.
fn fleet(hosts: u32, deployments: u32) -> ConfigRepo {
    let mut repository = ConfigRepo::new().template().workload();
    for host in 0..hosts {
        repository.edit_host(&format!("host-{host}"), "");
    }
    for deployment in 0..deployments {
        repository.edit_deployment(&format!("app-{deployment}"), "1", "");
    }
    repository.commit("the fleet");
    repository
}

fn packs(repository: &ConfigRepo, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(repository.path.join("objects/pack")).expect("the packs");
    let paths = files.map(|file| file.expect("a file").path());
    let complete = |path: &PathBuf| text(path).contains("/pack-");
    paths.filter(|path| complete(path) && path.extension().is_some_and(|e| e == ending)).collect()
}

fn git(repository: &ConfigRepo, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(&repository.path)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    let complaint = error.lines().find(|line| line.contains("error") || line.contains("missing"));
    assert_eq!(complaint, None, "git {arguments:?}");
}

/// Waits until no `git` that titan started works in the repository any more. One that merges packs has
/// titan's lock from the moment that it is forked.
fn quiet(repository: &ConfigRepo) {
    let place = repository.path.to_string_lossy().into_owned();
    let at_work = |process: PathBuf| {
        let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        command.starts_with("git") && (command.contains(&place) || environment.contains(&place))
    };
    let lock = repository.path.join("titan-upkeep.lock");
    let is_held = || fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_err());
    eventually("git's end", || {
        if is_held() {
            return false;
        }
        let mut processes = fs::read_dir("/proc").expect("processes").flatten();
        !processes.any(|process| at_work(process.path()))
    });
}

/// Runs `titan reconcile`, and kills it after `delay` if it is still there.
fn reconcile_for(repository: &ConfigRepo, delay: Duration) {
    let mut command = repository.command(&["reconcile"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(delay);
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    quiet(repository);
}

fn time_of(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    u64::try_from(start.elapsed().as_micros()).expect("it is short")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_large_publish_may_be_killed_at_any_moment() {
    let reference = fleet(300, 20);
    let whole = time_of(|| drop(reference.titan_ok(&["reconcile"])));
    let expected = reference.git.branch("titan/rendered").expect("readable");
    assert!(expected.is_some());

    let mut random = Random(3);
    let mut repository = fleet(300, 20);
    let mut halves = 0;
    for _ in 0..kills() {
        reconcile_for(&repository, Duration::from_micros(random.below(whole * 11 / 10)));
        git(&repository, &["fsck", "--full", "--strict"]);
        let files = fs::read_dir(repository.path.join("objects/pack")).expect("the packs");
        let temporary =
            |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("tmp_");
        halves += usize::from(files.flatten().any(|file| temporary(&file)));
        let head = repository.git.branch("titan/rendered").expect("readable");
        assert!(head.is_none() || head == expected, "{head:?}");
        if head.is_some() {
            repository = fleet(300, 20);
        }
    }
    assert!(halves > 0, "no kill hit a pack that was being written");
    repository.titan_ok(&["reconcile"]);
    assert_eq!(repository.git.branch("titan/rendered").expect("readable"), expected);
    git(&repository, &["fsck", "--full", "--strict"]);
    for pack in packs(&repository, "pack") {
        git(&repository, &["verify-pack", "-v", text(&pack)]);
        let index = repository.folder.path().join("again.idx");
        git(&repository, &["index-pack", "--strict", "-o", text(&index), text(&pack)]);
    }
}

#[test]
fn upkeep_may_be_killed_at_any_moment() {
    let mut repository = fleet(5, 2);
    repository.titan_ok(&["reconcile"]);
    let mut blobs = Vec::new();
    let pile_up = |repository: &ConfigRepo, blobs: &mut Vec<_>, round: u64| {
        for n in 0..20 {
            let objects = repository.git.begin();
            let text = format!("{round} {n}");
            blobs.push((objects.blob(text.as_bytes(), None).expect("written"), text));
            objects.finish().expect("finished");
        }
    };
    pile_up(&repository, &mut blobs, 0);
    let whole = time_of(|| drop(repository.titan_ok(&["reconcile"])));
    assert!(packs(&repository, "idx").len() < 20, "upkeep ran");
    let mut random = Random(4);
    for round in 1..=kills() {
        pile_up(&repository, &mut blobs, round);
        repository.edit_deployment("app-0", &format!("v{round}"), "");
        repository.commit("a change");
        reconcile_for(&repository, Duration::from_micros(random.below(whole * 12 / 10)));
        git(&repository, &["fsck", "--full", "--strict"]);
        // Every third time the next pass may go to its end, and clears up.
        if round % 3 == 0 {
            let output = repository.titan(&["reconcile"]);
            assert!(packs(&repository, "idx").len() <= 25, "round {round}: {output:?}");
        }
    }
    repository.titan_ok(&["reconcile"]);
    assert!(packs(&repository, "idx").len() <= 25);
    let app = repository.read("titan/rendered", "hosts/host-1/default/web/app-0/sub/b.txt");
    assert_eq!(app, Some(format!("v{}\n", kills())));
    for (id, text) in blobs {
        assert_eq!(&*repository.git.blob(id).expect("nothing is lost"), text.as_bytes());
    }
    git(&repository, &["fsck", "--full", "--strict"]);
}
