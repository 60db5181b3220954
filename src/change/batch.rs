//! Many requests at a time: one commit for each, one check, one sync to disk, one move of the branch.
//!
//! ```text
//!  requests ─▶ in history already? ─▶ c1 ─▶ c2 ─▶ c3 ─▶ check all ─┬─ fine ──▶ durable ─▶ compare-and-swap
//!                  │ the first answer                             └─ worse ─▶ again, one by one:
//!                  ▼                                                           who breaks it is refused
//! ```
//! When the branch was moved by somebody else, all is done again on top of theirs.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use super::check::{Checker, Judge};
use super::commit::{ChangeError, Options, Place, TRIES, apply, is_lost, message, pause};
use super::request::{Outcome, Request, own_branch};
use super::requests::{DIGEST_TRAILER, ID_TRAILER, Requests};
use crate::git::{
    CommitDraft, FleetRepository, GitError, Location, RefUpdate, Repository, Sources, TreeEdit,
    settings_at, valid_branch_name,
};
use crate::model::{RepoPath, RequestId, Revision, TreeId};
use crate::parse::{self, Parsed, Parser};

/// Most commits that people add to the branch of a proposal, as far as it is looked at.
const ADDED: usize = 100;

/// Commits requests on top of the config branch; keeps what it has read of it.
#[derive(Debug)]
pub struct Desk {
    fleet: FleetRepository,
    judge: Judge,
    reader: Reader,
}

/// The config branch, read and judged revision after revision.
#[derive(Debug)]
struct Reader {
    files: Sources,
    parser: Parser,
    checker: Checker,
}

impl Reader {
    fn new(judge: &Judge) -> Self {
        let (files, parser) = (Sources::default(), Parser::default());
        Self { files, parser, checker: Checker::new(judge.clone()) }
    }

    fn read(&mut self, git: &Repository, revision: Option<Revision>) -> Result<Parsed, GitError> {
        let Some(revision) = revision else { return Ok(Parsed::default()) };
        let changes = self.files.changes(git, revision, parse::limits)?;
        let mut parsed = self.parser.update(Some(revision), changes);
        if parsed.fleet.held.all.is_some() {
            // Who may do what does not become unknown because somebody broke `titan.yaml`.
            Arc::make_mut(&mut parsed.fleet).settings = settings_at(git, revision)?;
        }
        Ok(parsed)
    }
}

/// Which of the commits are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Each, on top of those before it that are fine.
    Each,
    /// None yet: whoever asks looks at the last.
    Later,
}

impl Desk {
    #[must_use]
    pub fn new(fleet: FleetRepository, judge: Judge) -> Self {
        let reader = Reader::new(&judge);
        Self { fleet, judge, reader }
    }

