//! One host's folder of the rendered branch, without the rest of the fleet.
//!
//! ```text
//!  ls-remote ── same commit as last time? ── nothing to do
//!  fetch --depth=1 --filter=tree:2 ── commit, root, `hosts/`
//!  fetch <tree ids> --filter=tree:0 ── level by level, until the host's folder is found
//!  fetch <tree ids> --filter=blob:limit ── what is in that folder, but for files that are too large
//! ```
//!
//! What a server can do differs: see [`Filters`]. The result is the same, it only costs more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::partial::{HostClone, is_fault_of_clone, is_refused_filter};
use super::remote::digest;
use super::{EntryKind, GitError, Location, Repository};
use crate::model::url::{UrlRules, check_repository_url};
use crate::model::{Limits, Name, RepoPath, Revision, TreeId};

/// Folders that hosts may be nested in.
const DEEPEST: usize = 64;

/// Packs after which the clone is made again: each fetch adds one, and titan collects no garbage.
const PACKS: usize = 256;

/// How often a clone is made again before the error is told.
const CLONES: u32 = 2;

/// What a host must run, as of one rendered commit.
#[derive(Debug, Clone)]
pub struct HostView {
    /// The rendered commit.
    pub revision: Revision,
    /// Its `Titan-Generation`; `None` when somebody else wrote it.
    pub generation: Option<u64>,
    /// The host's folder and its tree; `None` when the fleet has no such host. A folder that has the
    /// host's name, but no `.titan`, only counts where there is no better one.
    pub folder: Option<(RepoPath, TreeId)>,
    /// Files in the folder that were not brought, as they are larger than `limits.blob_size`. A server
    /// without filters, and a local repository, withhold nothing.
    pub withheld: BTreeSet<TreeId>,
    /// Holds the folder's objects (and, for a remote, little else).
    pub repository: Repository,
}

/// Reads one host's folder again and again; remembers where it was.
#[derive(Debug)]
pub struct HostSource {
    source: Source,
    branch: String,
    host: Name,
    largest: u64,
    filters: Filters,
    last: Option<HostView>,
}

#[derive(Debug)]
enum Source {
    Local(Repository),
    Remote { url: String, dir: PathBuf, limit: Duration },
}

/// How a server leaves objects out. The next one is tried when it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filters {
    /// Trees down to a level: the fewest calls.
    Levels,
    /// Only what is asked for by its id: large hosting services allow no deeper level.
    Ids,
    /// Not at all: the newest commit is brought as a whole, then what differs from it. The clone's own
    /// branch shows that it holds all of that commit.
    None,
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
        let (branch, host) = (branch.to_owned(), host.clone());
        let (largest, filters) = (limits.blob_size.0, Filters::Levels);
        Ok(Self { source, branch, host, largest, filters, last: None })
    }

    /// The repository that is read in place; `None` for a remote.
    #[must_use]
    pub fn local(&self) -> Option<&Repository> {
        match &self.source {
            Source::Local(repository) => Some(repository),
            Source::Remote { .. } => None,
        }
    }

    /// The folder at the head of the branch; `None` when the branch does not exist (yet).
    ///
    /// # Errors
    /// Failures of `git`; [`GitError::Object`] when objects are missing at the remote as well.
    pub fn read(&mut self) -> Result<Option<HostView>, GitError> {
        let view = match &self.source {
            Source::Local(repository) => self.read_local(repository)?,
            Source::Remote { url, dir, limit } => {
                let (url, dir) = (url.clone(), dir.clone());
                self.read_remote(&HostClone { url: &url, dir: &dir, limit: *limit })?
            }
        };
        self.last.clone_from(&view);
        Ok(view)
    }

    /// Throws the clone of a remote away: after [`GitError::Object`], which says that an object is
    /// missing or damaged. The next [`Self::read`] makes it again. A local repository is never touched.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&mut self) -> Result<(), GitError> {
        self.last = None;
        let Source::Remote { dir, .. } = &self.source else { return Ok(()) };
        let _guard = super::remote::guard(dir)?;
        super::remote::clear(dir)
    }

    fn read_local(&self, repository: &Repository) -> Result<Option<HostView>, GitError> {
        let Some(revision) = repository.branch(&self.branch)? else { return Ok(None) };
        if let Some(last) = self.last.as_ref().filter(|last| last.revision == revision) {
            return Ok(Some(last.clone()));
        }
        self.view(repository.clone(), revision, &mut |_| Ok(())).map(Some)
    }

    fn read_remote(&mut self, clone: &HostClone<'_>) -> Result<Option<HostView>, GitError> {
        let Some(revision) = clone.head(&self.branch)? else { return Ok(None) };
        if let Some(last) = self.last.as_ref().filter(|last| last.revision == revision) {
            return Ok(Some(last.clone()));
        }
        let _guard = super::remote::guard(clone.dir)?;
        let mut made = 0;
        loop {
            let error = match self.bring(clone, revision) {
                Ok(view) => return Ok(Some(view)),
                Err(error) => error,
            };
            if is_refused_filter(&error) && self.filters != Filters::None {
                self.filters = match self.filters {
                    Filters::Levels => Filters::Ids,
                    _ => {
                        super::remote::clear(clone.dir)?;
                        Filters::None
                    }
                };
                continue;
            }
            if !is_fault_of_clone(&error) || made == CLONES {
                return Err(error);
            }
            // The last clone asks for nothing but what every server can do.
            made += 1;
            if made == CLONES {
                self.filters = Filters::None;
            }
            super::remote::clear(clone.dir)?;
        }
    }

    /// Brings the host's folder of `revision` and nothing else, as far as the server can do that.
    fn bring(&self, clone: &HostClone<'_>, revision: Revision) -> Result<HostView, GitError> {
        let (repository, fresh) = match Repository::open(clone.dir) {
            Ok(repository) if clone.packs() < PACKS => (repository, false),
            _ => (clone.make()?, true),
        };
        let known = repository.branch(&self.branch)?;
        let whole = known.is_some() || self.filters == Filters::None;
        if repository.commit(revision).is_err() || (whole && known.is_none()) {
            match self.filters {
                _ if whole => clone.fetch_whole(revision)?,
                Filters::Levels => clone.fetch(&["--depth=1", "--filter=tree:2"], &[revision])?,
                _ => clone.fetch(&["--depth=1", "--filter=tree:0"], &[revision])?,
            }
        }
        if whole || (fresh && brought_all(&repository, revision)?) {
            repository.set_branch(&self.branch, revision)?;
        }
        let mut view = self.view(repository.clone(), revision, &mut |trees| {
            let missing: Vec<_> =
                trees.iter().filter(|tree| repository.entries(**tree).is_err()).collect();
            if missing.is_empty() {
                return Ok(());
            }
            clone.fetch(&["--filter=tree:0"], &missing)
        })?;
        if let Some((_, tree)) = &view.folder {
            view.withheld = self.complete(clone, &repository, *tree)?;
        }
        Ok(view)
    }

    /// Brings what is not there at and below `tree`. Returns the files that are too large to be brought.
    fn complete(
        &self,
        clone: &HostClone<'_>,
        repository: &Repository,
        tree: TreeId,
    ) -> Result<BTreeSet<TreeId>, GitError> {
        let gaps = Gaps::below(repository, tree);
        if gaps.trees.is_empty() {
            return Ok(BTreeSet::new());
        }
        // A file that is asked for by its own id is sent whatever its size, so their folders are.
        let filter = match self.filters {
            Filters::None => "--no-filter".to_owned(),
            _ => format!("--filter=blob:limit={}", self.largest.saturating_add(1)),
        };
        let trees: Vec<_> = gaps.trees.into_iter().collect();
        // Without a depth git would not ask for a folder that is there, whatever is missing of it.
        clone.fetch(&["--depth=1", &filter], &trees)?;
        let left = Gaps::below(repository, tree);
        for tree in left.trees {
            repository.entries(tree)?;
        }
        Ok(left.files)
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
        Ok(HostView { revision, generation, folder, withheld: BTreeSet::new(), repository })
    }
}

