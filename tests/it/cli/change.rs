//! Commands that commit.

use super::{Done, World};

const HOST: &str = "\
# The one in the hall.
apiVersion: titan.dev/v1
kind: Host
metadata:
  labels: {region: eu, ring: 'canary'}   # early

spec:
  # Moves in spring.
  cordoned: false  # for now
  values:
    rack: \"7\"
";

fn checkout_with_host() -> World {
    let world = World::checkout();
    world.write("hosts/eu/pi.yaml", HOST);
    world.commit("add a host");
    world
}

#[test]
fn set_keeps_what_people_wrote() {
    let world = checkout_with_host();
    let edits =
        "spec.cordoned=true spec.values.rack=8 spec.values.power.watts=5 metadata.labels.ring-";
    world.run(&format!("set host pi {edits}")).fine();
    insta::assert_snapshot!(world.read("hosts/eu/pi.yaml"), @r#"
    # The one in the hall.
    apiVersion: titan.dev/v1
    kind: Host
    metadata:
      labels: {region: eu}   # early

    spec:
      # Moves in spring.
      cordoned: true  # for now
      values:
        rack: 8
        power:
          watts: 5
    "#);
    assert_eq!(world.git(&["status", "--porcelain"]), "", "files and index follow the commit");
    assert_eq!(
        world.git(&["log", "-1", "--format=%an <%ae> %s"]).trim_end(),
        "Ann <ann@example.com> set spec.cordoned, spec.values.rack, spec.values.power.watts, \
         metadata.labels.ring of host pi"
    );
}

#[test]
fn values_of_a_file_are_laid_on_those_that_are_there() {
    let world = checkout_with_host();
    world.write("../values.yaml", "rack: '9' # new\nslots: [1, 2]\n");
    world.run("set host pi --values-file ../values.yaml spec.cordoned=true").fine();
    let text = world.read("hosts/eu/pi.yaml");
    assert!(
        text.ends_with("  values:\n    rack: \"9\"\n    slots:\n      - 1\n      - 2\n"),
        "{text}"
    );
}

#[test]
fn what_changes_nothing_makes_no_commit() {
    let world = checkout_with_host();
    let head = world.git(&["rev-parse", "HEAD"]);
    let same = world.run("set host pi spec.cordoned=false spec.values.none-").fine();
    assert!(same.out.contains("no commit"), "{}", same.out);
    world.run("delete host nobody").fine().says("nothing to delete");
    world.run("delete host pi").fine();
    world.run("delete host pi").fine().says("nothing to delete");
    assert!(!world.path("hosts/eu/pi.yaml").exists());
    assert_eq!(world.git(&["rev-parse", "HEAD~1"]), head, "there is one new commit");
    // The same object again is no conflict, another one under its name is.
    world.run("create target all --all").fine();
    world.run("create target all --all").fine();
    world.run("create target all --labels a=b").code(1).says("exists already");
}

#[test]
fn a_change_that_breaks_something_is_refused() {
    let world = checkout_with_host();
    let head = world.git(&["rev-parse", "HEAD"]);
    world.run("set host pi spec.cordned=true").code(1).says("field/unknown").says("`cordoned`");
    world.run("create workload web --template nowhere").code(1).says("ref/unknown-template");
    world.run("create target all --all").fine();
    world.write("../t/a.yaml.tera", "{{ values.absent }}\n");
    world.run("create template nowhere -f ../t").fine();
    world.run("create workload web --template nowhere").fine();
    world
        .run("create deployment prod --workload web --target all")
        .code(1)
        .says("render/undefined");
    world.run("create deployment prod --workload web --target all --value absent=1").code(1);
    world.write("../t/a.yaml.tera", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    world.run("create template nowhere -f ../t --replace").fine();
    world.run("create deployment prod --workload web --target all").fine();
    world.run("delete template nowhere").code(1).says("ref/unknown-template");
    world.run("delete workload web").code(1).says("--recursive");
    world.run("delete workload web --recursive").fine();
    world.run("delete template nowhere").fine();
    assert_eq!(world.git(&["diff", "--stat", head.trim_end(), "HEAD", "--", "templates"]), "");
}

#[test]
fn what_was_broken_before_stands_in_nobodys_way() {
    let world = checkout_with_host();
    world.write("hosts/bad.yaml", "apiVersion: titan.dev/v1\nkind: Host\nspec: {cordned: true}\n");
    world.commit("break something");
    world.run("set host pi spec.cordoned=true").fine();
    world.run("validate").code(1).says("hosts/bad.yaml:3:8");
    world.run("set host bad spec.cordned- spec.cordoned=true").fine();
    world.run("validate").fine();
}

#[test]
fn uncommitted_work_is_not_touched() {
    let world = checkout_with_host();
    let mine = HOST.replace("hall", "cellar");
    world.write("hosts/eu/pi.yaml", &mine);
    world.write("notes.txt", "mine");
    world.run("set host pi spec.cordoned=true").code(1).says("not committed");
    assert_eq!(world.read("hosts/eu/pi.yaml"), mine);
    // Other files may be as they are.
    world.run("create host other").fine();
    assert_eq!(world.git(&["status", "--porcelain"]), " M hosts/eu/pi.yaml\n?? notes.txt\n");
    world.write("hosts/new.yaml", "mine");
    world.run("create host new").code(1).says("`hosts/new.yaml` has changes");
    assert_eq!(world.read("hosts/new.yaml"), "mine");
}

#[test]
fn another_branch_leaves_the_checkout_alone() {
    let world = checkout_with_host();
    world.git(&["branch", "next"]);
    world.run("create host other --branch next").fine();
    assert!(!world.path("hosts/other.yaml").exists());
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    assert!(world.git(&["ls-tree", "-r", "--name-only", "next"]).contains("hosts/other.yaml"));
}

#[test]
fn lost_races_are_redone_on_top() {
    let world = World::bare();
    let names: Vec<String> = (0..8).map(|n| format!("host-{n}")).collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = world.command(&["create", "host", name]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("titan runs")
        })
        .collect();
    for child in running {
        Done::of(child.wait_with_output().expect("titan ends")).fine();
    }
    assert_eq!(world.run("get hosts -o name").fine().out, names.join("\n") + "\n");
    let log = world.git_fleet(&["rev-list", "--count", "--first-parent", "main"]);
    assert_eq!(log.trim_end(), "8", "each change stands in history once");
}

#[test]
fn a_remote_is_changed_by_a_push() {
    let world = World::bare();
    let url = format!("file://{}", world.path("fleet.git").display());
    world.titan(&["--fleet", &url, "init"]).fine();
    world.titan(&["--fleet", &url, "create", "host", "a"]).fine();
    world.titan(&["--fleet", &url, "create", "host", "a", "--runtime", "docker"]).code(1);
    let log = world.git_fleet(&["log", "--format=%s", "main"]);
    assert_eq!(log, "create host a\nstart a fleet with titan\n");
}

#[test]
fn init_leaves_what_is_there() {
    let world = World::checkout();
    world.titan(&["init"]).code(1).says("there is a fleet already");
    world.run("validate --strict").fine();
    let world = World::bare();
    world.git(&["init", "--quiet", "--initial-branch=main", "old"]);
    world.write("old/README.md", "mine\n");
    world.git(&["-C", "old", "add", "README.md"]);
    world.git(&["-C", "old", "commit", "--quiet", "-m", "first"]);
    world.titan(&["init", "old"]).fine().says("`README.md` exists and stays as it is");
    assert_eq!(world.read("old/README.md"), "mine\n");
    assert!(world.path("old/titan.yaml").exists());
}

#[test]
fn a_token_is_shown_once_and_its_digest_kept() {
    let world = checkout_with_host();
    let first = world.run("host token pi").fine().out;
    let second = world.run("host token pi").fine().out;
    let token = first.trim_end();
    assert!(token.starts_with("titan_") && token.len() == 70 && first != second, "{token}");
    let text = world.read("hosts/eu/pi.yaml");
    assert_eq!(text.matches("    - sha256:").count(), 2, "{text}");
    let digest = sha256(token);
    assert!(text.contains(&digest) && !text.contains(token), "{text}");
    assert!(!world.git(&["log", "-p"]).contains(token));
    world.run("validate --strict").fine();
    world.run("host token pi --revoke").fine();
    assert!(!world.read("hosts/eu/pi.yaml").contains("tokens"));
    world.run("host token nobody").code(1);
}

/// By the stock tool, so that titan's digest is the one that everybody computes.
fn sha256(text: &str) -> String {
    let script = format!("printf %s '{text}' | sha256sum | cut -c1-64");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    format!("sha256:{}", String::from_utf8(output.stdout).expect("UTF-8").trim_end())
}

#[test]
fn templates_are_read_from_a_folder() {
    let world = World::checkout();
    world.write(
        "../t/template.yaml",
        "apiVersion: titan.dev/v1\nkind: Template\nspec:\n  defaults: {a: 1}\n",
    );
    world.write("../t/files/_part.tera", "x\n");
    world.write("../t/files/sub/a.txt", "x\n");
    world.run("create template t -f ../t").fine();
    assert!(world.path("templates/t/files/sub/a.txt").exists());
    assert!(world.read("templates/t/template.yaml").contains("defaults: {a: 1}"));
    world.run("create template t -f ../t/files").code(1).says("exists already");
    world.run("create template u -f ../nowhere").code(1).says("not a folder");
    world.run("create template u").code(2);
    std::os::unix::fs::symlink("/etc/hostname", world.path("../t/files/link")).expect("a link");
    world.run("create template u -f ../t").code(1).says("git/symlink");
    world.run("create template own --workspace iot --extends t").code(1).says("unknown-workspace");
}
