//! The API against its own description: a stock validator reads the document, and a property-based tester
//! (schemathesis) sends what it allows and what it does not.
//!
//! `sh tests/tools.sh test` installs both. Where they are missing, the test fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scenario::support::{ConfigRepo, eventually, free_address};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Requests for each operation and phase, at most; `TITAN_EXAMPLES` for more.
const EXAMPLES: &str = "12";
/// Any number, so that a failure can be repeated; `TITAN_SEED` for another one.
const SEED: &str = "20261127";
/// Seconds that nothing here takes.
const PATIENCE: &str = "300";

/// A program of those that `tests/tools.sh` installs.
fn tool(name: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    let path = base.expect("there is a home folder").join("titan-tests/api/bin").join(name);
    assert!(path.exists(), "{name} is missing: `sh tests/tools.sh test` installs it");
    path
}

/// Runs a tool to its end; it must be content. Returns what it says.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{error}", output.status);
    said.into_owned()
}

/// A setting of whoever runs the test.
fn setting(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

/// One that has what the description's examples name.
fn fleet() -> ConfigRepo {
    let object =
        |kind: &str, spec: &str| format!("apiVersion: titan.dev/v1\nkind: {kind}\nspec: {spec}\n");
    let workload = "workspaces/default/workloads/temperature-sensor";
    let mut repository = ConfigRepo::new().quick().template().host("tim-pi", "region=eu");
    repository
        .edit("workspaces/default/targets/tim-pi.yaml", object("Target", "{selector: {}}"))
        .edit(&format!("{workload}/workload.yaml"), object("Workload", "{template: app}"))
        .edit(
            &format!("{workload}/deployments/prod.yaml"),
            object("Deployment", "{target: tim-pi}"),
        )
        .commit("the fleet");
    repository
}

/// How many operations are described.
fn operations() -> usize {
    let document = titan::api::openapi::document();
    let paths = document["paths"].as_object().expect("paths").values();
    paths.map(|path| path.as_object().expect("methods").len()).sum()
}

#[test]
fn the_description_is_openapi() {
    let document = Path::new(ROOT).join("schemas/openapi.json");
    let said = run(Command::new(tool("openapi-spec-validator")).arg(document));
    assert!(said.contains("OK"), "{said}");
}

#[test]
fn the_api_is_as_it_is_described() {
    let schemathesis = tool("schemathesis");
    let (repository, address) = (fleet(), free_address());
    let listen = ["controller", "--listen", &address, "--insecure-development"];
    let _controller = repository.spawn("controller", &listen);
    eventually("the first pass", || repository.head("titan/rendered").is_some());
    let said = run(Command::new("timeout")
        .arg(PATIENCE)
        .arg(schemathesis)
        .arg("--config-file")
        .arg(Path::new(ROOT).join("tests/api/schemathesis.toml"))
        .args(["run", &format!("http://{address}/api/v1/openapi.json")])
        .args(["--seed", &setting("TITAN_SEED", SEED)])
        .args(["--max-examples", &setting("TITAN_EXAMPLES", EXAMPLES)])
        .args(["--wait-for-schema", "30", "--generation-database", "none", "--no-color"])
        .current_dir(repository.folder.path())
        .env("NO_PROXY", "127.0.0.1"));
    let all = format!("Tested: {}\n", operations());
    assert!(said.contains(&all), "not all {} operations are tested:\n{said}", operations());
}
