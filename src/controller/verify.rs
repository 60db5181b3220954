//! Whether commits of the rendered branch are what titan makes of their sources.
//!
//! ```text
//!  parent's tree ──▶ what titan had left there ─┐
//!  Titan-Source-Commit ──▶ source ──────────────┴─▶ rendered again ──▶ same tree, same message, …?
//! ```
//! It needs the repository alone: no controller, no network and no trust in who wrote the branch.

use std::collections::BTreeSet;

use serde::Serialize;

use super::backlog::{Backlog, backlog};
use super::known::{Deviation, Known};
use super::timings::Timings;
use super::workers::Workers;
use crate::git::{CommitInfo, Entry, GitError, Objects, Repository, Signature};
use crate::model::{RepoPath, Revision, TreeId};
use crate::publish::{
    self, GENERATION_TRAILER, Published, RENDERER_TRAILER, RESUME_TRAILER, Rendered, SOURCE_TRAILER,
};

/// What a commit of the rendered branch says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// titan rendered a source commit.
    Rendered,
    /// A person accepted a rewritten config branch.
    Resumed,
    /// Neither: somebody else's.
    Foreign,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `tree`, `message`, `author`, `committer`, `parents`, `source`, `history`, `generation`,
    /// `superfluous`, `foreign`, `object`.
    pub what: &'static str,
    pub detail: String,
}

/// A file that differs from what titan renders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Differing {
    pub path: RepoPath,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// titan renders it, the commit has it not.
    Missing,
    /// The commit has it, titan does not render it.
    Unexpected,
    /// Both have it, with other content.
    Different,
}

impl State {
    fn of(expected: Option<&Entry>, found: Option<&Entry>) -> Self {
        match (expected, found) {
            (None, _) => Self::Unexpected,
            (Some(_), None) => Self::Missing,
            (Some(_), Some(_)) => Self::Different,
        }
    }
}

/// What was found about one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    pub revision: Revision,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The version that wrote it, if that is another one than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    pub findings: Vec<Finding>,
    pub paths: Vec<Differing>,
}

impl Verified {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, what: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding { what, detail: detail.into() });
    }
}

/// Verifies commits of one rendered branch.
#[derive(Debug)]
pub struct Verifier<'a> {
    repository: &'a Repository,
    /// Sources must be in the history of one of these: the head of the config branch, or what it was
    /// before a person accepted that it was rewritten. Empty: not known here.
    anchors: Vec<Revision>,
    workers: Workers,
}

impl<'a> Verifier<'a> {
    /// `config` is the head of the config branch, `tip` that of the rendered branch, where known;
    /// `workers` render.
    ///
    /// # Errors
    /// When the rendered branch cannot be read.
    pub fn new(
        repository: &'a Repository,
        config: Option<Revision>,
        tip: Option<Revision>,
        workers: Workers,
    ) -> Result<Self, GitError> {
        let mut anchors: Vec<Revision> = config.into_iter().collect();
        let line = match tip {
            Some(tip) if config.is_some() => repository.first_parents(tip, None, usize::MAX)?,
            _ => Vec::new(),
        };
        for revision in line {
            let commit = repository.commit(revision)?;
            if commit.trailer(RESUME_TRAILER).is_some() {
                anchors.extend(source_of(&commit));
            }
        }
        Ok(Self { repository, anchors, workers })
    }

    /// Verifies one commit against its parent and its source.
    ///
    /// # Errors
    /// When objects cannot be read. A source that is missing is a finding.
    pub fn verify(&self, revision: Revision) -> Result<Verified, GitError> {
        let commit = self.repository.commit(revision)?;
        let kind = match commit.trailer(RESUME_TRAILER) {
            _ if publish::is_titans(&commit) => Kind::Rendered,
            Some(_) => Kind::Resumed,
            None => Kind::Foreign,
        };
        let renderer = commit.trailer(RENDERER_TRAILER).filter(|v| *v != env!("CARGO_PKG_VERSION"));
        let mut verified = Verified {
            revision,
            kind,
            source: source_of(&commit),
            generation: commit.trailer(GENERATION_TRAILER).and_then(|text| text.parse().ok()),
            renderer: renderer.map(str::to_owned),
            findings: Vec::new(),
            paths: Vec::new(),
        };
        if commit.parents.len() > 1 {
            verified.find("parents", "titan makes no merges");
        }
        let known = Known::load(self.repository, commit.parents.first().copied())?;
        match kind {
            Kind::Rendered => self.rendered(&commit, known, &mut verified)?,
            Kind::Resumed => self.resumed(&commit, &known.rendered, &mut verified)?,
            Kind::Foreign => {
                self.compare_with_parent(&commit, &mut verified)?;
                // What others keep beside titan's files is theirs.
                verified.paths.retain(|differing| publish::is_titans_path(&differing.path));
                if !verified.paths.is_empty() || verified.source.is_some() {
                    let who = &commit.committer;
                    let by = format!("titan did not write this; {} <{}> did", who.name, who.email);
                    verified.find("foreign", by);
                }
            }
        }
        Ok(verified)
    }

