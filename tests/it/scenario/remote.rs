//! Fleets behind a URL: what an agent brings, what it refuses, and what becomes of everybody's work
//! while networks fail and others push.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use titan::git::{CommitDraft, FleetRepository, GitError, Repository, Signature, TreeEdit};
use titan::model::{Limits, RepoPath, Revision, TimeSpan};

use super::support::{ConfigRepo, Random, eventually, free_address};

const RENDERED: &str = "titan/rendered";
const OTHERS: u64 = 20;

fn url(repository: &ConfigRepo) -> String {
    format!("file://{}", repository.path.display())
}

/// Text that does not compress.
fn noise(random: &mut Random, bytes: usize) -> String {
    (0..bytes).map(|_| char::from(b'!' + u8::try_from(random.below(90)).expect("small"))).collect()
}

/// Puts files on the rendered branch, on top of what is there.
fn render(git: &Repository, generation: u64, files: &[(String, String)]) -> Revision {
    let before = git.branch(RENDERED).expect("readable");
    let base = before.map(|head| git.commit(head).expect("readable").tree);
    let mut tree = TreeEdit::new(git, base);
    for (path, text) in files {
        tree.put(&RepoPath::new(path).expect("a path"), text.as_bytes()).expect("it is put");
    }
    let titan = Signature {
        name: "titan".into(),
        email: "titan@titan.dev".into(),
        seconds: 1_800_000_000,
        offset: 0,
    };
    let draft = CommitDraft {
        tree: tree.write().expect("it is written"),
        parents: before.into_iter().collect(),
        author: titan.clone(),
        committer: titan,
        message: format!("render\n\nTitan-Generation: {generation}\n"),
    };
    let commit = git.write_commit(&draft).expect("it is written");
    git.advance(RENDERED, before, commit).expect("nobody else writes");
    commit
}

fn host(name: &str, text: &str) -> Vec<(String, String)> {
    vec![
        (format!("hosts/eu/{name}/.titan"), format!("host: {name}\n")),
        (format!("hosts/eu/{name}/iot/sensor/prod/a.yaml"), text.to_owned()),
        (format!("hosts/eu/{name}/iot/sensor/prod/sub/b.yaml"), format!("b of {name}")),
    ]
}

/// A repository that serves a rendered branch for `one` and many others.
fn many_hosts(filters: bool) -> (ConfigRepo, Random) {
    let repository = ConfigRepo::new();
    configure(&repository, "uploadpack.allowFilter", &filters.to_string());
    let mut random = Random(7);
    let mut files = host("one", "1");
    for other in 0..OTHERS {
        files.extend(host(&format!("other-{other}"), &noise(&mut random, 20_000)));
    }
    render(&repository.git, 1, &files);
    (repository, random)
}

fn configure(repository: &ConfigRepo, key: &str, value: &str) {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(&repository.path).args(["config", key, value]);
    let status = git.status().expect("git runs");
    assert!(status.success());
}

fn agent(repository: &ConfigRepo, fleet: &str, more: &[&str]) -> Command {
    let mut command = repository.command(&["agent", "--host", "one", "--runtime", "directory"]);
    let dest = repository.destination("one");
    command.args(["--fleet", fleet, "--dest"]).arg(dest).args(more);
    command
}

