//! What workers make.

use std::collections::BTreeMap;

use super::*;

const LARGEST: usize = 4 << 20;

/// Reproducible numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

type Files = BTreeMap<RepoPath, Arc<[u8]>>;

fn manifest(name: &str, host: usize, ring: usize) -> Vec<u8> {
    let lines: String = (0..ring * 7 + 20).map(|n| format!("  line-{n}: of {name}\n")).collect();
    format!("host: store-{host}\n{lines}name: store-{host}\n").into_bytes()
}

/// One assignment's files: some the same on all hosts, some for a few, some for one alone.
fn files(deployment: usize, host: usize, random: &mut Random) -> Files {
    let mut files = vec![
        ("deployment.yaml".to_owned(), manifest("deployment", host, 0)),
        ("a.yaml".to_owned(), manifest("a", 0, host % 3)),
        ("a/same.yaml".to_owned(), b"the same".to_vec()),
        ("a/b/ring.yaml".to_owned(), manifest("ring", host % 2, deployment % 2)),
        ("a-b/c".to_owned(), vec![b'x'; random.below(3)]),
        ("z/empty".to_owned(), Vec::new()),
    ];
    let noise =
        |random: &mut Random| (0..random.below(3000)).map(|_| random.below(256) as u8).collect();
    if random.below(4) == 0 {
        files.push(("z/noise".to_owned(), noise(random)));
    }
    files.truncate(1 + random.below(7));
    files
        .into_iter()
        .map(|(path, bytes)| (RepoPath::new(&path).expect("a path"), bytes.into()))
        .collect()
}

fn family(deployment: usize) -> impl Fn(&RepoPath) -> Sibling {
    move |path| Sibling::of(&(deployment, path))
}

/// Hosts, each with a few deployments, in chunks of a few hosts; the trees as they should be.
fn world(hosts: std::ops::Range<usize>, each: usize) -> (Vec<Chunk>, Vec<(TreeId, Files)>) {
    let (mut chunks, mut trees) = (Vec::new(), Vec::new());
    let hosts: Vec<usize> = hosts.collect();
    for some in hosts.chunks(each) {
        let mut chunk = Chunk::new();
        for (host, deployment) in some.iter().flat_map(|host| (0..4).map(move |d| (*host, d))) {
            let mut random = Random((host * 4 + deployment) as u64);
            let files = files(deployment, host, &mut random);
            trees.push((chunk.files(&files, family(deployment)).expect("made"), files));
        }
        chunks.push(chunk);
    }
    (chunks, trees)
}

fn ids(trees: &[(TreeId, Files)]) -> impl Iterator<Item = TreeId> {
    trees.iter().map(|(id, _)| *id)
}

fn received(chunk: Chunk) -> Chunk {
    Chunk::from_bytes(&chunk.into_bytes(), LARGEST).expect("it is sound")
}

/// A commit that holds all trees, so that `git fsck` looks at them, and the one pack of it all.
fn committed(repository: &Repository, objects: Objects, trees: &[(TreeId, Files)]) {
    let mut edit = TreeEdit::new(objects.repository(), None);
    for (at, (tree, _)) in trees.iter().enumerate() {
        edit.put_tree(&RepoPath::new(&format!("t{at}")).expect("a path"), *tree).expect("put");
    }
    let root = edit.write().expect("written");
    let commit = objects.repository().write_commit(&draft(root)).expect("written");
    objects.finish().expect("finished");
    let before = repository.branch("main").expect("read");
    git(repository, &["update-ref", "refs/heads/main", &commit.to_string()], b"");
    assert_ne!(before, Some(commit));
    git(repository, &["fsck", "--full", "--strict"], b"");
    for (tree, files) in trees {
        let found = repository.walk(*tree).expect("in place");
        let found: Files = found
            .into_iter()
            .map(|(path, entry)| (path, repository.blob(entry.id).expect("in place")))
            .collect();
        assert_eq!(found, *files);
    }
}

