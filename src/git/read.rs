//! Opening a repository, and reading its refs and objects; never a worktree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use gix::bstr::{BStr, ByteSlice};
use gix::objs::tree::EntryKind as Mode;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, ThreadSafeRepository};

use super::GitError;
use super::commit::Commits;
use super::compare::{self, Side};
use super::error::{damaged, gix_error};
use super::local::Waiting;
use super::pack::{Stage, Store};
use super::upkeep::Diary;
use crate::model::{RepoPath, Revision, TreeId};

/// An open repository: its object database and refs. Cheap to clone, may be sent to other threads.
#[derive(Debug, Clone)]
pub struct Repository {
    shared: Arc<Shared>,
    /// What is written and read besides; see [`super::Objects`].
    stage: Option<Arc<Stage>>,
}

#[derive(Debug)]
struct Shared {
    inner: RwLock<ThreadSafeRepository>,
    /// What it was opened with.
    path: PathBuf,
    git_dir: PathBuf,
    own_git_dir: PathBuf,
    worktree: Option<PathBuf>,
    commits: Mutex<Commits>,
    waiting: Waiting,
    diary: Arc<Diary>,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: EntryKind,
    /// Blob, tree or commit id, by `kind`.
    pub id: TreeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Tree,
    Symlink,
    Submodule,
}

impl From<Mode> for EntryKind {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Tree => Self::Tree,
            Mode::Blob | Mode::BlobExecutable => Self::File,
            Mode::Link => Self::Symlink,
            Mode::Commit => Self::Submodule,
        }
    }
}

/// How many pack indices the object database may hold. gix's default fails at the 33rd pack that
/// appears while a repository is open.
const PACK_SLOTS: u16 = 4096;

/// Options under which nothing outside the repository has a say, and inside it only what says how
/// objects and refs are stored. Replacement refs would make two clones read different content.
fn options() -> gix::open::Options {
    gix::open::Options::isolated()
        .object_store_slots(gix::odb::store::init::Slots::Given(PACK_SLOTS))
        .config_overrides(["core.useReplaceRefs=false"])
        // Only objects and refs are read and no program is ever started from the configuration, so
        // it does not matter who owns the folder.
        .with(gix::sec::Trust::Full)
}

impl Repository {
    /// Opens the repository at `path` (bare, or with a worktree). Does not look in parent folders.
    ///
    /// # Errors
    /// [`GitError::NotARepository`]; [`GitError::RefFormat`] and [`GitError::ObjectFormat`] for
    /// kinds of repository that titan does not read.
    pub fn open(path: &Path) -> Result<Self, GitError> {
        Self::open_with(path, Arc::default())
    }

    fn open_with(path: &Path, diary: Arc<Diary>) -> Result<Self, GitError> {
        let path =
            std::path::absolute(path).map_err(|source| GitError::io("resolve", path, source))?;
        let inner = ThreadSafeRepository::open_opts(&path, options())
            .map_err(|error| unreadable(&path, error))?;
        let local = inner.to_thread_local();
        let config = local.config_snapshot();
        if let Some(format) = config.string("extensions.refStorage")
            && !format.eq_ignore_ascii_case(b"files")
        {
            return Err(GitError::RefFormat { path, format: format.to_string() });
        }
        let git_dir = local.common_dir();
        let git_dir = git_dir.canonicalize().map_err(|e| GitError::io("resolve", git_dir, e))?;
        let worktree = local.workdir().map(Path::to_owned);
        let own_git_dir = inner.git_dir().to_owned();
        let (commits, waiting) = (Mutex::default(), Waiting::default());
        let inner = RwLock::new(inner);
        let shared =
            Shared { inner, path, git_dir, own_git_dir, worktree, commits, waiting, diary };
        Ok(Self { shared: Arc::new(shared), stage: None })
    }

