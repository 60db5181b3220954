//! One host's folder of the rendered branch, without the rest of the fleet.
//!
//! ```text
//!  ls-remote ── same commit as last time? ── nothing to do
//!  fetch --depth=1 --filter=tree:2 ── commit, root, `hosts/`
//!  fetch <tree ids> --filter=tree:0 ── level by level, until the host's folder is found
//!  fetch <missing ids> ── what is in that folder
//! ```
//!
//! A server that knows no filters sends everything, and one that sends no objects by id is asked for
//! the whole commit: the result is the same, it only costs more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{Failure, Git};
use super::remote::digest;
use super::{EntryKind, GitError, Location, Repository};
use crate::model::url::{UrlRules, check_repository_url};
use crate::model::{Limits, Name, RepoPath, Revision, TreeId};

/// Folders that hosts may be nested in.
const DEEPEST: usize = 64;

/// Packs after which the clone is made again: each fetch adds one, and titan collects no garbage.
const PACKS: usize = 256;

/// Most ids in one call of git.
const IDS: usize = 1000;

/// How often what is still missing is asked for.
const ROUNDS: usize = 8;

/// What a host must run, as of one rendered commit.
#[derive(Debug, Clone)]
pub struct HostView {
    /// The rendered commit.
    pub revision: Revision,
    /// Its `Titan-Generation`; `None` when somebody else wrote it.
    pub generation: Option<u64>,
    /// The host's folder and its tree; `None` when the fleet has no such host.
    pub folder: Option<(RepoPath, TreeId)>,
    /// Holds the folder's objects (and, for a remote, little else).
    pub repository: Repository,
}

/// Reads one host's folder again and again; remembers where it was.
#[derive(Debug)]
pub struct HostSource {
    source: Source,
    branch: String,
    host: Name,
    last: Option<HostView>,
}

#[derive(Debug)]
enum Source {
    Local(Repository),
    Remote { url: String, dir: PathBuf, limit: Duration },
}

impl HostSource {
    /// Prepares reading `host`'s folder of `branch`, the rendered one. A clone of a remote lies below
    /// `cache`. Nothing is fetched yet.
    ///
    /// # Errors
    /// [`GitError::BranchName`], [`GitError::Url`]; what [`Repository::discover`] says.
    pub fn new(
        location: &Location,
        branch: &str,
        host: &Name,
        cache: &Path,
        limits: &Limits,
    ) -> Result<Self, GitError> {
        super::refs::full_name(branch)?;
        let source = match location {
            Location::Local(path) => Source::Local(Repository::discover(path)?),
            Location::Remote(url) => {
                check_repository_url(url, UrlRules { files: true, private: true })?;
                std::fs::create_dir_all(cache).map_err(|e| GitError::io("create", cache, e))?;
                let name = digest(&format!("{url}\n{branch}\n{host}"));
                let (dir, limit) = (cache.join(name + ".git"), limits.fetch_time.duration());
                Source::Remote { url: url.clone(), dir, limit }
            }
        };
        Ok(Self { source, branch: branch.to_owned(), host: host.clone(), last: None })
    }

    /// The folder at the head of the branch; `None` when the branch does not exist (yet).
    ///
    /// # Errors
    /// Failures of `git`; [`GitError::Object`] when objects are missing at the remote as well.
    pub fn read(&mut self) -> Result<Option<HostView>, GitError> {
        let view = match &self.source {
            Source::Local(repository) => self.read_local(repository)?,
            Source::Remote { url, dir, limit } => {
                let clone = HostClone { url, dir, limit: *limit, branch: &self.branch };
                self.read_remote(&clone)?
            }
        };
        self.last.clone_from(&view);
        Ok(view)
    }

    fn read_local(&self, repository: &Repository) -> Result<Option<HostView>, GitError> {
        let Some(revision) = repository.branch(&self.branch)? else { return Ok(None) };
        if let Some(last) = self.last.as_ref().filter(|last| last.revision == revision) {
            return Ok(Some(last.clone()));
        }
        self.view(repository.clone(), revision, &mut |_| Ok(())).map(Some)
    }

