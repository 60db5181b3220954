//! "Where is my commit?": from a source commit to the hosts that it changed.
//!
//! ```text
//!  source commit ─▶ on the config branch? ─▶ considered? ─▶ rendered commit R ─▶ assignments of R
//!                         NotOnBranch          Waiting      Unchanged if none     each with its status,
//!                                                                                 or what superseded it
//! ```
//!
//! A composition of reads: it needs the three branches and no controller. The branches need not have
//! moved together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::files;
use super::fold::EXTERNAL;
use super::history::{self, Change, SOURCE_TRAILER};
use super::view::Verdict;
use crate::git::{GitError, Repository};
use crate::model::{
    AssignmentRef, AssignmentStatus, Diagnostic, DiagnosticsFile, FleetStatus, RepoPath, Revision,
    Timestamp, TreeId,
};

/// The heads of the fleet's branches; `None` for one that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub config: Option<Revision>,
    pub rendered: Option<Revision>,
    pub status: Option<Revision>,
}

/// How far a source commit has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    pub source: Revision,
    pub subject: String,
    pub author: String,
    /// The source commit's own time.
    pub committed: Timestamp,
    /// The commit that brought it onto the config branch: itself, or the merge commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Revision>,
    #[serde(flatten)]
    pub stage: Stage,
    /// What the commit touched and is held back → why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, String>,
    /// What is wrong in the files that the commit touched, if they are still as it left them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// What the rendered commit changed, in the order of deployments, then hosts.
    pub assignments: Vec<Traced>,
    pub verdict: Verdict,
}

/// The last stage on the way to the hosts that the commit reached as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
pub enum Stage {
    /// No commit of the config branch has it among its ancestors.
    NotOnBranch,
    /// The controller has not looked at it yet.
    Waiting,
    /// The controller looked at it; nothing that runs differs, or what would is held.
    Unchanged,
    /// It became a commit of the rendered branch.
    Rendered { rendered: Revision, summary: String },
}

/// One assignment that the commit changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traced {
    pub assignment: AssignmentRef,
    /// The tree that the commit gave it; `None`: the commit removed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    /// A later rendered commit that changed it again; `status` is about that one then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Revision>,
    /// `None`: the controller has not taken it up yet, or it is gone from its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<AssignmentStatus>,
    pub verdict: Verdict,
}

impl Traced {
    /// Whether Flux or Argo CD deliver it, so that nobody tells how it fares.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.reason == EXTERNAL)
    }
}

/// Follows a source commit.
///
/// # Errors
/// When it does not exist, or objects cannot be read.
pub fn trace(repository: &Repository, heads: &Heads, source: Revision) -> Result<Trace, GitError> {
    let commit = repository.commit(source)?;
    let mut trace = Trace {
        source,
        subject: commit.subject.clone(),
        author: commit.author.name.clone(),
        committed: commit.committer.time(),
        carrier: carrier(repository, heads.config, source)?,
        stage: Stage::NotOnBranch,
        held: BTreeMap::new(),
        diagnostics: Vec::new(),
        assignments: Vec::new(),
        verdict: Verdict::Pending,
    };
    let Some(carrier) = trace.carrier else { return Ok(trace) };
    let status = Status::read(repository, heads.status)?;
    let considered = match &status.fleet {
        Some(fleet) => is_within(repository, carrier, fleet.source)?,
        None => false,
    };
    if considered {
        trace.explain(repository, &status, carrier)?;
    }
    let held = if trace.held.is_empty() { Verdict::Deployed } else { Verdict::Held };
    let rendered = rendered_of(repository, heads.rendered, carrier)?;
    if considered {
        trace.explain_guards(repository, &status, carrier, rendered)?;
    }
    let held = if trace.held.is_empty() { held } else { Verdict::Held };
    let Some(rendered) = rendered else {
        (trace.stage, trace.verdict) = match considered {
            true => (Stage::Unchanged, held),
            false => (Stage::Waiting, Verdict::Pending),
        };
        return Ok(trace);
    };
    let summary = repository.commit(rendered)?.subject;
    trace.stage = Stage::Rendered { rendered, summary };
    let known = status.covers(repository, rendered)?;
    for (assignment, change) in history::changes(repository, rendered)? {
        trace.assignments.push(status.traced(repository, rendered, known, assignment, &change)?);
    }
    trace.verdict = Verdict::worst(trace.assignments.iter().map(|one| one.verdict)).max(held);
    Ok(trace)
}

