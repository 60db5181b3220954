//! Commands that only look, exit codes, and forms of output.

use super::{Done, World};

#[test]
fn listings_have_columns_names_and_objects() {
    let world = World::shop();
    insta::assert_snapshot!(world.run("get workspaces -o wide").fine().out, @r"
    NAME      HOSTS   WORKLOADS   DEPLOYMENTS   MEMBERS   ALLOWED-HOSTS
    default   3       0           0             0         -
    stores    2       1           2             1         platform=docker
    web       3       1           0             0         -
    ");
    insta::assert_snapshot!(world.run("get targets -w stores").fine().out, @r"
    NAME    WORKSPACE   SELECTOR                 HOSTS   DEPLOYMENTS
    all     stores      <all>                    2       1
    early   stores      ring in (canary,early)   1       1
    ");
    insta::assert_snapshot!(world.run("get deploy prod -o name").fine().out, @"stores/till/prod");
    let hosts = world.run("get ho berlin -o json").fine().json();
    assert_eq!(hosts["kind"], "Host");
    assert_eq!(hosts["metadata"]["labels"]["ring"], "canary");
    assert_eq!(hosts["spec"]["values"]["tills"], 8);
    let list = world.run("get workloads -o json").fine().json();
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
    let yaml = world.run("get workload till -o yaml").fine().out;
    assert!(yaml.contains("\n  workspace: stores\nspec:\n"), "{yaml}");
    assert_eq!(world.run("get assignments -o json").fine().json()["items"], serde_json::json!([]));
    let hosts = world.run("get hosts -o name -l 'region=eu,platform in (docker,directory)'").fine();
    assert_eq!(hosts.out, "berlin\n");
}

#[test]
fn describe_tells_what_refers_to_an_object() {
    let world = World::shop();
    let host = world.run("describe host berlin").fine().out;
    for part in ["hosts/eu/berlin.yaml", "workspace stores", "target stores/early"] {
        assert!(host.contains(part), "{part}: {host}");
    }
    let template = world.run("describe template app -o json").fine().json();
    let used = ["deployment stores/till/next", "deployment stores/till/prod"];
    assert_eq!(template["usedby"], serde_json::json!(used));
    assert_eq!(template["object"]["kind"], "Template");
    let deployment = world.run("describe deployment till/prod").fine().out;
    assert!(deployment.contains("office: main"), "{deployment}");
}

#[test]
fn render_shows_what_hosts_get() {
    let world = World::shop();
    insta::assert_snapshot!(world.run("render till/prod").fine().out, @r"
    ---
    # hosts/us/austin/stores/till/prod/app.txt
    2 on austin
    ---
    # hosts/eu/berlin/stores/till/prod/app.txt
    2 on berlin
    ");
    let files = world.run("render --host berlin -o json").fine().json();
    assert_eq!(files[0]["assignment"], "stores/till/next@berlin");
    assert_eq!(files[0]["content"], "1 on berlin\n");
    world.run("render --output-dir out").fine().says("3 files written");
    assert_eq!(world.read("out/hosts/us/austin/stores/till/prod/app.txt"), "2 on austin\n");
    assert_eq!(world.run("render --host paris").fine().says("nothing is to run").out, "");
    world.run("render nobody").code(1).says("there is no deployment");
}

#[test]
fn exit_codes_are_those_of_the_list() {
    let world = World::checkout();
    let check = |line: &str, code: i32, part: &str| {
        world.run(line).code(code).says(part);
    };
    check("get hosts nobody", 1, "there is no host `nobody`");
    check("create host Bad", 1, "name/syntax");
    check("create host ../x", 1, "name/syntax");
    check("create host", 2, "required");
    check("get hsots", 2, "did you mean `host`?");
    check("nonsense", 2, "unrecognized subcommand");
    check("set host a", 2, "nothing to set");
    check("create target t", 2, "--all");
    check("create host a --labels a", 2, "`=` is missing");
    check("get hosts --fleet /nonexistent", 1, "not a Git repository");
    check("get hosts --fleet ext::sh", 1, "[git/url]");
    check("create host a --branch a..b", 1, "[git/ref]");
    check("get hosts --fleet file:///nonexistent", 3, "nonexistent");
    check("validate --revision nowhere", 1, "[git/revision] `nowhere` names no commit");
    check("validate /nonexistent", 1, "not a folder");
    check("agent --host a --runtime directory --dest x --controller http://a.example", 2, "http");
    check("reconcile --branch none", 1, "branch `none` has no commit yet");
    check("get assignment nobody", 1, "no assignment");
    check("get asignments", 2, "did you mean `assignments`?");
    check("status nobody", 1, "no status of `nobody`");
    assert_eq!(world.run("status nobody").out, "");
    assert_eq!(world.run("get fleet -o json").fine().json()["kind"], "Fleet");
    let codes = world.run("help exit-codes").fine().out;
    assert!(codes.contains("\n   3  Git or the network failed"), "{codes}");
    assert!(world.run("help create host").fine().out.contains("--labels"));
    assert!(world.run("--version").fine().out.starts_with("titan "));
}

#[test]
fn empty_variables_are_as_good_as_none() {
    let world = World::shop();
    let mut command = world.command(&["get", "targets", "-o", "name"]);
    let command = command.env("TITAN_WORKSPACE", "").env("TITAN_BRANCH", "").env("TITAN_FLEET", "");
    let done = Done::of(command.output().expect("titan runs")).fine();
    assert_eq!(done.out, "stores/all\nstores/early\n");
}

/// Once something was rendered, listings tell how it fares.
#[test]
fn phases_stand_where_things_run() {
    let world = World::shop();
    let done = world.run("reconcile").fine();
    assert!(done.out.ends_with(": 3 assignments on 2 hosts\n"), "{}", done.out);
    insta::assert_snapshot!(world.run("get assignments").fine().out, @r"
    WORKSPACE   WORKLOAD   DEPLOYMENT   HOST     PHASE
    stores      till       next         berlin   Pending
    stores      till       prod         austin   Pending
    stores      till       prod         berlin   Pending
    ");
    let one = world.run("get assignment till/prod@austin -o json").fine().json();
    assert_eq!(one["phase"], "Pending");
    let host = world.run("describe host austin").fine().out;
    assert!(host.contains("\nConnection:  Never\n"), "{host}");
    assert!(host.contains("  stores/till/prod: Pending (tree "), "{host}");
    let deployment = world.run("describe deployment till/prod").fine().out;
    assert!(deployment.contains(" austin: Pending (tree "), "{deployment}");
    let status = world.run("status").fine().out;
    assert!(status.contains("\nhosts        3 (3 never reported)\n"), "{status}");
}

#[test]
fn completions_are_scripts() {
    let world = World::checkout();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&format!("completions {shell}")).fine().out;
        assert!(script.contains("reconcile") && script.contains("titan"), "{shell}");
    }
    world.write("titan.bash", &world.run("completions bash").fine().out);
    let check = std::process::Command::new("bash").arg("-n").arg(world.path("titan.bash")).status();
    assert!(check.expect("bash runs").success());
}

#[test]
fn problems_are_shown_all_at_once() {
    let world = World::checkout();
    world.write("hosts/a.yaml", "apiVersion: titan.dev/v1\nkind: Host\nspec:\n  cordned: true\n");
    world.write("hosts/b.yaml", "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\nspec: {}\n");
    let done = world.run("validate").code(1).says("hosts/a.yaml:4:3").says("hosts/b.yaml:4:1");
    assert!(done.out.contains("2 errors"), "{}", done.out);
    let json = world.run("validate -o json").code(1).json();
    assert_eq!((&json["valid"], &json["errors"]), (&false.into(), &2.into()));
    assert_eq!(json["diagnostics"][0]["code"], "field/unknown");
    assert_eq!(json["diagnostics"][0]["span"]["line"], 4);
    // The head of the branch is still fine: nothing of it is committed.
    world.run("validate --revision HEAD").fine();
    world.write("hosts/a.yaml", "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n");
    world.write("hosts/b.yml", "");
    std::fs::remove_file(world.path("hosts/b.yaml")).expect("it is there");
    world.run("validate").fine().says("layout/unknown-path");
    world.run("validate --strict").code(1);
}

#[test]
fn colours_are_for_those_who_want_them() {
    let world = World::checkout();
    let plain = world.run("get hosts nobody").code(1).err;
    assert!(!plain.contains('\x1b'), "{plain}");
    let forced = world.run("get hosts nobody --color always").code(1).err;
    assert!(forced.contains('\x1b'), "{forced}");
    let mut command = world.command(&["get", "hosts", "nobody"]);
    command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    let never = super::Done::of(command.output().expect("titan runs")).code(1).err;
    assert!(!never.contains('\x1b'), "{never}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = World::shop();
    let mut command = world.command(&["render"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("titan runs");
    drop(child.stdout.take());
    super::Done::of(child.wait_with_output().expect("titan ends")).fine();
}

#[test]
fn another_projects_repository_is_no_fleet() {
    let world = World::checkout();
    world.git(&["rm", "-rq", "titan.yaml", "hosts", "workspaces", "templates"]);
    world.git(&["commit", "-qm", "become something else"]);
    world.run("create host a").code(1).says("holds no fleet");
    world.run("get hosts").code(1).says("titan init");
}

#[test]
fn schemas_and_completions_are_printed() {
    let world = World::checkout();
    let schema = world.run("schema deployment").fine().json();
    assert_eq!(schema["$id"], "https://titan.dev/schemas/v1/deployment.schema.json");
    world.run("schema --output-dir out").fine();
    assert!(world.path("out/host.schema.json").exists());
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.run(&format!("completions {shell}")).fine().out.contains("titan"));
    }
}
