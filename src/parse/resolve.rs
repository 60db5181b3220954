//! Objects → a fleet in which every reference resolves; the rest is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::Draft;
use super::references::References;
use super::template::Folding;
use super::{hold, locate_error};
use crate::model::fleet::{Deployment, Host, Target, TemplateFile, Workload, Workspace};
use crate::model::nearest::Suggestions;
use crate::model::{
    DeploymentRef, Diagnostic, Fleet, Hold, Name, ObjectRef, RepoPath, SourceFile, TargetRef,
    TemplateRef, TemplateSpec, WorkloadRef,
};

/// A valid object with references, and the file that it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Read<'a, S> {
    pub(crate) file: &'a SourceFile,
    pub(crate) object: &'a S,
}

/// All objects of one revision, by kind.
#[derive(Debug, Default)]
pub(crate) struct Objects<'a> {
    pub(crate) hosts: BTreeMap<Name, Arc<Host>>,
    pub(crate) workspaces: BTreeMap<Name, Arc<Workspace>>,
    pub(crate) templates: BTreeMap<TemplateRef, Read<'a, TemplateSpec>>,
    pub(crate) targets: BTreeMap<TargetRef, Arc<Target>>,
    pub(crate) workloads: BTreeMap<WorkloadRef, Read<'a, Arc<Workload>>>,
    pub(crate) deployments: BTreeMap<DeploymentRef, Read<'a, Draft>>,
    /// Objects that exist and cannot be used.
    pub(crate) broken: BTreeMap<ObjectRef, Hold>,
    /// Each workspace that owns anything, with the first of its files.
    pub(crate) owners: BTreeMap<&'a Name, &'a RepoPath>,
    pub(crate) template_files: BTreeMap<TemplateRef, BTreeMap<RepoPath, TemplateFile>>,
}

/// Resolves all references.
pub(crate) fn resolve(mut objects: Objects<'_>, diagnostics: &mut Vec<Diagnostic>) -> Fleet {
    let mut fleet = Fleet::default();
    check_owners(&mut objects, diagnostics);
    let mut references = References::new(&objects);
    let folding = Folding {
        specs: &objects.templates,
        files: std::mem::take(&mut objects.template_files),
        references: &mut references,
        broken: &mut objects.broken,
        diagnostics,
        folded: BTreeMap::new(),
    };
    fleet.templates = folding.run();
    fleet.hosts = std::mem::take(&mut objects.hosts);
    fleet.workspaces = workspaces(&mut objects);
    targets(&mut objects, &mut fleet);
    let mut resolver = Resolver { references, broken: objects.broken, diagnostics, fleet };
    let workload_templates = resolver.workloads(objects.workloads);
    for (id, read) in objects.deployments {
        resolver.deployment(id, read, &workload_templates);
    }
    resolver.hold_broken();
    resolver.fleet
}

/// A workspace is there when its file is; `default` always is.
fn check_owners(objects: &mut Objects<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let default = Name::default_workspace();
    let mut suggestions = Suggestions::default();
    for (name, path) in &objects.owners {
        let id = ObjectRef::Workspace((*name).clone());
        let exists = **name == default || objects.workspaces.contains_key(*name);
        if exists || objects.broken.contains_key(&id) {
            continue;
        }
        let message = format!(
            "there is no workspace `{name}`: `workspaces/{name}/workspace.yaml` is missing"
        );
        let known = objects.workspaces.keys().map(Name::as_str);
        let fix = match suggestions.nearest(name.as_str(), known) {
            Some(meant) => format!("move its files to `workspaces/{meant}/`, or create the file"),
            None => format!("create `workspaces/{name}/workspace.yaml`"),
        };
        let diagnostic = Diagnostic::error("ref/unknown-workspace", message).at(path).fix(fix);
        objects.broken.insert(id, hold(&diagnostic));
        diagnostics.push(diagnostic);
    }
}

fn workspaces(objects: &mut Objects<'_>) -> BTreeMap<Name, Arc<Workspace>> {
    let mut all = std::mem::take(&mut objects.workspaces);
    let default = Name::default_workspace();
    if !objects.broken.contains_key(&ObjectRef::Workspace(default.clone())) {
        all.entry(default.clone()).or_insert_with(|| {
            let (labels, spec) = Default::default();
            Arc::new(Workspace { name: default, path: None, labels, spec })
        });
    }
    all
}

fn targets(objects: &mut Objects<'_>, fleet: &mut Fleet) {
    let all = std::mem::take(&mut objects.targets).into_iter();
    fleet.targets = all.filter(|(id, _)| fleet.workspaces.contains_key(&id.workspace)).collect();
}

