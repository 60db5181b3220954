//! Edits → a validated commit on the config branch.

use std::time::Duration;

use super::check::{Checker, Judge};
use super::edit::{self, EditError, FieldEdit};
use super::host_key::NewKey;
use super::object;
use crate::git::{
    CommitDraft, FleetRepository, GitError, RefUpdate, Repository, Signature, TreeEdit,
};
use crate::model::{
    Diagnostic, Fleet, Name, ObjectRef, PathError, Recovery, RepoPath, Revision, TreeId,
};
use crate::parse;

/// One wish of a change. It names objects, not places, so that it can be done again on a newer head.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Puts a new object's file.
    Create { object: ObjectRef, path: RepoPath, text: String },
    /// The same, unless the object is there already.
    Ensure { object: ObjectRef, text: String },
    /// Puts any file, whether there is one or not.
    Put { path: RepoPath, bytes: Vec<u8> },
    /// Changes fields of an object's file.
    Fields { object: ObjectRef, edits: Vec<FieldEdit> },
    /// Gives a host another key, where it may have one.
    Key(NewKey),
    /// Removes an object; with `recursive` also what it owns. Nothing to do where there is none.
    Delete { object: ObjectRef, recursive: bool },
    /// Removes a file or a folder. Nothing to do where there is none.
    Clear { path: RepoPath },
}

/// How a change is committed.
#[derive(Debug, Clone)]
pub struct Options {
    pub author: Signature,
    pub committer: Signature,
    /// Subject, and body where there is one.
    pub message: String,
    pub trailers: Vec<(String, String)>,
    pub mode: Mode,
}

/// Whether the change is really made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Commit,
    /// All but the last step: the commit is written and checked, and no branch points to it.
    DryRun,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The commit that holds what was wanted: the new one, or the head when nothing had to change
    /// ([`Revision::NONE`] where there is none).
    pub revision: Revision,
    /// The head that the change was made on.
    pub base: Option<Revision>,
    /// Whether the branch moved. It does not in a dry run, nor when nothing had to change.
    pub landed: bool,
    /// The files that differ; empty when there is no new commit.
    pub changed: Vec<RepoPath>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{object} exists already in `{path}`")]
    Exists { object: ObjectRef, path: RepoPath },
    #[error("there is no {object}")]
    Missing { object: ObjectRef },
    #[error("{object} is defined more than once: `{first}` and `{second}`")]
    Ambiguous { object: ObjectRef, first: RepoPath, second: RepoPath },
    #[error("{object} still owns {count} other files, such as `{example}`")]
    NotEmpty { object: ObjectRef, count: usize, example: String },
    #[error("`{path}` cannot be edited")]
    Edit { path: RepoPath, source: EditError },
    #[error("`{path}` is not UTF-8")]
    Encoding { path: RepoPath },
    #[error("this takes {needs}")]
    Denied { needs: String },
    #[error("the change would break the fleet")]
    Invalid { diagnostics: Vec<Diagnostic> },
    #[error("{object} has no such key or enrollment any more")]
    Unproven { object: ObjectRef },
    #[error("`{path}` has changes that are not committed")]
    Dirty { path: RepoPath },
    #[error("the path of a file is not allowed")]
    Path(#[from] PathError),
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ChangeError {
    /// What a loop does about it.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Git(error) => error.recovery(),
            _ => Recovery::Fix,
        }
    }
}

/// Tries of a change that loses races, and the longest pause between two of them.
pub(super) const TRIES: u32 = 12;
const PAUSE: Duration = Duration::from_secs(2);

/// Makes the edits on top of the config branch, checks the whole result, and commits it. When
/// somebody else was faster, all is done again on top of theirs.
///
/// In a checkout whose branch moves, the files follow. Nothing is written when nothing differs.
///
/// # Errors
/// What stands in the way; nothing was changed then.
pub fn propose(
    repository: &FleetRepository,
    edits: &[Edit],
    options: &Options,
) -> Result<Proposed, ChangeError> {
    let mut tries = 1;
    loop {
        match attempt(repository, edits, options) {
            Err(error) if tries < TRIES && is_lost_race(&error) => {
                std::thread::sleep(pause(tries));
                repository.refresh()?;
                tries += 1;
            }
            result => return result,
        }
    }
}

/// Whether the same on a newer head may do. Failures of remotes were retried where they happened.
fn is_lost_race(error: &ChangeError) -> bool {
    matches!(error, ChangeError::Git(error) if is_lost(error))
}

