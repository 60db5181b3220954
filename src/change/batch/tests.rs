//! Batches on real repositories.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::change::wish::Wish;
use crate::git::{Location, Signature};
use crate::model::{Limits, Person, RepoPath, Subject};

struct World {
    fleet: FleetRepository,
    _folder: TempDir,
}

fn signature() -> Signature {
    Signature { name: "anna".into(), email: "anna@example.com".into(), seconds: 100, offset: 0 }
}

fn options(message: &str) -> Options {
    Options {
        author: signature(),
        committer: signature(),
        message: message.to_owned(),
        trailers: vec![("Titan-Actor".into(), "anna".into())],
        mode: crate::change::Mode::Commit,
    }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fleet");
        std::fs::create_dir(&path).expect("made");
        Repository::init(&path, "main").expect("made");
        let location = Location::Local(path);
        let fleet =
            FleetRepository::open(&location, Some("main"), folder.path(), &Limits::default());
        Self { fleet: fleet.expect("it opens"), _folder: folder }
    }

    fn git(&self) -> &Repository {
        &self.fleet.repository
    }

    fn head(&self) -> Option<Revision> {
        self.git().branch("main").expect("readable")
    }

    fn read(&self, path: &str) -> Option<String> {
        let tree = self.git().commit(self.head()?).expect("a commit").tree;
        let bytes = self.git().file(tree, &RepoPath::new(path).expect("a path")).expect("readable");
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
    }

    fn desk(&self) -> (Desk, Requests) {
        (Desk::new(self.fleet.clone(), Judge::here()), Requests::default())
    }
}

fn request(id: &str, changes: Value) -> Request {
    let digest = changes.to_string();
    let wish: Wish = serde_json::from_value(json!({"changes": changes})).expect("a wish");
    let wanted = wish.understand().expect("it makes sense");
    let options = options(&wish.message(&wanted));
    let id = id.parse().expect("an id");
    Request { id, digest, wanted, subject: None, options, branch: None }
}

fn host(id: &str, name: &str, ring: &str) -> Request {
    let object = json!({"metadata": {"labels": {"ring": ring}}, "spec": {"runtime": "directory"}});
    request(id, json!([{"op": "create", "kind": "Host", "name": name, "object": object}]))
}

fn patch(id: &str, name: &str, patch: Value) -> Request {
    request(id, json!([{"op": "patch", "kind": "Host", "name": name, "patch": patch}]))
}

/// `ok`, or what stands in the way.
fn shown(outcomes: &[Outcome]) -> Vec<String> {
    let show = |outcome: &Outcome| match outcome {
        Outcome::Refused(ChangeError::Invalid { diagnostics }) => diagnostics[0].code.clone(),
        Outcome::Refused(error) => error.to_string(),
        Outcome::Committed(_) => "ok".into(),
        Outcome::Proposed(_) => "aside".into(),
        Outcome::Unchanged(_) => "same".into(),
        Outcome::Taken(_) => "taken".into(),
        Outcome::Failed(error) => error.to_string(),
    };
    outcomes.iter().map(show).collect()
}

#[test]
fn each_request_becomes_one_commit_with_its_trailers() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let batch = [
        host("r1", "a", "1"),
        host("r2", "b", "2"),
        patch("r3", "a", json!({"spec": {"cordoned": true}})),
    ];
    let outcomes = desk.commit(&batch, &mut known).expect("it works");
    assert_eq!(shown(&outcomes), ["ok", "ok", "ok"]);
    let chain = world.git().first_parents(world.head().expect("a head"), None, 9).expect("read");
    let ids: Vec<_> = chain
        .iter()
        .map(|commit| {
            let commit = world.git().commit(*commit).expect("read");
            assert_eq!(commit.trailer("Titan-Actor"), Some("anna"));
            assert!(commit.trailer(DIGEST_TRAILER).is_some());
            commit.trailer(ID_TRAILER).expect("an id").to_owned()
        })
        .collect();
    assert_eq!(ids, ["r3", "r2", "r1"]);
    assert!(world.read("hosts/a.yaml").expect("it is there").contains("cordoned: true"));
}

#[test]
fn an_id_counts_once_whoever_asks_and_when() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let first = desk.commit(&[host("r1", "a", "1"), host("r1", "a", "1")], &mut known);
    let first = first.expect("it works");
    assert_eq!(shown(&first), ["ok", "ok"]);
    let head = world.head();
    // The same process, and one that has just begun.
    let (mut other, mut nothing) = world.desk();
    for (desk, known) in [(&mut desk, &mut known), (&mut other, &mut nothing)] {
        let again = desk.commit(&[host("r1", "a", "1"), host("r1", "b", "1")], known);
        let again = again.expect("it works");
        assert_eq!(shown(&again), ["ok", "taken"]);
        let (Outcome::Committed(one), Outcome::Committed(two)) = (&first[0], &again[0]) else {
            panic!("{again:?}");
        };
        assert_eq!(one, two);
        assert_eq!(known.len(), 1);
    }
    assert_eq!(world.head(), head, "nothing was written");
}

