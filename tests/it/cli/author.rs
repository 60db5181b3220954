//! `titan validate --as`: who may touch which paths, judged by the base.

use super::World;

const PROD: &str = "workspaces/stores/workloads/till/deployments/prod.yaml";
const TARGET: &str = "workspaces/stores/targets/all.yaml";
const WORKSPACE: &str = "workspaces/stores/workspace.yaml";
const OTHER: &str = "workspaces/web/workloads/shop/workload.yaml";

/// The shop with members and admins, on a branch of its own.
fn shop() -> World {
    let world = World::shop();
    let object =
        |kind: &str, spec: &str| format!("apiVersion: titan.dev/v1\nkind: {kind}\nspec:\n{spec}");
    let settings = "  admins: [{group: platform}]
  identity:
    - name: forge
      kind: ci
      issuer: https://forge.example
      audience: titan
      jobs: [{name: release, match: {repository: shop/till}}]
";
    world.write("titan.yaml", &object("Fleet", settings));
    let members = "  hosts: {matchLabels: {platform: docker}}
  values: {office: main}
  members:
    - {user: dan, role: deployer}
    - {group: editors, role: editor}
    - {user: olga, role: owner}
    - {ci: release, role: deployer}
";
    world.write(WORKSPACE, &object("Workspace", members));
    world.commit("members");
    world.git(&["checkout", "--quiet", "-b", "change"]);
    world
}

/// A file with one more comment.
fn touch(world: &World, path: &str) {
    let text = world.read(path);
    world.write(path, &format!("{text}# touched\n"));
}

/// Exit code, and the paths that are denied.
fn judged(world: &World, line: &str) -> (i32, Vec<String>) {
    let done = world.run(&format!("validate -o json {line}"));
    let found = done.json();
    let denied = found["diagnostics"].as_array().expect("a list").iter();
    let denied = denied.filter(|found| found["code"] == "access/denied");
    let path = |found: &serde_json::Value| found["path"].as_str().expect("a path").to_owned();
    (done.code, denied.map(path).collect())
}

#[test]
fn each_path_takes_its_role() {
    let world = shop();
    for (path, allowed) in [
        (PROD, ["dan", "x --as-group editors", "olga"].as_slice()),
        (TARGET, &["x --as-group editors", "olga"]),
        (WORKSPACE, &["olga"]),
        (OTHER, &[]),
        ("hosts/eu/paris.yaml", &[]),
        ("templates/app/files/_part.tera", &[]),
        ("titan.yaml", &[]),
    ] {
        touch(&world, path);
        for author in ["eve", "dan", "x --as-group editors", "olga"] {
            let expected =
                if allowed.contains(&author) { (0, vec![]) } else { (1, vec![path.to_owned()]) };
            let line = format!("--as {author} --base main");
            assert_eq!(judged(&world, &line), expected, "{author} {path}, not committed");
        }
        assert_eq!(judged(&world, "--as eve --as-group platform --base main").0, 0, "{path}");
        world.commit("a change");
        for author in ["eve", "dan", "x --as-group editors", "olga"] {
            let expected =
                if allowed.contains(&author) { (0, vec![]) } else { (1, vec![path.to_owned()]) };
            for head in ["", "--revision HEAD "] {
                let line = format!("{head}--as {author} --base main");
                assert_eq!(judged(&world, &line), expected, "{author} {path} {head}");
            }
        }
        world.git(&["reset", "--quiet", "--hard", "main"]);
    }
    touch(&world, PROD);
    assert_eq!(judged(&world, "--as-ci release --base main"), (0, vec![]));
    assert_eq!(judged(&world, "--as-ci other --base main").0, 1);
    let done = world.run("validate --as eve --base main").code(1);
    let message = "`eve` may not change this: it takes role `deployer` in workspace `stores`";
    done.says(message).says("error[access/denied]").says(PROD);
}

