//! The clone of an agent: objects of one commit, as far as its host needs them.

use std::path::Path;
use std::time::Duration;

use super::process::{Failure, Git};
use super::{GitError, Repository};
use crate::model::Revision;

/// Most ids in one call of git.
const IDS: usize = 1000;

/// The partial clone of a remote.
pub(super) struct HostClone<'a> {
    pub(super) url: &'a str,
    pub(super) dir: &'a Path,
    pub(super) limit: Duration,
}

/// Options of every fetch. It goes into no ref.
const FETCH: [&str; 4] =
    ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];

impl HostClone<'_> {
    pub(super) fn head(&self, branch: &str) -> Result<Option<Revision>, GitError> {
        let name = format!("refs/heads/{branch}");
        let git = Git::new(None, "ls-remote", self.limit).remote(self.url);
        let text = git.run(["--quiet"], [self.url, &name])??;
        let line = text.lines().find_map(|line| line.strip_suffix(&name)?.trim().parse().ok());
        Ok(line)
    }

    /// Makes the clone, in place of what is there.
    pub(super) fn make(&self) -> Result<Repository, GitError> {
        super::remote::clear(self.dir)?;
        Repository::create_bare(self.dir, "main")
    }

    /// How many packs there are, those included that a killed fetch has begun.
    pub(super) fn packs(&self) -> usize {
        let is_pack = |name: &std::ffi::OsStr| {
            let name = name.to_string_lossy();
            name.ends_with(".pack") || name.starts_with("tmp_")
        };
        let files = std::fs::read_dir(self.dir.join("objects/pack"));
        let files = files.into_iter().flatten().filter_map(Result::ok);
        files.filter(|file| is_pack(&file.file_name())).count()
    }

    /// A fetch that always makes a pack, so that counting them is enough.
    fn git(&self) -> Git {
        let git = Git::new(Some(self.dir), "fetch", self.limit);
        git.remote(self.url).config("fetch.unpackLimit=1")
    }

    /// Fetches objects by id. No commits are offered in return: the server would take all that they
    /// contain for known.
    pub(super) fn fetch(&self, options: &[&str], ids: &[impl ToString]) -> Result<(), GitError> {
        // The length of a command line is limited.
        for ids in ids.chunks(IDS) {
            let git = self.git().config("fetch.negotiationAlgorithm=noop");
            let ids = ids.iter().map(ToString::to_string);
            let arguments = std::iter::once(self.url.to_owned()).chain(ids);
            git.run(FETCH.iter().chain(options), arguments)??;
        }
        Ok(())
    }

    /// Fetches all of a commit but what the commit of the clone's own branch has.
    pub(super) fn fetch_whole(&self, revision: Revision) -> Result<(), GitError> {
        let options = FETCH.iter().chain(&["--depth=1", "--no-filter"]);
        self.git().run(options, [self.url.to_owned(), revision.to_string()])??;
        Ok(())
    }
}

/// Whether a server refuses to leave objects out, or to send single ones.
pub(super) fn is_refused_filter(error: &GitError) -> bool {
    matches!(error, GitError::Command { command, detail, .. }
        if Failure::new(command, detail).is_no_filter())
}

/// Whether a new clone may help.
pub(super) fn is_fault_of_clone(error: &GitError) -> bool {
    match error {
        GitError::Command { command, detail, .. } => {
            let failure = Failure::new(command, detail);
            failure.is_damage() || failure.is_lock()
        }
        GitError::Timeout { .. } | GitError::Io { .. } | GitError::Locked { .. } => false,
        _ => true,
    }
}
