use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::super::{Cause, Change, Delivery, Desired, Pending, Store};
use super::*;
use crate::model::{Name, Revision, Timestamp, TreeId};

const LIVE: &str = "iot/sensor/prod";
const STAGED: &str = ".titan/staging/iot.sensor.prod";
const LAST: &str = ".titan/staging/iot.sensor.prod.last";

fn deployment() -> DeploymentRef {
    LIVE.parse().expect("a deployment")
}

fn manifests(files: &[(&str, &str)]) -> Manifests {
    let files = files.iter().map(|(path, text)| {
        (RepoPath::new(path).expect("a path"), text.as_bytes().to_vec().into())
    });
    Manifests { files: files.collect() }
}

/// What the inventory says: applied files, and a change that was begun.
fn owned(applied: &Manifests, begun: Option<&Manifests>) -> Owned {
    let pending = begun.map(|begun| Pending {
        files: Digest::of_all(begun)
            .into_iter()
            .map(|(path, digest)| (path, BTreeSet::from([digest])))
            .collect(),
    });
    let tree = Some(TreeId::from_bytes([1; 20]));
    Owned { tree, files: Digest::of_all(applied), pending, ..Owned::default() }
}

fn put(dest: &TempDir, path: &str, text: &str) {
    let path = dest.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("folders are made");
    fs::write(path, text).expect("a file is written");
}