/// The longest chain of deltas in any pack; all packs are sound.
fn longest_chain(repository: &Repository) -> usize {
    let chains = super::files(repository, ".pack").into_iter().map(|pack| {
        let pack = pack.to_str().expect("text");
        git(repository, &["index-pack", "--strict", "-o", &format!("{pack}.again"), pack], b"");
        std::fs::remove_file(format!("{pack}.again")).expect("removed");
        let text = git(repository, &["verify-pack", "-v", pack], b"");
        let text = String::from_utf8(text).expect("text");
        let lines = text.lines().filter_map(|line| line.strip_prefix("chain length = "));
        let chain = lines.filter_map(|line| line.split(':').next()?.parse().ok()).max();
        chain.unwrap_or(0)
    });
    chains.max().unwrap_or(0)
}

#[test]
fn chunks_of_many_workers_make_one_pack() {
    for (seed, each) in [(0, 1), (100, 7), (200, 60)] {
        let (_dir, repository) = bare();
        let (chunks, trees) = world(seed..seed + 60, each);
        let objects = repository.begin();
        std::thread::scope(|scope| {
            for (at, chunk) in chunks.into_iter().enumerate() {
                let (objects, trees) = (&objects, &trees);
                let chunk = if at % 2 == 0 { chunk } else { received(chunk) };
                scope.spawn(move || objects.join(chunk, ids(trees)).expect("joined"));
            }
        });
        let (tree, files) = &trees[0];
        let staged = objects.repository().walk(*tree).expect("it is read before it is in place");
        assert_eq!(staged.len(), files.len());
        committed(&repository, objects, &trees);
        assert!(longest_chain(&repository) <= 5);
    }
}

#[test]
fn ids_are_those_of_the_tree_editor() {
    let (_dir, repository) = bare();
    let (_, trees) = world(0..20, 20);
    for (tree, files) in &trees {
        let mut edit = TreeEdit::new(&repository, None);
        for (path, bytes) in files {
            edit.put(path, bytes).expect("put");
        }
        assert_eq!(edit.write().expect("written"), *tree);
    }
    let none = Chunk::new().files(&BTreeMap::new(), family(0)).expect("made");
    assert_eq!(none, crate::git::empty_tree());
}

#[test]
fn only_what_is_asked_for_is_written() {
    let (_dir, repository) = bare();
    for hosts in [10, 400] {
        let join = |range: std::ops::Range<usize>, there: &[(TreeId, Files)]| {
            let objects = repository.begin();
            let (chunks, trees) = world(range, 1000);
            let new: Vec<TreeId> =
                ids(&trees).filter(|id| ids(there).all(|known| known != *id)).collect();
            for chunk in chunks {
                objects.join(received(chunk), new.iter().copied()).expect("joined");
            }
            (objects, trees)
        };
        let (objects, trees) = join(0..hosts, &[]);
        committed(&repository, objects, &trees);
        let before = super::files(&repository, "").len();
        let (objects, _) = join(0..hosts, &trees);
        objects.finish().expect("finished");
        assert_eq!(super::files(&repository, "").len(), before, "nothing is new");
        // What is new is a delta of what is there, so that comes along.
        let (objects, trees) = join(0..hosts + 3, &trees);
        committed(&repository, objects, &trees);
        let packs = super::files(&repository, ".pack");
        let size = |path: &PathBuf| std::fs::metadata(path).expect("a pack").len();
        let sizes: Vec<u64> = packs.iter().map(size).collect();
        if hosts == 400 {
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(least.expect("packs") * 4 < *most.expect("packs"), "{sizes:?}");
        }
    }
}

