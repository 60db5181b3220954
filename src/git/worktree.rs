//! A person's checkout: their name, their uncommitted changes, and files that follow a commit.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::lock::{self, Lock};
use super::process::Git;
use super::{GitError, Repository, Signature};
use crate::model::{Recovery, RepoPath, Revision, Timestamp};

impl Repository {
    /// Which of the paths differ between the last commit, the index and the worktree, files that Git
    /// does not know included.
    ///
    /// # Errors
    /// When `git status` fails.
    pub fn uncommitted(&self, paths: &[RepoPath]) -> Result<Vec<RepoPath>, GitError> {
        let mut arguments = vec!["status", "--porcelain=v1", "-z", "--no-renames"];
        arguments.extend(["--untracked-files=all", "--ignored=matching", "--"]);
        arguments.extend(paths.iter().map(RepoPath::as_str));
        let output = self.run_in_worktree(&arguments)?;
        // Each entry is two letters, a blank and a path.
        let entries = output.split('\0').filter_map(|entry| entry.get(3..));
        Ok(entries.filter_map(|path| RepoPath::new(path.trim_end_matches('/')).ok()).collect())
    }

    /// Brings these paths, and no others, of index and worktree to what `revision` holds. Paths that
    /// it does not hold vanish.
    ///
    /// # Errors
    /// When `git checkout` fails.
    pub fn check_out(&self, revision: Revision, paths: &[RepoPath]) -> Result<(), GitError> {
        let revision = revision.to_string();
        // The length of a command line is limited.
        for paths in paths.chunks(500) {
            let mut arguments = vec!["checkout", "--quiet", "--no-overlay", &revision, "--"];
            arguments.extend(paths.iter().map(RepoPath::as_str));
            self.run_with_index(&arguments)?;
        }
        Ok(())
    }

    /// Keeps other titans out of the worktree while the result lives. Two of them that move the branch
    /// and then bring the files to it would leave the files where the slower one was.
    ///
    /// # Errors
    /// [`GitError::Io`].
    pub fn hold_worktree(&self) -> Result<Option<File>, GitError> {
        let Some(folder) = self.worktree() else { return Ok(None) };
        let held = File::open(folder).and_then(|file| file.lock().map(|()| file));
        held.map(Some).map_err(|source| GitError::io("lock", folder, source))
    }

    /// As [`Repository::run_in_worktree`]; waits for others to leave the index, and clears the lock of
    /// a dead process.
    fn run_with_index(&self, arguments: &[&str]) -> Result<String, GitError> {
        let start = Instant::now();
        let mut locks = [Lock::new(self.own_git_dir().join("index.lock"))];
        loop {
            let found = locks[0].is_there();
            let outcome = self.run_in_worktree(arguments);
            let Err(error) = outcome else { return outcome };
            let state = lock::clear(self, &mut locks)?;
            let held = matches!(state, lock::State::Held(_));
            if start.elapsed() > lock::PATIENCE || !(found || held) {
                return Err(error);
            }
            if held {
                std::thread::sleep(lock::PAUSE);
            }
        }
    }

    /// Who makes a commit here, by the user's own Git configuration and environment; `titan` where
    /// Git knows nobody.
    #[must_use]
    pub fn user(&self, now: Timestamp) -> Signature {
        let folder = self.worktree().unwrap_or_else(|| self.git_dir());
        let ident =
            git(folder).args(["-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"]).output();
        let ident = ident.ok().filter(|output| output.status.success());
        let ident = ident.and_then(|output| parse_ident(&String::from_utf8_lossy(&output.stdout)));
        ident.unwrap_or_else(|| Signature {
            name: "titan".into(),
            email: "titan@localhost".into(),
            seconds: now.as_second(),
            offset: 0,
        })
    }

    /// Makes a repository in `path`, with `branch` as its first branch.
    ///
    /// # Errors
    /// When `git init` fails.
    pub fn init(path: &Path, branch: &str) -> Result<Self, GitError> {
        run(git(path).args(["init", "--quiet", "--initial-branch", branch]), "init")?;
        Self::open(path)
    }

    fn run_in_worktree(&self, arguments: &[&str]) -> Result<String, GitError> {
        let folder = self.worktree().unwrap_or_else(|| self.git_dir());
        let mut command = git(folder);
        command.args(["--literal-pathspecs", "-c", "core.hooksPath=/dev/null"]).args(arguments);
        run(&mut command, arguments[0])
    }
}

impl Repository {
    /// What differs between two commits, as a coloured patch for people.
    ///
    /// # Errors
    /// Failures of `git`.
    pub fn patch(&self, from: Option<Revision>, to: Revision) -> Result<String, GitError> {
        // Git knows its id in every repository.
        const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let from = from.map_or_else(|| EMPTY_TREE.to_owned(), |from| from.to_string());
        let options = ["--no-ext-diff", "--no-textconv", "--no-renames", "--color=always"];
        let options = options.into_iter().map(str::to_owned).chain([from, to.to_string()]);
        Ok(Git::new(Some(self.git_dir()), "diff", PATIENCE).run(options, [""; 0])??)
    }
}

/// Longest time of a call that only reads.
const PATIENCE: Duration = Duration::from_secs(60);

/// `git` as the user runs it: a checkout is theirs, so their configuration holds.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // They are set when titan runs in a hook, of this repository or another one.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0");
    command
}

fn run(command: &mut Command, name: &str) -> Result<String, GitError> {
    let failed = |detail: String| GitError::Command {
        command: name.to_owned(),
        detail,
        recovery: Recovery::Fix,
    };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let detail = String::from_utf8_lossy(&output.stderr);
        return Err(failed(detail.lines().next().unwrap_or_default().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `Name <address> seconds +hhmm`.
fn parse_ident(text: &str) -> Option<Signature> {
    let (name, rest) = text.trim().split_once(" <")?;
    let (email, rest) = rest.rsplit_once("> ")?;
    let (seconds, zone) = rest.split_once(' ')?;
    let hours: i32 = zone.get(1..3)?.parse().ok()?;
    let minutes: i32 = zone.get(3..5)?.parse().ok()?;
    let east = if zone.starts_with('-') { -1 } else { 1 };
    Some(Signature {
        name: name.to_owned(),
        email: email.to_owned(),
        seconds: seconds.parse().ok()?,
        offset: east * (hours * 3600 + minutes * 60),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ident_is_read_with_its_offset() {
        let check = |text: &str, expected: Option<(&str, &str, i64, i32)>| {
            let found = parse_ident(text);
            let found = found.as_ref();
            let parts = found.map(|who| (&*who.name, &*who.email, who.seconds, who.offset));
            assert_eq!(parts, expected, "{text}");
        };
        check(
            "Tim Park <tim@x.example> 1700000000 -0730\n",
            Some(("Tim Park", "tim@x.example", 1_700_000_000, -27_000)),
        );
        check("a <b> 5 +0100", Some(("a", "b", 5, 3600)));
        check("nobody", None);
    }
}