pub(super) fn is_lost(error: &GitError) -> bool {
    error.recovery() == Recovery::Refresh || matches!(error, GitError::Locked { .. })
}

/// A random part of a bound that doubles with each try, so that rivals do not meet again.
pub(super) fn pause(tries: u32) -> Duration {
    let bound = Duration::from_millis(10).saturating_mul(1 << tries.min(16)).min(PAUSE);
    let mut random = [0; 4];
    // Without randomness the full bound is as good.
    if getrandom::fill(&mut random).is_err() {
        return bound;
    }
    bound.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

fn attempt(
    fleet: &FleetRepository,
    edits: &[Edit],
    options: &Options,
) -> Result<Proposed, ChangeError> {
    let repository = &fleet.repository;
    let checked_out = repository.worktree().is_some()
        && repository.head_branch()?.as_deref() == Some(fleet.branch.as_str());
    let _held = if checked_out { repository.hold_worktree()? } else { None };
    let head = repository.branch(&fleet.branch)?;
    let base = head.map(|head| repository.commit(head)).transpose()?.map(|commit| commit.tree);
    let objects = repository.begin();
    let staged = objects.repository();
    let mut edited = TreeEdit::new(staged, base);
    for edit in edits {
        apply(&Place { repository, tree: base, fleet: None }, edit, &mut edited)?;
    }
    let tree = edited.write()?;
    let changed = staged.changed_paths(base, Some(tree))?;
    if changed.is_empty() {
        let revision = head.unwrap_or(Revision::NONE);
        return Ok(Proposed { revision, base: head, landed: false, changed });
    }
    if checked_out && let Some(path) = repository.uncommitted(&changed)?.into_iter().next() {
        return Err(ChangeError::Dirty { path });
    }
    let draft = CommitDraft {
        tree,
        parents: head.into_iter().collect(),
        author: options.author.clone(),
        committer: options.committer.clone(),
        message: message(options),
    };
    let revision = staged.write_commit(&draft)?;
    validate(staged, head, revision)?;
    objects.finish()?;
    if options.mode == Mode::DryRun {
        return Ok(Proposed { revision, base: head, landed: false, changed });
    }
    let update = RefUpdate { branch: fleet.branch.clone(), expected: head, new: revision };
    fleet.publish(&[update])?;
    if checked_out {
        repository.check_out(revision, &changed)?;
    }
    Ok(Proposed { revision, base: head, landed: true, changed })
}

/// Refuses a commit that brings errors which its parent has not.
fn validate(
    repository: &Repository,
    before: Option<Revision>,
    after: Revision,
) -> Result<(), ChangeError> {
    let files = |revision| repository.source_files(revision, parse::limits);
    let before = before.map(files).transpose()?.unwrap_or_default();
    let (before, after) = (parse::parse(None, &before), parse::parse(None, &files(after)?));
    let diagnostics = Checker::new(Judge::here()).new_errors(&before, &after)?;
    if diagnostics.is_empty() { Ok(()) } else { Err(ChangeError::Invalid { diagnostics }) }
}

pub(super) fn message(options: &Options) -> String {
    let mut message = options.message.trim_end().to_owned();
    message.push('\n');
    if !options.trailers.is_empty() {
        message.push('\n');
    }
    for (key, value) in &options.trailers {
        message.push_str(&format!("{key}: {value}\n"));
    }
    message
}

/// Where edits are made.
pub(super) struct Place<'a> {
    /// Has the objects of `tree`.
    pub(super) repository: &'a Repository,
    /// What is there before; `None`: nothing.
    pub(super) tree: Option<TreeId>,
    /// Knows where hosts lie in an earlier tree: what is where it was need not be looked for.
    pub(super) fleet: Option<&'a Fleet>,
}

