//! Commits, read and written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use gix::actor::SignatureRef;
use gix::bstr::ByteSlice;
use gix::objs::{CommitRef, CommitRefIter, Kind};

use super::error::{damaged, gix_error};
use super::read::{self, commit_object, tree_id};
use super::{GitError, Repository};
use crate::model::{Revision, Timestamp, TreeId};

/// Somebody at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub id: Revision,
    pub tree: TreeId,
    pub parents: Vec<Revision>,
    pub author: Signature,
    pub committer: Signature,
    /// The first line of the message.
    pub subject: String,
    /// What follows the subject, trailers included.
    pub body: String,
    /// `Key: value` lines of the last paragraph, in order.
    pub trailers: Vec<(String, String)>,
}

/// Commits that were read lately: the same ones are asked for again and again, and none ever changes.
pub(super) type Commits = HashMap<Revision, CommitInfo>;

/// Most of them that are kept.
const COMMITS: usize = 1024;

/// A commit to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDraft {
    pub tree: TreeId,
    pub parents: Vec<Revision>,
    pub author: Signature,
    pub committer: Signature,
    /// Subject, body and trailers.
    pub message: String,
}

impl Signature {
    /// The time, UTC.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl CommitInfo {
    /// The value of the first trailer called `key`, any case.
    #[must_use]
    pub fn trailer(&self, key: &str) -> Option<&str> {
        let mut found = self.trailers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        found.next().map(|(_, value)| value.as_str())
    }
}

