//! What people start from parses without a word, and renders on every host that it matches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use titan::git::directory_files;
use titan::model::{Assignments, Fleet, Limits, Name, RepoPath, Runtime, SourceFile};
use titan::parse::parse;
use titan::plan::{Evaluation, evaluate};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Reads a folder as `titan validate` does. No warning is fine, and nothing may be held.
fn load(name: &str) -> (Fleet, Evaluation) {
    let files = directory_files(&folder(name), &Limits::default()).expect("the folder can be read");
    check(name, &files)
}

fn check(name: &str, files: &[SourceFile]) -> (Fleet, Evaluation) {
    let parsed = parse(None, files);
    let evaluation = evaluate(&parsed.fleet, &Assignments::default());
    let found: Vec<String> = parsed
        .diagnostics
        .iter()
        .chain(&evaluation.diagnostics)
        .map(|found| format!("{found} ({:?})", found.fix))
        .collect();
    assert_eq!(found, Vec::<String>::new(), "{name}");
    assert_eq!(evaluation.held, BTreeMap::new(), "{name}");
    assert!(evaluation.schedule.unplaced.is_empty(), "{name}: {:?}", evaluation.schedule.unplaced);
    (parsed.fleet, evaluation)
}

/// Who runs where: a line for each deployment.
fn placement(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for (deployment, hosts) in &evaluation.schedule.assignments.hosts {
        let hosts: Vec<&str> = hosts.iter().map(Name::as_str).collect();
        writeln!(text, "{deployment}: {}", hosts.join(", ")).expect("a text takes all");
    }
    text
}

/// The files of one assignment, by path.
fn files(evaluation: &Evaluation, assignment: &str) -> BTreeMap<String, String> {
    let assignment = assignment.parse().expect("an assignment's name");
    let manifests = evaluation.manifests.get(&assignment).expect("it is rendered");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a manifest is UTF-8");
    manifests.files.iter().map(|(path, bytes)| (path.to_string(), text(bytes))).collect()
}

fn file(evaluation: &Evaluation, assignment: &str, path: &str) -> String {
    files(evaluation, assignment).remove(path).expect("the file is rendered")
}

#[test]
fn a_new_repository_is_empty_and_valid() {
    let (fleet, evaluation) = load("repo-layout");
    assert!(fleet.hosts.is_empty() && fleet.templates.is_empty() && fleet.deployments.is_empty());
    assert!(evaluation.manifests.is_empty());
    assert_eq!(fleet.settings, titan::model::FleetSpec::default(), "it shows the defaults");
}

/// The limits that are commented out are the defaults, all of them.
#[test]
fn a_new_repository_shows_every_limit() {
    let path = folder("repo-layout/titan.yaml");
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let (_, limits) = text.split_once("  # limits:\n").expect("the limits are there");
    let shown: serde_json::Value = limits
        .lines()
        .filter_map(|line| line.trim().strip_prefix('#')?.split('#').next())
        .map(|line| line.split_once(':').expect("`name: value`"))
        .map(|(name, value)| {
            let value = value.trim();
            let value = value.parse::<u64>().map_or_else(|_| value.into(), Into::into);
            (name.trim().to_owned(), value)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let defaults = serde_json::to_value(Limits::default()).expect("limits are JSON");
    let normal = |limits: serde_json::Value| -> Limits {
        serde_json::from_value(limits).expect("the limits are well-formed")
    };
    let keys = |limits: &serde_json::Value| -> Vec<String> {
        limits.as_object().expect("a map").keys().cloned().collect()
    };
    assert_eq!(keys(&shown), keys(&defaults));
    assert_eq!(normal(shown), Limits::default());
}

/// The blocks of the README of a new repository, each at the path that its first line names, or its
/// neighbour's `files/` where it is a template's file.
#[test]
fn the_readme_of_a_new_repository_shows_a_fleet_that_works() {
    let path = folder("repo-layout/README.md");
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let blocks = text.split("```yaml\n# ").skip(1);
    let files: Vec<SourceFile> = blocks
        .map(|block| {
            let (block, _) = block.split_once("```").expect("the block ends");
            let (path, content) = block.split_once('\n').expect("the block has lines");
            SourceFile::regular(RepoPath::new(path).expect("a path"), content.as_bytes())
        })
        .collect();
    assert_eq!(files.len(), 7, "one of each kind but Fleet, and a template's file");
    let (_, evaluation) = check("repo-layout/README.md", &files);
    insta::assert_snapshot!(placement(&evaluation), @"iot/thermometer/canary: berlin-1");
    let manifest = file(&evaluation, "iot/thermometer/canary@berlin-1", "settings.yaml");
    insta::assert_snapshot!(manifest, @r#"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: thermometer
      namespace: iot
    data:
      domain: "berlin-1.example"
      interval: "5"
    "#);
}

#[test]
fn tim_pi_runs_the_sensor() {
    let (fleet, evaluation) = load("examples/tim-pi");
    assert_eq!(fleet.hosts.len(), 1);
    insta::assert_snapshot!(placement(&evaluation), @"default/temperature-sensor/prod: tim-pi");
    let files = files(&evaluation, "default/temperature-sensor/prod@tim-pi");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["deployment.yaml", "service.yaml"]);
    insta::assert_snapshot!(files["deployment.yaml"], @"");
}

/// The folder that `titan create template` takes gives the template of the finished repository, and
/// needs no values at all.
#[test]
fn the_device_service_is_tim_pis_template() {
    let files = |name: &str| -> BTreeMap<String, Vec<u8>> {
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("the entry can be read");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, std::fs::read(entry.path()).expect("the file can be read"))
        };
        std::fs::read_dir(folder(name)).expect("the folder can be read").map(read).collect()
    };
    let plain = files("examples/device-service");
    assert_eq!(plain, files("examples/tim-pi/templates/device-service/files"));

    let fleet = folder("examples/tim-pi");
    let mut source = directory_files(&fleet, &Limits::default()).expect("the folder can be read");
    for file in &mut source {
        if file.path.as_str().ends_with("deployments/prod.yaml") {
            let text = "apiVersion: titan.dev/v1\nkind: Deployment\n\
                        spec: {target: tim-pi, template: device-service}\n";
            *file = SourceFile::regular(file.path.clone(), text.as_bytes());
        }
    }
    let (_, evaluation) = check("without values", &source);
    let deployment =
        file(&evaluation, "default/temperature-sensor/prod@tim-pi", "deployment.yaml");
    assert!(deployment.contains("image: \"registry.example/temperature-sensor:latest\"\n"));
}

