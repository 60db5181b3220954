//! The commands that the project was asked for, to the letter.

use super::World;
use super::world::package;

const TEMPLATE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ workload.name }}, namespace: {{ workspace.name }}}
data: {host: {{ host.name }}}
";

/// The story; `workspace` stands behind the commands that take one.
fn story(workspace: &str) -> (World, String) {
    let world = World::bare();
    world.write("device-service/configmap.yaml.tera", TEMPLATE);
    world.run("create host --name tim-pi --labels name=tim-pi,platform=kubernetes").fine();
    world.run("create template device-service -f ./device-service").fine();
    world.run("get workspaces").fine();
    let repo = "--repo https://github.com/timfpark/temp-sensor";
    let workload =
        world.run(&format!("create workload temperature-sensor {repo}{workspace}")).fine();
    world.run("create target tim-pi --labels name=tim-pi").fine();
    let deployment = world.run(
        "create deployment prod --workload temperature-sensor --template device-service --target tim-pi",
    );
    let notes = workload.err + &deployment.err;
    deployment.fine();
    world.run("validate --strict").fine();
    (world, notes)
}

#[test]
fn the_seeds_commands_work_to_the_letter() {
    let (world, notes) = story("");
    assert_eq!(notes, "");
    let files = world.git_fleet(&["ls-tree", "-r", "--name-only", "main"]);
    insta::assert_snapshot!(files, @r"
    hosts/tim-pi.yaml
    templates/device-service/files/configmap.yaml.tera
    templates/device-service/template.yaml
    workspaces/default/targets/tim-pi.yaml
    workspaces/default/workloads/temperature-sensor/deployments/prod.yaml
    workspaces/default/workloads/temperature-sensor/workload.yaml
    ");
    let host = world.git_fleet(&["show", "main:hosts/tim-pi.yaml"]);
    insta::assert_snapshot!(host, @r"
    # yaml-language-server: $schema=https://titan.dev/schemas/v1/host.schema.json
    apiVersion: titan.dev/v1
    kind: Host
    metadata:
      name: tim-pi
      labels:
        name: tim-pi
        platform: kubernetes
    spec: {}
    ");
    let log = world.git_fleet(&["log", "--reverse", "--format=%an: %s", "main"]);
    insta::assert_snapshot!(log, @r"
    Ann: create host tim-pi
    Ann: create template device-service
    Ann: create workload default/temperature-sensor
    Ann: create target default/tim-pi
    Ann: create deployment default/temperature-sensor/prod
    ");
    insta::assert_snapshot!(world.run("render temperature-sensor/prod").fine().out, @r"
    ---
    # hosts/tim-pi/default/temperature-sensor/prod/configmap.yaml
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: temperature-sensor, namespace: default}
    data: {host: tim-pi}
    ");
    assert_eq!(world.git_fleet(&["fsck", "--strict"]), "", "nothing is left lying about");
}

/// The workspace is given once: what follows finds it.
#[test]
fn a_workspace_that_is_missing_is_made_and_found() {
    let (world, notes) = story(" --workspace iot");
    assert!(notes.contains("workspace iot did not exist and was created with it"), "{notes}");
    assert!(notes.contains("target iot/tim-pi did not exist"), "{notes}");
    let table = world.run("get workspaces").fine().out;
    insta::assert_snapshot!(table, @r"
    NAME      HOSTS   WORKLOADS   DEPLOYMENTS
    default   1       0           0
    iot       1       1           1
    ");
    let commits = world.git_fleet(&["log", "--oneline", "main"]);
    assert_eq!(commits.lines().count(), 5, "the workspace came with the workload's commit");
}

/// The finished story lies in `examples/`.
#[test]
fn examples_and_layout_are_without_fault() {
    let world = World::bare();
    for folder in ["examples/tim-pi", "examples/retail", "repo-layout"] {
        let path = package(folder);
        let done = world.titan(&["validate", "--strict", path.to_str().expect("UTF-8")]).fine();
        assert!(done.out.contains("fine"), "{}", done.out);
        assert_eq!(done.err, "");
    }
}
