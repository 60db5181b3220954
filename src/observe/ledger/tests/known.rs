//! What the ledger knows of the files on the branch, so that it need not read them.

use super::*;
use crate::git::{
    EntryKind, FleetRepository, GitError, Location, Repository, TreeEdit, blob_id, folder_id,
};

const STATUS: &str = "titan/status";

/// A repository with nothing but status.
struct Branch {
    _folder: tempfile::TempDir,
    fleet: FleetRepository,
}

impl Branch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Repository::init(folder.path(), "main").unwrap();
        let location = Location::Local(folder.path().to_owned());
        let fleet = FleetRepository::open(&location, None, folder.path(), &Limits::default());
        Self { _folder: folder, fleet: fleet.unwrap() }
    }

    fn flush(&self, story: &mut Story, now: i64) {
        story.ledger.flush(&self.fleet, STATUS, at(now)).unwrap().expect("something is written");
    }

    /// Nothing of any host would have to be read.
    fn is_all_known(&self, ledger: &Ledger) -> bool {
        let git = &self.fleet.repository;
        let tree = git.commit(git.branch(STATUS).unwrap().unwrap()).unwrap().tree;
        ledger.hosts.values().all(|entry| {
            let files = entry.files();
            let leaves = files.iter().map(|(path, blob)| (&**path, EntryKind::File, *blob));
            let known = folder_id(&leaves.collect::<Vec<_>>()).unwrap();
            git.entry(tree, &entry.folder).unwrap().unwrap().id == known
        })
    }

    /// The files of assignments on the branch.
    fn files(&self) -> BTreeMap<String, TreeId> {
        let git = &self.fleet.repository;
        let tree = git.commit(git.branch(STATUS).unwrap().unwrap()).unwrap().tree;
        let mut left = vec![(String::new(), tree)];
        let mut found = BTreeMap::new();
        while let Some((path, tree)) = left.pop() {
            for entry in git.entries(tree).unwrap() {
                let path = format!("{path}/{}", entry.name);
                match entry.kind {
                    EntryKind::Tree => left.push((path, entry.id)),
                    _ if path.matches('/').count() == 5 => drop(found.insert(path, entry.id)),
                    _ => {}
                }
            }
        }
        found
    }
}

/// The files as they are known.
fn known(ledger: &Ledger) -> BTreeMap<String, TreeId> {
    let entries = ledger.hosts.values().flat_map(|entry| {
        entry.assignments.iter().filter_map(|(deployment, record)| {
            let path = files::assignment_path(&entry.folder, deployment)?;
            Some((format!("/{path}"), record.file?))
        })
    });
    entries.collect()
}

fn lost() -> Result<Option<(Revision, TreeId)>, GitError> {
    Err(GitError::Conflict { branch: STATUS.into(), expected: None, actual: None })
}

#[test]
fn files_are_known_as_they_were_written_or_read() {
    let branch = Branch::new();
    let mut story = two_hosts();
    branch.flush(&mut story, 10);
    assert_eq!(known(&story.ledger), branch.files());
    assert!(branch.files().len() > 1 && branch.is_all_known(&story.ledger));

    // A report that comes before the flush has ended changes nothing in what was written.
    story.hears("a", true, &[(PROD, Deployed, 1)], 11);
    let mut draft = story.ledger.draft(&branch.fleet.repository, STATUS, at(11)).unwrap();
    story.hears("a", false, &[(PROD, Failed, 1)], 12);
    let before = branch.files();
    assert_eq!(known(&story.ledger), before, "the branch has what it had");
    let done = draft.write(&branch.fleet, STATUS, at(12));
    story.ledger.ended(draft, done).unwrap().expect("something is written");
    assert_eq!(known(&story.ledger), branch.files());
    assert_ne!(branch.files(), before);
    branch.flush(&mut story, 13);
    assert_eq!(known(&story.ledger), branch.files());

    let head = branch.fleet.repository.branch(STATUS).unwrap();
    let git = &branch.fleet.repository;
    let loaded = Ledger::load(git, head, &story.limits, at(14)).unwrap();
    assert_eq!(known(&loaded), branch.files());
    assert!(branch.is_all_known(&loaded) && branch.is_all_known(&story.ledger));
}

#[test]
fn what_others_wrote_stays_and_is_known() {
    let branch = Branch::new();
    let git = &branch.fleet.repository;
    let mut story = two_hosts();
    branch.flush(&mut story, 10);
    let mut other = two_hosts();
    other.ledger = Ledger::load(git, git.branch(STATUS).unwrap(), &story.limits, at(11)).unwrap();
    other.reconcile(11);
    other.hears("b", true, &[(PROD, Deployed, 1)], 12);
    // Two say different things of one host: the one that hears it last is right.
    story.hears("b", true, &[(PROD, Deployed, 1)], 12);
    story.hears("b", true, &[(PROD, Failed, 1)], 12);
    branch.flush(&mut other, 13);
    assert_eq!(known(&other.ledger), branch.files());
    story
        .ledger
        .draft(git, STATUS, at(13))
        .map(|draft| story.ledger.ended(draft, lost()))
        .unwrap()
        .unwrap_err();
    assert_eq!(known(&story.ledger), branch.files(), "what the other wrote, ours or not");
    branch.flush(&mut story, 14);
    assert_eq!(story.phase(B), Some(Failed));
    assert!(branch.is_all_known(&story.ledger));

    // A note that somebody laid beside the files of a host.
    let head = git.branch(STATUS).unwrap();
    let info = git.commit(head.unwrap()).unwrap();
    let mut edit = TreeEdit::new(git, Some(info.tree));
    let note = RepoPath::new("hosts/a/iot/sensor/NOTE").unwrap();
    edit.put(&note, b"broken disk").unwrap();
    let draft = crate::git::CommitDraft {
        tree: edit.write().unwrap(),
        parents: head.into_iter().collect(),
        author: info.committer.clone(),
        committer: info.committer,
        message: "a note".into(),
    };
    let noted = git.write_commit(&draft).unwrap();
    git.advance(STATUS, head, noted).unwrap();

    story.hears("a", true, &[(PROD, Deployed, 1)], 14);
    branch.flush(&mut story, 15);
    let files = branch.files();
    let note = files.get(&format!("/{note}"));
    assert_eq!(note, Some(&blob_id(b"broken disk")), "{files:?}");
    let files = files.into_iter().filter(|(path, _)| path.ends_with(".yaml"));
    assert_eq!(known(&story.ledger), files.collect());
}
