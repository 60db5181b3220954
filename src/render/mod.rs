//! Assignment → manifests.
//!
//! ```text
//!  Template ──▶ compile   scan (meters in loops) → nesting → Tera; which file becomes which
//!  Deployment ─▶ context   values merged, checked against `parameters` (schema), shared between hosts
//!        × Host      │
//!                    ▼
//!                 render  with fuel: steps and bytes are counted
//!                    │
//!                    ▼
//!                 check   YAML, Kubernetes objects, the workspace's policy
//! ```
//!
//! A template sees `values`, `host`, `workspace`, `workload` and `deployment`, and nothing else: what
//! it makes of them is the same on every machine and at any time (invariant I3). Maps keep their order
//! (Tera's feature `preserve_order`); those of values have the order of their keys.

mod alike;
mod check;
mod compile;
mod context;
mod errors;
mod filters;
mod fuel;
mod nesting;
mod policy;
mod scan;
mod schema;
mod source;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::model::{
    AssignmentRef, Deployment, Diagnostic, Fleet, Host, Limits, Manifests, RepoPath, Span,
    Template, TemplateRef,
};

use check::{Finding, Rules};
use compile::{Compiled, Output};
use context::{Checked, Hosts, Prepared};
use fuel::Fuel;

pub use context::HostFacts;

/// Version of the rendering rules: a new one may render the same source differently.
pub const RENDERER: &str = concat!("titan/", env!("CARGO_PKG_VERSION"));

/// Renders the deployments of one fleet; keeps compiled templates and merged values between calls, in
/// whatever order they come. Each thread has its own.
pub struct Renderer<'a> {
    fleet: &'a Fleet,
    hosts: Hosts,
    kept: Kept,
}

/// A compiled template, or what is wrong with it.
type Usable = Result<Arc<Compiled>, Vec<Diagnostic>>;

/// What a renderer prepared, for one of another fleet: see [`Renderer::resume`].
#[derive(Default)]
pub struct Kept {
    /// What they were compiled under.
    limits: Limits,
    templates: BTreeMap<TemplateRef, (Arc<Template>, Usable)>,
    /// By the deployment's address: it stays where it is, as this holds it, or the fleet is borrowed.
    prepared: HashMap<usize, Prepared>,
    /// What is in there, roughly, in bytes.
    size: usize,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("templates", &self.templates.len()).finish_non_exhaustive()
    }
}

/// Most bytes that are kept of what was prepared.
const KEEP: usize = 64 << 20;
/// By how much files of one template differ in length, mostly.
const ROOM: usize = 64;
/// What a set of values takes, roughly.
const VARIANT: usize = 8 << 10;

/// Why an assignment could not be rendered: one diagnostic or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.first().map_or("cannot be rendered", |first| first.message.as_str()))]
pub struct RenderError(pub Vec<Diagnostic>);

impl fmt::Debug for Renderer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// What is wrong with a template whatever the values are: syntax, unknown names, cycles, paths, and a
/// `parameters` that is no schema. Empty: it can be used.
#[must_use]
pub fn check_template(template: &Template, limits: &Limits) -> Vec<Diagnostic> {
    Compiled::new(template, limits).err().unwrap_or_default()
}

impl<'a> Renderer<'a> {
    #[must_use]
    pub fn new(fleet: &'a Fleet) -> Self {
        Self::resume(fleet, Kept::default())
    }

    /// Goes on with what was prepared for a fleet before: what was made from the very same objects (their
    /// `Arc`s are equal) is used again.
    #[must_use]
    pub fn resume(fleet: &'a Fleet, mut kept: Kept) -> Self {
        if kept.limits != fleet.settings.limits {
            kept = Kept { limits: fleet.settings.limits.clone(), ..Kept::default() };
        }
        let Kept { templates, prepared, .. } = &mut kept;
        templates.retain(|id, (template, _)| {
            fleet.templates.get(id).is_some_and(|of_fleet| Arc::ptr_eq(of_fleet, template))
        });
        prepared.retain(|_, one| templates.contains_key(one.template()) && one.is_of(fleet));
        Self { fleet, hosts: Hosts::default(), kept }
    }

    /// What it prepared.
    #[must_use]
    pub fn keep(self) -> Kept {
        self.kept
    }

    /// What `host` must run for `deployment`. Hosts for which nothing differs share one result.
    ///
    /// # Errors
    /// Diagnostics that point into the template, or into the deployment's file.
    pub fn render(
        &mut self,
        deployment: &'a Deployment,
        host: &'a Host,
    ) -> Result<Arc<Manifests>, RenderError> {
        let facts = self.hosts.facts(host);
        self.render_with(deployment, &facts)
    }

