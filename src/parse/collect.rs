//! Files that were read → objects by kind, without those that stand in each other's way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::Item;
use super::layout::path_of;
use super::resolve::{Objects, Read};
use super::survey::Survey;
use super::{hold, template};
use crate::model::{Diagnostic, Hold, Name, ObjectRef, RepoPath, SourceFile};

/// The objects of all files, and what is wrong with those that give none.
pub(crate) fn collect<'a>(
    survey: &mut Survey<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Objects<'a> {
    let mut objects = Objects { broken: std::mem::take(&mut survey.broken), ..Objects::default() };
    refuse_shared_names(survey, &mut objects.broken, diagnostics);
    for (id, file) in &survey.objects {
        if let Some(workspace) = id.workspace() {
            objects.owners.entry(workspace).or_insert(&file.source.path);
        }
    }
    objects.template_files = template::files(survey, &mut objects.broken, diagnostics);
    warn_of_orphans(survey, diagnostics);
    for (id, file) in &survey.objects {
        match &file.outcome {
            Some(Ok(item)) if !objects.broken.contains_key(id) => {
                insert(&mut objects, id, &file.source, item);
            }
            Some(Err(found)) => {
                if let Some(first) = found.first() {
                    objects.broken.entry((*id).clone()).or_insert_with(|| hold(first));
                }
                diagnostics.extend(found.iter().cloned());
            }
            _ => {}
        }
    }
    objects
}

fn insert<'a>(objects: &mut Objects<'a>, id: &ObjectRef, file: &'a SourceFile, item: &'a Item) {
    match (id.clone(), item) {
        (ObjectRef::Host(id), Item::Host(host)) => drop(objects.hosts.insert(id, Arc::clone(host))),
        (ObjectRef::Workspace(id), Item::Workspace(workspace)) => {
            objects.workspaces.insert(id, Arc::clone(workspace));
        }
        (ObjectRef::Target(id), Item::Target(target)) => {
            objects.targets.insert(id, Arc::clone(target));
        }
        (ObjectRef::Template(id), Item::Template(object)) => {
            objects.templates.insert(id, Read { file, object });
        }
        (ObjectRef::Workload(id), Item::Workload(object)) => {
            objects.workloads.insert(id, Read { file, object });
        }
        (ObjectRef::Deployment(id), Item::Deployment(object)) => {
            objects.deployments.insert(id, Read { file, object });
        }
        _ => unreachable!("a file gives an object of the kind that its place wants"),
    }
}

/// A host's name is its own, and so is its folder on the rendered branch: two files must not define
/// the same host, and no host may lie in the folder that another one's manifests go to.
fn refuse_shared_names(
    survey: &Survey<'_>,
    broken: &mut BTreeMap<ObjectRef, Hold>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut by_name: BTreeMap<&Name, Vec<&RepoPath>> = BTreeMap::new();
    let mut by_folder: BTreeMap<&str, (&Name, &RepoPath)> = BTreeMap::new();
    for (id, file) in &survey.objects {
        let ObjectRef::Host(name) = id else { continue };
        let path = &file.source.path;
        by_name.entry(name).or_default().push(path);
        let folder = path.as_str().strip_suffix(".yaml").unwrap_or(path.as_str());
        by_folder.insert(folder, (name, path));
    }
    let mut report = |name: &Name, path: &RepoPath, message: String| {
        let diagnostic = Diagnostic::error("object/duplicate", message).at(path);
        let diagnostic = diagnostic.fix("rename or move one of the two");
        broken.entry(ObjectRef::Host(name.clone())).or_insert_with(|| hold(&diagnostic));
        diagnostics.push(diagnostic);
    };
    for (name, paths) in by_name.iter().filter(|(_, paths)| paths.len() > 1) {
        for (index, path) in paths.iter().enumerate() {
            let other = paths[usize::from(index == 0)];
            report(name, path, format!("host `{name}` is also defined in `{other}`"));
        }
    }
    for (name, path) in by_folder.values() {
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            if let Some((owner, owner_path)) = by_folder.get(folder) {
                report(name, path, format!("the folder `{folder}` belongs to host `{owner}`"));
                report(owner, owner_path, format!("host `{name}` lies in this host's folder"));
            }
        }
    }
}

/// Files of templates that have no `template.yaml`.
fn warn_of_orphans(survey: &Survey<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let template = |id: &&'_ ObjectRef| matches!(id, ObjectRef::Template(_));
    let known: BTreeSet<&ObjectRef> =
        survey.objects.iter().map(|(id, _)| *id).filter(template).collect();
    for (&template, files) in &survey.template_files {
        let id = ObjectRef::Template(template.clone());
        if let Some((_, first)) = files.first().filter(|_| !known.contains(&id)) {
            let message = format!("there is no template `{template}`");
            let warning = Diagnostic::warning("layout/unknown-path", message).at(&first.path);
            diagnostics.push(warning.fix(format!("create `{}`", path_of(&id, None))));
        }
    }
}