struct Resolver<'d> {
    references: References,
    broken: BTreeMap<ObjectRef, Hold>,
    diagnostics: &'d mut Vec<Diagnostic>,
    fleet: Fleet,
}

/// The template that a workload's deployments have unless they name another.
type WorkloadTemplates = BTreeMap<WorkloadRef, Result<TemplateRef, Hold>>;

impl Resolver<'_> {
    fn report(&mut self, diagnostic: Diagnostic) -> Hold {
        let reason = hold(&diagnostic);
        self.diagnostics.push(diagnostic);
        reason
    }

    /// A workload whose template is unknown is still one: its deployments may name their own.
    fn workloads(
        &mut self,
        workloads: BTreeMap<WorkloadRef, Read<'_, Arc<Workload>>>,
    ) -> WorkloadTemplates {
        let mut templates = BTreeMap::new();
        for (id, read) in workloads {
            if let Some(text) = read.object.spec.template.as_deref() {
                let found = self.references.template(text, Some(&id.workspace));
                let found = found
                    .map_err(|problem| self.report(problem.diagnostic(&read, "/spec/template")));
                templates.insert(id.clone(), found);
            }
            if self.fleet.workspaces.contains_key(&id.workspace) {
                self.fleet.workloads.insert(id, Arc::clone(read.object));
            }
        }
        templates
    }

    fn deployment(
        &mut self,
        id: DeploymentRef,
        read: Read<'_, Draft>,
        workload_templates: &WorkloadTemplates,
    ) {
        let workload = id.workload_ref();
        let there = self.references.workload(&workload);
        let there = there.map_err(|problem| self.report(problem.of_file(&read.file.path)));
        let usable = self
            .usable(&ObjectRef::Workspace(id.workspace.clone()))
            .and(there)
            .and_then(|()| self.usable(&ObjectRef::Workload(workload.clone())));
        let template =
            self.template_of(&id, &read, workload_templates.get(&workload), usable.is_ok());
        let target = self.target_of(&id, &read);
        let resolved = usable.and_then(|()| Ok((template?, target?)));
        match resolved {
            Ok((template, target)) => {
                let path = read.file.path.clone();
                let Draft { labels, spec } = read.object.clone();
                let deployment =
                    Deployment { id: id.clone(), path, labels, spec, template, target };
                self.fleet.deployments.insert(id, Arc::new(deployment));
            }
            Err(reason) => drop(self.fleet.held.deployments.insert(id, reason)),
        }
    }

    /// Why something that exists cannot be used.
    fn usable(&self, id: &ObjectRef) -> Result<(), Hold> {
        self.broken.get(id).map_or(Ok(()), |hold| Err(hold.clone()))
    }

    fn template_of(
        &mut self,
        id: &DeploymentRef,
        read: &Read<'_, Draft>,
        of_workload: Option<&Result<TemplateRef, Hold>>,
        workload_usable: bool,
    ) -> Result<TemplateRef, Hold> {
        let template = match (read.object.spec.template.as_deref(), of_workload) {
            (Some(text), _) => self
                .references
                .template(text, Some(&id.workspace))
                .map_err(|problem| self.report(problem.diagnostic(read, "/spec/template")))?,
            (None, Some(found)) => found.clone()?,
            (None, None) => {
                let message = "neither the deployment nor its workload names a template";
                let missing = Diagnostic::error("field/required", message);
                let missing = locate_error(missing, read, "/spec").fix("add `template:`");
                // Where the workload cannot be read, nobody knows what it names.
                return Err(if workload_usable { self.report(missing) } else { hold(&missing) });
            }
        };
        self.usable(&ObjectRef::Template(template.clone())).map(|()| template)
    }

    fn target_of(&mut self, id: &DeploymentRef, read: &Read<'_, Draft>) -> Result<TargetRef, Hold> {
        let found = self.references.target(&read.object.spec.target, &id.workspace);
        let target =
            found.map_err(|problem| self.report(problem.diagnostic(read, "/spec/target")))?;
        self.usable(&ObjectRef::Target(target.clone())).map(|()| target)
    }

    /// What is broken by itself and deployed: hosts and deployments.
    fn hold_broken(&mut self) {
        for (id, hold) in &self.broken {
            match id {
                ObjectRef::Host(name) => {
                    self.fleet.held.hosts.insert(name.clone(), hold.clone());
                }
                ObjectRef::Deployment(id) => {
                    self.fleet.held.deployments.insert(id.clone(), hold.clone());
                }
                _ => {}
            }
        }
    }
}