/// One pass of the agent of host `one`, which must be fine.
fn pass(repository: &ConfigRepo, fleet: &str) {
    let output = agent(repository, fleet, &["--once"]).output().expect("titan runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
}

/// The clone of the agent of host `one`.
fn clone_of(repository: &ConfigRepo) -> PathBuf {
    let folder = repository.destination("one").join(".titan/clone");
    let mut clones = fs::read_dir(folder).expect("there is one").flatten().map(|e| e.path());
    clones.find(|path| path.extension().is_some_and(|e| e == "git")).expect("there is a clone")
}

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn text_of(repository: &ConfigRepo) -> String {
    let file = repository.destination("one").join("iot/sensor/prod/a.yaml");
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn an_agent_brings_what_its_host_must_run_and_little_else() {
    for filters in [true, false] {
        let (repository, mut random) = many_hosts(filters);
        let fleet = url(&repository);
        pass(&repository, &fleet);
        assert_eq!(text_of(&repository), "1");
        let clone = clone_of(&repository);
        let first = bytes(&clone.join("objects"));
        assert_eq!(first < 20_000, filters, "{first} bytes, filters: {filters}");
        let head = repository.head(RENDERED).expect("it was rendered");
        let tree = repository.git.commit(head).expect("readable").tree;
        let others = repository.git.walk(tree).expect("readable").into_iter();
        let others = others.filter(|(path, _)| path.as_str().contains("other-"));
        let brought = Repository::open(&clone).expect("it opens");
        let brought = others.filter(|(_, entry)| brought.blob(entry.id).is_ok()).count();
        assert_eq!(brought == 0, filters, "{brought} files of other hosts");

        // Another host's change costs next to nothing, whatever the server can do.
        for generation in 2..6 {
            let other = host(&format!("other-{generation}"), &noise(&mut random, 20_000));
            render(&repository.git, generation, &other);
            pass(&repository, &fleet);
        }
        let grown = bytes(&clone.join("objects")) - first;
        let most = if filters { 20_000 } else { 100_000 };
        assert!(grown < most, "four changes of others cost {grown} bytes, filters: {filters}");
        render(&repository.git, 6, &host("one", "2"));
        pass(&repository, &fleet);
        assert_eq!(text_of(&repository), "2");
    }
}

#[test]
fn servers_that_allow_some_filters_only_are_asked_for_less() {
    for rule in ["uploadpackfilter.tree.maxDepth=0", "uploadpackfilter.allow=false"] {
        let (repository, _) = many_hosts(true);
        let (key, value) = rule.split_once('=').expect("a setting");
        configure(&repository, key, value);
        for text in ["1", "2"] {
            render(&repository.git, 2, &host("one", text));
            pass(&repository, &url(&repository));
            assert_eq!(text_of(&repository), text, "{rule}");
        }
        let size = bytes(&clone_of(&repository).join("objects"));
        assert_eq!(size < 30_000, value == "0", "{rule}: {size} bytes");
    }
}

#[test]
fn a_clone_of_an_agent_needs_no_care() {
    let (repository, mut random) = many_hosts(true);
    let fleet = url(&repository);
    pass(&repository, &fleet);
    let packs = |clone: &Path| -> Vec<PathBuf> {
        let files = fs::read_dir(clone.join("objects/pack")).expect("it exists").flatten();
        files.map(|file| file.path()).collect()
    };
    let overwrite = |path: &Path, text: &[u8]| {
        let _ = fs::remove_file(path);
        fs::write(path, text).expect("it is written");
    };
    let damages: [&dyn Fn(&Path); 8] = [
        &|clone| fs::remove_dir_all(clone).expect("it goes"),
        &|clone| fs::remove_dir_all(clone.join("objects/pack")).expect("it goes"),
        &|clone| packs(clone).iter().for_each(|file| overwrite(file, b"PACK nonsense")),
        &|clone| packs(clone).iter().for_each(|file| overwrite(file, b"")),
        &|clone| overwrite(&clone.join("shallow.lock"), b""),
        &|clone| overwrite(&clone.join("config.lock"), b""),
        &|clone| overwrite(&clone.join("config"), b"[nonsense"),
        &|clone| overwrite(&clone.join("HEAD"), b"nonsense"),
    ];
    let mut generation = 1;
    for (number, damage) in damages.iter().enumerate() {
        damage(&clone_of(&repository));
        generation += 1;
        render(&repository.git, generation, &host("one", &format!("after {number}")));
        pass(&repository, &fleet);
        assert_eq!(text_of(&repository), format!("after {number}"));
    }
    for _ in 0..20 {
        generation += 1;
        render(&repository.git, generation, &host("one", &noise(&mut random, 5000)));
        let mut child = agent(&repository, &fleet, &["--interval", "50ms"]);
        let mut child = child.stderr(std::process::Stdio::null()).spawn().expect("titan starts");
        thread::sleep(Duration::from_millis(random.below(120)));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    generation += 1;
    render(&repository.git, generation, &host("one", "last"));
    eventually("it converges", || {
        let output = agent(&repository, &fleet, &["--once"]).output().expect("titan runs");
        output.status.success() && text_of(&repository) == "last"
    });
}

/// A stand-in for ssh that runs the command here, and notes its environment and that it was called.
fn shim(repository: &ConfigRepo) -> (String, PathBuf) {
    let (script, log) =
        (repository.folder.path().join("ssh.sh"), repository.folder.path().join("ssh.env"));
    let text = format!(
        "case \"$1\" in -G) exit 1;; esac\nenv >> {}\nfor last; do :; done\neval \"$last\"\n",
        log.display()
    );
    fs::write(&script, text).expect("it is written");
    (format!("sh {}", script.display()), log)
}

#[test]
fn git_gets_what_operators_may_set_and_nothing_else() {
    let mut repository =
        ConfigRepo::new().template().workload().host("one", "").deployment("prod", "1", "");
    repository.commit("the fleet");
    let (ssh, log) = shim(&repository);
    let fleet = format!("ssh://git@fleet.example{}", repository.path.display());
    let passed = ["SSH_AUTH_SOCK", "GIT_ASKPASS", "https_proxy", "GIT_SSL_CAINFO", "GIT_TOKEN"];
    let hidden = ["AWS_SECRET", "TITAN_HOST_TOKEN", "GIT_DIR", "GIT_CONFIG_COUNT", "LD_PRELOAD_X"];
    let mut command = repository.command(&["reconcile", "--fleet", &fleet]);
    command.env("GIT_SSH_COMMAND", ssh);
    command.envs(passed.iter().chain(&hidden).map(|name| (*name, "7")));
    let output = command.output().expect("titan runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(repository.head(RENDERED).is_some(), "it was pushed");
    let log = fs::read_to_string(log).expect("ssh was called");
    let seen: BTreeSet<&str> =
        log.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in passed {
        assert!(seen.contains(name), "`{name}` is not passed on");
    }
    for name in hidden {
        // Git itself tells its children where the repository is, but not what was set outside.
        assert!(!log.lines().any(|line| line == format!("{name}=7")), "`{name}` is passed on");
    }
    assert!(log.lines().any(|line| line == "HOME=/nonexistent"), "{log}");
}

#[test]
fn a_remote_that_never_answers_is_given_up_with_all_that_was_started() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let cache = tempfile::tempdir().expect("a folder");
    let location = format!("http://{address}/fleet.git").parse().expect("a location");
    let limits = Limits { fetch_time: TimeSpan(Duration::from_millis(500)), ..Limits::default() };
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("git calls");
        let mut request = Vec::new();
        // Ends when the program at the other side does: it holds the connection open else.
        let _ = connection.read_to_end(&mut request);
        String::from_utf8_lossy(&request).into_owned()
    });
    let error =
        FleetRepository::open(&location, None, cache.path(), &limits).expect_err("no answer");
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
    assert!(server.join().expect("it ends").starts_with("GET /fleet.git/info/refs"));
}

fn fleet() -> ConfigRepo {
    let mut repository = ConfigRepo::new()
        .quick()
        .template()
        .workload()
        .host("one", "ring=a")
        .deployment("prod", "0", "");
    repository.commit("the fleet");
    repository
}

/// The stock git as a person uses it, in a checkout of its own.
fn git(folder: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output();
    output.expect("git runs").status.success()
}

#[test]
fn of_many_who_write_to_a_remote_nobody_loses_anything() {
    const CHANGES: usize = 10;
    let repository = fleet();
    let fleet = url(&repository);
    let start = repository.head("main").expect("it has a head");
    let checkout = repository.folder.path().join("checkout");
    assert!(git(repository.folder.path(), &["clone", "-q", &fleet, "checkout"]));
    let controller = repository
        .spawn("controller", &["controller", "--no-listen", "--fleet", &fleet, "--poll", "200ms"]);
    let titan = |cache: &str, arguments: &[&str]| {
        let mut command = repository.command(arguments);
        command.env("TITAN_CACHE", repository.folder.path().join(cache));
        let output = command.args(["--fleet", &fleet]).output().expect("titan runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "titan {arguments:?}: {}: {error}", output.status);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..CHANGES {
                let name = format!("made-{number}");
                titan("cache-a", &["create", "host", "--name", &name, "--labels", "ring=b"]);
            }
        });
        scope.spawn(|| {
            for number in 1..=CHANGES {
                let value = format!("spec.values.version=\"{number}\"");
                titan("cache-b", &["set", "deployment", "default/web/prod", &value]);
            }
        });
        scope.spawn(|| {
            for number in 0..CHANGES {
                let file = format!("notes/{number}");
                fs::create_dir_all(checkout.join("notes")).expect("a folder");
                fs::write(checkout.join(&file), "a note").expect("it is written");
                assert!(git(&checkout, &["add", &file]));
                assert!(git(&checkout, &["commit", "-q", "-m", &file]));
                eventually("the push", || {
                    // A lost race is redone on top of who won.
                    git(&checkout, &["pull", "-q", "--rebase"]) && git(&checkout, &["push", "-q"])
                });
            }
        });
        scope.spawn(|| {
            for _ in 0..CHANGES {
                titan("cache-c", &["reconcile"]);
            }
        });
    });
    let head = repository.head("main").expect("it has a head");
    let commits = repository.git.first_parents(head, Some(start), 1000).expect("readable");
    assert_eq!(commits.len(), 3 * CHANGES);
    let tree = repository.tree("main");
    for number in 0..CHANGES {
        assert!(tree.contains(&format!("hosts/made-{number}.yaml\n")), "{tree}");
        assert!(tree.contains(&format!("notes/{number}\n")), "{tree}");
    }
    let read = || repository.read(RENDERED, "hosts/made-9/default/web/prod/sub/b.txt");
    eventually("all is rendered", || read().as_deref() == Some("10\n"));
    let head = repository.head(RENDERED).expect("it was rendered");
    let commits = repository.git.first_parents(head, None, 1000).expect("readable");
    let sources: Vec<_> = commits
        .iter()
        .map(|id| {
            let commit = repository.git.commit(*id).expect("readable");
            commit.trailer("Titan-Source-Commit").expect("it names its source").to_owned()
        })
        .collect();
    let once: BTreeSet<_> = sources.iter().collect();
    assert_eq!(once.len(), sources.len(), "a source commit was rendered twice");
    // What is being pushed would look as if it were missing.
    drop(controller);
    repository.assert_sound();
}