    /// Commits all requests that can be committed; what becomes of each, in their order. `known` is brought
    /// up to date. When it returns, whatever is [`Outcome::Committed`] survives a power cut.
    ///
    /// # Errors
    /// [`GitError`] when Git or the remote fails, or too many races are lost. It is not known then whether
    /// the branch has moved: the requests may be repeated, their ids keep them from being made twice.
    pub fn commit(
        &mut self,
        requests: &[Request],
        known: &mut Requests,
    ) -> Result<Vec<Outcome>, GitError> {
        let mut tries = 1;
        loop {
            match self.attempt(requests, known) {
                Err(error) => {
                    // What was read may be of a history that never came to be.
                    self.reader = Reader::new(&self.judge);
                    if tries == TRIES || !is_lost(&error) {
                        return Err(error);
                    }
                    std::thread::sleep(pause(tries));
                    self.fleet.refresh()?;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    fn attempt(
        &mut self,
        requests: &[Request],
        known: &mut Requests,
    ) -> Result<Vec<Outcome>, GitError> {
        let fleet = self.fleet.clone();
        let git = &fleet.repository;
        let _turn = turn(&fleet);
        let checked_out =
            git.worktree().is_some() && git.head_branch()?.as_ref() == Some(&fleet.branch);
        let _held = if checked_out { git.hold_worktree()? } else { None };
        let head = git.branch(&fleet.branch)?;
        if let Some(head) = head {
            known.follow(git, head)?;
        }
        let before = self.reader.read(git, head)?;
        let objects = git.begin();
        let draft = Draft::new(objects.repository(), (&before, head));
        let draft = self.draft(draft, requests, known)?;
        let changed = match checked_out {
            true => draft.changed_paths()?,
            false => Vec::new(),
        };
        if checked_out && let Some(path) = git.uncommitted(&changed)?.into_iter().next() {
            // What was read is of commits that never came to be.
            self.reader = Reader::new(&self.judge);
            let dirty = || Outcome::Refused(ChangeError::Dirty { path: path.clone() });
            return Ok(requests.iter().map(|_| dirty()).collect());
        }
        let Draft { tip, aside, outcomes, .. } = draft;
        let moved = tip.filter(|tip| Some(*tip) != head);
        let branch = fleet.branch.clone();
        let update = moved.map(|new| RefUpdate { branch, expected: head, new });
        let mut outcomes: Vec<Outcome> =
            outcomes.into_iter().map(|outcome| outcome.expect("because each has one")).collect();
        if update.is_some() || !aside.is_empty() {
            objects.finish()?;
        }
        if let Some(update) = update {
            fleet.publish(&[update])?;
        }
        // A branch that somebody forbids is nobody else's trouble.
        for (at, update) in aside {
            if let Err(error) = fleet.publish(&[update]) {
                outcomes[at] = Outcome::Failed(error);
            }
        }
        if let Some(tip) = moved {
            known.follow(git, tip)?;
            if checked_out {
                git.check_out(tip, &changed)?;
            }
        }
        Ok(outcomes)
    }

    /// All requests as commits, checked.
    fn draft<'a>(
        &mut self,
        empty: Draft<'a>,
        requests: &[Request],
        known: &Requests,
    ) -> Result<Draft<'a>, GitError> {
        let several = requests.iter().filter(|request| request.branch.is_none()).count() > 1;
        // Who may do what is as the commits before say.
        if several && !requests.iter().any(Request::is_about_rights) {
            let mut draft = empty.clone_empty();
            draft.run(&mut self.reader, requests, known, Check::Later)?;
            let after = self.reader.read(draft.git, draft.tip)?;
            if self.reader.checker.new_errors(draft.before, &after)?.is_empty() {
                return Ok(draft);
            }
        }
        let mut draft = empty;
        self.reader.read(draft.git, draft.head)?;
        draft.run(&mut self.reader, requests, known, Check::Each)?;
        Ok(draft)
    }
}

/// How long others on this machine are waited for, in pauses of a millisecond.
const TURN: u32 = 1000;

/// Waits a while for others on this machine that commit to the same repository: a race costs the loser
/// all of its work. Only the compare-and-swap decides, so nobody depends on it; a remote has no such queue.
fn turn(fleet: &FleetRepository) -> Option<File> {
    if !matches!(fleet.location, Location::Local(_)) {
        return None;
    }
    let file = File::create(fleet.repository.git_dir().join("titan-changes.lock")).ok()?;
    for _ in 0..TURN {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Commits in the making, of which no branch knows.
struct Draft<'a> {
    /// Where objects are written.
    git: &'a Repository,
    /// What is at the head.
    before: &'a Parsed,
    head: Option<Revision>,
    tip: Option<Revision>,
    tree: Option<TreeId>,
    outcomes: Vec<Option<Outcome>>,
    /// Branches of their own, with the number of the request.
    aside: Vec<(usize, RefUpdate)>,
    /// Requests that have a commit here: their digest too.
    here: HashMap<RequestId, (String, Revision)>,
}

impl<'a> Draft<'a> {
    fn new(git: &'a Repository, (before, head): (&'a Parsed, Option<Revision>)) -> Self {
        let (outcomes, aside, here) = (Vec::new(), Vec::new(), HashMap::new());
        Self { git, before, head, tip: head, tree: None, outcomes, aside, here }
    }

    fn clone_empty(&self) -> Self {
        Self::new(self.git, (self.before, self.head))
    }

    fn run(
        &mut self,
        reader: &mut Reader,
        requests: &[Request],
        known: &Requests,
        check: Check,
    ) -> Result<(), GitError> {
        self.tree = self.head.map(|head| self.git.commit(head)).transpose()?.map(|head| head.tree);
        // The last that is known to be fine.
        let mut fine = self.before.clone();
        for request in requests {
            let outcome = match self.twin(request, known)? {
                Some(outcome) => outcome,
                None if request.branch.is_some() => self.propose(reader, request)?,
                None => self.commit(reader, request, check, &mut fine)?,
            };
            self.outcomes.push(Some(outcome));
        }
        Ok(())
    }

    /// What became of an earlier request with the same id.
    fn twin(&self, request: &Request, known: &Requests) -> Result<Option<Outcome>, GitError> {
        let same = |digest: &str, commit, outcome: fn(Revision) -> Outcome| {
            if digest == request.digest { outcome(commit) } else { Outcome::Taken(commit) }
        };
        if let Some((digest, commit)) = self.here.get(&request.id) {
            return Ok(Some(same(digest, *commit, Outcome::Committed)));
        }
        if let Some(known) = known.get(&request.id) {
            return Ok(Some(same(&known.digest, known.commit, Outcome::Committed)));
        }
        self.proposed(&request.id)
            .map(|found| found.map(|(digest, commit)| same(&digest, commit, Outcome::Proposed)))
    }

    /// The request with this id that waits on a branch of its own, where others may have added commits:
    /// its digest, and its commit.
    fn proposed(&self, id: &RequestId) -> Result<Option<(String, Revision)>, GitError> {
        let branch = own_branch(id);
        if !valid_branch_name(&branch) {
            return Ok(None);
        }
        let Some(tip) = self.git.branch(&branch)? else { return Ok(None) };
        for revision in self.git.first_parents(tip, self.head, ADDED)? {
            let commit = self.git.commit(revision)?;
            if commit.trailer(ID_TRAILER) == Some(id.as_str()) {
                let digest = commit.trailer(DIGEST_TRAILER).unwrap_or_default().to_owned();
                return Ok(Some((digest, revision)));
            }
        }
        Ok(None)
    }

    /// Makes the request's commit on top of `tip`.
    fn commit(
        &mut self,
        reader: &mut Reader,
        request: &Request,
        check: Check,
        fine: &mut Parsed,
    ) -> Result<Outcome, GitError> {
        if let Err(denied) = request.judge(&fine.fleet) {
            return Ok(Outcome::Refused(denied));
        }
        let (tip, tree) = match self.write(request)? {
            Written::Commit(commit, tree) => (commit, tree),
            Written::Nothing => {
                return Ok(Outcome::Unchanged(self.tip.unwrap_or(Revision::NONE)));
            }
            Written::Refused(error) => return Ok(Outcome::Refused(error)),
        };
        if check == Check::Each {
            let after = reader.read(self.git, Some(tip))?;
            let diagnostics = reader.checker.new_errors(fine, &after)?;
            if !diagnostics.is_empty() {
                reader.read(self.git, self.tip)?;
                return Ok(Outcome::Refused(ChangeError::Invalid { diagnostics }));
            }
            *fine = after;
        }
        (self.tip, self.tree) = (Some(tip), Some(tree));
        self.here.insert(request.id.clone(), (request.digest.clone(), tip));
        Ok(Outcome::Committed(tip))
    }

    /// Makes the request's commit on top of the head, for a branch of its own.
    fn propose(&mut self, reader: &mut Reader, request: &Request) -> Result<Outcome, GitError> {
        let mut alone = self.clone_empty();
        alone.tree = self.head.map(|head| self.git.commit(head)).transpose()?.map(|head| head.tree);
        reader.read(self.git, self.head)?;
        let mut fine = self.before.clone();
        let outcome = alone.commit(reader, request, Check::Each, &mut fine)?;
        reader.read(self.git, self.tip)?;
        let Outcome::Committed(commit) = outcome else { return Ok(outcome) };
        let branch = request.branch.clone().expect("because the caller looked");
        let update = RefUpdate { branch, expected: None, new: commit };
        self.aside.push((self.outcomes.len(), update));
        Ok(Outcome::Proposed(commit))
    }

    fn write(&self, request: &Request) -> Result<Written, GitError> {
        let place =
            Place { repository: self.git, tree: self.tree, fleet: Some(&self.before.fleet) };
        let mut edited = TreeEdit::new(self.git, self.tree);
        for edit in request.wanted.iter().flat_map(|wanted| &wanted.edits) {
            match apply(&place, edit, &mut edited) {
                Ok(()) => {}
                Err(ChangeError::Git(error)) => return Err(error),
                Err(error) => return Ok(Written::Refused(error)),
            }
        }
        let tree = edited.write()?;
        if Some(tree) == self.tree {
            return Ok(Written::Nothing);
        }
        let mut options = request.options.clone();
        options.trailers.push((ID_TRAILER.to_owned(), request.id.to_string()));
        options.trailers.push((DIGEST_TRAILER.to_owned(), request.digest.clone()));
        let message = message(&options);
        let Options { author, committer, .. } = options;
        let parents = self.tip.into_iter().collect();
        let draft = CommitDraft { tree, parents, author, committer, message };
        Ok(Written::Commit(self.git.write_commit(&draft)?, tree))
    }

    /// The files that differ from those at the head.
    fn changed_paths(&self) -> Result<Vec<RepoPath>, GitError> {
        let before = self.head.map(|head| self.git.commit(head)).transpose()?;
        self.git.changed_paths(before.map(|head| head.tree), self.tree)
    }
}

/// What a request came to, before it is checked.
enum Written {
    Commit(Revision, TreeId),
    /// All is so already.
    Nothing,
    Refused(ChangeError),
}

#[cfg(test)]
mod tests;
