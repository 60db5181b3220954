//! The whole matrix: role × verb × kind × workspace, against a table that was written by hand.

use serde_json::{Value, json};

use super::*;
use crate::model::fixture::FleetBuilder;
use crate::model::{DeploymentRef, TemplateRef};

/// What each role gets: `+` allowed, `-` denied (403), `.` hidden (404).
const TABLE: &str = "
    object      verb     nobody viewer deployer editor owner admin
    fleet       read       -      -      -        -      -     +
    fleet       create     -      -      -        -      -     +
    fleet       change     -      -      -        -      -     +
    fleet       delete     -      -      -        -      -     +
    fleet       grant      -      -      -        -      -     +
    fleet       bound      -      -      -        -      -     +
    host        read       .      +      +        +      +     +
    host        create     .      -      -        -      -     +
    host        change     .      -      -        -      -     +
    host        delete     .      -      -        -      -     +
    host        grant      .      -      -        -      -     +
    host        bound      .      -      -        -      -     +
    other-host  read       .      .      .        .      .     +
    other-host  create     .      .      .        .      .     +
    other-host  change     .      .      .        .      .     +
    other-host  delete     .      .      .        .      .     +
    other-host  grant      .      .      .        .      .     +
    other-host  bound      .      .      .        .      .     +
    shared      read       .      +      +        +      +     +
    shared      create     .      -      -        -      -     +
    shared      change     .      -      -        -      -     +
    shared      delete     .      -      -        -      -     +
    shared      grant      .      -      -        -      -     +
    shared      bound      .      -      -        -      -     +
    workspace   read       .      +      +        +      +     +
    workspace   create     .      -      -        -      -     +
    workspace   change     .      -      -        -      +     +
    workspace   delete     .      -      -        -      +     +
    workspace   grant      .      -      -        -      +     +
    workspace   bound      .      -      -        -      -     +
    template    read       .      +      +        +      +     +
    template    create     .      -      -        +      +     +
    template    change     .      -      -        +      +     +
    template    delete     .      -      -        -      +     +
    template    grant      .      -      -        -      -     +
    template    bound      .      -      -        -      -     +
    target      read       .      +      +        +      +     +
    target      create     .      -      -        +      +     +
    target      change     .      -      -        +      +     +
    target      delete     .      -      -        -      +     +
    target      grant      .      -      -        -      -     +
    target      bound      .      -      -        -      -     +
    workload    read       .      +      +        +      +     +
    workload    create     .      -      -        +      +     +
    workload    change     .      -      -        +      +     +
    workload    delete     .      -      -        -      +     +
    workload    grant      .      -      -        -      -     +
    workload    bound      .      -      -        -      -     +
    deployment  read       .      +      +        +      +     +
    deployment  create     .      -      +        +      +     +
    deployment  change     .      -      +        +      +     +
    deployment  delete     .      -      -        -      +     +
    deployment  grant      .      -      -        -      -     +
    deployment  bound      .      -      -        -      -     +
";

/// The objects that belong to a workspace: of a foreign one, all is hidden but from admins.
const OWNED: [&str; 5] = ["workspace", "template", "target", "workload", "deployment"];

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Everybody has a role in `own`, by all three ways; `foreign` has its own people.
fn fleet() -> Fleet {
    let ways = |of: &str, role: &str| {
        [
            json!({"user": format!("{of}-{role}"), "role": role}),
            json!({"group": format!("{of}-{role}s"), "role": role}),
            json!({"ci": format!("{of}-{role}-job"), "role": role}),
        ]
    };
    let members = |of: &str| -> Vec<Value> {
        Role::ALL.iter().flat_map(|role| ways(of, role.as_str())).collect()
    };
    let bounds = |region: &str| json!({"matchLabels": {"region": region}});
    let mut builder = FleetBuilder::new()
        .workspace("own", json!({"members": members("own"), "hosts": bounds("eu")}))
        .workspace("foreign", json!({"members": members("foreign"), "hosts": bounds("us")}))
        .host("berlin", "region=eu")
        .host("austin", "region=us");
    let admins = json!([{"user": "root"}, {"group": "roots"}, {"ci": "root-job"}]);
    builder.fleet.settings.admins = serde_json::from_value(admins).unwrap();
    builder.fleet
}

fn person(user: &str, groups: &[&str]) -> Subject {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Subject::Person(Person { issuer: None, user: user.into(), groups })
}

fn job(name: &str) -> Subject {
    Subject::Ci([name.to_owned()].into())
}