impl Repository {
    /// What a commit says.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn commit(&self, revision: Revision) -> Result<CommitInfo, GitError> {
        if let Some(known) = self.commits().get(&revision) {
            return Ok(known.clone());
        }
        let found = self.read_commit(revision)?;
        if self.is_staged() {
            // It may never come to be.
            return Ok(found);
        }
        let mut known = self.commits();
        if known.len() >= COMMITS {
            known.clear();
        }
        known.insert(revision, found.clone());
        Ok(found)
    }

    fn read_commit(&self, revision: Revision) -> Result<CommitInfo, GitError> {
        let id = commit_object(revision);
        let data = self.store().data(id, Kind::Commit)?;
        let readable = with_readable_people(&data);
        let decoded = CommitRef::from_bytes(&readable, id.kind()).map_err(damaged(id))?;
        let author = decoded.author().map_err(damaged(id))?;
        let committer = decoded.committer().map_err(damaged(id))?;
        let (subject, body, trailers) = split_message(&decoded.message.to_str_lossy());
        Ok(CommitInfo {
            id: revision,
            tree: tree_id(decoded.tree()),
            parents: decoded.parents().map(read::revision).collect(),
            author: Signature::read(author),
            committer: Signature::read(committer),
            subject,
            body,
            trailers,
        })
    }

    /// First-parent ancestors of `tip` down to `base` (exclusive; `None`: to the root), newest first, at most `limit`.
    ///
    /// # Errors
    /// [`GitError::Object`].
    pub fn first_parents(
        &self,
        tip: Revision,
        base: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Revision>, GitError> {
        let store = self.store();
        let mut found = Vec::new();
        let mut next = Some(tip);
        while let Some(at) = next.filter(|at| Some(*at) != base && found.len() < limit) {
            found.push(at);
            let id = commit_object(at);
            let data = store.data(id, Kind::Commit)?;
            next =
                CommitRefIter::from_bytes(&data, id.kind()).parent_ids().next().map(read::revision);
        }
        Ok(found)
    }

    /// All commits that are reachable from `tip` and not from `base` (`None`: to the roots), in no
    /// particular order.
    ///
    /// # Errors
    /// When a commit on the way is missing.
    pub fn commits_since(
        &self,
        tip: Revision,
        base: Option<Revision>,
    ) -> Result<Vec<Revision>, GitError> {
        let local = self.local();
        let walk = local.rev_walk([commit_object(tip)]).with_hidden(base.map(commit_object));
        let walk = walk.all().map_err(gix_error("walk through history"))?;
        walk.map(|found| Ok(read::revision(found.map_err(gix_error("walk through history"))?.id)))
            .collect()
    }

    /// Whether `ancestor` is reachable from `tip` (a commit is its own ancestor).
    ///
    /// # Errors
    /// [`GitError::Object`] when a commit on the way is missing; a missing `ancestor` is just not
    /// reachable.
    pub fn is_ancestor(&self, ancestor: Revision, tip: Revision) -> Result<bool, GitError> {
        self.is_near_ancestor(ancestor, tip, usize::MAX)
    }

    /// The same among the nearest commits alone: after `most` of them it is taken for none.
    ///
    /// # Errors
    /// As [`Repository::is_ancestor`].
    pub fn is_near_ancestor(
        &self,
        ancestor: Revision,
        tip: Revision,
        most: usize,
    ) -> Result<bool, GitError> {
        let store = self.store();
        let mut seen = HashSet::from([tip]);
        let mut queue = VecDeque::from([tip]);
        while let Some(at) = queue.pop_front() {
            if at == ancestor {
                return Ok(true);
            }
            if seen.len() > most {
                return Ok(false);
            }
            let id = commit_object(at);
            let data = store.data(id, Kind::Commit)?;
            let parents = CommitRefIter::from_bytes(&data, id.kind()).parent_ids();
            let parents = parents.map(read::revision);
            queue.extend(parents.filter(|parent| seen.insert(*parent)));
        }
        Ok(false)
    }

    /// Where the histories of two commits part: the best common ancestor, as `git merge-base` says;
    /// `None`: they have none.
    ///
    /// # Errors
    /// When commits on the way are missing.
    pub fn merge_base(&self, one: Revision, two: Revision) -> Result<Option<Revision>, GitError> {
        let local = self.local();
        let bases = local.merge_bases_many(commit_object(one), &[commit_object(two)]);
        let bases = bases.map_err(gix_error("find the merge base"))?;
        Ok(bases.first().map(|base| read::revision(base.detach())))
    }

    /// Writes the commit object, durably unless it joins others ([`super::Objects`]); no ref moves. The
    /// same draft gives the same id everywhere.
    ///
    /// # Errors
    /// When the object cannot be written.
    pub fn write_commit(&self, draft: &CommitDraft) -> Result<Revision, GitError> {
        let mut text = format!("tree {}\n", draft.tree);
        for parent in &draft.parents {
            text.push_str(&format!("parent {parent}\n"));
        }
        text.push_str(&format!("author {}\n", draft.author.line()));
        text.push_str(&format!("committer {}\n\n", draft.committer.line()));
        // Git ends a message at a NUL and refuses it in `fsck`.
        text.push_str(draft.message.replace('\0', "").trim_end());
        text.push('\n');
        if !self.is_staged() {
            let objects = self.begin();
            let id = objects.repository().store().write(Kind::Commit, text.as_bytes(), None)?;
            objects.finish()?;
            return Ok(read::revision(id));
        }
        let id = self.store().write(Kind::Commit, text.as_bytes(), None)?;
        Ok(read::revision(id))
    }
}

/// A commit object in which people who cannot be read are nobody: `git` writes such a commit when told
/// to, servers take it, and it must not stop those that come after it.
fn with_readable_people(commit: &[u8]) -> Cow<'_, [u8]> {
    let header = commit.find(b"\n\n").unwrap_or(commit.len());
    let unreadable = |line: &&[u8]| {
        let who = line.strip_prefix(b"author ").or_else(|| line.strip_prefix(b"committer "));
        who.is_some_and(|who| SignatureRef::from_bytes(who).is_err())
    };
    if !commit[..header].split(|byte| *byte == b'\n').any(|line| unreadable(&line)) {
        return Cow::Borrowed(commit);
    }
    let mut mended = Vec::with_capacity(commit.len());
    for line in commit[..header].split(|byte| *byte == b'\n') {
        let key = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        mended.extend_from_slice(if unreadable(&line) { key } else { line });
        mended.extend_from_slice(if unreadable(&line) { b" <> 0 +0000\n" } else { b"\n" });
    }
    mended.extend_from_slice(commit.get(header + 1..).unwrap_or_default());
    Cow::Owned(mended)
}