    fn read_remote(&self, clone: &HostClone<'_>) -> Result<Option<HostView>, GitError> {
        let Some(revision) = clone.head()? else { return Ok(None) };
        if let Some(last) = self.last.as_ref().filter(|last| last.revision == revision) {
            return Ok(Some(last.clone()));
        }
        let _guard = clone.guard()?;
        match self.bring(clone, revision) {
            // Whatever is wrong with the clone, or with what the server can do: all of the commit,
            // into a new clone.
            Err(error) if is_fault_of_clone(&error) => {
                let repository = clone.make()?;
                clone.fetch(&["--depth=1"], &[revision])?;
                self.view(repository, revision, &mut |_| Ok(())).map(Some)
            }
            result => result.map(Some),
        }
    }

    /// Brings the host's folder of `revision` and nothing else, as far as the server can do that.
    fn bring(&self, clone: &HostClone<'_>, revision: Revision) -> Result<HostView, GitError> {
        let repository = match Repository::open(clone.dir) {
            Ok(repository) if clone.packs() < PACKS => repository,
            _ => clone.make()?,
        };
        if repository.commit(revision).is_err() {
            clone.fetch(&["--depth=1", "--filter=tree:2"], &[revision])?;
        }
        let view = self.view(repository.clone(), revision, &mut |trees| {
            let missing = trees.iter().filter(|tree| repository.entries(**tree).is_err());
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                clone.fetch(&["--filter=tree:0"], &missing)?;
            }
            Ok(())
        })?;
        let Some((_, tree)) = &view.folder else { return Ok(view) };
        for _ in 0..ROUNDS {
            let missing = missing(&repository, *tree);
            if missing.is_empty() {
                break;
            }
            clone.fetch(&["--no-filter"], &missing)?;
        }
        Ok(view)
    }

    /// Finds the folder; `bring` is told which trees are needed next.
    fn view(
        &self,
        repository: Repository,
        revision: Revision,
        bring: &mut dyn FnMut(&[TreeId]) -> Result<(), GitError>,
    ) -> Result<HostView, GitError> {
        let commit = repository.commit(revision)?;
        let generation = commit.trailer("Titan-Generation").and_then(|number| number.parse().ok());
        let known = self.last.as_ref().and_then(|last| last.folder.as_ref());
        let known = match known {
            Some((path, _)) => at(&repository, commit.tree, path, bring)?,
            None => None,
        };
        let folder = match known {
            Some(found) => Some(found),
            None => find(&repository, commit.tree, &self.host, bring)?,
        };
        Ok(HostView { revision, generation, folder, repository })
    }
}

/// The host's folder at `path`, if it is there.
fn at(
    repository: &Repository,
    root: TreeId,
    path: &RepoPath,
    bring: &mut dyn FnMut(&[TreeId]) -> Result<(), GitError>,
) -> Result<Option<(RepoPath, TreeId)>, GitError> {
    let mut tree = root;
    for segment in path.segments() {
        bring(&[tree])?;
        let entries = repository.entries(tree)?;
        let next = entries.iter().find(|e| e.name == segment && e.kind == EntryKind::Tree);
        let Some(next) = next else { return Ok(None) };
        tree = next.id;
    }
    bring(&[tree])?;
    Ok(is_host(repository, tree)?.then(|| (path.clone(), tree)))
}

fn is_host(repository: &Repository, tree: TreeId) -> Result<bool, GitError> {
    let entries = repository.entries(tree)?;
    Ok(entries.iter().any(|entry| entry.name == ".titan" && entry.kind == EntryKind::File))
}