#[test]
fn what_breaks_the_fleet_is_refused_and_its_neighbours_are_not() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let batch = [
        host("r1", "a", "1"),
        patch("r2", "a", json!({"spec": {"runtime": "stone"}})),
        host("r3", "b", "1"),
        patch("r4", "nobody", json!({"spec": {"cordoned": true}})),
        host("r5", "a", "2"),
        request("r6", json!([{"op": "delete", "kind": "Host", "name": "nobody"}])),
        patch("r7", "b", json!({"spec": {"cordoned": true}})),
    ];
    let outcomes = desk.commit(&batch, &mut known).expect("it works");
    let expected = [
        "ok",
        "field/value",
        "ok",
        "there is no host nobody",
        "host a exists already in `hosts/a.yaml`",
        "same",
        "ok",
    ];
    assert_eq!(shown(&outcomes), expected);
    assert_eq!(known.len(), 3);
    assert!(world.read("hosts/a.yaml").expect("it is there").contains("runtime: directory"));
    // What was refused leaves nothing behind that the next one would stumble over.
    let next = desk.commit(&[patch("r8", "a", json!({"spec": {"cordoned": true}}))], &mut known);
    assert_eq!(shown(&next.expect("it works")), ["ok"]);
}

#[test]
fn desks_that_race_lose_nothing() {
    let world = World::new();
    let rounds = 20;
    std::thread::scope(|scope| {
        for desk in 0..3 {
            let world = &world;
            scope.spawn(move || {
                let (mut own, mut known) = world.desk();
                for round in 0..rounds {
                    let name = format!("h-{desk}-{round}");
                    let outcomes = own.commit(&[host(&name, &name, "1")], &mut known);
                    assert_eq!(shown(&outcomes.expect("it works")), ["ok"]);
                }
            });
        }
    });
    let chain = world.git().first_parents(world.head().expect("a head"), None, 999).expect("read");
    assert_eq!(chain.len(), 3 * rounds);
    let mut known = Requests::default();
    known.follow(world.git(), world.head().expect("a head")).expect("read");
    assert_eq!(known.len(), 3 * rounds);
}

#[test]
fn a_proposal_gets_a_branch_of_its_own() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    desk.commit(&[host("r1", "a", "1")], &mut known).expect("it works");
    let aside = |id: &str, request: Request| Request {
        branch: Some(format!("titan/change/{id}")),
        ..request
    };
    let wish = || aside("r2", host("r2", "b", "1"));
    let broken = aside("r3", patch("r3", "a", json!({"spec": {"runtime": "stone"}})));
    let outcomes = desk.commit(&[wish(), host("r4", "c", "1"), broken], &mut known);
    assert_eq!(shown(&outcomes.expect("it works")), ["aside", "ok", "field/value"]);
    assert!(world.read("hosts/b.yaml").is_none() && world.read("hosts/c.yaml").is_some());
    let branch = world.git().branch("titan/change/r2").expect("readable");
    assert!(branch.is_some());
    let other = aside("r2", host("r2", "d", "1"));
    let again = desk.commit(&[wish(), other], &mut known).expect("it works");
    assert_eq!(shown(&again), ["aside", "taken"]);
    assert_eq!(world.git().branch("titan/change/r2").expect("readable"), branch);
}

/// Who asks is judged by what is at the head when it is their turn, not by what it was when they came.
#[test]
fn rights_are_those_of_the_commits_before() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let members = |role: &str| json!({"spec": {"members": [{"user": "ben", "role": role}]}});
    let workspace = |id: &str, op: &str, field: &str, object: Value| {
        request(id, json!([{"op": op, "kind": "Workspace", "name": "iot", field: object}]))
    };
    let by_ben = |id: &str| Request {
        subject: Some(Subject::Person(Person { user: "ben".into(), ..Person::default() })),
        ..request(
            id,
            json!([{"op": "create", "kind": "Workload", "name": format!("iot/{id}"), "object": {}}]),
        )
    };
    let batch = [
        workspace("r1", "create", "object", members("editor")),
        by_ben("r2"),
        workspace("r3", "patch", "patch", members("viewer")),
        by_ben("r4"),
        workspace("r5", "patch", "patch", json!({"spec": {"members": []}})),
        by_ben("r6"),
    ];
    let outcomes = desk.commit(&batch, &mut known).expect("it works");
    let expected = [
        "ok",
        "ok",
        "ok",
        "this takes role `editor` in workspace `iot`",
        "ok",
        "there is no workload iot/r6",
    ];
    assert_eq!(shown(&outcomes), expected);
}