impl Signature {
    fn read(raw: gix::actor::SignatureRef<'_>) -> Self {
        // A time that cannot be read is taken for 1970 rather than making the commit unreadable.
        let time = raw.time().unwrap_or_default();
        Self {
            name: raw.name.to_str_lossy().trim().to_owned(),
            email: raw.email.to_str_lossy().trim().to_owned(),
            seconds: time.seconds,
            offset: time.offset,
        }
    }

    /// As it stands in a commit object. Characters that would break the line are left out.
    fn line(&self) -> String {
        let clean = |text: &str| {
            let fine = text.chars().filter(|c| !matches!(c, '<' | '>') && !c.is_control());
            fine.collect::<String>().trim().to_owned()
        };
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        let (hours, minutes) = (minutes / 60 % 100, minutes % 60);
        let (name, email) = (clean(&self.name), clean(&self.email));
        format!("{name} <{email}> {} {sign}{hours:02}{minutes:02}", self.seconds)
    }
}

/// Subject, body and trailers of a message. As with `git interpret-trailers`, trailers are a last
/// paragraph of `Key: value` lines alone; lines that begin with a blank continue the one above.
fn split_message(message: &str) -> (String, String, Vec<(String, String)>) {
    let message = message.replace("\r\n", "\n");
    let message = message.trim_start_matches('\n');
    let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
    let body = body.trim_matches('\n').to_owned();
    let paragraph = body.rsplit("\n\n").next().unwrap_or_default();
    let trailers = read_trailers(paragraph).unwrap_or_default();
    (subject.trim_end().to_owned(), body, trailers)
}

fn read_trailers(paragraph: &str) -> Option<Vec<(String, String)>> {
    let mut trailers: Vec<(String, String)> = Vec::new();
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            let (_, value) = trailers.last_mut()?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (key, value) = line.split_once(':')?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.is_empty() || !key.chars().all(word) {
            return None;
        }
        trailers.push((key.to_owned(), value.trim().to_owned()));
    }
    Some(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_as_git_does() {
        let check = |message: &str, subject: &str, body: &str, trailers: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let trailers: Vec<_> = trailers.iter().map(owned).collect();
            let expected = (subject.to_owned(), body.to_owned(), trailers);
            assert_eq!(split_message(message), expected, "{message:?}");
        };
        check("", "", "", &[]);
        check("a: b\n", "a: b", "", &[]);
        check("s\n\nK: v\nK: w: x\n", "s", "K: v\nK: w: x", &[("K", "v"), ("K", "w: x")]);
        check("s\r\n\r\nb\r\n\r\nK: v\r\n", "s", "b\n\nK: v", &[("K", "v")]);
        check("s\n\nK: a\n b\n", "s", "K: a\n b", &[("K", "a b")]);
        check("s\n\nK: v\nprose\n", "s", "K: v\nprose", &[]);
        check("s\n\n/K: v\n", "s", "/K: v", &[]);
    }

    #[test]
    fn signatures_cannot_break_out_of_their_line() {
        let line = |name: &str, offset| {
            let email = "a@b>\nparent x".into();
            Signature { name: name.into(), email, seconds: 7, offset }.line()
        };
        assert_eq!(line("Ann", -19_800), "Ann <a@bparent x> 7 -0530");
        assert_eq!(line(" <A>\0\n ", 3600), "A <a@bparent x> 7 +0100");
    }
}
