//! Templates with what they extend folded in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::locate_error;
use super::references::References;
use super::resolve::Read;
use super::rules::check_parameters;
use super::survey::content;
use super::{hold, survey::Survey};
use crate::model::merge::merge;
use crate::model::{
    Diagnostic, Hold, ObjectRef, RepoPath, Template, TemplateRef, TemplateSpec, fleet::TemplateFile,
};

/// Longest chain of templates that extend each other: each holds all files of those before it.
const CHAIN: usize = 16;

/// The files of all templates; templates with a file that cannot be read are added to `broken`.
pub(crate) fn files(
    survey: &Survey<'_>,
    broken: &mut BTreeMap<ObjectRef, Hold>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<TemplateRef, BTreeMap<RepoPath, TemplateFile>> {
    let mut all = BTreeMap::new();
    for (template, entries) in &survey.template_files {
        let mut files = BTreeMap::new();
        for (path, file) in entries {
            match content(file) {
                Ok(bytes) => {
                    let file = TemplateFile { path: file.path.clone(), bytes: Arc::clone(bytes) };
                    files.insert((*path).clone(), file);
                }
                Err(found) => {
                    let id = ObjectRef::Template((*template).clone());
                    broken.entry(id).or_insert_with(|| hold(&found[0]));
                    diagnostics.extend(found);
                }
            }
        }
        all.insert((*template).clone(), files);
    }
    all
}

/// What folding works on.
pub(crate) struct Folding<'a, 'f> {
    pub(crate) specs: &'f BTreeMap<TemplateRef, Read<'a, TemplateSpec>>,
    pub(crate) files: BTreeMap<TemplateRef, BTreeMap<RepoPath, TemplateFile>>,
    pub(crate) references: &'f mut References,
    pub(crate) broken: &'f mut BTreeMap<ObjectRef, Hold>,
    pub(crate) diagnostics: &'f mut Vec<Diagnostic>,
    pub(crate) folded: BTreeMap<TemplateRef, Folded>,
}

/// A template that is complete.
pub(crate) struct Folded {
    pub(crate) template: Arc<Template>,
    /// How many templates it is made of.
    chain: usize,
}

impl Folding<'_, '_> {
    /// Folds all templates. A chain is walked down to what is already folded, then built up again, so
    /// that each template is folded once and no chain can exhaust the stack.
    pub(crate) fn run(mut self) -> BTreeMap<TemplateRef, Arc<Template>> {
        let specs = self.specs;
        for id in specs.keys() {
            for (id, base) in self.chain(id).into_iter().rev() {
                self.fold(&id, base.as_ref());
            }
        }
        self.folded.into_iter().map(|(id, folded)| (id, folded.template)).collect()
    }

    /// `start` and what it extends, each with its own base, as far as it is not folded or broken.
    fn chain(&mut self, start: &TemplateRef) -> Vec<(TemplateRef, Option<TemplateRef>)> {
        let mut chain: Vec<(TemplateRef, Option<TemplateRef>)> = Vec::new();
        let mut places: HashMap<TemplateRef, usize> = HashMap::new();
        let mut next = Some(start.clone());
        while let Some(id) = next {
            if let Some(place) = places.get(&id) {
                self.report_cycle(&chain[*place..]);
                break;
            }
            let known = self.folded.contains_key(&id) || self.is_broken(&id);
            let Some(read) = self.specs.get(&id).filter(|_| !known) else { break };
            let base = match read.object.extends.as_deref() {
                None => None,
                Some(text) => match self.references.base(text, &id) {
                    Ok(base) => Some(base),
                    Err(problem) => {
                        self.report(&id, &problem.diagnostic(read, "/spec/extends"));
                        break;
                    }
                },
            };
            places.insert(id.clone(), chain.len());
            chain.push((id, base.clone()));
            next = base;
        }
        chain
    }

    fn is_broken(&self, id: &TemplateRef) -> bool {
        self.broken.contains_key(&ObjectRef::Template(id.clone()))
    }

    fn report(&mut self, id: &TemplateRef, diagnostic: &Diagnostic) {
        self.diagnostics.push(diagnostic.clone());
        self.break_by(id, hold(diagnostic));
    }

    fn break_by(&mut self, id: &TemplateRef, hold: Hold) {
        self.broken.entry(ObjectRef::Template(id.clone())).or_insert(hold);
    }

    fn report_cycle(&mut self, cycle: &[(TemplateRef, Option<TemplateRef>)]) {
        let names: Vec<String> =
            cycle.iter().take(CHAIN).map(|(id, _)| format!("`{id}`")).collect();
        let message = format!("{} extend each other in a circle", names.join(" → "));
        for (id, _) in cycle {
            let Some(read) = self.specs.get(id) else { continue };
            let error = Diagnostic::error("ref/cycle", message.clone());
            let error = locate_error(error, read, "/spec/extends");
            self.report(id, &error.fix("remove `extends` from one of them"));
        }
    }

    fn fold(&mut self, id: &TemplateRef, base: Option<&TemplateRef>) {
        let Some(read) = self.specs.get(id).filter(|_| !self.is_broken(id)) else { return };
        let mut template = Template {
            id: id.clone(),
            path: read.file.path.clone(),
            defaults: read.object.defaults.clone(),
            parameters: read.object.parameters.clone().map(Value::Object),
            files: self.files.remove(id).unwrap_or_default(),
        };
        let mut chain = 1;
        if let Some(base) = base {
            let Some(below) = self.folded.get(base) else {
                let reason = self.broken.get(&ObjectRef::Template(base.clone())).cloned();
                if let Some(reason) = reason {
                    self.break_by(id, reason);
                }
                return;
            };
            chain = below.chain + 1;
            lay_on(&mut template, &below.template);
        }
        let problem = if chain > CHAIN {
            let message = format!("more than {CHAIN} templates extend each other");
            Some(Diagnostic::error("template/depth", message).fix("shorten the chain"))
        } else {
            template.parameters.as_ref().filter(|_| base.is_some()).and_then(|parameters| {
                let problem = check_parameters(parameters).err()?;
                let message = format!("{problem} together with those that it extends");
                Some(Diagnostic::error("field/value", message).fix("change `parameters`"))
            })
        };
        if let Some(problem) = problem {
            self.report(id, &locate_error(problem, read, "/spec/extends"));
            return;
        }
        self.folded.insert(id.clone(), Folded { template: Arc::new(template), chain });
    }
}

/// Puts a template on its base: its own files, defaults and parameters win.
fn lay_on(template: &mut Template, base: &Template) {
    let mut defaults = base.defaults.clone();
    merge(&mut defaults, &template.defaults);
    template.defaults = defaults;
    template.parameters = match (base.parameters.clone(), template.parameters.take()) {
        (Some(Value::Object(mut below)), Some(Value::Object(own))) => {
            merge(&mut below, &own);
            Some(Value::Object(below))
        }
        (below, own) => own.or(below),
    };
    for (path, file) in &base.files {
        // `a.yaml` and `a.yaml.tera` give the same file.
        let twin = match path.as_str().strip_suffix(".tera") {
            Some(plain) => RepoPath::new(plain),
            None => RepoPath::new(&format!("{path}.tera")),
        };
        let replaced = twin.is_ok_and(|twin| template.files.contains_key(&twin));
        if !replaced && !template.files.contains_key(path) {
            template.files.insert(path.clone(), file.clone());
        }
    }
}