/// Does one edit. It sees the tree as it was, not what the edits before it did.
pub(super) fn apply(
    place: &Place<'_>,
    edit: &Edit,
    tree: &mut TreeEdit<'_>,
) -> Result<(), ChangeError> {
    match edit {
        Edit::Create { object, path, text } => match place.locate(object)? {
            Some((found, bytes)) if found != *path || *bytes != *text.as_bytes() => {
                return Err(ChangeError::Exists { object: object.clone(), path: found });
            }
            _ => tree.put(path, text.as_bytes())?,
        },
        Edit::Ensure { object, text } => {
            if place.locate(object)?.is_none() {
                tree.put(&object::path(object), text.as_bytes())?;
            }
        }
        Edit::Put { path, bytes } => tree.put(path, bytes)?,
        Edit::Fields { object, edits } => {
            let (path, bytes) = place.find(object)?;
            let text = edited(&path, text(&path, &bytes)?, edits)?;
            tree.put(&path, text.as_bytes())?;
        }
        Edit::Key(key) => {
            let (path, bytes) = place.find(&ObjectRef::Host(key.host.clone()))?;
            let before = text(&path, &bytes)?;
            let text = edited(&path, before, &key.edits(&path, before)?)?;
            tree.put(&path, text.as_bytes())?;
        }
        Edit::Delete { object, recursive } => {
            for path in place.doomed(object, *recursive)? {
                tree.remove(&path)?;
            }
        }
        Edit::Clear { path } => tree.remove(path)?,
    }
    Ok(())
}

fn text<'a>(path: &RepoPath, bytes: &'a [u8]) -> Result<&'a str, ChangeError> {
    std::str::from_utf8(bytes).map_err(|_| ChangeError::Encoding { path: path.clone() })
}

fn edited(path: &RepoPath, text: &str, edits: &[FieldEdit]) -> Result<String, ChangeError> {
    edits
        .iter()
        .try_fold(text.to_owned(), |text, edit| edit::apply(&text, edit))
        .map_err(|source| ChangeError::Edit { path: path.clone(), source })
}

/// An object's file and its content, also when what it says is broken.
type Located = Option<(RepoPath, std::sync::Arc<[u8]>)>;

impl Place<'_> {
    fn find(&self, object: &ObjectRef) -> Result<(RepoPath, std::sync::Arc<[u8]>), ChangeError> {
        self.locate(object)?.ok_or_else(|| ChangeError::Missing { object: object.clone() })
    }

    fn locate(&self, object: &ObjectRef) -> Result<Located, ChangeError> {
        let Some(tree) = self.tree else { return Ok(None) };
        let at = |path: RepoPath| -> Result<Located, ChangeError> {
            Ok(self.repository.file(tree, &path)?.map(|bytes| (path, bytes)))
        };
        let ObjectRef::Host(name) = object else { return at(object::path(object)) };
        if let Some(host) = self.fleet.and_then(|fleet| fleet.hosts.get(name))
            && let Some(found) = at(host.path.clone())?
        {
            return Ok(Some(found));
        }
        let known = self.fleet.is_some_and(|fleet| !fleet.held.hosts.contains_key(name));
        if known && let Some(found) = at(object::path(object))? {
            return Ok(Some(found));
        }
        // A twin in another folder would be found when the result is checked.
        if known { Ok(None) } else { self.search(tree, name) }
    }

    /// The file of a host, wherever it lies.
    fn search(&self, tree: TreeId, name: &Name) -> Result<Located, ChangeError> {
        let hosts = RepoPath::new("hosts").expect("the folder's name is fine");
        let Some(folder) = self.repository.entry(tree, &hosts)? else { return Ok(None) };
        let file = format!("{name}.yaml");
        let mut found: Located = None;
        for (path, entry) in self.repository.walk(folder.id)? {
            if path.file_name() != file {
                continue;
            }
            let path = hosts.join(path.as_str())?;
            if let Some((first, _)) = found {
                let object = ObjectRef::Host(name.clone());
                return Err(ChangeError::Ambiguous { object, first, second: path });
            }
            found = Some((path, self.repository.blob(entry.id)?));
        }
        Ok(found)
    }

    /// What goes when an object goes.
    fn doomed(&self, object: &ObjectRef, recursive: bool) -> Result<Vec<RepoPath>, ChangeError> {
        let Some(tree) = self.tree else { return Ok(Vec::new()) };
        let Some(folder) = object::folder(object) else {
            return Ok(self.locate(object)?.map(|(path, _)| path).into_iter().collect());
        };
        let Some(entry) = self.repository.entry(tree, &folder)? else { return Ok(Vec::new()) };
        let own = object::path(object);
        let others: Vec<_> =
            self.repository.walk(entry.id)?.into_iter().map(|(path, _)| path).collect();
        let mut others = others.iter().filter(|path| !own.as_str().ends_with(path.as_str()));
        let owns_files_only = matches!(object, ObjectRef::Template(_));
        if !recursive
            && !owns_files_only
            && let Some(example) = others.next()
        {
            let object = object.clone();
            let example = format!("{folder}/{example}");
            return Err(ChangeError::NotEmpty { object, count: others.count() + 1, example });
        }
        Ok(vec![folder])
    }
}
