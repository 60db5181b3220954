//! `titan plan`: transcripts, revisions, forms of output, and what fits into a comment.

use super::World;

const PROD: &str = "workspaces/stores/workloads/till/deployments/prod.yaml";

/// The shop, rendered once, on a branch of its own.
fn shop() -> World {
    let world = World::shop();
    world.titan(&["reconcile"]).fine();
    world.git(&["checkout", "--quiet", "-b", "change"]);
    world
}

fn set_size(world: &World, size: u32) {
    let text = world.read(PROD);
    let old = text.split("size: ").nth(1).expect("it has a size").split('}').next();
    let old = format!("size: {}}}", old.expect("and ends"));
    world.write(PROD, &text.replace(&old, &format!("size: {size}}}")));
}

/// Without the ids of commits, which hang on the time.
fn stable(text: &str) -> String {
    let hex = |word: &str| word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let word = |word: &str| {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if hex(bare) { word.replace(bare, "…") } else { word.to_owned() }
    };
    words.map(word).collect()
}

#[test]
fn before_the_commit() {
    let world = shop();
    assert!(world.run("plan").fine().out.ends_with("\nnothing changes\n"));
    world.run("plan --exit-code").code(0);
    set_size(&world, 3);
    std::fs::remove_file(world.path("hosts/us/austin.yaml")).expect("it is there");
    world.write(
        "hosts/eu/rome.yaml",
        "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {labels: {platform: docker}}\nspec: {runtime: docker}\n",
    );
    let head = world.git(&["rev-parse", "HEAD", "titan/rendered", "main"]);
    insta::assert_snapshot!(stable(&world.run("plan").fine().out), @r"
    plan  HEAD (…) → working tree

    removals
    - host austin leaves the fleet, and 1 assignment with it
    - stores/till/prod leaves 1 of 2 hosts: austin
      guard: 1 of 3 assignments would be removed, 10 may be: they go

    placement
    + host rome joins the fleet
    + stores/till/prod comes to 1 host: rome

    files
    1 host: 2 on berlin → 3 on berlin
      stores/till/prod  app.txt
      berlin
      @@ -1 +1 @@
      -2 on berlin
      +3 on berlin

    1 host: new there, 1 line
      stores/till/prod  app.txt
      rome

    1 assignment removed, 1 assignment changed, 1 assignment added, 1 host removed, 1 host added
    ");
    world.run("plan --exit-code").code(4);
    assert_eq!(world.git(&["rev-parse", "HEAD", "titan/rendered", "main"]), head, "no ref moves");
    let names = "stores/till/prod@austin\nstores/till/prod@berlin\nstores/till/prod@rome\n";
    assert_eq!(world.run("plan -o name").fine().out, names);
    let red = world.run("plan --color always").fine().out;
    assert!(red.contains("\u{1b}[31m- host austin leaves"), "removals are red");
    assert!(!world.run("plan").fine().out.contains('\u{1b}'), "but not in a file");
}

#[test]
fn revisions_are_named_as_in_git() {
    let world = shop();
    set_size(&world, 3);
    world.commit("three");
    world.git(&["checkout", "--quiet", "main"]);
    world.write("hosts/us/boston.yaml", "apiVersion: titan.dev/v1\nkind: Host\nspec: {}\n");
    world.commit("boston");
    let summary = |line: &str| {
        let out = world.run(line).fine().out;
        out.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(summary("plan main...change"), "2 assignments changed");
    assert_eq!(summary("plan main..change"), "2 assignments changed, 1 host removed");
    world.run("plan main..change").says("`main...change` leaves them out");
    assert_eq!(summary("plan change"), "2 assignments changed");
    assert_eq!(summary("plan main"), "1 host added");
    assert_eq!(summary("plan change --worktree"), "2 assignments changed, 1 host added");
    assert_eq!(summary("plan change.."), "2 assignments changed, 1 host added");
    assert_eq!(summary("plan ..change"), "2 assignments changed, 1 host removed");
}

#[test]
fn a_folder_may_lie_anywhere() {
    let world = shop();
    let other = world.path("../other");
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-R").arg(world.path("")).arg(&other).status().expect("cp runs").success());
    std::fs::remove_dir_all(other.join(".git")).expect("it is there");
    assert!(world.run("plan main --worktree=../other").fine().out.ends_with("nothing changes\n"));
    std::fs::remove_file(other.join("hosts/us/austin.yaml")).expect("it is there");
    let value = world.run("plan main --worktree=../other -o json").fine().json();
    assert_eq!(value["head"], serde_json::json!({"name": "../other", "folder": "../other"}));
    assert_eq!(value["preview"], serde_json::Value::Null, "it is flat");
    assert_eq!(value["hosts"]["removed"][0]["name"], "austin");
}

#[test]
fn mistakes_are_told() {
    let world = shop();
    for (line, code, part) in [
        ("plan nothing..main", 1, "`nothing` names no commit"),
        ("plan main...nothing", 1, "give a commit id, a branch"),
        ("plan main..change --worktree", 2, "compared with one revision"),
        ("plan --worktree=nowhere", 1, "`nowhere` is not a folder"),
        ("plan --full nowhere/x.md main", 1, "cannot write `nowhere/x.md`"),
        ("status -o markdown", 2, "only `titan plan` writes Markdown"),
        ("plan a b", 2, "unexpected argument"),
    ] {
        world.run(line).code(code).says(part);
    }
    world.git(&["checkout", "--quiet", "--orphan", "island"]);
    world.commit("alone");
    world.run("plan main...island").code(1).says("no commit in common");
    let bare = World::bare();
    bare.run("plan").code(2).says("there is no checkout");
    world.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
    world.run("plan --fleet ../bare.git").code(2).says("there is no checkout");
}

#[test]
fn the_first_commit_is_compared_with_nothing() {
    let world = World::shop();
    let root = world.git(&["rev-list", "--max-parents=0", "HEAD"]);
    world.run(&format!("plan {} --exit-code", root.trim())).fine();
    let value = world.run("plan HEAD -o json").fine().json();
    assert_eq!((&value["apiVersion"], &value["kind"]), (&"titan.dev/v1".into(), &"Plan".into()));
    assert_eq!(value["counts"]["added"], 3);
    assert_eq!(value["rendered"], serde_json::Value::Null);
    assert_eq!(value["deployments"][1]["transition"], "added");
    assert_eq!(value["groups"][0]["kind"], "new");
}

#[test]
fn as_json() {
    let world = shop();
    set_size(&world, 3);
    let value = world.run("plan -o json").fine().json();
    assert_eq!(value["changes"], true);
    assert_eq!(value["removals"]["ruling"], "nothing");
    insta::assert_snapshot!(serde_json::to_string_pretty(&value["groups"]).expect("JSON"), @r#"
    [
      {
        "addedLines": 1,
        "assignments": 2,
        "deployments": {
          "stores/till/prod": [
            "austin",
            "berlin"
          ]
        },
        "diff": "@@ -1 +1 @@\n-2 on austin\n+3 on austin\n",
        "example": "stores/till/prod@austin",
        "file": "app.txt",
        "hosts": 2,
        "kind": "changed",
        "removedLines": 1,
        "summary": "2 on {host.name} → 3 on {host.name}",
        "template": "app",
        "varies": true
      }
    ]
    "#);
    let yaml = world.run("plan -o yaml").fine().out;
    assert!(yaml.contains("kind: Plan"), "{yaml}");
}

#[test]
fn what_is_wrong_holds_and_is_told() {
    let world = shop();
    world.write("templates/app/files/app.txt.tera", "{{ values.nothing }}\n");
    world.write(
        "workspaces/stores/workloads/till/deployments/next.yaml",
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: nowhere}\n",
    );
    insta::assert_snapshot!(stable(&world.run("plan").fine().out), @r#"
    plan  HEAD (…) → working tree

    held
    ! deployment stores/till/next (1 assignment kept): workspaces/stores/workloads/till/deployments/next.yaml:3:16: there is no target `nowhere`
    ! deployment stores/till/prod on 2 hosts: austin, berlin: error[render/undefined] templates/app/files/app.txt.tera:1:4: `values.nothing` is not defined for stores/till/prod@austin

    new problems
    error[ref/unknown-target]: there is no target `nowhere`
     --> workspaces/stores/workloads/till/deployments/next.yaml:3:16
      |
    3 | spec: {target: nowhere}
      |                ^^^^^^^
      |
      = help: create `workspaces/stores/targets/nowhere.yaml`

    error[render/undefined]: `values.nothing` is not defined for stores/till/prod@austin
     --> templates/app/files/app.txt.tera:1:4
      |
    1 | {{ values.nothing }}
      |    ^^^^^^^^^^^^^^
      |
      = help: give it in the deployment's `values`, or in the template's `defaults`

    2 errors

    3 assignments newly held
    "#);
    world.commit("broken");
    set_size(&world, 4);
    let again = world.run("plan").fine().out;
    assert!(again.contains("  already held: deployment stores/till/next"), "{again}");
    assert!(!again.contains("new problems"), "{again}");
}

#[test]
fn as_markdown() {
    let world = shop();
    set_size(&world, 3);
    std::fs::remove_file(world.path("hosts/us/austin.yaml")).expect("it is there");
    world.write(
        "titan.yaml",
        "apiVersion: titan.dev/v1\nkind: Fleet\nspec: {guards: {maxRemovals: 0}}\n",
    );
    insta::assert_snapshot!(stable(&world.run("plan -o markdown").fine().out), @r#"
    <!-- titan plan -->
    ### titan plan: `HEAD` (`…`) → `working tree`

    **1 assignment removed, 1 assignment changed, 1 host removed**

    #### Removals

    ```diff
    ! guard: 1 removal would be held: 1 of 3 assignments would be removed, 0 may be; the first is stores/till/prod@austin; fix: commit with trailer Titan-Allow-Removals: 1
    - host austin leaves the fleet, and 1 assignment with it
    - stores/till/prod leaves 1 of 2 hosts: austin
    ```

    The merge commit lets them go with the trailer `Titan-Allow-Removals: 1`.

    #### Files

    <details open><summary><b>1 host</b>: <code>2 on berlin → 3 on berlin</code></summary>

    `stores/till/prod` · `app.txt`

    `berlin`

    ```diff
    @@ -1 +1 @@
    -2 on berlin
    +3 on berlin
    ```

    </details>
    "#);
}

/// Whoever writes the pull request writes what the comment shows.
#[test]
fn a_comment_shows_hostile_text_as_text() {
    let world = World::shop();
    let text = "```\n@everyone <script>alert(1)</script> [x](http://x)\n````` </details>\n{{ values.size }} # \u{1b}[31m \u{202e} \u{2028} -->\n";
    world.write("templates/app/files/a `@all` <b>.txt.tera", text);
    world.commit("hostile");
    world.git(&["checkout", "--quiet", "-b", "x`@all"]);
    set_size(&world, 3);
    world.write("hosts/eu/`@all`.yaml", "x");
    world.commit("more");
    let out = world.run("plan main..x`@all -o markdown").fine().out;
    let mut fence: Option<&str> = None;
    for line in out.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && !line[ticks.len()..].contains('`') => fence = Some(ticks),
            None => {
                let bare = without_code(line);
                for bad in ["@", "<script", "<b>.", "[x]", "\u{1b}", "\u{202e}"] {
                    assert!(!bare.contains(bad), "`{bad}` is outside of code: {line}");
                }
            }
        }
    }
    assert_eq!(fence, None, "every fence is closed");
    for odd in ['\u{1b}', '\u{202e}', '\u{2028}'] {
        assert!(!out.contains(odd) && !world.run("plan main..x`@all").out.contains(odd));
    }
}

/// The line without its spans of code, in Markdown and in HTML.
fn without_code(line: &str) -> String {
    let mut bare = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(['`', '<']) {
        bare += &rest[..start];
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("<code>") {
            let (inside, after) = after.split_once("</code>").expect("it is closed");
            assert!(!inside.contains('<'), "HTML in code: {line}");
            rest = after;
        } else if rest.starts_with('`') {
            let run = rest.len() - rest.trim_start_matches('`').len();
            let ticks = &rest[..run];
            let end = rest[run..].find(ticks).unwrap_or_else(|| panic!("open code: {line}"));
            rest = &rest[run + end + run..];
        } else {
            bare.push('<');
            rest = &rest[1..];
        }
    }
    bare + rest
}

#[test]
fn a_comment_has_room_for_the_most_important() {
    let world = World::shop();
    let files = 900;
    for n in 0..files {
        let name = format!("templates/app/files/f{n:03}.txt.tera");
        world.write(&name, &"some context that takes room\n".repeat(3));
        let text = world.read(&name) + &format!("line {n}: {{{{ values.size }}}}\n");
        world.write(&name, &text);
    }
    world.commit("many files");
    std::fs::remove_file(world.path("hosts/us/austin.yaml")).expect("it is there");
    world.write(
        "templates/app/template.yaml",
        "apiVersion: titan.dev/v1\nkind: Template\nspec: {defaults: {size: 7}}\n",
    );
    set_size(&world, 3);
    for n in 0..3000 {
        world.write(&format!("hosts/h/new-{n:04}.yaml"), "apiVersion: titan.dev/v1\nkind: Hots\n");
    }
    let out = world.run("plan -o markdown --full plan.md").fine().out;
    assert!(out.chars().count() <= 65_536 && out.len() <= 65_536, "{} bytes", out.len());
    assert!(out.len() > 50_000, "the room is used: {} bytes", out.len());
    assert!(out.contains("- host austin leaves the fleet"));
    let last = out.lines().last().expect("it has lines");
    assert!(
        last.contains("more changes of files had no room here: all of them are in `plan.md`"),
        "{last}"
    );
    let full = world.read("plan.md");
    for n in 0..files {
        assert!(full.contains(&format!("+line {n}: 3")) && full.contains(&format!("+line {n}: 7")));
    }
    assert!(full.contains("new-2999.yaml"));
    let without = world.run("plan -o markdown").fine().out;
    assert!(without.contains("`titan plan --full FILE` writes all of them"));
}