    /// The same for a host that need not be of the fleet, and may be gone when the next one comes.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn render_with(
        &mut self,
        deployment: &'a Deployment,
        facts: &HostFacts<'_>,
    ) -> Result<Arc<Manifests>, RenderError> {
        let limits = &self.fleet.settings.limits;
        let host = facts.host;
        let prepared = self.prepared(deployment);
        let compiled = prepared.compiled.clone().map_err(RenderError)?;
        let kubernetes = host.spec.runtime.wants_kubernetes_objects();
        let before = prepared.variants();
        let (variant, checked, policy) = prepared.variant(host, compiled.parameters.as_ref());
        let rules = Rules { kubernetes, policy };
        if !variant.problems.is_empty() {
            return Err(RenderError(variant.problems.clone()));
        }
        if let Some(same) = &variant.same[usize::from(kubernetes)] {
            return Ok(Arc::clone(same));
        }
        let context = variant.context(facts.value.clone());
        let mut run = Run { compiled: &compiled, limits, deployment, host, checked, kept: 0 };
        let manifests = Arc::new(run.all(context, rules).map_err(RenderError)?);
        let mut kept = run.kept;
        if !compiled.reads_host {
            variant.same[usize::from(kubernetes)] = Some(Arc::clone(&manifests));
            kept += manifests.size();
        }
        kept += (prepared.variants() - before) * VARIANT;
        self.kept.size += kept;
        Ok(manifests)
    }

    /// What the renders of a deployment share.
    fn prepared(&mut self, deployment: &'a Deployment) -> &mut Prepared {
        if self.kept.size > KEEP {
            self.kept.prepared.clear();
            self.kept.size = 0;
        }
        let address = std::ptr::from_ref(deployment).addr();
        if !self.kept.prepared.contains_key(&address) {
            let compiled = self.compiled(deployment);
            let prepared = Prepared::new(self.fleet, deployment, compiled);
            self.kept.prepared.insert(address, prepared);
        }
        self.kept.prepared.get_mut(&address).expect("because it was put there")
    }

    /// The deployment's template, compiled once.
    fn compiled(&mut self, deployment: &Deployment) -> Usable {
        if let Some((_, known)) = self.kept.templates.get(&deployment.template) {
            return known.clone();
        }
        let template = &self.fleet.templates[&deployment.template];
        let compiled = Compiled::new(template, &self.fleet.settings.limits).map(Arc::new);
        let known = (Arc::clone(template), compiled.clone());
        self.kept.templates.insert(deployment.template.clone(), known);
        compiled
    }
}

/// One render of one assignment.
struct Run<'a> {
    compiled: &'a Compiled,
    limits: &'a Limits,
    deployment: &'a Deployment,
    host: &'a Host,
    checked: &'a mut Checked,
    /// Bytes that were added to what was checked.
    kept: usize,
}