/// Every chunk begins with what the one before ended with, so that bases are deltas already.
#[test]
fn chains_of_deltas_stay_short() {
    let (_dir, repository) = bare();
    let objects = repository.begin();
    let mut trees = Vec::new();
    let one =
        |host| Files::from([(RepoPath::new("a").expect("a path"), manifest("a", host, 0).into())]);
    for at in 0..20 {
        let mut chunk = Chunk::new();
        for host in [at, at + 1] {
            trees.push((chunk.files(&one(host), family(0)).expect("made"), one(host)));
        }
        objects.join(chunk, ids(&trees)).expect("joined");
    }
    committed(&repository, objects, &trees);
    let longest = longest_chain(&repository);
    assert!((2..=5).contains(&longest), "{longest}");
}

#[test]
fn garbled_chunks_are_refused() {
    let mut chunk = Chunk::new();
    let mut random = Random(1);
    for host in 0..3 {
        chunk.files(&files(1, host, &mut random), family(1)).expect("made");
        let texts = Files::from([("a/b", 0), ("c", 1)].map(|(path, ring)| {
            (RepoPath::new(path).expect("a path"), manifest("m", host, ring).into())
        }));
        chunk.files(&texts, family(2)).expect("made");
    }
    assert!(chunk.records.iter().any(|record| record.base.is_some()));
    let content = |chunk: &Chunk| -> Vec<_> {
        (0..chunk.records.len()).map(|place| chunk.content(place).expect("sound")).collect()
    };
    let expected = content(&chunk);
    let bytes = chunk.into_bytes();
    assert_eq!(content(&Chunk::from_bytes(&bytes, LARGEST).expect("sound")), expected);
    let refused = |bytes: &[u8], largest| {
        matches!(Chunk::from_bytes(bytes, largest), Err(GitError::Chunk { .. }))
    };
    assert!(refused(&bytes, 100), "larger than allowed");
    assert!(refused(&[&bytes[..], b"x"].concat(), LARGEST));
    for length in 0..bytes.len() {
        assert!(refused(&bytes[..length], LARGEST), "cut off at {length}");
    }
    let mut harmless = 0;
    for at in 0..bytes.len() * 8 {
        let mut garbled = bytes.clone();
        garbled[at / 8] ^= 1 << (at % 8);
        match Chunk::from_bytes(&garbled, LARGEST) {
            Err(GitError::Chunk { .. }) => {}
            Err(error) => panic!("bit {at}: {error}"),
            // Deflate pads with bits that nobody reads.
            Ok(chunk) => {
                assert_eq!(content(&chunk), expected, "bit {at}");
                harmless += 1;
            }
        }
    }
    assert!(harmless * 10 < bytes.len() * 8, "{harmless}");
}

/// What a worker that is not ours might say.
#[test]
fn trees_hold_only_what_is_there() {
    let chunk_with = |tree: &[u8]| {
        let mut chunk = Chunk::new();
        chunk.blob(b"x", None).expect("made");
        let id = name(Kind::Tree, tree).expect("named");
        chunk.append(id, Kind::Tree, None, tree, entry::Level::Stored);
        Chunk::from_bytes(&chunk.into_bytes(), LARGEST)
    };
    let id = name(Kind::Blob, b"x").expect("named");
    let entry = |mode: &str, name: &str, id: &ObjectId| {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", id.as_bytes()].concat()
    };
    let file = |name: &str| entry("100644", name, &id);
    assert!(chunk_with(&[file("a"), file("b")].concat()).is_ok());
    let missing = ObjectId::Sha1([7; 20]);
    for bad in [
        entry("100644", "a", &missing),
        entry("40000", "a", &id),
        entry("120000", "a", &id),
        entry("100755", "a", &id),
        entry("100664", "a", &id),
        file(".git"),
        file(".."),
        file("a/b"),
        file(""),
        [file("b"), file("a")].concat(),
        [file("a"), file("a")].concat(),
        file("a")[..20].to_vec(),
    ] {
        assert!(chunk_with(&bad).is_err(), "{:?}", String::from_utf8_lossy(&bad));
    }
}
