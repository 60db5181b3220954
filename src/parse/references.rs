//! Where a reference leads: plain names, in the own workspace, for templates then among the shared ones.

use std::collections::{BTreeSet, HashMap};

use super::locate_error;
use super::resolve::{Objects, Read};
use crate::model::nearest::Suggestions;
use crate::model::{Diagnostic, Name, ObjectRef, RepoPath, TargetRef, TemplateRef, WorkloadRef};

/// A reference that leads nowhere.
#[derive(Debug)]
pub(crate) struct Broken {
    code: &'static str,
    message: String,
    fix: String,
}

impl Broken {
    pub(crate) fn diagnostic<S>(self, read: &Read<'_, S>, pointer: &str) -> Diagnostic {
        locate_error(Diagnostic::error(self.code, self.message).fix(self.fix), read, pointer)
    }

    /// Where no field is wrong, but the place of the file.
    pub(crate) fn of_file(self, path: &RepoPath) -> Diagnostic {
        Diagnostic::error(self.code, self.message).at(path).fix(self.fix)
    }
}

/// Every name that a reference can lead to, whether what it names can be used or not.
#[derive(Debug, Default)]
pub(crate) struct References {
    templates: BTreeSet<TemplateRef>,
    targets: BTreeSet<TargetRef>,
    workloads: BTreeSet<WorkloadRef>,
    /// Name → a workspace that has one.
    template_owner: HashMap<Name, Name>,
    target_owner: HashMap<Name, Name>,
    suggestions: Suggestions,
}

impl References {
    pub(crate) fn new(objects: &Objects<'_>) -> Self {
        let mut all = Self::default();
        all.templates.extend(objects.templates.keys().cloned());
        all.targets.extend(objects.targets.keys().cloned());
        all.workloads.extend(objects.workloads.keys().cloned());
        for broken in objects.broken.keys() {
            match broken {
                ObjectRef::Template(id) => drop(all.templates.insert(id.clone())),
                ObjectRef::Target(id) => drop(all.targets.insert(id.clone())),
                ObjectRef::Workload(id) => drop(all.workloads.insert(id.clone())),
                _ => {}
            }
        }
        for TemplateRef { workspace, name } in &all.templates {
            if let Some(workspace) = workspace {
                all.template_owner.entry(name.clone()).or_insert_with(|| workspace.clone());
            }
        }
        for TargetRef { workspace, name } in &all.targets {
            all.target_owner.entry(name.clone()).or_insert_with(|| workspace.clone());
        }
        all
    }

    /// What a template `extends`. Its own name means the shared template of that name.
    pub(crate) fn base(&mut self, text: &str, from: &TemplateRef) -> Result<TemplateRef, Broken> {
        let found = self.template(text, from.workspace.as_ref())?;
        if found == *from && from.workspace.is_some() && !text.contains('/') {
            let shared = TemplateRef { workspace: None, name: found.name.clone() };
            if self.templates.contains(&shared) {
                return Ok(shared);
            }
        }
        Ok(found)
    }

    /// A template by its name: the workspace's own, then the shared one.
    pub(crate) fn template(
        &mut self,
        text: &str,
        workspace: Option<&Name>,
    ) -> Result<TemplateRef, Broken> {
        let (owned_only, name) = plain(text, workspace, "template")?;
        if let Some(workspace) = workspace {
            let own = TemplateRef { workspace: Some(workspace.clone()), name: name.clone() };
            if owned_only || self.templates.contains(&own) {
                return if self.templates.contains(&own) {
                    Ok(own)
                } else {
                    Err(self.no_template(&name, Some(workspace)))
                };
            }
        }
        let shared = TemplateRef { workspace: None, name };
        if self.templates.contains(&shared) {
            return Ok(shared);
        }
        match self.template_owner.get(&shared.name) {
            Some(owner) => Err(crossing("template", &shared.name, owner)),
            None => Err(self.no_template(&shared.name, workspace)),
        }
    }

    fn no_template(&mut self, name: &Name, workspace: Option<&Name>) -> Broken {
        let usable = self.templates.iter().filter(|template| {
            template.workspace.is_none() || template.workspace.as_ref() == workspace
        });
        let names = usable.map(|template| template.name.as_str());
        let meant = self.suggestions.nearest(name.as_str(), names);
        unknown("template", name, meant, || format!("create `templates/{name}/template.yaml`"))
    }

    pub(crate) fn target(&mut self, text: &str, workspace: &Name) -> Result<TargetRef, Broken> {
        let (owned_only, name) = plain(text, Some(workspace), "target")?;
        let target = TargetRef { workspace: workspace.clone(), name };
        if self.targets.contains(&target) {
            return Ok(target);
        }
        if let Some(owner) = self.target_owner.get(&target.name).filter(|_| !owned_only) {
            return Err(crossing("target", &target.name, owner));
        }
        let all = self.targets.iter().filter(|other| other.workspace == *workspace);
        let meant = self.suggestions.nearest(target.name.as_str(), all.map(|t| t.name.as_str()));
        let create = || format!("create `workspaces/{workspace}/targets/{}.yaml`", target.name);
        Err(unknown("target", &target.name, meant, create))
    }

    pub(crate) fn workload(&mut self, id: &WorkloadRef) -> Result<(), Broken> {
        if self.workloads.contains(id) {
            return Ok(());
        }
        let WorkloadRef { workspace, name } = id;
        let all = self.workloads.iter().filter(|other| other.workspace == *workspace);
        let meant = self.suggestions.nearest(name.as_str(), all.map(|other| other.name.as_str()));
        let folder = format!("workspaces/{workspace}/workloads");
        let message =
            format!("there is no workload `{name}`: `{folder}/{name}/workload.yaml` is missing");
        let fix = match meant {
            Some(meant) => format!("move the deployment to `{folder}/{meant}/deployments/`"),
            None => format!("create `{folder}/{name}/workload.yaml`"),
        };
        Err(Broken { code: "ref/unknown-workload", message, fix })
    }
}

/// Reads a reference: a plain name, or `<workspace>/<name>` with the own workspace (then `true`).
fn plain(text: &str, workspace: Option<&Name>, what: &str) -> Result<(bool, Name), Broken> {
    let name = |text: &str| {
        Name::new(text).map_err(|error| Broken {
            code: "name/syntax",
            message: format!("not the name of a {what}: {error}"),
            fix: format!("write the name of a {what}"),
        })
    };
    let Some((owner, rest)) = text.split_once('/') else { return Ok((false, name(text)?)) };
    let (owner, rest) = (name(owner)?, name(rest)?);
    if Some(&owner) == workspace {
        return Ok((true, rest));
    }
    Err(crossing(what, &rest, &owner))
}

fn crossing(what: &str, name: &Name, owner: &Name) -> Broken {
    Broken {
        code: "ref/cross-workspace",
        message: format!("{what} `{name}` belongs to workspace `{owner}`"),
        fix: format!("create a {what} in the own workspace"),
    }
}

fn unknown(
    what: &str,
    name: &Name,
    meant: Option<&str>,
    create: impl FnOnce() -> String,
) -> Broken {
    let code = match what {
        "template" => "ref/unknown-template",
        _ => "ref/unknown-target",
    };
    let fix = meant.map_or_else(create, |meant| format!("write `{meant}`"));
    Broken { code, message: format!("there is no {what} `{name}`"), fix }
}
