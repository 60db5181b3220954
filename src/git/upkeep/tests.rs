use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::git::Sibling;
use crate::model::TreeId;

fn bare() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().expect("a folder");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(dir.path()).status();
    assert!(made.expect("git runs").success());
    let repository = Repository::open(dir.path()).expect("it opens");
    (dir, repository)
}

fn fsck(repository: &Repository) {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repository.git_dir()).args(["fsck", "--full", "--strict"]);
    assert!(git.status().expect("git runs").success());
}

/// Writes three blobs as one pack.
fn write(repository: &Repository, round: usize) -> Vec<(TreeId, String)> {
    let objects = repository.begin();
    let text = |n| format!("{round} {n}\n{}", "the same on all hosts\n".repeat(20));
    let blobs = (0..3).map(|n| {
        let id = objects.blob(text(n).as_bytes(), Some(Sibling::of(&"a"))).expect("written");
        (id, text(n))
    });
    let blobs = blobs.collect();
    objects.finish().expect("finished");
    blobs
}

#[test]
fn packs_stay_few_and_nobody_who_reads_notices() {
    let (_dir, repository) = bare();
    let written = Mutex::new(write(&repository, 0));
    let done = AtomicBool::new(false);
    let other = Repository::open(repository.git_dir()).expect("a handle of its own");
    std::thread::scope(|scope| {
        for reader in [&repository, &other] {
            let (written, done) = (&written, &done);
            scope.spawn(move || {
                let mut turn = 0usize;
                while !done.load(Ordering::Relaxed) {
                    let (id, text) = {
                        let written = written.lock().expect("no panic");
                        turn = turn.wrapping_mul(31).wrapping_add(17);
                        written[turn % written.len()].clone()
                    };
                    assert_eq!(&*reader.blob(id).expect("it is there"), text.as_bytes());
                }
            });
        }
        let mut runs = 0;
        for round in 1..70 {
            let new = write(&repository, round);
            written.lock().expect("no panic").extend(new);
            runs += usize::from(repository.upkeep().expect("it works"));
            assert!(repository.packs().count <= 25, "round {round}");
        }
        done.store(true, Ordering::Relaxed);
        assert!(runs >= 2, "{runs}");
    });
    fsck(&repository);
    assert!(!repository.git_dir().join("gc.pid").exists());
    // Nothing is due, and nothing is lost although no branch leads to any of it.
    assert!(!repository.upkeep().expect("it works"));
    for (id, text) in &*written.lock().expect("no panic") {
        assert_eq!(&*other.blob(*id).expect("it is there"), text.as_bytes());
    }
}

#[test]
fn only_one_at_a_time_and_never_beside_a_gc() {
    let (_dir, repository) = bare();
    for round in 0..PACKS {
        write(&repository, round);
    }
    let gc = repository.git_dir().join("gc.pid");
    let mut dead = Command::new("true").spawn().expect("it starts");
    dead.wait().expect("it ends");
    for text in [format!("{} {}", std::process::id(), host()), "1 another.machine".to_owned()] {
        std::fs::write(&gc, &text).expect("written");
        assert!(!repository.upkeep().expect("no fault"), "{text}");
        assert_eq!(std::fs::read_to_string(&gc).expect("it stays"), text);
    }
    let lock = File::create(repository.git_dir().join(LOCK)).expect("a lock");
    lock.lock().expect("locked");
    std::fs::write(&gc, format!("{} {}", dead.id(), host())).expect("written");
    assert!(!repository.upkeep().expect("no fault"), "another titan is at it");
    lock.unlock().expect("unlocked");
    // What a killed process was about to rename is no sign of life, an empty one might be.
    let gc_lock = repository.git_dir().join("gc.pid.lock");
    std::fs::write(&gc_lock, "").expect("written");
    assert!(!repository.upkeep().expect("no fault"), "somebody may have just made it");
    std::fs::write(&gc_lock, format!("{} {}", dead.id(), host())).expect("written");
    assert!(repository.upkeep().expect("it works"), "that process is dead");
    assert_eq!(repository.packs().count, 1);
    assert!(!gc.exists());
}

