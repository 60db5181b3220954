//! What Git itself does with the same files.
//!
//! No user's or system's configuration is read. Durability is Git's default: packs and refs are
//! fsynced, loose objects are not; titan fsyncs all that it writes.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use titan::git::Repository;
use titan::model::Revision;

pub(crate) const RENDERED: &str = "titan/rendered";

pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).stdin(Stdio::null());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "bench");
        command.env(format!("GIT_{who}_EMAIL"), "bench@titan.dev");
    }
    command
}

/// Runs git to its end, and says how long that took.
pub(crate) fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let output = command.output().context("git does not run")?;
    let took = start.elapsed();
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", told.trim());
    Ok(took)
}

/// The head of the rendered branch.
pub(crate) fn rendered(fleet: &Path) -> Result<Revision> {
    let git = Repository::open(fleet)?;
    git.branch(RENDERED)?.context("nothing is rendered")
}

/// Writes what `git fast-import` needs to make what lies between two commits (`from` nothing: all of
/// `to`). Every file stands in it with its content, as whoever renders them would write it. Returns the
/// bytes of these files.
pub(crate) fn stream(
    fleet: &Path,
    from: Option<Revision>,
    to: Revision,
    file: &Path,
) -> Result<u64> {
    const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let repository = Repository::open(fleet)?;
    let before = from.map_or_else(|| EMPTY_TREE.to_owned(), |from| from.to_string());
    let mut diff = git(fleet);
    diff.args(["diff-tree", "-r", "-z", "--no-renames", &before, &to.to_string()]);
    let listed = String::from_utf8(diff.output()?.stdout)?;
    let mut out = BufWriter::new(File::create(file)?);
    write!(out, "commit refs/heads/{RENDERED}\ncommitter b <b@titan.dev> 0 +0000\ndata 1\nb\n")?;
    if from.is_some() {
        writeln!(out, "from refs/heads/{RENDERED}^0")?;
    }
    let (mut sum, mut fields) = (0, listed.split('\0'));
    // `:<mode> <mode> <id> <id> <letter>`, then the path.
    while let (Some(change), Some(path)) = (fields.next(), fields.next()) {
        let words: Vec<&str> = change.split(' ').collect();
        let [_, _, _, id, letter] = words[..] else { bail!("git diff-tree says `{change}`") };
        if letter == "D" {
            writeln!(out, "D {path}")?;
            continue;
        }
        let bytes = repository.blob(id.parse()?)?;
        writeln!(out, "M 100644 inline {path}\ndata {}", bytes.len())?;
        out.write_all(&bytes)?;
        out.write_all(b"\n")?;
        sum += bytes.len() as u64;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(sum)
}

/// Bytes of the pack, with its index, that holds the tree of `revision`.
pub(crate) fn pack_of(fleet: &Path, revision: Revision) -> Result<u64> {
    let tree = Repository::open(fleet)?.commit(revision)?.tree.to_string();
    for entry in std::fs::read_dir(fleet.join("objects/pack"))? {
        let index = entry?.path();
        if index.extension().is_none_or(|ending| ending != "idx") {
            continue;
        }
        let shown = git(fleet).arg("show-index").stdin(File::open(&index)?).output()?.stdout;
        if shown.windows(tree.len()).any(|word| word == tree.as_bytes()) {
            let pack = index.with_extension("pack");
            return Ok(index.metadata()?.len() + pack.metadata()?.len());
        }
    }
    bail!("no pack holds the rendered tree")
}

/// Seconds for an import at its best settings: nothing compressed, no deltas.
pub(crate) fn import(repository: &Path, stream: &Path) -> Result<f64> {
    let mut command = git(repository);
    command.args(["-c", "core.compression=0", "fast-import", "--quiet", "--depth=0"]);
    command.stdin(File::open(stream)?);
    Ok(timed(&mut command)?.as_secs_f64())
}

/// The same into a new repository at `folder`, which is removed again.
pub(crate) fn import_anew(folder: &Path, stream: &Path) -> Result<f64> {
    std::fs::create_dir(folder)?;
    timed(git(folder).args(["init", "--quiet", "--bare"]))?;
    let took = import(folder, stream)?;
    std::fs::remove_dir_all(folder)?;
    Ok(took)
}

/// A copy of a repository.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    // Git may take a file away that is merged elsewhere.
    for _ in 0..3 {
        if Command::new("cp").arg("-R").arg(from).arg(to).status()?.success() {
            return Ok(());
        }
        drop(std::fs::remove_dir_all(to));
    }
    anyhow::bail!("`{}` cannot be copied", from.display())
}

/// Waits until what was written before is on the disk, so that nobody else pays for it.
pub(crate) fn settle() {
    drop(Command::new("sync").status());
}