#[test]
fn the_retailer_has_what_its_readme_says() {
    let (fleet, evaluation) = load("examples/retail");
    let runtimes = |runtime| fleet.hosts.values().filter(|h| h.spec.runtime == runtime).count();
    assert_eq!(fleet.hosts.len(), 12);
    assert_eq!(runtimes(Runtime::Kubernetes), 3);
    assert_eq!(runtimes(Runtime::External), 2);
    assert_eq!(runtimes(Runtime::Docker), 4);
    assert_eq!(runtimes(Runtime::Directory), 3);
    assert_eq!(fleet.workspaces.values().filter(|workspace| workspace.path.is_some()).count(), 3);
    assert_eq!(fleet.workloads.len(), 6);
    let label = |host: &str, key: &str| fleet.hosts[host].labels[key].clone();
    for (host, object) in &fleet.hosts {
        let folder = object.path.as_str().split('/').nth(1).expect("a region");
        assert_eq!(label(host.as_str(), "region"), folder, "{host}");
    }
    insta::assert_snapshot!(placement(&evaluation), @"");
    let loyalty = "web/loyalty-api/prod".parse().expect("a deployment's name");
    let regions = evaluation.schedule.recorded.of(&loyalty).iter();
    let regions: std::collections::BTreeSet<_> =
        regions.map(|host| label(host.as_str(), "region")).collect();
    assert_eq!(regions.len(), 2, "two replicas in two regions");
}

#[test]
fn the_retailers_manifests_follow_overrides() {
    let (_, evaluation) = load("examples/retail");
    let early = "web/storefront/prod@singapore-cluster";
    insta::assert_snapshot!(file(&evaluation, early, "configmap.yaml"), @"");
    insta::assert_snapshot!(file(&evaluation, early, "deployment.yaml"), @"");
    insta::assert_snapshot!(file(&evaluation, early, "ingress.yaml"), @"");
    let store = files(&evaluation, "stores/inventory-sync/prod@osaka-store");
    assert_eq!(store.keys().collect::<Vec<_>>(), [".env", "compose.yaml", "healthcheck.sh"]);
    insta::assert_snapshot!(store["compose.yaml"], @"");
    insta::assert_snapshot!(store[".env"], @"");
    let shelf = "stores/price-labels/prod@berlin-shelf";
    insta::assert_snapshot!(file(&evaluation, shelf, "config.toml"), @"");
}

/// A workspace's template that extends the shared one of the same name has that one's files and its own.
#[test]
fn the_retailers_payments_are_stricter() {
    let (_, evaluation) = load("examples/retail");
    let payments = files(&evaluation, "payments/payments-gateway/prod@austin-cluster");
    let shared = files(&evaluation, "web/storefront/prod@austin-cluster");
    let more: Vec<_> = payments.keys().filter(|path| !shared.contains_key(*path)).collect();
    assert_eq!(more, ["network-policy.yaml", "pod-disruption-budget.yaml"]);
    assert!(shared.keys().all(|path| payments.contains_key(path)));
    assert_eq!(payments["ingress.yaml"].trim(), "", "payments are not reached from outside");
    insta::assert_snapshot!(payments["network-policy.yaml"], @"");
}