    fn rendered(
        &self,
        commit: &CommitInfo,
        mut known: Known,
        verified: &mut Verified,
    ) -> Result<(), GitError> {
        let Some(source) = verified.source else {
            verified.find("source", format!("`{SOURCE_TRAILER}` names no commit"));
            return Ok(());
        };
        self.check_source(source, &known.rendered, verified)?;
        if self.repository.commit(source).is_err() {
            verified.find("source", format!("{source} is not in this clone"));
            return Ok(());
        }
        // What is made here is never kept.
        let objects = self.repository.begin();
        let Some(expected) = self.again(&objects, &mut known, source, verified)? else {
            verified.find("superfluous", "titan writes no commit here: nothing differs");
            return self.compare_with_parent(commit, verified);
        };
        let git = objects.repository();
        let expected = git.commit(expected)?;
        compare_trees(git, &expected, commit, verified)?;
        self.inherited(&objects, &mut known, verified)?;
        compare_texts(&expected, commit, verified);
        for (what, expected, found) in [
            ("author", &expected.author, &commit.author),
            ("committer", &expected.committer, &commit.committer),
        ] {
            if expected != found {
                verified.find(what, format!("{}, titan: {}", signed(found), signed(expected)));
            }
        }
        if verified.is_sound() && verified.renderer.is_none() && expected.id != commit.id {
            verified.find("object", "the commit has headers or blanks that titan does not write");
        }
        Ok(())
    }

    /// Renders `source` on top of what is known, as a controller does: with all that was committed to the
    /// config branch in between. The commit that comes out; `None`: none does.
    fn again(
        &self,
        objects: &Objects,
        known: &mut Known,
        source: Revision,
        verified: &mut Verified,
    ) -> Result<Option<Revision>, GitError> {
        let git = self.repository;
        let most = crate::git::settings_at(git, source)?.limits.backlog;
        let line = match backlog(git, &known.rendered, source, most)? {
            Backlog::Commits(line) => line,
            Backlog::Rewritten { .. } => vec![source],
        };
        let mut made = None;
        for revision in line {
            let step = known.render(objects, revision, &self.workers, &mut Timings::default())?;
            let Published::Committed(commit) = step.published else { continue };
            if revision != source {
                let detail = format!("{} was skipped: titan renders it first", revision.short());
                verified.find("history", detail);
            }
            made = Some(commit.revision);
        }
        Ok(made)
    }

    /// Looks behind what the commit changed: everything that it holds is rendered again.
    fn inherited(
        &self,
        objects: &Objects,
        known: &mut Known,
        verified: &mut Verified,
    ) -> Result<(), GitError> {
        let deviations = known.compare_all(&self.workers, objects)?;
        let git = objects.repository();
        let mut paths = Vec::new();
        for Deviation { pair, found, expected } in &deviations {
            let Some(folder) = known.rendered.folders.get(&pair.host) else { continue };
            let folder = publish::assignment_path(folder, &pair.deployment);
            for below in git.changed_paths(*expected, *found)? {
                let side = |tree: &Option<TreeId>| match tree {
                    Some(tree) => git.entry(*tree, &below),
                    None => Ok(None),
                };
                let state = State::of(side(expected)?.as_ref(), side(found)?.as_ref());
                let path = folder.join(below.as_str()).unwrap_or(below);
                paths.push(Differing { path, state });
            }
        }
        if !paths.is_empty() {
            let files = files(paths.len());
            verified.find("tree", format!("{files}, and did before this commit"));
            verified.paths.extend(paths);
            verified.paths.sort_by(|a, b| a.path.cmp(&b.path));
            verified.paths.dedup();
        }
        Ok(())
    }