/// All subjects that are what a column says.
fn subjects(column: &str) -> Vec<Subject> {
    match column {
        "nobody" => vec![
            Subject::Anonymous,
            Subject::Host(name("sofia")),
            person("own", &["own", "", "own-editor"]),
            person("", &[""]),
            job("own-editors"),
            Subject::Ci(BTreeSet::new()),
        ],
        "admin" => {
            vec![Subject::Local, person("root", &[]), person("x", &["roots"]), job("root-job")]
        }
        role => vec![
            person(&format!("own-{role}"), &[]),
            person("x", &["y", &format!("own-{role}s")]),
            job(&format!("own-{role}-job")),
        ],
    }
}

fn object(word: &str, workspace: &str) -> ObjectRef {
    let name_in = |kind: &str| format!("{workspace}/{kind}");
    match word {
        "fleet" => ObjectRef::Fleet,
        "host" => ObjectRef::Host(name("berlin")),
        "other-host" => ObjectRef::Host(name("austin")),
        "shared" => ObjectRef::Template(TemplateRef { workspace: None, name: name("app") }),
        "workspace" => ObjectRef::Workspace(name(workspace)),
        "template" => ObjectRef::Template(name_in("app").parse().unwrap()),
        "target" => ObjectRef::Target(name_in("all").parse().unwrap()),
        "workload" => ObjectRef::Workload(name_in("app").parse().unwrap()),
        "deployment" => {
            ObjectRef::Deployment(DeploymentRef::new(name(workspace), name("app"), name("prod")))
        }
        other => panic!("{other}"),
    }
}

fn verb(word: &str) -> Verb {
    let words = ["read", "create", "change", "delete", "grant", "bound"];
    Verb::ALL[words.iter().position(|known| *known == word).unwrap()]
}

fn cell(decision: Decision<'_>) -> &'static str {
    match decision {
        Decision::Allowed => "+",
        Decision::Denied(_) => "-",
        Decision::Hidden(_) => ".",
    }
}

#[test]
fn every_role_verb_kind_and_workspace() {
    let fleet = fleet();
    let mut lines = TABLE.trim().lines();
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(2).collect();
    let (mut rows, mut cells) = (BTreeSet::new(), 0);
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (what, verb) = (words[0], verb(words[1]));
        rows.insert((what, verb));
        for (column, expected) in columns.iter().zip(&words[2..]) {
            for subject in subjects(column) {
                let mut check = |workspace: &str, expected: &str| {
                    let object = object(what, workspace);
                    let found = cell(authorize(&fleet, &subject, verb, &object));
                    assert_eq!(found, expected, "{column} {subject:?} {verb:?} {object}");
                    cells += 1;
                };
                check("own", expected);
                if OWNED.contains(&what) {
                    let hidden = if *column == "admin" { "+" } else { "." };
                    check("foreign", hidden);
                    check("absent", hidden);
                }
            }
        }
    }
    assert_eq!(rows.len(), 9 * Verb::ALL.len(), "a row is missing");
    assert!(cells > 2000, "{cells}");
}

#[test]
fn a_host_reads_itself_alone() {
    let fleet = fleet();
    let berlin = Subject::Host(name("berlin"));
    for (word, verb, expected) in [
        ("host", Verb::Read, "+"),
        ("host", Verb::Change, "-"),
        ("other-host", Verb::Read, "."),
        ("deployment", Verb::Read, "."),
        ("workspace", Verb::Read, "."),
        ("shared", Verb::Read, "."),
        ("fleet", Verb::Read, "-"),
    ] {
        let object = object(word, "own");
        assert_eq!(cell(authorize(&fleet, &berlin, verb, &object)), expected, "{word} {verb:?}");
    }
}

#[test]
fn the_highest_role_counts() {
    let fleet = fleet();
    let own = name("own");
    let both = person("own-viewer", &["own-deployers"]);
    assert_eq!(role_in(&fleet, &both, &own), Some(Role::Deployer));
    let jobs = Subject::Ci(["own-editor-job".to_owned(), "own-viewer-job".to_owned()].into());
    assert_eq!(role_in(&fleet, &jobs, &own), Some(Role::Editor));
    assert_eq!(role_in(&fleet, &both, &name("foreign")), None);
}