/// Whether a server that was asked for a commit and the top of its tree has sent what hosts run, too.
fn brought_all(repository: &Repository, revision: Revision) -> Result<bool, GitError> {
    let root = repository.commit(revision)?.tree;
    let Ok(entries) = repository.entries(root) else { return Ok(false) };
    let hosts = entries.into_iter().find(|e| e.name == "hosts" && e.kind == EntryKind::Tree);
    let entries = hosts.and_then(|hosts| repository.entries(hosts.id).ok()).unwrap_or_default();
    let mut below = entries.iter().filter(|entry| entry.kind == EntryKind::Tree);
    Ok(below.any(|entry| repository.has(entry.id)))
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
    // The same folder at another place holds nothing new; such trees can be made to multiply.
    let mut seen: BTreeSet<TreeId> = level.iter().map(|(_, id)| *id).collect();
    let mut unmarked = None;
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
                if !other && seen.insert(entry.id) {
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
            unmarked.get_or_insert((path, id));
        }
        if below.is_empty() {
            break;
        }
        level = below;
    }
    Ok(unmarked)
}

/// What of a folder is not there, as far as what is there tells.
#[derive(Debug, Default)]
struct Gaps {
    /// Folders that are missing, or that a file is missing of.
    trees: BTreeSet<TreeId>,
    files: BTreeSet<TreeId>,
}

impl Gaps {
    /// Not recursive, and each tree once: nothing bounds how trees that somebody made are nested.
    fn below(repository: &Repository, tree: TreeId) -> Self {
        let mut gaps = Self::default();
        let mut seen = BTreeSet::from([tree]);
        let mut pending = vec![tree];
        while let Some(tree) = pending.pop() {
            let Ok(entries) = repository.entries(tree) else {
                gaps.trees.insert(tree);
                continue;
            };
            for entry in entries {
                match entry.kind {
                    EntryKind::Tree if seen.insert(entry.id) => pending.push(entry.id),
                    EntryKind::File | EntryKind::Symlink if !repository.has(entry.id) => {
                        gaps.trees.insert(tree);
                        gaps.files.insert(entry.id);
                    }
                    _ => {}
                }
            }
        }
        gaps
    }
}

impl Repository {
    /// Whether an object is there.
    fn has(&self, id: TreeId) -> bool {
        self.local().has_object(super::read::object(id))
    }
}
