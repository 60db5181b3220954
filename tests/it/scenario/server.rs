//! Agents that reach nothing but the controller.

use std::fs;

use super::support::{ConfigRepo, drawn, eventually, free_address};

#[test]
fn a_device_needs_no_git() {
    let mut repository = ConfigRepo::new()
        .quick()
        .template()
        .workload()
        .host("one", "")
        .host("two", "")
        .deployment("prod", "1", "");
    repository.commit("the fleet");
    let (one, two) = (repository.token("one"), repository.token("two"));
    let address = free_address();
    let controller = repository.controller(&address);
    let _agent = repository.agent_without_git("one", &address, &one);
    let folder = repository.destination("one");
    let shows = |text: &str| drawn(&folder).contains(text);
    eventually("the first files", || shows("default/web/prod/a.txt: prod 1 on one"));
    eventually("the report", || {
        repository.phase("default/web/prod@one").as_deref() == Some("Deployed")
    });

    repository.edit_deployment("prod", "2", "").edit_deployment("more", "7", "").commit("two");
    eventually("a change", || shows("prod/a.txt: prod 2 on one") && shows("more/sub/b.txt: 7"));
    repository.remove("workspaces/default/workloads/web/deployments/more.yaml").commit("one less");
    eventually("a removal", || !shows("web/more"));
    assert!(shows("prod/sub/b.txt: 2"));

    // Nobody is served what another host is to run.
    let other = repository.destination("two");
    let url = format!("http://{address}");
    let once = |token: &str| {
        let arguments = ["agent", "--host", "two", "--runtime", "directory", "--once", "--server"];
        let mut command = repository.command(&arguments);
        command.args([&url, "--dest"]).arg(&other).env("TITAN_HOST_TOKEN", token);
        command.output().expect("titan runs")
    };
    let refused = once(&one);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("403 Forbidden: a host speaks only for itself"), "{said}");
    assert_eq!(drawn(&other), "");
    assert_eq!(once("").status.code(), Some(2), "without a token there is no point in asking");
    assert!(once(&two).status.success());
    assert!(drawn(&other).contains("prod/a.txt: prod 2 on two"));

    // While the controller is away, what runs stays, and is healed.
    controller.kill();
    fs::remove_dir_all(folder.join("default")).expect("it goes");
    eventually("it is healed", || shows("prod/a.txt: prod 2 on one"));
    repository.edit_deployment("prod", "3", "").commit("three");
    let _controller = repository.controller(&address);
    eventually("it goes on", || shows("prod/a.txt: prod 3 on one"));
}