/// Looks for the host's folder level by level. Other hosts' folders are not entered.
fn find(
    repository: &Repository,
    root: TreeId,
    host: &Name,
    bring: &mut dyn FnMut(&[TreeId]) -> Result<(), GitError>,
) -> Result<Option<(RepoPath, TreeId)>, GitError> {
    let hosts = RepoPath::new("hosts").expect("because it is a plain name");
    bring(&[root])?;
    let mut level: Vec<(RepoPath, TreeId)> = repository
        .entry(root, &hosts)?
        .filter(|entry| entry.kind == EntryKind::Tree)
        .map(|entry| (hosts, entry.id))
        .into_iter()
        .collect();
    for _ in 0..DEEPEST {
        let ids: Vec<TreeId> = level.iter().map(|(_, id)| *id).collect();
        bring(&ids)?;
        let (mut below, mut candidates) = (Vec::new(), Vec::new());
        for (path, id) in level {
            let entries = repository.entries(id)?;
            let other = entries.iter().any(|entry| entry.name == ".titan");
            for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Tree) {
                let Ok(path) = path.join(&entry.name) else { continue };
                if entry.name == host.as_str() {
                    candidates.push((path.clone(), entry.id));
                }
                if !other {
                    below.push((path, entry.id));
                }
            }
        }
        let ids: Vec<TreeId> = candidates.iter().map(|(_, id)| *id).collect();
        bring(&ids)?;
        for (path, id) in candidates {
            if is_host(repository, id)? {
                return Ok(Some((path, id)));
            }
        }
        if below.is_empty() {
            break;
        }
        level = below;
    }
    Ok(None)
}

/// The objects at and below `tree` that are not there, as far as what is there tells.
fn missing(repository: &Repository, tree: TreeId) -> Vec<TreeId> {
    let Ok(entries) = repository.entries(tree) else { return vec![tree] };
    let mut all = Vec::new();
    for entry in entries {
        match entry.kind {
            EntryKind::Tree => all.extend(missing(repository, entry.id)),
            EntryKind::File | EntryKind::Symlink if !repository.has(entry.id) => all.push(entry.id),
            _ => {}
        }
    }
    all
}

impl Repository {
    /// Whether an object is there.
    fn has(&self, id: TreeId) -> bool {
        self.local().has_object(super::read::object(id))
    }
}

/// The partial clone of a remote.
struct HostClone<'a> {
    url: &'a str,
    dir: &'a Path,
    limit: Duration,
    branch: &'a str,
}

impl HostClone<'_> {
    /// Held while the clone is worked on.
    fn guard(&self) -> Result<std::fs::File, GitError> {
        super::remote::guard(self.dir)
    }

    fn head(&self) -> Result<Option<Revision>, GitError> {
        let name = format!("refs/heads/{}", self.branch);
        let git = Git::new(None, "ls-remote", self.limit).remote(self.url);
        let text = git.run(["--quiet"], [self.url, &name])??;
        let line = text.lines().find_map(|line| line.strip_suffix(&name)?.trim().parse().ok());
        Ok(line)
    }

    /// Makes the clone, in place of what is there.
    fn make(&self) -> Result<Repository, GitError> {
        super::remote::clear(self.dir)?;
        Repository::create_bare(self.dir, "main")
    }

    fn packs(&self) -> usize {
        let files = std::fs::read_dir(self.dir.join("objects/pack"));
        let files = files.map(|files| files.filter_map(Result::ok).map(|file| file.path()));
        files
            .map_or(0, |files| files.filter(|f| f.extension().is_some_and(|e| e == "pack")).count())
    }

    /// Fetches objects by id, into no ref. No commits are offered in return: the server would take
    /// all that they contain for known.
    fn fetch(&self, options: &[&str], ids: &[impl ToString]) -> Result<(), GitError> {
        let always = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        // The length of a command line is limited.
        for ids in ids.chunks(IDS) {
            let git = Git::new(Some(self.dir), "fetch", self.limit)
                .remote(self.url)
                .config("fetch.negotiationAlgorithm=noop");
            let ids = ids.iter().map(ToString::to_string);
            let arguments = std::iter::once(self.url.to_owned()).chain(ids);
            git.run(always.iter().chain(options), arguments)??;
        }
        Ok(())
    }
}

/// Whether a new clone with the whole commit may help.
fn is_fault_of_clone(error: &GitError) -> bool {
    match error {
        GitError::Command { command, detail, .. } => {
            let failure = Failure::new(command, detail);
            failure.is_no_filter() || failure.is_damage() || failure.is_lock()
        }
        GitError::Timeout { .. } | GitError::Io { .. } | GitError::Locked { .. } => false,
        _ => true,
    }
}