/// Everything below `dest` but empty titan folders: `path = content`.
fn draw(dest: &TempDir) -> Vec<String> {
    let walk = walkdir::WalkDir::new(dest.path()).min_depth(1).sort_by_file_name();
    let lines = walk.into_iter().filter_map(|entry| {
        let entry = entry.expect("an entry");
        let path = entry.path().strip_prefix(dest.path()).expect("below").to_str().expect("UTF-8");
        let kind = entry.file_type();
        if kind.is_dir() {
            let empty = fs::read_dir(entry.path()).expect("a folder").next().is_none();
            return (empty && !path.starts_with(".titan")).then(|| format!("{path}/"));
        }
        let text = if kind.is_symlink() { "link".into() } else { read(entry.path()) };
        Some(format!("{path} = {text}"))
    });
    lines.collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

fn directory(dest: &TempDir) -> Directory {
    Directory::open(dest.path(), Swap::Exchange).expect("the runtime opens")
}

fn dest() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn an_assignment_comes_changes_and_goes() {
    for swap in [Swap::Exchange, Swap::Renames] {
        let dest = dest();
        let runtime = Directory::open(dest.path(), swap).expect("the runtime opens");
        let one = manifests(&[("a.yaml", "1"), ("conf/b.yaml", "1")]);
        let two = manifests(&[("a.yaml", "2"), ("conf", "2")]);
        let name = deployment();
        let none = Manifests::default();

        runtime.apply(&name, &owned(&none, Some(&one)), &one).await.expect("it is applied");
        assert_eq!(draw(&dest), ["iot/sensor/prod/a.yaml = 1", "iot/sensor/prod/conf/b.yaml = 1"]);
        let mode = |path: &str| {
            let meta = fs::metadata(dest.path().join(LIVE).join(path)).expect("it exists");
            meta.permissions().mode() & 0o7777
        };
        assert_eq!((mode("conf"), mode("a.yaml")), (0o755, 0o644));

        // A folder of titan's becomes a file of titan's.
        runtime.apply(&name, &owned(&one, Some(&two)), &two).await.expect("it is applied");
        assert_eq!(draw(&dest), ["iot/sensor/prod/a.yaml = 2", "iot/sensor/prod/conf = 2"]);

        runtime.remove(&name, &owned(&two, Some(&none))).await.expect("it is removed");
        assert_eq!(draw(&dest), Vec::<String>::new());
        assert!(!dest.path().join("iot").exists(), "empty parents go too");
        runtime.remove(&name, &owned(&two, Some(&none))).await.expect("removing again is fine");
    }
}

#[tokio::test]
async fn a_reader_never_sees_two_versions() {
    let dest = dest();
    let runtime = directory(&dest);
    let version = |n: usize| {
        let text = n.to_string();
        let files: Vec<_> = (0..5).map(|file| format!("d{file}/f.yaml")).collect();
        manifests(&files.iter().map(|path| (path.as_str(), text.as_str())).collect::<Vec<_>>())
    };
    let first = version(0);
    let none = Manifests::default();
    let name = deployment();
    runtime.apply(&name, &owned(&none, Some(&first)), &first).await.expect("it is applied");

    let done = AtomicBool::new(false);
    let live = dest.path().join(LIVE);
    let reads = std::thread::scope(|scope| {
        // The reader holds on to one folder, as a program does that opens it and then reads.
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let folder = Folder::root(&live).expect("the folder is always there");
                let mut seen = BTreeSet::new();
                for file in 0..5 {
                    // Files of a replaced folder go one by one; what can be read is of one version.
                    let below = folder.child(format!("d{file}")).expect("a folder");
                    let text = below.and_then(|below| below.read("f.yaml").expect("readable"));
                    seen.extend(text);
                }
                assert!(seen.len() <= 1, "mixed: {seen:?}");
                reads += 1;
            }
            reads
        });
        let replaced = (1..=200).map(|n| (version(n - 1), version(n)));
        for (old, new) in replaced {
            let place = Place::of(&runtime.site, &name).expect("a place");
            place.apply(&owned(&old, Some(&new)), &new).expect("it is applied");
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader is content")
    });
    assert!(reads > 0);
    assert_eq!(read(&live.join("d4/f.yaml")), "200");
    assert_eq!(fs::read_dir(dest.path().join(".titan/staging")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn files_of_others_survive_everything() {
    let dest = dest();
    let runtime = directory(&dest);
    let (one, two) = (manifests(&[("a", "1"), ("conf/b", "1")]), manifests(&[("a", "2")]));
    let none = Manifests::default();
    let name = deployment();
    runtime.apply(&name, &owned(&none, Some(&one)), &one).await.expect("it is applied");
    put(&dest, "iot/sensor/prod/conf/mine", "m");
    put(&dest, "iot/sensor/prod/data/x/mine", "m");
    put(&dest, "iot/other", "m");
    symlink("/nowhere", dest.path().join(LIVE).join("link")).expect("a link");
    let mine = [
        "iot/other = m",
        "iot/sensor/prod/conf/mine = m",
        "iot/sensor/prod/data/x/mine = m",
        "iot/sensor/prod/link = link",
    ];
    let with = |extra: &str| {
        let mut all: Vec<_> = mine.iter().map(ToString::to_string).collect();
        all.insert(1, extra.to_owned());
        all
    };
    runtime.apply(&name, &owned(&one, Some(&two)), &two).await.expect("it is applied");
    assert_eq!(draw(&dest), with("iot/sensor/prod/a = 2"));
    runtime.remove(&name, &owned(&two, Some(&none))).await.expect("it is removed");
    assert_eq!(draw(&dest), mine);
}

#[tokio::test]
async fn what_stands_in_the_way_is_a_conflict() {
    let none = Manifests::default();
    let name = deployment();
    let check = async |foreign: &str, desired: &[(&str, &str)], conflict: bool| {
        let dest = dest();
        put(&dest, &format!("{LIVE}/{foreign}"), "theirs");
        let before = draw(&dest);
        let desired = manifests(desired);
        let result = directory(&dest).apply(&name, &owned(&none, Some(&desired)), &desired).await;
        match result {
            Err(DeliverError::Conflict { .. }) if conflict => assert_eq!(draw(&dest), before),
            Ok(()) if !conflict => {
                assert_eq!(read(&dest.path().join(LIVE).join(foreign)), "theirs");
            }
            other => panic!("{foreign}: {other:?}"),
        }
    };
    check("a", &[("a", "ours")], true).await;
    check("a", &[("a", "theirs")], false).await;
    check("a", &[("b", "ours")], false).await;
    check("a/b", &[("a", "ours")], true).await;
    check("a", &[("a/b", "ours")], true).await;
    check("a/b", &[("a/c", "ours")], false).await;
    check("a/b/c", &[("a/b/c", "theirs"), ("a/d", "ours")], false).await;
}

#[tokio::test]
async fn links_lead_nowhere() {
    let none = Manifests::default();
    let one = manifests(&[("a", "1")]);
    for at in ["iot", "iot/sensor", LIVE] {
        let (dest, outside) = (dest(), dest());
        put(&outside, "victim", "v");
        let link = dest.path().join(at);
        fs::create_dir_all(link.parent().expect("a parent")).expect("folders are made");
        symlink(outside.path(), &link).expect("a link");
        let runtime = directory(&dest);
        let name = deployment();
        let owned = owned(&one, Some(&one));
        let applied = runtime.apply(&name, &owned, &one).await.expect_err("it is refused");
        assert!(matches!(applied, DeliverError::NotADirectory { .. }), "{at}: {applied}");
        assert!(applied.changed_nothing());
        runtime.remove(&name, &owned).await.expect_err("it is refused");
        assert_eq!(draw(&outside), ["victim = v"]);
        let health = runtime.health(&name, &owned).await.expect("it can be looked at");
        assert!(matches!(health, Health::Drifted { .. }));
    }
    // A link below titan's own folder, and in place of a file of titan's.
    let (dest, outside) = (dest(), dest());
    symlink(outside.path(), dest.path().join(".titan")).expect("a link");
    directory(&dest).remove(&deployment(), &owned(&none, None)).await.expect_err("it is refused");
    fs::remove_file(dest.path().join(".titan")).expect("the link goes");
    put(&outside, "victim", "v");
    put(&dest, "iot/sensor/prod/b", "1");
    symlink(outside.path().join("victim"), dest.path().join(LIVE).join("a")).expect("a link");
    directory(&dest).apply(&deployment(), &owned(&one, Some(&one)), &one).await.expect("healed");
    assert_eq!(draw(&outside), ["victim = v"]);
    assert_eq!(draw(&dest), ["iot/sensor/prod/a = 1", "iot/sensor/prod/b = 1"]);
}

#[tokio::test]
async fn every_leftover_of_a_crash_is_put_right() {
    let (one, two) =
        (manifests(&[("a", "1"), ("gone", "1")]), manifests(&[("a", "2"), ("n", "2")]));
    let begun = owned(&one, Some(&two));
    let live_one = [("a", "1"), ("gone", "1"), ("mine", "m")];
    let live_two = [("a", "2"), ("n", "2")];
    // Where files lie when the agent is killed: below the live, the staged, the last folder.
    type At<'a> = &'a [(&'a str, &'a str)];
    let states: [(&str, At<'_>, At<'_>, At<'_>); 7] = [
        ("before staging", &live_one, &[], &[]),
        ("a file half written", &live_one, &[("a", "2"), ("n", "")], &[]),
        ("staged", &live_one, &live_two, &[]),
        ("exchanged", &live_two, &live_one, &[]),
        ("carried over", &[("a", "2"), ("n", "2"), ("mine", "m")], &[("a", "1")], &[]),
        ("between two renames", &[], &live_two, &live_one),
        ("after two renames", &live_two, &[], &live_one),
    ];
    for swap in [Swap::Exchange, Swap::Renames] {
        for (state, live, staged, last) in states {
            let dest = dest();
            for (folder, files) in [(LIVE, live), (STAGED, staged), (LAST, last)] {
                for (path, text) in files {
                    put(&dest, &format!("{folder}/{path}"), text);
                }
            }
            let runtime = Directory::open(dest.path(), swap).expect("the runtime opens");
            runtime.apply(&deployment(), &begun, &two).await.expect(state);
            let expected = ["a = 2", "mine = m", "n = 2"].map(|line| format!("{LIVE}/{line}"));
            assert_eq!(draw(&dest), expected, "{state}");

            // The change may also have become a removal meanwhile.
            runtime.remove(&deployment(), &begun).await.expect(state);
            assert_eq!(draw(&dest), [format!("{LIVE}/mine = m")], "{state}");
        }
    }
}

#[tokio::test]
async fn drift_is_seen() {
    let dest = dest();
    let runtime = directory(&dest);
    let one = manifests(&[("a", "1"), ("conf/b", "1")]);
    let name = deployment();
    let owned = owned(&one, None);
    let health = async || runtime.health(&name, &owned).await.expect("it can be looked at");
    let drifted = |path: &str| Health::Drifted { path: RepoPath::new(path).expect("a path") };
    assert_eq!(health().await, drifted("a"));
    runtime.apply(&name, &owned, &one).await.expect("it is applied");
    for _ in 0..3 {
        assert_eq!(health().await, Health::Healthy);
    }
    put(&dest, "iot/sensor/prod/conf/b", "2");
    assert_eq!(health().await, drifted("conf/b"));
    runtime.apply(&name, &owned, &one).await.expect("it is healed");
    assert_eq!(health().await, Health::Healthy);
    fs::remove_file(dest.path().join(LIVE).join("a")).expect("it goes");
    assert_eq!(health().await, drifted("a"));
}

/// One agent's life on `dest`, until it is dropped as by SIGKILL.
fn delivery(dest: &TempDir) -> Delivery<Directory> {
    let host: Name = "tim-pi".parse().expect("a name");
    let store = Store::open(dest.path()).expect("the store opens");
    Delivery::open(directory(dest), Arc::new(store), &host).expect("it opens")
}

fn desired(trees: &[(&str, u8)]) -> Desired {
    let assignments = trees
        .iter()
        .map(|(name, n)| (name.parse().expect("a deployment"), TreeId::from_bytes([*n; 20])));
    Desired {
        rendered: Revision::NONE,
        generation: 1,
        tree: TreeId::from_bytes([0; 20]),
        received: Timestamp::UNIX_EPOCH,
        assignments: assignments.collect(),
    }
}

#[tokio::test]
async fn a_pass_that_was_killed_anywhere_is_done_again() {
    let trees = BTreeMap::from([
        (1, manifests(&[("a", "1"), ("old", "1")])),
        (2, manifests(&[("a", "2"), ("new", "2")])),
        (3, manifests(&[("a", "3"), ("newer", "3")])),
    ]);
    // Killed after so many steps of the second pass; then the fleet has moved on to a third state.
    for steps in 0..5 {
        let dest = dest();
        let pass = async |wanted: &Desired, steps: usize| {
            let mut delivery = delivery(&dest);
            for (n, manifests) in &trees {
                delivery.keep(TreeId::from_bytes([*n; 20]), manifests).expect("it is kept");
            }
            let changes = delivery.plan(wanted, &BTreeSet::new());
            if steps == 0 {
                return changes;
            }
            delivery.begin(wanted, &changes).expect("the intent is written");
            for change in changes.iter().take(steps - 1) {
                let done = delivery.carry_out(change, wanted, || Timestamp::UNIX_EPOCH).await;
                done.expect("it is done");
            }
            if steps > changes.len() + 1 {
                delivery.settle(None).expect("the outcome is written");
            }
            changes
        };
        pass(&desired(&[("x/x/x", 1), ("y/y/y", 1)]), 9).await;
        put(&dest, "x/x/x/mine", "m");
        pass(&desired(&[("x/x/x", 2), ("z/z/z", 2)]), steps).await;
        let last = desired(&[("x/x/x", 3)]);
        pass(&last, 9).await;
        let expected = ["x/x/x/a = 3", "x/x/x/mine = m", "x/x/x/newer = 3"];
        let files = |line: &String| !line.starts_with(".titan");
        let found: Vec<_> = draw(&dest).into_iter().filter(files).collect();
        assert_eq!(found, expected, "killed after {steps} steps");
        assert_eq!(pass(&last, 0).await, [], "killed after {steps} steps: not settled");
        let copies = fs::read_dir(dest.path().join(".titan/last-good")).expect("a folder").count();
        assert!(copies >= 2, "the copy of what is live stays");
    }
}

#[tokio::test]
async fn a_conflict_claims_nothing() {
    let dest = dest();
    put(&dest, "x/x/x/a", "theirs");
    let mut delivery = delivery(&dest);
    let tree = TreeId::from_bytes([1; 20]);
    delivery.keep(tree, &manifests(&[("a", "ours")])).expect("it is kept");
    let wanted = desired(&[("x/x/x", 1)]);
    let change =
        Change::Apply { deployment: "x/x/x".parse().expect("a name"), tree, cause: Cause::Changed };
    delivery.begin(&wanted, std::slice::from_ref(&change)).expect("the intent is written");
    let error = delivery.carry_out(&change, &wanted, || Timestamp::UNIX_EPOCH).await;
    assert!(matches!(error, Err(DeliverError::Conflict { .. })));
    delivery.settle(None).expect("the outcome is written");
    assert!(delivery.inventory().assignments.is_empty());
    assert_eq!(read(&dest.path().join("x/x/x/a")), "theirs");
}

#[test]
fn one_agent_for_a_destination() {
    let dest = dest();
    let first = delivery(&dest);
    assert!(matches!(Store::open(dest.path()), Err(DeliverError::Locked { .. })));
    drop(first);
    let store = Store::open(dest.path()).expect("the lock of one that ended is no obstacle");
    let stranger: Name = "other".parse().expect("a name");
    store.save_inventory(&super::super::Inventory::new(stranger)).expect("it is written");
    let host = "tim-pi".parse().expect("a name");
    assert!(matches!(store.inventory(&host), Err(DeliverError::OtherHost { .. })));
}

#[test]
fn a_damaged_copy_is_not_used() {
    let dest = dest();
    let store = Store::open(dest.path()).expect("the store opens");
    let tree = TreeId::from_bytes([1; 20]);
    let one = manifests(&[("a", "1")]);
    store.put(tree, &one).expect("it is kept");
    assert_eq!(store.get(tree).expect("it can be read"), Some(one.clone()));
    put(&dest, &format!(".titan/last-good/{tree}/a"), "");
    assert!(matches!(store.get(tree), Err(DeliverError::Damaged { .. })));
    assert_eq!(store.get(tree).expect("it can be read"), None);
    store.put(tree, &one).expect("it is kept again");
    assert_eq!(store.get(tree).expect("it can be read"), Some(one));
}
