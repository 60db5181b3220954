//! SIGKILL at any moment (invariant I9): after each restart all converges, nothing is lost, doubled or
//! left behind, and nobody repairs anything.

use std::collections::BTreeSet;

use super::support::{ConfigRepo, Process, Random, drawn, eventually, free_address};

const HOSTS: [&str; 3] = ["one", "two", "three"];
const KILLS: u64 = 200;

/// What a directory host must hold, read from the rendered branch.
fn desired(repository: &ConfigRepo, host: &str) -> String {
    let prefix = format!("hosts/{host}/");
    let paths = repository.tree("titan/rendered");
    let paths =
        paths.lines().filter(|path| path.starts_with(&prefix) && !path.ends_with("/.titan"));
    let mut lines: Vec<String> = paths
        .map(|path| {
            let text = repository.read("titan/rendered", path).expect("it was listed");
            format!("{}: {}", &path[prefix.len()..], text.trim_end())
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Makes one of the changes that people make.
fn change(repository: &mut ConfigRepo, random: &mut Random, round: u64) {
    let name = ["prod", "test", "extra"][usize::try_from(random.below(3)).expect("it is small")];
    let path = format!("workspaces/default/workloads/web/deployments/{name}.yaml");
    match random.below(5) {
        0 if name == "extra" => drop(repository.remove(&path)),
        1 => {
            let replicas = format!("  replicas: {}\n", random.below(4));
            repository.edit_deployment(name, &format!("v{round}"), &replicas);
        }
        2 => drop(
            repository
                .edit(&path, "apiVersion: titan.dev/v1\nkind: Deployment\nspec:\n  tarjet: all\n"),
        ),
        _ => drop(repository.edit_deployment(name, &format!("v{round}"), "")),
    }
    repository.commit(&format!("round {round}"));
}

#[test]
fn two_hundred_kills_leave_nothing_to_repair() {
    let mut repository = ConfigRepo::new().quick().template().workload();
    for host in HOSTS {
        repository = repository.host(host, "");
    }
    repository = repository.deployment("prod", "v0", "").deployment("test", "v0", "");
    repository.commit("the fleet");
    let tokens: Vec<String> = HOSTS.iter().map(|host| repository.token(host)).collect();
    let address = free_address();
    let agent = |repository: &ConfigRepo, index: usize| {
        repository.agent(HOSTS[index], &address, &tokens[index])
    };
    let mut controller = repository.controller(&address);
    let mut agents: Vec<Process> =
        (0..HOSTS.len()).map(|index| agent(&repository, index)).collect();

    let mut random = Random(2026);
    for round in 1..=KILLS {
        change(&mut repository, &mut random, round);
        std::thread::sleep(std::time::Duration::from_millis(random.below(60)));
        if random.below(2) == 0 {
            controller.kill();
            controller = repository.controller(&address);
        } else {
            let index = usize::try_from(random.below(3)).expect("it is small");
            agents.remove(index).kill();
            agents.insert(index, agent(&repository, index));
        }
    }
    for name in ["prod", "test", "extra"] {
        repository.edit_deployment(name, "last", "");
    }
    let last = repository.commit("the last change").to_string();

    let rendered = || repository.read("titan/rendered", "hydrator.metadata").unwrap_or_default();
    eventually("the last commit is rendered", || rendered().contains(&last));
    for host in HOSTS {
        let folder = repository.destination(host);
        eventually(host, || drawn(&folder) == desired(&repository, host));
        for name in ["prod", "test", "extra"] {
            let assignment = format!("default/web/{name}@{host}");
            eventually(&assignment, || {
                repository.phase(&assignment).as_deref() == Some("Deployed")
            });
        }
        let staging = folder.join(".titan/staging");
        // The folder that was swapped out goes after the new one is there.
        let left = || std::fs::read_dir(&staging).map_or(0, Iterator::count);
        eventually("nothing is left in staging", || left() == 0);
    }
    assert_history(&repository);
    drop((controller, agents));

    let heads = || ["main", "titan/rendered", "titan/status"].map(|branch| repository.head(branch));
    let before = heads();
    repository.titan_ok(&["reconcile"]);
    assert_eq!(heads(), before, "a further pass writes nothing");
    repository.assert_sound();
}

/// The rendered branch is one line; no source commit is in it twice, and generations rise by one.
fn assert_history(repository: &ConfigRepo) {
    let head = repository.head("titan/rendered").expect("it was rendered");
    let mut commits =
        repository.git.first_parents(head, None, 10_000).expect("history is readable");
    commits.reverse();
    let mut sources = BTreeSet::new();
    for (index, revision) in commits.iter().enumerate() {
        let commit = repository.git.commit(*revision).expect("it is readable");
        let source = commit.trailer("Titan-Source-Commit").expect("it names its source").to_owned();
        assert!(sources.insert(source.clone()), "{source} was rendered twice");
        let generation = commit.trailer("Titan-Generation").expect("it has a generation");
        assert_eq!(generation, (index + 1).to_string());
        assert!(commit.parents.len() <= 1);
    }
}