impl Trace {
    /// Says what the guards hold of it: a history that was rewritten, too many removals.
    fn explain_guards(
        &mut self,
        repository: &Repository,
        status: &Status,
        carrier: Revision,
        rendered: Option<Revision>,
    ) -> Result<(), GitError> {
        let Some(fleet) = &status.fleet else { return Ok(()) };
        let mut hold = |what: &str| {
            if let Some(why) = fleet.held.get(what) {
                self.held.insert(what.to_owned(), why.clone());
            }
        };
        if rendered.is_none() {
            hold("history");
        }
        let began = match rendered {
            Some(rendered) => repository.commit(rendered)?.trailer("Titan-Held-Removals").is_some(),
            None => {
                let touched = touched(repository, carrier, fleet.source)?;
                let objects = ["hosts", "templates", "workspaces"];
                let first = |path: &RepoPath| path.segments().next().map(str::to_owned);
                touched.iter().filter_map(first).any(|first| objects.contains(&first.as_str()))
            }
        };
        if began {
            hold("removals");
        }
        Ok(())
    }

    /// Names what the commit touched and what is therefore held, or wrong.
    fn explain(
        &mut self,
        repository: &Repository,
        status: &Status,
        carrier: Revision,
    ) -> Result<(), GitError> {
        let Some(fleet) = &status.fleet else { return Ok(()) };
        let touched = touched(repository, carrier, fleet.source)?;
        let names: Vec<_> = touched.iter().filter_map(object_at).collect();
        for (what, why) in &fleet.held {
            let by_name = names.iter().any(|name| name.covers(what));
            let by_place = touched.iter().any(|path| mentions(why, path));
            if by_name || by_place {
                self.held.insert(what.clone(), why.clone());
            }
        }
        let found = status.diagnostics.iter().flat_map(|file| &file.diagnostics);
        let here = |one: &&Diagnostic| one.path.as_ref().is_some_and(|path| touched.contains(path));
        self.diagnostics = found.filter(here).cloned().collect();
        Ok(())
    }
}

/// What the trace reads from the status branch.
struct Status {
    tree: Option<TreeId>,
    fleet: Option<FleetStatus>,
    diagnostics: Option<DiagnosticsFile>,
}

impl Status {
    fn read(repository: &Repository, head: Option<Revision>) -> Result<Self, GitError> {
        let Some(head) = head else {
            return Ok(Self { tree: None, fleet: None, diagnostics: None });
        };
        let tree = repository.commit(head)?.tree;
        let file = |path: &RepoPath| repository.file(tree, path);
        let fleet = file(&files::fleet_path())?.and_then(|bytes| files::read(&bytes).ok());
        let diagnostics =
            file(&files::diagnostics_path())?.and_then(|bytes| files::read(&bytes).ok());
        Ok(Self { tree: Some(tree), fleet, diagnostics })
    }

    /// Whether the statuses take the rendered commit into account.
    fn covers(&self, repository: &Repository, rendered: Revision) -> Result<bool, GitError> {
        match self.fleet.as_ref().and_then(|fleet| fleet.rendered) {
            Some(seen) => is_within(repository, rendered, seen),
            None => Ok(false),
        }
    }

    fn traced(
        &self,
        repository: &Repository,
        rendered: Revision,
        known: bool,
        assignment: AssignmentRef,
        change: &Change,
    ) -> Result<Traced, GitError> {
        let status = if known { self.find(repository, &assignment, &change.folder)? } else { None };
        let desired = status.as_ref().map(|status| &status.desired);
        let later =
            desired.filter(|desired| desired.rendered != rendered && desired.tree != change.tree);
        let verdict = match &status {
            Some(status) => Verdict::of(status),
            // Taken up, and without a status: it is gone, by this commit or by a later one.
            None if known => Verdict::Deployed,
            None => Verdict::Pending,
        };
        Ok(Traced {
            superseded_by: later.map(|desired| desired.rendered),
            tree: change.tree,
            assignment,
            status,
            verdict,
        })
    }

    /// The assignment's status: where the commit had its host's folder, else wherever it is now.
    fn find(
        &self,
        repository: &Repository,
        assignment: &AssignmentRef,
        folder: &RepoPath,
    ) -> Result<Option<AssignmentStatus>, GitError> {
        let Some(tree) = self.tree else { return Ok(None) };
        let Some(path) = files::assignment_path(folder, &assignment.deployment) else {
            return Ok(None);
        };
        if let Some(bytes) = repository.file(tree, &path)? {
            return Ok(files::read(&bytes).ok());
        }
        let host = files::host_path(folder);
        if host.is_some_and(|host| repository.file(tree, &host).is_ok_and(|file| file.is_some())) {
            return Ok(None);
        }
        let moved = repository
            .walk(tree)?
            .into_iter()
            .find(|(path, _)| files::folder_of_assignment(path, assignment).is_some());
        let Some((_, entry)) = moved else { return Ok(None) };
        Ok(files::read(&repository.blob(entry.id)?).ok())
    }
}

