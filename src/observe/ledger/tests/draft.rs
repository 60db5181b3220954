//! What happens while a draft is written.

use super::*;
use crate::git::{FleetRepository, GitError, Location, Repository};
use crate::model::{RequestId, RequestStatus};

fn failed() -> GitError {
    GitError::Conflict { branch: "titan/status".into(), expected: None, actual: None }
}

/// The phase that a draft will write.
fn drafted(draft: &Draft, text: &str) -> Phase {
    let AssignmentRef { deployment, host } = assignment(text);
    let (_, entry) = draft.hosts.iter().find(|(name, _)| *name == host).unwrap();
    entry.assignments[&deployment].phase()
}

#[test]
fn what_changes_meanwhile_is_written_next() {
    let mut story = two_hosts();
    story.dirty();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    let draft = story.ledger.take_draft();
    assert!(!story.ledger.is_dirty());
    story.hears("a", false, &[(PROD, Failed, 1)], 12);
    assert_eq!(drafted(&draft, A), Deployed, "a draft does not change");
    assert_eq!(story.phase(A), Some(Failed));
    assert_eq!(story.ledger.ended(draft, Ok(None)).unwrap(), None);
    assert_eq!(story.dirty(), ["fleet.yaml", "hosts/a.yaml", "hosts/a/iot/sensor/prod.yaml"]);
    assert_eq!(story.dirty(), [""; 0]);
}

/// Of refused requests the newest stay in the branch's tree.
#[test]
fn refused_requests_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.git");
    std::fs::create_dir(&path).unwrap();
    Repository::init(&path, "main").unwrap();
    let (location, limits) = (Location::Local(path), Limits::default());
    let fleet = FleetRepository::open(&location, Some("main"), folder.path(), &limits).unwrap();
    let mut ledger = Ledger::empty(&limits, at(0));
    let place = |id: &RequestId| files::request_path(id);
    let ids = (0..).map(|number| format!("r{number}").parse::<RequestId>().unwrap());
    let of_one_folder = |id: &RequestId| place(id).as_str().starts_with("requests/00/");
    let ids: Vec<_> = ids.filter(of_one_folder).take(70).collect();
    let mut head = None;
    for (second, id) in ids.iter().enumerate() {
        ledger.refused(RequestStatus {
            api_version: API_VERSION.into(),
            kind: files::REQUEST_KIND.into(),
            id: id.clone(),
            digest: "x".into(),
            actor: "anna".into(),
            answer: 422,
            reason: "no".into(),
            diagnostics: Vec::new(),
            since: at(i64::try_from(second).unwrap()),
        });
        let written = ledger.flush(&fleet, "titan/status", at(100)).unwrap();
        assert!(written.is_some() && written != head);
        head = written;
    }
    let git = &fleet.repository;
    let tree = git.commit(head.unwrap()).unwrap().tree;
    let there = |id: &RequestId| git.file(tree, &place(id)).unwrap().is_some();
    let left: Vec<_> = ids.iter().filter(|id| there(id)).collect();
    assert_eq!(left, ids[6..].iter().collect::<Vec<_>>());
}

#[test]
fn what_could_not_be_written_is_written_next() {
    let mut story = two_hosts();
    story.dirty();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    let draft = story.ledger.take_draft();
    story.hears("b", true, &[(PROD, Deployed, 1)], 12);
    assert!(story.ledger.ended(draft, Err(failed())).is_err());
    let draft = story.ledger.take_draft();
    assert_eq!((drafted(&draft, A), drafted(&draft, B)), (Deployed, Deployed));
    assert!(story.ledger.ended(draft, Err(failed())).is_err());
    let all = [
        "fleet.yaml",
        "hosts/a.yaml",
        "hosts/a/iot/sensor/prod.yaml",
        "hosts/b.yaml",
        "hosts/b/iot/sensor/prod.yaml",
    ];
    assert_eq!(story.dirty(), all);
    assert_eq!(story.dirty(), [""; 0]);
}

#[test]
fn what_goes_meanwhile_is_removed_next() {
    let mut story = two_hosts();
    story.dirty();
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    let draft = story.ledger.take_draft();
    story.rendered(&[(B, 1)], 12);
    story.hears("a", true, &[], 13);
    assert_eq!(story.phase(A), None);
    story.ledger.ended(draft, Ok(None)).unwrap();
    assert!(!pending(&story.ledger)["hosts/a/iot/sensor/prod.yaml"], "it is removed");
    story.dirty();
    assert_eq!(story.dirty(), [""; 0], "and not once more");
    assert!(story.ledger.hosts[&host("a")].gone.is_empty());
}