#[test]
fn a_controller_outlives_its_remote() {
    let mut repository = fleet();
    let fleet = url(&repository);
    let address = free_address();
    let arguments = ["controller", "--listen", &address, "--fleet", &fleet, "--poll", "200ms"];
    let _controller = repository.spawn("controller", &arguments);
    let text =
        |repository: &ConfigRepo| repository.read(RENDERED, "hosts/one/default/web/prod/sub/b.txt");
    eventually("it is rendered", || text(&repository).as_deref() == Some("0\n"));
    let away = repository.folder.path().join("away");
    fs::rename(&repository.path, &away).expect("it moves");
    let log = repository.folder.path().join("controller.log");
    let faults = || fs::read_to_string(&log).unwrap_or_default().matches("a pass failed").count();
    eventually("it fails some times", || faults() >= 3);
    fs::rename(&away, &repository.path).expect("it comes back");
    repository.edit_deployment("prod", "1", "").commit("a change");
    eventually("it goes on", || text(&repository).as_deref() == Some("1\n"));
}

/// Fetching moves the refs of the clone, which must not be taken for a reason to fetch.
#[test]
fn a_controller_asks_its_remote_no_more_often_than_it_should() {
    let repository = fleet();
    let (ssh, log) = shim(&repository);
    let fleet = format!("ssh://git@fleet.example{}", repository.path.display());
    let mut command = repository.command(&["controller", "--no-listen", "--fleet", &fleet]);
    let mut child = command
        .env("GIT_SSH_COMMAND", ssh)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("titan starts");
    eventually("the status is pushed", || repository.head("titan/status").is_some());
    thread::sleep(Duration::from_secs(2));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let log = fs::read_to_string(log).expect("ssh was called");
    let calls = log.lines().filter(|line| line.starts_with("HOME=")).count();
    assert!(calls <= 12, "{calls} calls");
}