/// The first commit of the config branch's main line that has `source` in it.
fn carrier(
    repository: &Repository,
    head: Option<Revision>,
    source: Revision,
) -> Result<Option<Revision>, GitError> {
    let Some(head) = head else { return Ok(None) };
    if !is_within(repository, source, head)? {
        return Ok(None);
    }
    // Once in, always in: everything newer than the carrier has it too.
    let line = repository.first_parents(head, None, usize::MAX)?;
    if line.contains(&source) {
        return Ok(Some(source));
    }
    let (mut has, mut lacks) = (0, line.len());
    while lacks - has > 1 {
        let middle = has + (lacks - has) / 2;
        if is_within(repository, source, line[middle])? {
            has = middle;
        } else {
            lacks = middle;
        }
    }
    Ok(Some(line[has]))
}

/// The rendered commit of a source commit: the first, where a later one only took back what others
/// did to the branch.
fn rendered_of(
    repository: &Repository,
    head: Option<Revision>,
    source: Revision,
) -> Result<Option<Revision>, GitError> {
    let Some(head) = head else { return Ok(None) };
    let time = repository.commit(source)?.committer.seconds;
    let (mut next, mut found) = (Some(head), None);
    while let Some(revision) = next {
        let commit = repository.commit(revision)?;
        next = commit.parents.first().copied();
        let origin = commit.trailer(SOURCE_TRAILER).and_then(|text| text.parse().ok());
        // A person's `titan resume` names the source of what was there, and renders nothing.
        let resumes = commit.trailer("Titan-Resume").is_some();
        let Some(origin) = origin.filter(|_| !resumes) else { continue };
        if origin == source {
            found = Some(revision);
            continue;
        }
        // The times only say when it is worth to ask: clocks lie, ancestry does not.
        let older = commit.committer.seconds <= time;
        if found.is_some() || (older && is_within(repository, origin, source)?) {
            return Ok(found);
        }
    }
    Ok(found)
}

/// Files that the commit changed and that are still so at `later`.
fn touched(
    repository: &Repository,
    commit: Revision,
    later: Revision,
) -> Result<Vec<RepoPath>, GitError> {
    let after = repository.commit(commit)?;
    let parent = after.parents.first().map(|parent| repository.commit(*parent)).transpose()?;
    let now = repository.commit(later)?.tree;
    let mut touched =
        repository.changed_paths(parent.map(|parent| parent.tree), Some(after.tree))?;
    if now != after.tree {
        let mut kept = Vec::new();
        for path in touched {
            if repository.entry(after.tree, &path)? == repository.entry(now, &path)? {
                kept.push(path);
            }
        }
        touched = kept;
    }
    Ok(touched)
}

/// An object that a file of the config branch defines, as `fleet.yaml` names it.
enum Touched {
    /// `deployment iot/sensor/prod`, `host tim-pi`; an assignment is `iot/sensor/prod@tim-pi`.
    Deployment(String),
    Host(String),
    /// All deployments whose name starts so.
    Deployments(String),
}

impl Touched {
    fn covers(&self, held: &str) -> bool {
        let name = held.rsplit(' ').next().unwrap_or(held);
        let (deployment, host) = name.split_once('@').unwrap_or((name, ""));
        match self {
            Self::Deployment(own) => deployment == own,
            Self::Host(own) => host == own || held == format!("host {own}"),
            Self::Deployments(prefix) => deployment.starts_with(prefix.as_str()),
        }
    }
}

fn object_at(path: &RepoPath) -> Option<Touched> {
    let parts: Vec<_> = path.segments().collect();
    match parts.as_slice() {
        ["hosts", .., file] => {
            file.strip_suffix(".yaml").map(|host| Touched::Host(host.to_owned()))
        }
        ["workspaces", workspace, "workloads", workload, "deployments", file] => {
            let name = file.strip_suffix(".yaml")?;
            Some(Touched::Deployment(format!("{workspace}/{workload}/{name}")))
        }
        ["workspaces", workspace, "workloads", workload, "workload.yaml"] => {
            Some(Touched::Deployments(format!("{workspace}/{workload}/")))
        }
        ["workspaces", workspace, "workspace.yaml"] => {
            Some(Touched::Deployments(format!("{workspace}/")))
        }
        _ => None,
    }
}

/// Whether a reason such as `hosts/a.yaml:3:1: unknown field` speaks of the file.
fn mentions(reason: &str, path: &RepoPath) -> bool {
    let mut places = reason.match_indices(path.as_str());
    places.any(|(start, found)| {
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '.' | '_');
        let before = reason[..start].chars().next_back();
        let after = reason[start + found.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(|c| inside(c) && c != '.')
    })
}

/// Whether `commit` is in the history of `tip`; not when that is unknown here.
fn is_within(repository: &Repository, commit: Revision, tip: Revision) -> Result<bool, GitError> {
    if commit == tip {
        return Ok(true);
    }
    Ok(repository.commit(tip).is_ok() && repository.is_ancestor(commit, tip)?)
}