#[test]
fn nobody_grants_themselves_anything() {
    let world = shop();
    let text = world.read(WORKSPACE);
    world
        .write(WORKSPACE, &text.replace("{user: dan, role: deployer}", "{user: dan, role: owner}"));
    world.commit("I am the owner");
    touch(&world, TARGET);
    world.commit("as the owner");
    let both = (1, vec![TARGET.to_owned(), WORKSPACE.to_owned()]);
    assert_eq!(judged(&world, "--as dan --base main"), both);
    assert_eq!(judged(&world, "--revision change --as dan --base main"), both);
    let settings = world.read("titan.yaml");
    world.write("titan.yaml", &settings.replace("{group: platform}", "{user: dan}"));
    let (code, paths) = judged(&world, "--as dan --base main");
    assert_eq!((code, paths.len()), (1, 3));
}

#[test]
fn an_owner_cannot_loosen_the_bounds() {
    let world = shop();
    let text = world.read(WORKSPACE);
    let check = |text: &str, code: i32| {
        world.write(WORKSPACE, text);
        assert_eq!(judged(&world, "--as olga --base main").0, code, "{text}");
        world.run("validate --as eve --as-group platform --base main").fine();
    };
    check(&text.replace("office: main", "office: other"), 0);
    check(&text.replace("{user: dan, role: deployer}", "{user: dan, role: editor}"), 0);
    check(&text.replace("  hosts: {matchLabels: {platform: docker}}\n", ""), 1);
    check(&text.replace("  hosts:", "  policy: {kinds: []}\n  hosts:"), 1);
}

#[test]
fn what_titan_does_not_read_is_the_platform_s() {
    let world = shop();
    for path in [".github/workflows/ci.yaml", "CODEOWNERS", "README.md", "docs/a.md"] {
        world.write(path, "anything\n");
        world.commit("a file");
        let line = "--revision HEAD --as olga --base main";
        assert_eq!(judged(&world, line), (1, vec![path.to_owned()]));
        assert_eq!(judged(&world, "--as olga --base main"), (1, vec![path.to_owned()]));
        world.git(&["reset", "--quiet", "--hard", "main"]);
    }
    world.write("workspaces/stores/README.md", "ours\n");
    world.commit("a note");
    assert_eq!(judged(&world, "--revision HEAD --as x --as-group editors --base main").0, 0);
}

#[test]
fn only_the_change_itself_is_judged_by_the_rights_of_today() {
    let world = shop();
    touch(&world, PROD);
    world.commit("deployed");
    world.git(&["checkout", "--quiet", "main"]);
    touch(&world, "hosts/eu/paris.yaml");
    world.commit("the platform goes on");
    world.git(&["checkout", "--quiet", "change"]);
    let line = "--revision change --as dan --base main";
    assert_eq!(judged(&world, line), (0, vec![]), "what others did meanwhile is theirs");
    world.git(&["merge", "--quiet", "--no-edit", "main"]);
    assert_eq!(judged(&world, line), (0, vec![]), "merged or not");
    world.git(&["checkout", "--quiet", "main"]);
    let text = world.read(WORKSPACE);
    world.write(WORKSPACE, &text.replace("    - {user: dan, role: deployer}\n", ""));
    world.commit("dan leaves");
    assert_eq!(judged(&world, line), (1, vec![PROD.to_owned()]), "a role that is lost is lost");
}

#[test]
fn removing_takes_an_owner() {
    let world = shop();
    std::fs::remove_file(world.path(PROD)).expect("it is there");
    assert_eq!(judged(&world, "--as dan --base main"), (1, vec![PROD.to_owned()]));
    assert_eq!(judged(&world, "--as olga --base main"), (0, vec![]));
}

#[test]
fn a_broken_workspace_has_no_members() {
    let world = shop();
    world.git(&["checkout", "--quiet", "main"]);
    let text = world.read(WORKSPACE);
    world.write(WORKSPACE, &format!("{text}  nonsense: true\n"));
    world.commit("broken");
    world.write(WORKSPACE, &text);
    assert_eq!(judged(&world, "--as olga --base main"), (1, vec![WORKSPACE.to_owned()]));
    assert_eq!(judged(&world, "--as eve --as-group platform --base main"), (0, vec![]));
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let world = shop();
    for (line, code, part) in [
        ("validate --as dan", 2, "--base"),
        ("validate --base main", 2, "`--base` says nothing without an author"),
        ("validate --as-group x --base main", 2, "--as"),
        ("validate --as '' --base main", 2, "empty"),
        ("validate --as dan --base nowhere", 1, "`nowhere` names no commit"),
    ] {
        world.run(line).code(code).says(part);
    }
}
