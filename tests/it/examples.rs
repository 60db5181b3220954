//! What people start from parses without a word, and renders on every host that it matches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use titan::git::directory_files;
use titan::model::{Assignments, Fleet, Limits, Name, RepoPath, Runtime, SourceFile};
use titan::parse::parse;
use titan::plan::{Evaluation, evaluate};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Reads a folder as `titan validate` does. No warning is fine, and nothing may be held.
fn load(name: &str) -> (Arc<Fleet>, Evaluation) {
    let files =
        directory_files(&folder(name), |_| Limits::default()).expect("the folder can be read");
    check(name, &files)
}

fn check(name: &str, files: &[SourceFile]) -> (Arc<Fleet>, Evaluation) {
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
    for (assignment, manifests) in &evaluation.manifests {
        for (path, bytes) in &manifests.files {
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            assert!(!blank, "{name}: `{path}` of {assignment} is empty");
        }
    }
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
    insta::assert_snapshot!(files["deployment.yaml"], @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: temperature-sensor-prod
      namespace: "default"
      labels:
        app.kubernetes.io/name: "temperature-sensor"
        app.kubernetes.io/instance: "temperature-sensor-prod"
    spec:
      replicas: 1
      selector:
        matchLabels:
          app.kubernetes.io/instance: "temperature-sensor-prod"
      template:
        metadata:
          labels:
            app.kubernetes.io/name: "temperature-sensor"
            app.kubernetes.io/instance: "temperature-sensor-prod"
        spec:
          containers:
            - name: app
              image: "registry.example/timfpark/temp-sensor:1.4.2"
              env:
                - name: HOST_NAME
                  value: "tim-pi"
              ports:
                - name: http
                  containerPort: 8080
              readinessProbe:
                httpGet: {path: "/healthz", port: http}
              resources:
                requests: {cpu: 50m, memory: 64Mi}
                limits: {memory: 128Mi}
    "#);
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
    let mut source =
        directory_files(&fleet, |_| Limits::default()).expect("the folder can be read");
    for file in &mut source {
        if file.path.as_str().ends_with("deployments/prod.yaml") {
            let text = "apiVersion: titan.dev/v1\nkind: Deployment\n\
                        spec: {target: tim-pi, template: device-service}\n";
            *file = SourceFile::regular(file.path.clone(), text.as_bytes());
        }
    }
    let (_, evaluation) = check("without values", &source);
    let deployment = file(&evaluation, "default/temperature-sensor/prod@tim-pi", "deployment.yaml");
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
    insta::assert_snapshot!(placement(&evaluation), @r"
    payments/payments-gateway/canary: chicago-cluster
    payments/payments-gateway/prod: austin-cluster, berlin-cluster, frankfurt-cluster, singapore-cluster
    stores/inventory-sync/canary: austin-store
    stores/inventory-sync/prod: berlin-store, osaka-store
    stores/price-labels/prod: austin-shelf, berlin-shelf, osaka-shelf
    stores/telemetry-agent/prod: austin-store, berlin-store, osaka-store
    web/loyalty-api/prod: chicago-cluster, frankfurt-cluster
    web/storefront/canary: chicago-cluster
    web/storefront/prod: austin-cluster, berlin-cluster, frankfurt-cluster, singapore-cluster
    ");
    let loyalty = "web/loyalty-api/prod".parse().expect("a deployment's name");
    let regions = evaluation.schedule.recorded.of(&loyalty).iter();
    let regions: std::collections::BTreeSet<_> =
        regions.map(|host| label(host.as_str(), "region")).collect();
    assert_eq!(regions.len(), 2, "two replicas in two regions");
}

/// The manifest without the labels that all of the retailer's objects carry, which it must.
fn unlabelled(manifest: &str, assignment: &str) -> String {
    let (deployment, _) = assignment.split_once('@').expect("an assignment's name");
    let names: Vec<&str> = deployment.split('/').collect();
    let [workspace, workload, name] = names[..] else { panic!("{deployment} has three parts") };
    let labels = format!(
        "  labels:\n    app.kubernetes.io/name: \"{workload}\"\n    \
         app.kubernetes.io/instance: \"{workload}-{name}\"\n    \
         app.kubernetes.io/part-of: \"{workspace}\"\n    \
         app.kubernetes.io/managed-by: titan\n"
    );
    let objects = manifest.split("---\n").count();
    assert_eq!(manifest.matches(&labels).count(), objects, "{manifest}");
    manifest.replace(&labels, "")
}

/// A host of the early ring in the region apac.
const EARLY: &str = "web/storefront/prod@singapore-cluster";

#[test]
fn the_retailers_clusters_get_what_their_region_and_ring_say() {
    let (_, evaluation) = load("examples/retail");
    insta::assert_snapshot!(unlabelled(&file(&evaluation, EARLY, "configmap.yaml"), EARLY), @r#"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: storefront-prod
      namespace: "web"
    data:
      LOG_LEVEL: "info"
      REGION: "apac"
      SITE: "singapore"
      TZ: "Asia/Singapore"
      CACHE_SECONDS: "300"
      CATALOG_URL: "https://catalog.retail.example"
    "#);
    insta::assert_snapshot!(unlabelled(&file(&evaluation, EARLY, "service.yaml"), EARLY), @r#"
    apiVersion: v1
    kind: Service
    metadata:
      name: storefront-prod
      namespace: "web"
    spec:
      selector:
        app.kubernetes.io/instance: "storefront-prod"
      ports:
        - {name: http, port: 80, targetPort: http}
    ---
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata:
      name: storefront-prod
      namespace: "web"
    spec:
      ingressClassName: "nginx"
      rules:
        - host: "shop.sin.retail.example"
          http:
            paths:
              - path: /
                pathType: Prefix
                backend:
                  service:
                    name: storefront-prod
                    port: {name: http}
    "#);
}

#[test]
fn the_retailers_pods_are_probed_and_bounded() {
    let (_, evaluation) = load("examples/retail");
    insta::assert_snapshot!(unlabelled(&file(&evaluation, EARLY, "deployment.yaml"), EARLY), @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: storefront-prod
      namespace: "web"
    spec:
      replicas: 2
      selector:
        matchLabels:
          app.kubernetes.io/instance: "storefront-prod"
      template:
        metadata:
          labels:
            app.kubernetes.io/name: "storefront"
            app.kubernetes.io/instance: "storefront-prod"
            app.kubernetes.io/part-of: "web"
            app.kubernetes.io/managed-by: titan
          annotations:
            # Pods start anew when their configuration changes.
            retail.example/config: "{\"config\":{\"CACHE_SECONDS\":300,\"CATALOG_URL\":\"https://catalog.retail.example\"},\"logLevel\":\"info\"}"
        spec:
          securityContext:
            runAsNonRoot: true
            seccompProfile: {type: RuntimeDefault}
          containers:
            - name: app
              image: "registry.example/retail/storefront:2.14.4"
              ports:
                - {name: http, containerPort: 8080}
              envFrom:
                - configMapRef: {name: storefront-prod}
              startupProbe:
                httpGet: {path: "/healthz", port: http}
                failureThreshold: 30
                periodSeconds: 2
              readinessProbe:
                httpGet: {path: "/healthz", port: http}
              livenessProbe:
                httpGet: {path: "/healthz", port: http}
                periodSeconds: 20
              resources: {"limits":{"memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}}
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities: {drop: [ALL]}
    "#);
}

#[test]
fn the_retailers_stores_get_compose_files_and_settings() {
    let (_, evaluation) = load("examples/retail");
    let store = files(&evaluation, "stores/inventory-sync/prod@osaka-store");
    assert_eq!(store.keys().collect::<Vec<_>>(), [".env", "compose.yaml", "healthcheck.sh"]);
    insta::assert_snapshot!(store["compose.yaml"], @r#"
    name: inventory-sync-prod
    services:
      app:
        image: "registry.example/retail/inventory-sync:3.0.4"
        restart: unless-stopped
        env_file: .env
        mem_limit: "256m"
        ports:
          - "127.0.0.1:8090:8090"
        volumes:
          - ./healthcheck.sh:/healthcheck.sh:ro
          - "data1:/var/lib/inventory"
        healthcheck:
          test: [CMD, sh, /healthcheck.sh]
          interval: 30s
          timeout: 5s
          retries: 3
          start_period: 20s
        labels:
          dev.titan.workload: "stores/inventory-sync"
          dev.titan.deployment: "prod"
    volumes:
      data1: {}
    "#);
    insta::assert_snapshot!(store[".env"], @r"
    # For `inventory-sync` on osaka-store.
    PORT=8090
    REGION=apac
    STORE_ID=5127
    TZ=Asia/Tokyo
    HEADQUARTERS=https://hq.retail.example
    SYNC_SECONDS=600
    ");
    let shelf = "stores/price-labels/prod@berlin-shelf";
    insta::assert_snapshot!(file(&evaluation, shelf, "config.toml"), @r#"
    # price-labels on berlin-shelf (berlin); the device reads it anew when it changes.
    version = "2.0.3"
    source = "https://prices.retail.example/v3"
    refresh_seconds = 60

    [store]
    id = 1204
    currency = "EUR"
    shelves = ["dairy","bakery"]

    [radio]
    channel = 11

    [display]
    template = "bold"
    show_unit_price = true
    "#);
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
    assert!(shared["service.yaml"].contains("kind: Ingress"));
    assert!(!payments["service.yaml"].contains("kind: Ingress"), "not reached from outside");
    let policy = unlabelled(&payments["network-policy.yaml"], "payments/payments-gateway/prod@");
    insta::assert_snapshot!(policy, @r#"
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: payments-gateway-prod
      namespace: "payments"
    spec:
      podSelector:
        matchLabels:
          app.kubernetes.io/instance: "payments-gateway-prod"
      policyTypes: [Ingress]
      ingress:
        - from:
            - namespaceSelector:
                matchLabels:
                  kubernetes.io/metadata.name: "web"
          ports:
            - port: http
    "#);
}
