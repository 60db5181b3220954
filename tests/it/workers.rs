//! Worker processes: they make what threads make, whatever happens to them, and can do nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use titan::controller::workers::{Onto, Outcomes, Workers};
use titan::git::Repository;
use titan::model::{Assignments, Content, Fleet, Pairs, RepoPath, SourceFile, Trees};
use titan::parse::parse;
use titan::schedule::schedule;

/// A fleet with everything that has to survive the way into a worker.
fn fleet(hosts: usize, deployments: usize) -> Fleet {
    let mut files = Vec::new();
    let mut add = |path: String, bytes: &[u8]| {
        let path = RepoPath::new(&path).expect("a path");
        files.push(SourceFile { path, content: Content::Bytes(bytes.into()) });
    };
    let object = |kind: &str, rest: &str| format!("apiVersion: titan.dev/v1\nkind: {kind}\n{rest}");
    for host in 0..hosts {
        let text = object(
            "Host",
            &format!(
                "metadata: {{labels: {{ring: r{}}}}}\nspec:\n  runtime: directory\n  values: {{z: 0.1, a: 1e-7, big: 18446744073709551615, odd: 0.30000000000000004, number: {host}}}\n",
                host % 3
            ),
        );
        add(format!("hosts/h{host}.yaml"), text.as_bytes());
    }
    let template = "spec: {defaults: {deep: {a: [1, {b: null}]}}, parameters: {type: object}}\n";
    add("templates/t/template.yaml".into(), object("Template", template).as_bytes());
    let text = "{% include \"_part\" %}\nall: {{ values | json_encode }}\nhost: {{ host | json_encode }}\n{% for i in range(end=50) %}- {{ i }} {{ host.name }}\n{% endfor %}";
    add("templates/t/files/deep/er/all.txt.tera".into(), text.as_bytes());
    add("templates/t/files/_part".into(), "part of {{ deployment.name }} ä\"\\ ".as_bytes());
    add("templates/t/files/binary".into(), &[0, 159, 255, 10]);
    add("workspaces/w/workspace.yaml".into(), object("Workspace", "spec: {}\n").as_bytes());
    let target = object("Target", "spec: {selector: {}}\n");
    add("workspaces/w/targets/all.yaml".into(), target.as_bytes());
    let workload = object("Workload", "spec: {template: t, repo: \"https://example.com/r\"}\n");
    add("workspaces/w/workloads/l/workload.yaml".into(), workload.as_bytes());
    for deployment in 0..deployments {
        let text = object(
            "Deployment",
            "spec:\n  target: all\n  values: {x: 1.5}\n  overrides: [{selector: {matchLabels: {ring: r1}}, values: {x: 2}}]\n",
        );
        let path = format!("workspaces/w/workloads/l/deployments/d{deployment}.yaml");
        add(path, text.as_bytes());
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let parsed = parse(None, &files);
    assert_eq!(parsed.diagnostics, []);
    Arc::unwrap_or_clone(parsed.fleet)
}

fn all(fleet: &Fleet) -> Pairs {
    let mut pairs = Pairs::default();
    for (deployment, host) in schedule(fleet, &Assignments::default()).assignments.iter() {
        pairs.insert(deployment, host);
    }
    pairs
}

fn titan() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_titan"))
}