#[test]
fn names_count_only_with_their_issuer() {
    let mut builder = FleetBuilder::new().workspace(
        "own",
        json!({"members": [
            {"user": "ada", "role": "viewer"},
            {"user": "ada", "issuer": "partners", "role": "editor"},
            {"group": "ops", "issuer": "nobody-s", "role": "owner"},
        ]}),
    );
    let issuer = |name: &str, kind: &str| json!({"name": name, "issuer": "https://x.example", "audience": "titan", "kind": kind});
    let issuers =
        json!([issuer("jobs", "ci"), issuer("staff", "people"), issuer("partners", "people")]);
    builder.fleet.settings.identity = serde_json::from_value(issuers).unwrap();
    let role = |issuer: Option<&str>| {
        let issuer = issuer.map(str::to_owned);
        let groups = ["ops".to_owned()].into();
        let ada = Subject::Person(Person { issuer, user: "ada".into(), groups });
        role_in(&builder.fleet, &ada, &name("own"))
    };
    assert_eq!(role(None), Some(Role::Viewer), "the first issuer of people is meant");
    assert_eq!(role(Some("staff")), Some(Role::Viewer));
    assert_eq!(role(Some("partners")), Some(Role::Editor));
    assert_eq!(role(Some("jobs")), None);
}

#[test]
fn an_entry_that_names_nobody_or_several_is_nobody() {
    for members in [
        json!([{"role": "owner"}]),
        json!([{"user": "", "role": "owner"}]),
        json!([{"group": "", "role": "owner"}]),
        json!([{"ci": "", "role": "owner"}]),
        json!([{"user": "ada", "group": "ops", "role": "owner"}]),
        json!([{"user": "ada", "ci": "job", "role": "owner"}]),
    ] {
        let fleet = FleetBuilder::new().workspace("own", json!({"members": members})).fleet;
        for subject in [
            person("ada", &["ops", ""]),
            person("", &[""]),
            job("job"),
            job(""),
            Subject::Anonymous,
        ] {
            assert_eq!(role_in(&fleet, &subject, &name("own")), None, "{members} {subject:?}");
        }
    }
}

#[test]
fn a_workspace_that_cannot_be_read_has_no_members() {
    let mut fleet = fleet();
    fleet.workspaces.remove("own");
    let owner = person("own-owner", &[]);
    let object = object("workspace", "own");
    assert_eq!(cell(authorize(&fleet, &owner, Verb::Change, &object)), ".");
    fleet.settings.admins.clear();
    assert!(!is_admin(&fleet, &person("root", &["roots"])));
}

#[test]
fn changes_of_a_workspace_are_told_apart() {
    let spec = |spec: Value| -> WorkspaceSpec { serde_json::from_value(spec).unwrap() };
    let plain = spec(json!({}));
    let values = spec(json!({"values": {"a": 1}}));
    let members = spec(json!({"members": [{"user": "ada", "role": "owner"}]}));
    let hosts = spec(json!({"hosts": {"matchLabels": {"region": "eu"}}}));
    let policy = spec(json!({"policy": {"kinds": ["ConfigMap"]}}));
    let check = |of: &str, before: Option<&_>, after: Option<&_>, expected: &[Verb]| {
        let found = workspace_verbs(&name(of), before, after);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{of} {before:?} {after:?}");
    };
    check("own", Some(&plain), Some(&plain), &[]);
    check("own", Some(&plain), Some(&values), &[Verb::Change]);
    check("own", Some(&plain), Some(&members), &[Verb::Change, Verb::Grant]);
    check("own", Some(&hosts), Some(&plain), &[Verb::Change, Verb::Bound]);
    check("own", Some(&policy), Some(&members), &[Verb::Change, Verb::Grant, Verb::Bound]);
    check("own", None, Some(&plain), &[Verb::Create]);
    check("own", None, Some(&hosts), &[Verb::Create, Verb::Bound]);
    check("own", Some(&hosts), None, &[Verb::Delete]);
    check("default", Some(&hosts), None, &[Verb::Delete, Verb::Bound]);
    check("default", Some(&members), None, &[Verb::Delete]);
}

#[test]
fn needs_and_subjects_are_told() {
    let deployment = object("deployment", "own");
    assert_eq!(need(Verb::Change, &deployment).to_string(), "role `deployer` in workspace `own`");
    assert_eq!(need(Verb::Change, &ObjectRef::Fleet).to_string(), "an admin of the fleet");
    let read = object("host", "own");
    let text = "a role in a workspace that may use host `berlin`";
    assert_eq!(need(Verb::Read, &read).to_string(), text);
    assert_eq!(person("ada@example.com", &[]).to_string(), "ada@example.com");
    // Nobody is called like somebody else.
    for (user, issuer, expected) in [
        ("host berlin", None, "\"host berlin\""),
        ("ci release", None, "\"ci release\""),
        ("development", None, "\"development\""),
        ("ada (partner)", None, "\"ada (partner)\""),
        ("ada", Some("partner"), "ada (partner)"),
    ] {
        let issuer = issuer.map(str::to_owned);
        let person = Person { user: user.into(), issuer, ..Person::default() };
        assert_eq!(Subject::Person(person).to_string(), expected);
    }
    assert_eq!(job("release").to_string(), "ci release");
}