    /// The same without what is staged, opened anew: what is read through it is in memory no longer than it
    /// is. It takes as long as to read some hundred objects.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn apart(&self) -> Result<Self, GitError> {
        Self::open_with(&self.shared.path, Arc::clone(&self.shared.diary))
    }

    /// Opens the repository around `path`, as `git` would find it.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn discover(path: &Path) -> Result<Self, GitError> {
        let not_found = || GitError::NotARepository { path: path.to_owned() };
        let start = std::path::absolute(path).map_err(|e| GitError::io("resolve", path, e))?;
        let (found, _) = gix::discover::upwards(&start).map_err(|_| not_found())?;
        let (git_dir, worktree) = found.into_repository_and_work_tree_directories();
        Self::open(&worktree.unwrap_or(git_dir))
    }

    /// The directory that holds objects and refs (the common one, for linked worktrees).
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.shared.git_dir
    }

    /// The directory that holds HEAD and the index: for linked worktrees not the common one.
    pub(super) fn own_git_dir(&self) -> &Path {
        &self.shared.own_git_dir
    }

    /// Whether a part of the history was not cloned.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        self.local().is_shallow().unwrap_or(false)
    }

    /// The root of the worktree, unless the repository is bare.
    #[must_use]
    pub fn worktree(&self) -> Option<&Path> {
        self.shared.worktree.as_deref()
    }

    /// A new handle. It shares all caches but its own buffers.
    pub(super) fn open_local(&self) -> gix::Repository {
        self.shared.inner.read().unwrap_or_else(PoisonError::into_inner).to_thread_local()
    }

    /// Lets go of all packs, which are opened again as they are needed: what was read of them stays in
    /// memory until then, and so do packs that are merged since.
    pub(super) fn reopen(&self) {
        // As long as it cannot be opened, the old one is as good.
        let Ok(new) = ThreadSafeRepository::open_opts(&self.shared.path, options()) else { return };
        *self.shared.inner.write().unwrap_or_else(PoisonError::into_inner) = new;
        self.waiting().forget();
        self.diary().opened();
    }

    /// Handles that nobody uses.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.shared.waiting
    }

    pub(super) fn diary(&self) -> &Diary {
        &self.shared.diary
    }

    /// The same with what is staged.
    pub(super) fn staged(&self, stage: Arc<Stage>) -> Self {
        Self { shared: Arc::clone(&self.shared), stage: Some(stage) }
    }

    /// The same without it.
    pub(super) fn unstaged(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), stage: None }
    }

    /// Whether what is written here is staged.
    pub(super) fn is_staged(&self) -> bool {
        self.stage.is_some()
    }

    pub(super) fn commits(&self) -> MutexGuard<'_, Commits> {
        self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects, for this thread.
    pub(super) fn store(&self) -> Store {
        Store { gix: self.local(), stage: self.stage.clone() }
    }

    /// The branch that HEAD names, short (`main`), also when it has no commit yet; `None` when detached.
    ///
    /// # Errors
    /// When HEAD cannot be read.
    pub fn head_branch(&self) -> Result<Option<String>, GitError> {
        let name = self.local().head_name().map_err(gix_error("read HEAD"))?;
        let short = name.and_then(|name| {
            Some(name.as_bstr().strip_prefix(b"refs/heads/")?.to_str_lossy().into_owned())
        });
        Ok(short)
    }

    /// The commit that `refs/heads/<branch>` points to.
    ///
    /// # Errors
    /// [`GitError::BranchName`], or when the refs cannot be read.
    pub fn branch(&self, branch: &str) -> Result<Option<Revision>, GitError> {
        let name = super::refs::full_name(branch)?;
        let local = self.local();
        let found = local.try_find_reference(&name).map_err(gix_error("read a branch"))?;
        let Some(mut reference) = found else { return Ok(None) };
        if let Some(id) = reference.try_id() {
            // A branch is no tag: nothing has to be looked up.
            return Ok(Some(revision(id.detach())));
        }
        let id = reference.peel_to_id().map_err(gix_error("read a branch"))?;
        Ok(Some(revision(id.detach())))
    }

    /// The head of a branch; in a clone, also of the branch that it was cloned from.
    ///
    /// # Errors
    /// When refs cannot be read.
    pub fn head_of(&self, branch: &str) -> Result<Option<Revision>, GitError> {
        let own = self.branch(branch)?;
        Ok(own.or_else(|| self.resolve(&format!("refs/remotes/origin/{branch}")).ok()))
    }

    /// Any revision that people write: a full or short id, a branch, `main~2`, `HEAD`.
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`].
    pub fn resolve(&self, name: &str) -> Result<Revision, GitError> {
        let unknown = || GitError::UnknownRevision { name: name.escape_default().to_string() };
        let local = self.local();
        let id = local.rev_parse_single(BStr::new(name)).map_err(|_| unknown())?;
        let commit =
            id.object().and_then(|object| object.peel_to_commit()).map_err(|_| unknown())?;
        Ok(revision(commit.id))
    }

    /// The entries of a tree, in Git's order. Names that are not UTF-8 are shown with replacement
    /// characters.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn entries(&self, tree: TreeId) -> Result<Vec<Entry>, GitError> {
        self.reader().entries(tree)
    }

    /// The entry at `path` below `tree`.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn entry(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Entry>, GitError> {
        self.reader().entry(tree, path)
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn blob(&self, id: TreeId) -> Result<Arc<[u8]>, GitError> {
        read_blob(&self.store(), object(id))
    }

    /// The size of an object in bytes, without reading its content.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn size(&self, id: TreeId) -> Result<u64, GitError> {
        let id = object(id);
        Ok(self.local().find_header(id).map_err(damaged(id))?.size())
    }

    /// Whether an object is a tree.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn is_tree(&self, id: TreeId) -> Result<bool, GitError> {
        let id = object(id);
        Ok(self.local().find_header(id).map_err(damaged(id))?.kind().is_tree())
    }

    /// The file at `path` below `tree`; `None` when there is none.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn file(&self, tree: TreeId, path: &RepoPath) -> Result<Option<Arc<[u8]>>, GitError> {
        match self.entry(tree, path)? {
            Some(entry) if entry.kind == EntryKind::File => self.blob(entry.id).map(Some),
            _ => Ok(None),
        }
    }

    /// All files below `tree` with their paths, in the order of paths (files only; no limits).
    /// Entries whose names are no [`RepoPath`] are left out.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn walk(&self, tree: TreeId) -> Result<Vec<(RepoPath, Entry)>, GitError> {
        let mut files = Vec::new();
        walk_into(&self.store(), object(tree), None, &mut files)?;
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    /// The paths of files that differ between two trees (`None`: the empty tree), in order. Links
    /// and submodules count as files here; names that are no [`RepoPath`] are left out.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn changed_paths(
        &self,
        before: Option<TreeId>,
        after: Option<TreeId>,
    ) -> Result<Vec<RepoPath>, GitError> {
        let files = self.differing_files(before, after, usize::MAX)?;
        Ok(files.into_iter().flatten().map(|(path, _)| path).collect())
    }

    /// The same with the ids of both sides; `None` where there are more than `most`, which is not looked into
    /// any further.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn differing_files(
        &self,
        before: Option<TreeId>,
        after: Option<TreeId>,
        most: usize,
    ) -> Result<Option<BTreeMap<RepoPath, Sides>>, GitError> {
        let mut files = BTreeMap::new();
        let sides = [before.map(object), after.map(object)];
        differences(&self.store(), sides, None, (&mut files, most))?;
        Ok((files.len() <= most).then_some(files))
    }
}

/// What a file was and is; `None`: it is not there.
pub type Sides = [Option<TreeId>; 2];

/// Why gix would not open a repository.
fn unreadable(path: &Path, error: gix::Error) -> GitError {
    let configs = [path.join(".git/config"), path.join("config")];
    let format = configs.into_iter().find_map(|file| {
        let source = gix::config::Source::Local;
        let config = gix::config::File::from_path_no_includes(file, source).ok()?;
        config.string("extensions.objectFormat")
    });
    match format {
        Some(format) if !format.eq_ignore_ascii_case(b"sha1") => {
            GitError::ObjectFormat { path: path.to_owned(), format: format.to_string() }
        }
        _ if error.is_not_found() => GitError::NotARepository { path: path.to_owned() },
        _ => gix_error("open the repository")(error),
    }
}

/// An entry as it stands in the tree object, whatever its name is.
#[derive(Debug)]
pub(super) struct RawEntry {
    pub(super) name: Vec<u8>,
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

impl RawEntry {
    pub(super) fn into_entry(self) -> Entry {
        let name = String::from_utf8_lossy(&self.name).into_owned();
        Entry { name, kind: self.mode.into(), id: tree_id(self.id) }
    }
}

pub(super) fn object(id: TreeId) -> ObjectId {
    ObjectId::Sha1(*id.as_bytes())
}

pub(super) fn commit_object(id: Revision) -> ObjectId {
    ObjectId::Sha1(*id.as_bytes())
}

fn sha1(id: ObjectId) -> [u8; 20] {
    id.as_bytes().try_into().expect("because a repository with other ids than SHA-1 is not opened")
}

pub(super) fn tree_id(id: ObjectId) -> TreeId {
    TreeId::from_bytes(sha1(id))
}

pub(super) fn revision(id: ObjectId) -> Revision {
    Revision::from_bytes(sha1(id))
}

/// The entries of a tree as they are, in the order in which they stand.
pub(super) fn raw_entries(store: &Store, id: ObjectId) -> Result<Vec<RawEntry>, GitError> {
    let tree = store.data(id, Kind::Tree)?;
    let entries = TreeRefIter::from_bytes(&tree, id.kind()).map(|entry| {
        let entry = entry.map_err(damaged(id))?;
        let (name, mode) = (entry.filename.to_vec(), entry.mode.kind());
        Ok(RawEntry { name, mode, id: entry.oid.to_owned() })
    });
    entries.collect()
}

pub(super) fn read_blob(store: &Store, id: ObjectId) -> Result<Arc<[u8]>, GitError> {
    store.data(id, Kind::Blob).map(Arc::from)
}

/// `name` below `parent`, if it may stand in a path.
pub(super) fn child(parent: Option<&RepoPath>, name: &[u8]) -> Option<RepoPath> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('/'))?;
    match parent {
        Some(parent) => parent.join(name).ok(),
        None => RepoPath::new(name).ok(),
    }
}

fn walk_into(
    store: &Store,
    tree: ObjectId,
    parent: Option<&RepoPath>,
    files: &mut Vec<(RepoPath, Entry)>,
) -> Result<(), GitError> {
    for entry in raw_entries(store, tree)? {
        let Some(path) = child(parent, &entry.name) else { continue };
        match entry.mode {
            Mode::Tree => walk_into(store, entry.id, Some(&path), files)?,
            Mode::Blob | Mode::BlobExecutable => files.push((path, entry.into_entry())),
            Mode::Link | Mode::Commit => {}
        }
    }
    Ok(())
}

/// Compares two trees, entering only what differs, until more than `most` are found.
fn differences(
    store: &Store,
    sides: [Option<ObjectId>; 2],
    parent: Option<&RepoPath>,
    (files, most): (&mut BTreeMap<RepoPath, Sides>, usize),
) -> Result<(), GitError> {
    let trees = compare::load(store, sides)?;
    for (name, pair) in compare::differing(&trees)?.entries {
        let Some(path) = child(parent, name) else { continue };
        let below = pair.map(|side| side.and_then(Side::tree));
        if below.iter().any(Option::is_some) {
            differences(store, below, Some(&path), (files, most))?;
        }
        let own = pair.map(|side| side.filter(|side| side.mode != Mode::Tree));
        if own.iter().any(Option::is_some) {
            files.insert(path, own.map(|side| side.map(|side| tree_id(side.id))));
        }
        if files.len() > most {
            break;
        }
    }
    Ok(())
}