    fn resumed(
        &self,
        commit: &CommitInfo,
        previous: &Rendered,
        verified: &mut Verified,
    ) -> Result<(), GitError> {
        if verified.source.is_none() || verified.source != previous.source {
            verified.find("source", format!("`{SOURCE_TRAILER}` is not that of the parent"));
        }
        if verified.generation != Some(previous.generation + 1) {
            verified.find("generation", format!("it is not {}", previous.generation + 1));
        }
        let accepted = commit.trailer(RESUME_TRAILER).and_then(|text| text.parse().ok());
        match accepted {
            Some(accepted) => self.check_branch(accepted, verified)?,
            None => verified.find("source", format!("`{RESUME_TRAILER}` names no commit")),
        }
        let sound = verified.is_sound();
        self.compare_with_parent(commit, verified)?;
        if sound && !verified.paths.is_empty() {
            verified.find("tree", "it may change no file");
        }
        Ok(())
    }

    /// Sources follow each other, on the config branch.
    fn check_source(
        &self,
        source: Revision,
        previous: &Rendered,
        verified: &mut Verified,
    ) -> Result<(), GitError> {
        if let Some(last) = previous.resume.or(previous.source)
            && !self.is_within(last, source)?
        {
            let detail = format!("{} does not continue from {}", source.short(), last.short());
            verified.find("history", detail);
        }
        self.check_branch(source, verified)
    }

    fn check_branch(&self, source: Revision, verified: &mut Verified) -> Result<(), GitError> {
        for anchor in &self.anchors {
            if self.is_within(source, *anchor)? {
                return Ok(());
            }
        }
        if !self.anchors.is_empty() {
            verified.find("history", format!("{source} is not on the config branch"));
        }
        Ok(())
    }

    /// Not, when the commits are not here.
    fn is_within(&self, commit: Revision, tip: Revision) -> Result<bool, GitError> {
        Ok(self.repository.commit(tip).is_ok() && self.repository.is_ancestor(commit, tip)?)
    }

    fn compare_with_parent(
        &self,
        commit: &CommitInfo,
        verified: &mut Verified,
    ) -> Result<(), GitError> {
        let parent = commit.parents.first().map(|parent| self.repository.commit(*parent));
        match parent.transpose()? {
            Some(parent) => differing(self.repository, Some(&parent), commit, verified),
            None => differing(self.repository, None, commit, verified),
        }
    }
}

fn compare_trees(
    git: &Repository,
    expected: &CommitInfo,
    found: &CommitInfo,
    verified: &mut Verified,
) -> Result<(), GitError> {
    if expected.tree == found.tree {
        return Ok(());
    }
    differing(git, Some(expected), found, verified)?;
    let files = files(verified.paths.len());
    verified.find("tree", format!("{files}: {}, titan: {}", found.tree, expected.tree));
    Ok(())
}

fn files(count: usize) -> String {
    if count == 1 { "1 file differs".into() } else { format!("{count} files differ") }
}

fn differing(
    git: &Repository,
    expected: Option<&CommitInfo>,
    found: &CommitInfo,
    verified: &mut Verified,
) -> Result<(), GitError> {
    let expected = expected.map(|commit| commit.tree);
    for path in git.changed_paths(expected, Some(found.tree))? {
        let before = expected.map(|tree| git.entry(tree, &path)).transpose()?.flatten();
        let state = State::of(before.as_ref(), git.entry(found.tree, &path)?.as_ref());
        verified.paths.push(Differing { path, state });
    }
    Ok(())
}

fn source_of(commit: &CommitInfo) -> Option<Revision> {
    commit.trailer(SOURCE_TRAILER).and_then(|text| text.parse().ok())
}

fn signed(who: &Signature) -> String {
    format!("{} <{}> {} {:+}", who.name, who.email, who.seconds, who.offset)
}

/// Compares the messages line by line. The version of the renderer is not compared: that another
/// one wrote the commit is told beside the findings.
fn compare_texts(expected: &CommitInfo, found: &CommitInfo, verified: &mut Verified) {
    let lines = |commit: &CommitInfo| -> Vec<String> {
        let all = std::iter::once(commit.subject.as_str()).chain(commit.body.lines());
        all.filter(|line| !line.starts_with(RENDERER_TRAILER)).map(str::to_owned).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    if expected == found {
        return;
    }
    let sides = [&found, &expected].map(|lines| lines.iter().collect::<BTreeSet<_>>());
    let only = |a: usize, b: usize| -> String {
        let lines = sides[a].difference(&sides[b]).map(|line| format!("`{line}`"));
        let text = lines.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing more".to_owned() } else { text }
    };
    verified.find("message", format!("{}, titan: {}", only(0, 1), only(1, 0)));
}
