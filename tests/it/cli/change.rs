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

/// Plain files beside a definition are the template's files.
#[test]
fn a_definition_may_lie_beside_the_files() {
    let world = World::checkout();
    world.write("../t/template.yaml", "apiVersion: titan.dev/v1\nkind: Template\nspec: {}\n");
    world.write("../t/sub/a.txt", "x\n");
    world.write("../t/_part.tera", "x\n");
    world.run("create template t -f ../t --default a=1").code(2).says("of its own");
    // A link to the folder itself is only another name for it.
    std::os::unix::fs::symlink("t", world.path("../link")).expect("a link");
    world.run("create template t -f ../link").fine();
    let files = world.git(&["ls-files", "templates/t"]);
    insta::assert_snapshot!(files, @r"
    templates/t/files/_part.tera
    templates/t/files/sub/a.txt
    templates/t/template.yaml
    ");
    assert!(world.read("templates/t/template.yaml").contains("spec: {}"));
}

#[test]
fn a_dry_run_shows_everything_and_changes_nothing() {
    let world = World::shop();
    let refs = world.git(&["show-ref"]);
    let set = world.run("set deployment till/prod spec.values.size=3 --dry-run").fine();
    let set = set.says("dry run: nothing was committed; 2 assignments would change");
    assert!(set.out.contains("\n-spec: {target: all, values: {size: 2}}\n"), "{}", set.out);
    assert!(set.out.contains("\n+spec: {target: all, values: {size: 3}}\n"), "{}", set.out);
    assert!(
        set.out.ends_with("\n\nchange  stores/till/prod@austin\nchange  stores/till/prod@berlin\n")
    );
    let labels = "--labels platform=docker,ring=early --runtime docker";
    let host = world.run(&format!("create host lyon {labels} --dry-run")).fine();
    assert!(host.out.ends_with("\nadd     stores/till/prod@lyon\n"), "{}", host.out);
    let gone = world.run("delete deployment till/prod --dry-run -o json").fine().json();
    let expected = serde_json::json!({
        "stores/till/prod@austin": "remove", "stores/till/prod@berlin": "remove",
    });
    assert_eq!((&gone["assignments"], &gone["dryRun"]), (&expected, &true.into()));
    world.run("set deployment till/prod spec.target=none --dry-run").code(1).says("ref/unknown");
    world.run("set deployment till/prod spec.values.size=2 --dry-run").fine();
    assert_eq!(world.git(&["show-ref"]), refs);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
}

/// What a CI job does after a merge; several may run at once, and people go on pushing.
#[test]
fn jobs_reconcile_a_remote_without_a_checkout() {
    let world = World::bare();
    let url = format!("file://{}", world.path("fleet.git").display());
    world.run("init").fine();
    world.run("create host a").fine();
    let start = |cache: &str, arguments: &[&str]| {
        let mut command = world.command(&[&["--fleet", &url], arguments].concat());
        command.env("TITAN_CACHE", world.path(cache));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("titan runs")
    };
    let running: Vec<_> = (0..4)
        .map(|n| match n {
            3 => start("people", &["create", "host", "b"]),
            n => start(&format!("job-{n}"), &["reconcile"]),
        })
        .collect();
    for child in running {
        Done::of(child.wait_with_output().expect("titan ends")).fine();
    }
    let last = start("job-0", &["reconcile"]).wait_with_output().expect("titan ends");
    Done::of(last).fine();
    let sources = "--format=%(trailers:key=Titan-Source-Commit,valueonly,separator=)";
    let sources = world.git_fleet(&["log", "--reverse", sources, "titan/rendered"]);
    let main = world.git_fleet(&["rev-list", "--reverse", "main"]);
    let rendered: Vec<&str> = sources.lines().collect();
    assert!(main.ends_with(&format!("{}\n", rendered.join("\n"))), "{main}\n{sources}");
    let refs = world.git_fleet(&["show-ref"]);
    Done::of(start("job-1", &["reconcile"]).wait_with_output().expect("titan ends")).fine();
    assert_eq!(world.git_fleet(&["show-ref"]), refs, "nothing differs, nothing is written");
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

#[test]
fn a_host_may_enroll_once_and_is_shut_out_again() {
    let world = checkout_with_host();
    let enrolled = world.run("host enroll pi --server https://titan.example").fine();
    let token = enrolled.out.trim_end().to_owned();
    let token = token.as_str();
    assert!(token.starts_with("titan_") && token.len() == 70, "{token}");
    enrolled.says(&format!("--server https://titan.example --enroll {token}"));
    let text = world.read("hosts/eu/pi.yaml");
    assert!(text.contains(&sha256(token)) && text.contains("expires: "), "{text}");
    assert!(!world.git(&["log", "-p"]).contains(token));
    world.run("validate --strict").fine();
    let again = world.run("host enroll pi -o json").fine().json();
    let other = again["token"].as_str().expect("a token");
    let text = world.read("hosts/eu/pi.yaml");
    assert!(text.contains(&sha256(other)) && !text.contains(&sha256(token)), "{text}");

    let none = world.run("host keys pi").fine();
    assert_eq!(none.out, "host pi has no keys\n");
    none.says("may enroll until");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    world.titan(&["set", "host", "pi", &format!("spec.keys=[\"{key}\"]")]).fine();
    let known = world.run("host keys pi -o json").fine().json();
    // As `ssh-keygen -l` says.
    let fingerprint = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8";
    assert_eq!(known[0]["fingerprint"], fingerprint, "{known}");
    assert_eq!(known[0]["revision"], world.git(&["rev-parse", "HEAD"]).trim());
    world.run("host token pi").fine();
    assert_eq!(world.run("host keys pi -o json").fine().json(), known, "since then it is good");
    let described = world.run("describe host pi").fine().out;
    assert!(described.contains(fingerprint) && described.contains("Enrolling:"), "{described}");

    let revoked = world.run("host revoke pi").fine().out;
    assert!(revoked.starts_with("host pi has no keys any more (main "), "{revoked}");
    let text = world.read("hosts/eu/pi.yaml");
    for field in ["keys", "enrollment", "tokens"] {
        assert!(!text.contains(field), "{text}");
    }
    assert_eq!(world.run("host revoke pi").fine().out, "host pi has no keys (no commit)\n");
    world.run("host enroll nobody").code(1);
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
    std::fs::remove_file(world.path("../t/files/link")).expect("it is there");
    world.write("../t/README.md", "x\n");
    world.run("create template u -f ../t").code(1).says("`README.md` lies beside `files/`");
    std::fs::create_dir(world.path("../empty")).expect("a folder");
    world.run("create template u -f ../empty").code(1).says("holds no files");
    let huge = std::fs::File::create(world.path("../empty/huge")).expect("a file");
    huge.set_len(11 << 20).expect("it may be sparse");
    world.run("create template u -f ../empty").code(1).says("object/size");
    world.run("create template own --workspace iot --extends t").code(1).says("unknown-workspace");
}