impl Run<'_> {
    /// All files; all problems of all files where there are any.
    fn all(
        &mut self,
        context: &tera::Context,
        rules: Rules<'_>,
    ) -> Result<Manifests, Vec<Diagnostic>> {
        let (mut manifests, mut problems) = (Manifests::default(), Vec::new());
        // One budget for all files of the assignment.
        self.compiled.fuel.refill(Fuel::steps(self.limits));
        for (path, output) in &self.compiled.outputs {
            let known = self.checked.of(path);
            let bytes = match self.file(output, context, known) {
                Ok(bytes) => bytes,
                Err(problem) => {
                    problems.push(*problem);
                    if self.compiled.fuel.is_empty() {
                        break;
                    }
                    continue;
                }
            };
            if matches!(output, Output::Rendered { .. }) && check::is_blank(path, &bytes) {
                // A template leaves a manifest out by rendering nothing.
                continue;
            }
            let bytes = match known.iter().rev().find(|known| alike::alike(known, &bytes)) {
                Some(known) if **known == *bytes => Arc::clone(known),
                Some(_) => bytes,
                None => {
                    let findings = check::check(path, &bytes, rules);
                    if findings.is_empty() {
                        self.kept += bytes.len();
                        self.checked.add(path, bytes.clone());
                    }
                    let place = |finding| self.diagnostic(path, output, &bytes, finding);
                    problems.extend(findings.into_iter().map(place));
                    bytes
                }
            };
            manifests.files.insert(path.clone(), bytes);
        }
        problems.extend(self.too_large(&manifests));
        if problems.is_empty() { Ok(manifests) } else { Err(problems) }
    }

    /// For diagnostics alone.
    fn assignment(&self) -> AssignmentRef {
        self.deployment.id.on(&self.host.name)
    }

    /// One file; it is probably about as long as those that are `known`.
    fn file(
        &self,
        output: &Output,
        context: &tera::Context,
        known: &[Arc<[u8]>],
    ) -> Result<Arc<[u8]>, Box<Diagnostic>> {
        let limit = self.limits.manifest_size;
        match output {
            Output::Copied { path, bytes } if bytes.len() > limit.bytes() => {
                let message = format!("the file is larger than {limit} (`limits.manifestSize`)");
                Err(Box::new(Diagnostic::error("render/size", message).at(path)))
            }
            Output::Copied { bytes, .. } => Ok(Arc::clone(bytes)),
            Output::Rendered { name } => {
                let room = known.last().map_or(0, |known| known.len() + ROOM);
                let mut out = fuel::Output::new(room, limit.bytes());
                match self.compiled.tera.render_to(name, context, &mut out) {
                    Ok(()) => Ok(as_text(out.bytes).into()),
                    Err(error) => {
                        let (compiled, assignment) = (self.compiled, &self.assignment());
                        let limits = self.limits;
                        Err(Box::new(errors::rendering(&error, name, compiled, assignment, limits)))
                    }
                }
            }
        }
    }

    fn too_large(&self, manifests: &Manifests) -> Option<Diagnostic> {
        let limit = self.limits.assignment_size;
        (manifests.size() > limit.bytes()).then(|| {
            let message = format!(
                "the manifests of {} are larger than {limit} together (`limits.assignmentSize`)",
                self.assignment()
            );
            Diagnostic::error("render/size", message)
        })
    }

    /// A finding in the output, pointing into the file that it comes from.
    fn diagnostic(
        &self,
        path: &RepoPath,
        output: &Output,
        bytes: &[u8],
        finding: Finding,
    ) -> Diagnostic {
        let line = finding.line.map_or(String::new(), |line| format!(", line {line}"));
        let message = format!("{} (`{path}`{line}, {})", finding.message, self.assignment());
        let mut problem = Diagnostic::error(finding.code, message);
        problem.fix = finding.fix;
        let text = String::from_utf8_lossy(bytes);
        match output {
            Output::Copied { path, .. } => {
                let problem = problem.at(path);
                match finding.line {
                    Some(line) => problem.span(whole_line(line, &text), &text),
                    None => problem,
                }
            }
            Output::Rendered { name } => {
                let Some(source) = self.compiled.sources.get(name) else { return problem };
                let problem = problem.at(&source.path);
                match finding.line.and_then(|line| origin(line, &text, &source.text)) {
                    Some(line) => problem.span(whole_line(line, &source.text), &source.text),
                    None => problem,
                }
            }
        }
    }
}

/// Line ends are LF, and the last line has one.
fn as_text(bytes: Vec<u8>) -> Vec<u8> {
    let mut text = if bytes.contains(&b'\r') {
        let mut text = Vec::with_capacity(bytes.len());
        for (at, byte) in bytes.iter().enumerate() {
            if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
                text.push(*byte);
            }
        }
        text
    } else {
        bytes
    };
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text
}

/// The template's line that probably printed line `line` of the output: the one that shares the longest
/// beginning with it before anything is filled in. Among equals, the nearest.
fn origin(line: u32, output: &str, template: &str) -> Option<u32> {
    let printed = output.lines().nth(line.checked_sub(1)? as usize)?.trim();
    let fixed = |line: &str| line.split("{{").next().map_or(0, |start| start.trim().len());
    let lines = template.lines().zip(1_u32..).filter(|(text, _)| {
        let start = text.split("{{").next().unwrap_or(text).trim();
        !start.is_empty() && !start.starts_with("{%") && printed.starts_with(start)
    });
    lines
        .max_by_key(|(text, at)| (fixed(text), std::cmp::Reverse(at.abs_diff(line))))
        .map(|(_, at)| at)
}

fn whole_line(line: u32, text: &str) -> Span {
    let content = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
    let start = content.chars().take_while(|c| c.is_whitespace()).count();
    let length = content.trim().chars().count().max(1);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Span { line, column: number(start + 1), length: number(length) }
}

#[cfg(test)]
mod tests;