#[test]
fn loose_objects_are_packed() {
    let (_dir, repository) = bare();
    let local = repository.local();
    for n in 0..=LOOSE {
        local.write_blob(format!("{n}")).expect("written");
    }
    assert!(repository.upkeep().expect("it works"));
    assert!(!repository.has_many_loose());
    assert_eq!(repository.packs().count, 1);
    fsck(&repository);
}

#[test]
fn what_killed_writers_left_goes() {
    let (_dir, repository) = bare();
    let blobs = write(&repository, 0);
    let folder = repository.git_dir().join("objects/pack");
    let set_age = |path: &Path, age: Duration| {
        let file = File::open(path).expect("it is there");
        let now = file.metadata().and_then(|metadata| metadata.modified()).expect("its time");
        file.set_modified(now - age).expect("an older time");
        file
    };
    let age = |path: &Path| drop(set_age(path, 2 * LEFT));
    // Killed between the last two steps: the pack is in place, its index is not.
    let index = files(&folder).find(|path| path.extension().is_some_and(|e| e == "idx"));
    let index = index.expect("an index");
    std::fs::rename(&index, folder.join("tmp_titan_a.idx")).expect("renamed");
    age(&folder.join("tmp_titan_a.idx"));
    for name in ["tmp_titan_b.pack", "tmp_titan_c.idx", "tmp_pack_d", "tmp_idx_e", "other"] {
        std::fs::write(folder.join(name), "").expect("written");
        age(&folder.join(name));
    }
    std::fs::write(folder.join("tmp_titan_young.pack"), "").expect("written");
    let minutes = 2 * LEFT_UNLOCKED;
    for name in ["tmp_titan_free", "tmp_titan_locked", "tmp_pack_minutes"] {
        std::fs::write(folder.join(name), "").expect("written");
        set_age(&folder.join(name), minutes);
    }
    let writer = set_age(&folder.join("tmp_titan_locked"), minutes);
    writer.lock().expect("locked");
    clear_leftovers(&repository);
    let mut names: Vec<_> = files(&folder)
        .filter(|path| !path.to_string_lossy().contains("/pack-"))
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let stay = ["other", "tmp_pack_minutes", "tmp_titan_locked", "tmp_titan_young.pack"];
    assert_eq!(names, stay);
    assert!(index.exists());
    let again = Repository::open(repository.git_dir()).expect("it opens");
    assert_eq!(&*again.blob(blobs[0].0).expect("found again"), blobs[0].1.as_bytes());
}

#[test]
fn what_is_written_apart_is_noted_and_read() {
    let (_dir, repository) = bare();
    let apart = repository.apart().expect("it opens");
    for round in 0..OPEN {
        repository.diary().written();
        assert_eq!(repository.diary().is_time_to_open(), round + 1 == OPEN);
    }
    let (id, text) = write(&apart, 0).remove(0);
    assert_eq!(&*repository.blob(id).expect("it is seen"), text.as_bytes());
    assert_eq!(repository.diary().written.load(Relaxed), OPEN + 1);
    assert!(!apart.upkeep().expect("nothing is due"));
    assert!(!repository.diary().is_time_to_open(), "all were opened anew");
    assert_eq!(&*repository.blob(id).expect("it is there"), text.as_bytes());
}

#[test]
fn where_all_are_busy_nobody_goes_last() {
    let (_dir, repository) = bare();
    (0..PACKS).for_each(|round| drop(write(&repository, round)));
    assert!(!repository.diary().is_starving());
    *repository.diary().starved() = Some(Instant::now());
    assert!(repository.diary().is_starving());
    assert!(repository.upkeep().expect("it works"));
    assert_eq!(repository.packs().count, 1);
    fsck(&repository);
}