#[test]
fn processes_make_what_threads_make() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        Repository::init(&path, "main").expect("a repository can be made")
    };
    let fleet = fleet(20, 12);
    let pairs = all(&fleet);
    let render = |workers: &Workers, name: &str| -> Outcomes {
        let repository = repository(name);
        let objects = repository.begin();
        let onto = Onto { objects: &objects, there: &Trees::default() };
        let outcomes = workers.render(&fleet, &pairs, Some(onto)).expect("it renders");
        objects.finish().expect("it writes");
        for (_, _, tree) in outcomes.made.iter() {
            assert_eq!(repository.entries(tree).expect("the tree is there").len(), 2);
        }
        assert_eq!(outcomes.made.len(), pairs.count());
        outcomes
    };
    let (threads, processes) = (Workers::threads(), Workers::processes_of(titan()));
    let expected = render(&threads, "threads");
    assert_eq!(render(&processes, "processes"), expected);
    // Warm, and for ids only.
    assert_eq!(render(&processes, "again"), expected);
    assert_eq!(processes.render(&fleet, &pairs, None).expect("it renders"), expected);
    assert_eq!(threads.render(&fleet, &pairs, None).expect("it renders"), expected);
    // A worker gets what is new, and only that matters.
    let other = self::fleet(20, 3);
    let pairs = all(&other);
    let expected = threads.render(&other, &pairs, None).expect("it renders");
    assert_eq!(processes.render(&other, &pairs, None).expect("it renders"), expected);
}

/// Only where the kernel has them: `landlock` and `seccomp` behind the limits that every system has.
#[test]
#[cfg(target_os = "linux")]
fn a_worker_cannot_break_out() {
    use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let workers = Workers::processes_of(titan());
    let (confinement, probe) = workers.probe().expect("it answers").expect("it is a process");
    assert_eq!(probe.breaches, Vec::<String>::new());
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let landlock = rules.handle_access(AccessFs::Execute).is_ok_and(|rules| rules.create().is_ok());
    assert_eq!(confinement.landlock, landlock);
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    assert_eq!(confinement.seccomp, actions.contains("errno"));
    assert_eq!(Workers::threads().probe().expect("it answers"), None);
}

#[test]
fn a_worker_is_no_command_for_people() {
    let mut command = std::process::Command::new(titan());
    let output =
        command.arg("worker").stdin(std::process::Stdio::null()).output().expect("it runs");
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no command for people"));
}

/// A worker that is killed from outside costs time and nothing else.
#[test]
#[cfg(target_os = "linux")]
fn workers_that_are_killed_are_replaced() {
    let fleet = fleet(40, 6);
    let pairs = all(&fleet);
    let expected = Workers::threads().render(&fleet, &pairs, None).expect("it renders");
    // By its own name, so that only its processes are found.
    let folder = tempfile::tempdir_in(titan().parent().expect("a folder")).expect("a folder");
    let program = folder.path().join("titan");
    fs::hard_link(titan(), &program).expect("it can be linked");
    let mut killed = 0;
    for _ in 0..3 {
        let workers = Workers::processes_of(program.clone());
        let done = AtomicBool::new(false);
        let (outcomes, kills) = thread::scope(|scope| {
            // More in a row would be taken for want of memory.
            let killer = scope.spawn(|| {
                let mut kills = 0;
                while kills < 3 && !done.load(Relaxed) {
                    kills +=
                        processes_of(&program).into_iter().take(1).filter(|id| kill(*id)).count();
                    thread::sleep(Duration::from_millis(20));
                }
                kills
            });
            let outcomes = workers.render(&fleet, &pairs, None);
            done.store(true, Relaxed);
            (outcomes, killer.join().expect("it ends"))
        });
        assert_eq!(outcomes.expect("it renders"), expected);
        killed += kills;
    }
    assert!(killed > 0);
}

/// The running processes of a program.
#[cfg(target_os = "linux")]
fn processes_of(program: &Path) -> Vec<rustix::process::Pid> {
    let entries = fs::read_dir("/proc").expect("it is there").flatten();
    let own = entries.filter(|entry| {
        fs::read_link(entry.path().join("exe")).is_ok_and(|found| found == program)
    });
    let id = |name: std::ffi::OsString| name.to_str()?.parse().ok();
    own.filter_map(|entry| rustix::process::Pid::from_raw(id(entry.file_name())?)).collect()
}

#[cfg(target_os = "linux")]
fn kill(process: rustix::process::Pid) -> bool {
    // It may have ended by itself.
    rustix::process::kill_process(process, rustix::process::Signal::KILL).is_ok()
}
