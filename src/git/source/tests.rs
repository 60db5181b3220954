use std::collections::BTreeMap;
use std::process::Command;

use gix::objs::Kind;

use super::*;
use crate::git::{CommitDraft, Objects, Signature};
use crate::model::{Size, SourceChanges};

/// What stands in a tree that may be as malformed as it likes.
#[derive(Clone)]
enum Node {
    File(&'static str, Vec<u8>),
    Submodule,
    Folder(Vec<(Vec<u8>, Node)>),
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn node(&mut self, depth: usize) -> Node {
        match self.below(12) {
            0 => Node::File("120000", b"a.yaml".to_vec()),
            1 => Node::Submodule,
            2 => Node::File("100755", b"x".to_vec()),
            3 => Node::File("100644", vec![b'y'; 1500]),
            4..8 if depth < 4 => {
                let count = self.below(4);
                Node::Folder((0..count).map(|_| (self.name(), self.node(depth + 1))).collect())
            }
            _ => Node::File("100644", vec![b'0' + u8::try_from(self.below(10)).expect("a digit")]),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let bad: [&[u8]; 6] = [b".git", b"..", b"caf\xe9", b"a/b", b"", b"x\ny"];
        let good: [&[u8]; 8] =
            [b"a", b"a.yaml", b"a-b", b"b.yaml", b"a0", b"c", b"d.yaml", b"README.md"];
        if self.below(60) == 0 { self.of(&bad).to_vec() } else { self.of(&good).to_vec() }
    }

    fn top(&mut self) -> Vec<u8> {
        let names = ["hosts", "templates", "workspaces", "titan.yaml", "src", "hosts", "README"];
        let near = ["hosts-old", "titan.yml", ".git", "Host", "workspace"];
        let name = if self.below(25) == 0 { self.of(&near) } else { self.of(&names) };
        name.as_bytes().to_vec()
    }

    /// Adds, replaces or removes something somewhere.
    fn edit(&mut self, folder: &mut Vec<(Vec<u8>, Node)>, depth: usize) {
        let at = self.below(folder.len() + 1);
        if depth < 4
            && self.below(4) > 0
            && let Some((_, Node::Folder(below))) = folder.get_mut(at)
        {
            return self.edit(below, depth + 1);
        }
        let name = if depth == 0 { self.top() } else { self.name() };
        let node = self.node(depth + 1);
        let twice = self.below(50) == 0;
        match self.below(4) {
            0 => drop((at < folder.len()).then(|| folder.remove(at))),
            _ if twice => folder.push((name, node)),
            _ => {
                folder.retain(|(known, _)| *known != name);
                folder.push((name, node));
            }
        }
        if self.below(50) > 0 {
            folder.sort_by_cached_key(|(name, node)| {
                let end: &[u8] = if matches!(node, Node::Folder(_)) { b"/" } else { b"" };
                [name, end].concat()
            });
        }
    }
}

fn write(objects: &Objects, node: &Node) -> (&'static str, ObjectId) {
    let store = objects.repository().store();
    let put = |kind, bytes: &[u8]| store.write(kind, bytes, None).expect("written");
    match node {
        Node::File(mode, bytes) => (mode, put(Kind::Blob, bytes)),
        Node::Submodule => ("160000", ObjectId::empty_blob(gix::hash::Kind::Sha1)),
        Node::Folder(entries) => {
            let mut bytes = Vec::new();
            for (name, node) in entries {
                let (mode, id) = write(objects, node);
                bytes.extend(
                    [mode.as_bytes(), b" ", name.as_slice(), b"\0", id.as_bytes()].concat(),
                );
            }
            ("40000", put(Kind::Tree, &bytes))
        }
    }
}

fn commit(objects: &Objects, root: &[(Vec<u8>, Node)]) -> Revision {
    let (_, tree) = write(objects, &Node::Folder(root.to_vec()));
    let signature =
        Signature { name: "t".into(), email: "t@t".into(), seconds: 1_000_000_000, offset: 0 };
    let draft = CommitDraft {
        tree: read::tree_id(tree),
        parents: Vec::new(),
        author: signature.clone(),
        committer: signature,
        message: "x".into(),
    };
    objects.repository().write_commit(&draft).expect("a commit")
}

/// What the settings' content allows, so that limits change too.
fn limits(files: &[SourceFile]) -> Limits {
    let narrow = files.iter().any(|file| file.content == Content::Bytes((*b"1").into()));
    let few = files.iter().any(|file| file.content == Content::Bytes((*b"2").into()));
    let blob_size = if narrow { Size::kib(1) } else { Size::kib(2) };
    let (hosts, objects) = if few { (1, 1) } else { (1000, 1000) };
    Limits { blob_size, hosts, objects, ..Limits::default() }
}

#[test]
fn changes_lead_to_the_files_of_the_next_revision() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(dir.path()).status();
    assert!(made.expect("git runs").success());
    let repository = Repository::open(dir.path()).expect("it opens");
    let objects = repository.begin();
    let repository = objects.repository();
    let mut incremental = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut root = Vec::new();
        let mut sources = Sources::default();
        let mut known = BTreeMap::new();
        for _ in 0..40 {
            for _ in 0..=random.below(3) {
                random.edit(&mut root, 0);
            }
            let revision = commit(&objects, &root);
            match sources.changes(repository, revision, limits).expect("readable") {
                SourceChanges::All(files) => {
                    known = files.into_iter().map(|file| (file.path, file.content)).collect();
                }
                SourceChanges::Some(changes) => {
                    incremental += 1;
                    for (path, content) in changes {
                        match content {
                            Some(content) => drop(known.insert(path, content)),
                            None => assert!(known.remove(&path).is_some(), "{path} was there"),
                        }
                    }
                }
            }
            let known: Vec<SourceFile> = known
                .iter()
                .map(|(path, content)| SourceFile { path: path.clone(), content: content.clone() })
                .collect();
            assert_eq!(known, repository.source_files(revision, limits).expect("readable"));
        }
    }
    assert!(incremental > 400, "only {incremental} of 1600 were compared");
}
