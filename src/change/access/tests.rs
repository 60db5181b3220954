//! Paths → what touching them takes.

use serde_json::json;

use super::*;
use crate::model::Person;
use crate::model::fixture::FleetBuilder;

fn fleet(spec: serde_json::Value) -> Fleet {
    FleetBuilder::new().workspace("iot", spec).fleet
}

/// What touching `path` takes, when neither side says anything about its content.
fn takes(path: &str, before: bool, after: bool) -> String {
    let fleet = fleet(json!({}));
    let path = RepoPath::new(path).unwrap();
    let touched = [Touched { path: path.clone(), before, after }];
    let states = States { before: &fleet, after: &fleet };
    let found = denied(&fleet, &Subject::Anonymous, states, &touched);
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.code.as_str(), found.path.as_ref()), ("access/denied", Some(&path)));
    found.message.split("it takes ").nth(1).unwrap().replace('`', "")
}

#[test]
fn every_path_takes_something() {
    let admin = "an admin of the fleet";
    let (deployer, editor, owner) = (
        "role deployer in workspace iot",
        "role editor in workspace iot",
        "role owner in workspace iot",
    );
    for (path, expected) in [
        ("titan.yaml", admin),
        ("README.md", admin),
        ("CODEOWNERS", admin),
        (".github/workflows/ci.yaml", admin),
        ("hosts/eu/berlin.yaml", admin),
        ("hosts/eu/berlin.yml", admin),
        ("templates/app/template.yaml", admin),
        ("templates/app/files/a.yaml", admin),
        ("workspaces/README.md", admin),
        ("workspaces/IOT/workspace.yaml", admin),
        ("Workspaces/iot/targets/all.yaml", admin),
        ("workspaces/iot/workspace.yaml", owner),
        ("workspaces/iot/README.md", editor),
        ("workspaces/iot/targets/all.yaml", editor),
        ("workspaces/iot/targets/-.yaml", editor),
        ("workspaces/iot/target/all.yaml", editor),
        ("workspaces/iot/templates/app/template.yaml", editor),
        ("workspaces/iot/templates/app/files/x/README.md", editor),
        ("workspaces/iot/workloads/a/workload.yaml", editor),
        ("workspaces/iot/workloads/a/deployments/prod.yaml", deployer),
        ("workspaces/iot/workloads/a/deployments/prod.yml", editor),
    ] {
        assert_eq!(takes(path, true, true), expected, "{path}");
    }
    assert_eq!(takes("workspaces/iot/workspace.yaml", false, true), admin);
    assert_eq!(takes("workspaces/iot/workloads/a/deployments/prod.yaml", false, true), deployer);
    assert_eq!(takes("workspaces/iot/workloads/a/deployments/prod.yaml", true, false), owner);
    assert_eq!(takes("workspaces/iot/targets/all.yaml", true, false), owner);
    assert_eq!(takes("workspaces/iot/templates/app/files/a.yaml", true, false), editor);
}

#[test]
fn bounds_of_a_workspace_are_not_its_own() {
    let members = json!([{"user": "ada", "role": "owner"}]);
    let bound = fleet(json!({"members": members, "hosts": {"matchLabels": {"region": "eu"}}}));
    let same = fleet(json!({"hosts": {"matchLabels": {"region": "eu"}}, "values": {"a": 1}}));
    let free = fleet(json!({"members": members}));
    let mut broken = fleet(json!({}));
    broken.workspaces.remove("iot");
    let ada = Subject::Person(Person { user: "ada".into(), ..Person::default() });
    let check = |after: &Fleet, there: bool, expected: usize| {
        let path = RepoPath::new("workspaces/iot/workspace.yaml").unwrap();
        let touched = [Touched { path, before: true, after: there }];
        let states = States { before: &bound, after };
        let found = denied(&bound, &ada, states, &touched);
        assert_eq!(found.len(), expected, "{found:?}");
        assert!(found.iter().all(|found| found.message.contains("an admin of the fleet")));
    };
    check(&same, true, 0);
    check(&free, true, 1);
    check(&broken, true, 1);
    check(&broken, false, 0);
}

#[test]
fn wishes_are_told_apart() {
    let fleet = fleet(json!({
        "members": [{"user": "ada", "role": "owner"}],
        "hosts": {"matchLabels": {"region": "eu"}},
    }));
    let check = |change: serde_json::Value, expected: &[Verb]| {
        let wish: crate::change::Wish =
            serde_json::from_value(json!({ "changes": [change] })).unwrap();
        let wanted = wish.understand().unwrap();
        let found: Vec<Verb> = verbs_of(&fleet, &wanted[0]).into_iter().collect();
        assert_eq!(found, expected, "{change}");
    };
    let of = |op: &str, name: &str, field: &str, spec: serde_json::Value| json!({"op": op, "kind": "Workspace", "name": name, field: {"spec": spec}});
    let patch = |spec: serde_json::Value| of("patch", "iot", "patch", spec);
    use Verb::{Bound, Change, Create, Delete, Grant};
    check(patch(json!({"values": {"a": 1}})), &[Change]);
    check(patch(json!({"members": [{"user": "eve", "role": "owner"}]})), &[Change, Grant]);
    check(patch(json!({"members": null})), &[Change, Grant]);
    check(patch(json!({"hosts": null})), &[Change, Bound]);
    check(patch(json!({"hosts": {"matchLabels": {"region": "us"}}})), &[Change, Bound]);
    check(patch(json!({"policy": {"kinds": []}})), &[Change, Bound]);
    check(patch(json!({"nonsense": 1})), &[Change, Grant, Bound]);
    check(
        json!({"op": "patch", "kind": "Workspace", "name": "iot", "patch": {"spec": null}}),
        &[Change, Grant, Bound],
    );
    check(of("update", "iot", "object", json!({})), &[Change, Grant, Bound]);
    let same = json!({
        "members": [{"user": "ada", "role": "owner"}],
        "hosts": {"matchLabels": {"region": "eu"}},
        "values": {"a": 1},
    });
    check(of("update", "iot", "object", same.clone()), &[Change]);
    check(of("patch", "other", "patch", json!({})), &[Change, Grant, Bound]);
    check(of("create", "other", "object", same), &[Create, Grant, Bound]);
    check(json!({"op": "delete", "kind": "Workspace", "name": "iot"}), &[Delete]);
    check(json!({"op": "delete", "kind": "Target", "name": "iot/all"}), &[Delete]);
}