/// A desk that stays remembers the fleet; what it says is what one says that has just begun.
#[test]
fn what_is_judged_again_is_what_a_change_reaches() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let zone = "zone: {{ host.labels.zone }}\n";
    let start = json!([
        {"op": "create", "kind": "Workspace", "name": "w", "object": {}},
        {"op": "create", "kind": "Workload", "name": "w/l", "object": {}},
        {"op": "create", "kind": "Template", "name": "t", "object": {}, "files": {"a.yaml.tera": zone}},
        {"op": "create", "kind": "Target", "name": "w/all",
         "object": {"spec": {"selector": {"matchLabels": {"ring": "1"}}}}},
        {"op": "create", "kind": "Deployment", "name": "w/l/d",
         "object": {"spec": {"template": "t", "target": "all"}}},
    ]);
    let zoned = json!({"metadata": {"labels": {"zone": "z"}}});
    let steps = [
        (request("r1", start), "ok"),
        (host("r2", "a", "2"), "ok"),
        (patch("r3", "a", json!({"metadata": {"labels": {"ring": "1"}}})), "render/undefined"),
        (host("r4", "b", "1"), "render/undefined"),
        (patch("r5", "a", zoned), "ok"),
        (patch("r6", "a", json!({"metadata": {"labels": {"ring": "1"}}})), "ok"),
        (patch("r7", "a", json!({"metadata": {"labels": {"zone": null}}})), "render/undefined"),
        (patch("r8", "a", json!({"spec": {"cordoned": true}})), "ok"),
    ];
    for (request, expected) in steps {
        let outcome = desk.commit(&[request], &mut known).expect("it works");
        assert_eq!(shown(&outcome), [expected]);
    }
}

/// A request that waits on a branch of its own has its id, whatever mode another one has; and it is found
/// behind what people add to it.
#[test]
fn the_id_of_a_proposal_is_taken() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    desk.commit(&[host("r1", "a", "1")], &mut known).expect("it works");
    let wish =
        || Request { branch: Some(own_branch(&"r2".parse().unwrap())), ..host("r2", "b", "1") };
    let first = desk.commit(&[wish()], &mut known).expect("it works");
    assert_eq!(shown(&first), ["aside"]);
    let again = desk.commit(&[host("r2", "c", "1")], &mut known).expect("it works");
    assert_eq!(shown(&again), ["taken"], "without a branch");
    let tip = world.git().branch("titan/change/r2").expect("readable").expect("it is there");
    let draft = CommitDraft {
        tree: world.git().commit(tip).expect("a commit").tree,
        parents: vec![tip],
        author: signature(),
        committer: signature(),
        message: "a note of the reviewer\n".into(),
    };
    let added = world.git().write_commit(&draft).expect("written");
    world.git().advance("titan/change/r2", Some(tip), added).expect("nobody else writes");
    let again = desk.commit(&[wish()], &mut known).expect("it works");
    let (Outcome::Proposed(one), Outcome::Proposed(two)) = (&first[0], &again[0]) else {
        panic!("{again:?}");
    };
    assert_eq!(one, two);
}

/// Who cannot get a branch fails alone.
#[test]
fn a_branch_that_cannot_be_is_nobody_elses_trouble() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    desk.commit(&[host("r1", "a", "1")], &mut known).expect("it works");
    let head = world.head().expect("a head");
    world.git().advance("titan/change/r2/below", None, head).expect("made");
    let aside = Request { branch: Some("titan/change/r2".into()), ..host("r2", "b", "1") };
    let outcomes = desk.commit(&[aside, host("r3", "c", "1")], &mut known).expect("it works");
    assert!(matches!(outcomes[0], Outcome::Failed(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Committed(_)), "{outcomes:?}");
}

/// Somebody broke the settings: an admin puts them right, by the rights of the commit before.
#[test]
fn a_broken_titan_yaml_is_mended_by_an_admin() {
    let world = World::new();
    let (mut desk, mut known) = world.desk();
    let settings = |id: &str, op: &str, more: Value| {
        let mut change = json!({"op": op, "kind": "Fleet"});
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request(id, json!([change]))
    };
    let admins = json!({"object": {"spec": {"admins": [{"user": "anna"}]}}});
    let made = desk.commit(&[settings("r1", "create", admins.clone())], &mut known);
    assert_eq!(shown(&made.expect("it works")), ["ok"]);
    let head = world.head().expect("a head");
    let mut tree = TreeEdit::new(world.git(), Some(world.git().commit(head).unwrap().tree));
    tree.put(&RepoPath::new("titan.yaml").unwrap(), b"kind: Flit\n").unwrap();
    let draft = CommitDraft {
        tree: tree.write().unwrap(),
        parents: vec![head],
        author: signature(),
        committer: signature(),
        message: "broken\n".into(),
    };
    let broken = world.git().write_commit(&draft).unwrap();
    world.git().advance("main", Some(head), broken).unwrap();
    world.git().check_out(broken, &[RepoPath::new("titan.yaml").unwrap()]).unwrap();
    let by = |user: &str, request: Request| Request {
        subject: Some(Subject::Person(Person { user: user.into(), ..Person::default() })),
        ..request
    };
    let mend = |id: &str| settings(id, "update", admins.clone());
    let outcomes = desk.commit(&[by("ben", mend("r2")), by("anna", mend("r3"))], &mut known);
    let outcomes = shown(&outcomes.expect("it works"));
    assert_eq!(outcomes[1], "ok", "{outcomes:?}");
    assert_eq!(outcomes[0], "this takes an admin of the fleet");
}
