//! Files → [`Fleet`] and diagnostics.
//!
//! ```text
//! paths ─ survey ─▶ what each file is ─ object ─▶ one typed object each ─ resolve ─▶ Fleet
//!          layout                       yaml, schema + check, rules        template
//!                       └───────────────── diagnostics ─────────────────────┘
//! ```
//!
//! Nothing here stops at the first problem. What cannot be read is *held*: it and what depends on it
//! stay as they are (invariant I6), and the fleet has only what resolves.

mod check;
pub mod layout;
mod object;
mod references;
mod resolve;
mod rules;
pub mod schema;
mod survey;
mod template;
pub(crate) mod yaml;

use std::collections::BTreeMap;

use crate::model::{
    Content, Diagnostic, Fleet, FleetSpec, Hold, Labels, Limits, Name, ObjectRef, RepoPath,
    Revision, SourceFile, Span,
};

pub use layout::{Place, classify, path_of};
pub use schema::schemas;

use object::{Spec, Typed};
use resolve::{Objects, Read};
use survey::{Survey, content};

/// What came out of the files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Everything that is valid; what is not is named in `fleet.held`.
    pub fleet: Fleet,
    /// All problems at once, in the order of paths, then lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all objects. Cannot fail: what is wrong becomes a diagnostic, and what depends on it is held.
#[must_use]
pub fn parse(revision: Option<Revision>, files: &[SourceFile]) -> Parsed {
    let mut survey = survey::survey(files);
    let mut diagnostics = std::mem::take(&mut survey.diagnostics);
    let mut all = survey.all.take();
    let settings = read_settings(&survey, &mut all, &mut diagnostics);

    let mut fleet = match too_many(&survey, &settings.limits) {
        Some(diagnostic) => {
            all.get_or_insert_with(|| hold(&diagnostic));
            diagnostics.push(diagnostic);
            Fleet::default()
        }
        None => {
            let objects = read_all(&mut survey, &settings.limits, &mut diagnostics);
            resolve::resolve(objects, &mut diagnostics)
        }
    };
    fleet.revision = revision;
    fleet.settings = settings;
    fleet.held.all = all;
    diagnostics.sort_by(|a, b| (&a.path, a.span).cmp(&(&b.path, b.span)));
    Parsed { fleet, diagnostics }
}

/// The settings alone, from files of which at most `titan.yaml` counts; the defaults where there is none,
/// or where it is broken.
#[must_use]
pub fn settings(files: &[SourceFile]) -> FleetSpec {
    let survey = survey::survey(files);
    read_settings(&survey, &mut None, &mut Vec::new())
}

/// What the settings allow: for those who read the files.
#[must_use]
pub fn limits(files: &[SourceFile]) -> Limits {
    settings(files).limits
}

/// Where the value at a JSON pointer stands in the YAML `text`; for what later stages say about values.
#[must_use]
pub fn locate(text: &str, pointer: &str) -> Option<Span> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let bounds = yaml::Bounds::new(&Limits::default());
    Some(yaml::read(text, bounds).ok()??.find(pointer)?.value)
}

/// The settings, which come first as they carry the limits; the defaults where they are broken.
fn read_settings(
    survey: &Survey<'_>,
    all: &mut Option<Hold>,
    diagnostics: &mut Vec<Diagnostic>,
) -> FleetSpec {
    let Some(file) = survey.settings else { return FleetSpec::default() };
    match read_file(&ObjectRef::Fleet, file, &Limits::default()) {
        Ok(Typed { spec: Spec::Fleet(settings), .. }) => settings,
        Ok(_) => FleetSpec::default(),
        Err(found) => {
            *all = found.first().map(hold);
            diagnostics.extend(found);
            FleetSpec::default()
        }
    }
}

fn too_many(survey: &Survey<'_>, limits: &Limits) -> Option<Diagnostic> {
    let hosts = survey.objects.iter().filter(|(id, _)| matches!(id, ObjectRef::Host(_))).count();
    let others = survey.objects.len() - hosts;
    let (what, count, limit) = if hosts > limits.hosts as usize {
        ("hosts", hosts, limits.hosts)
    } else if others > limits.objects as usize {
        ("objects", others, limits.objects)
    } else {
        return None;
    };
    let message = format!("there are {count} {what}, more than {limit}");
    let fix = format!("raise `limits.{what}` in `{}`", layout::SETTINGS);
    Some(Diagnostic::error("object/limit", message).fix(fix))
}

/// Reads every object's file.
fn read_all<'a>(
    survey: &mut Survey<'a>,
    limits: &Limits,
    diagnostics: &mut Vec<Diagnostic>,
) -> Objects<'a> {
    let mut objects = Objects { broken: std::mem::take(&mut survey.broken), ..Objects::default() };
    refuse_shared_names(survey, &mut objects.broken, diagnostics);
    for (id, file) in &survey.objects {
        if let Some(workspace) = id.workspace() {
            objects.owners.entry(workspace.clone()).or_insert(&file.path);
        }
    }
    objects.template_files = template::files(survey, &mut objects.broken, diagnostics);
    warn_of_orphans(survey, diagnostics);
    let files = std::mem::take(&mut survey.objects);
    let outcomes = read_files(&files, limits);
    for ((id, file), outcome) in files.into_iter().zip(outcomes) {
        match outcome {
            Ok(typed) => insert(&mut objects, id, file, typed),
            Err(found) => {
                if let Some(first) = found.first() {
                    objects.broken.entry(id).or_insert_with(|| hold(first));
                }
                diagnostics.extend(found);
            }
        }
    }
    objects
}

/// A file's object, or everything that is wrong with it.
type Outcome = Result<Typed, Vec<Diagnostic>>;

fn read_file(id: &ObjectRef, file: &SourceFile, limits: &Limits) -> Outcome {
    object::read(id, &file.path, content(file)?, limits)
}

/// So many files are worth a thread of their own.
const SHARE: usize = 500;

/// Reads files, many of them on all processors: each by itself, so that the order of work changes nothing.
fn read_files(files: &[(ObjectRef, &SourceFile)], limits: &Limits) -> Vec<Outcome> {
    let read = |files: &[(ObjectRef, &SourceFile)]| -> Vec<Outcome> {
        files.iter().map(|(id, file)| read_file(id, file, limits)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    if threads == 1 || files.len() < 2 * SHARE {
        return read(files);
    }
    let share = files.len().div_ceil(threads).max(SHARE);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            files.chunks(share).map(|chunk| scope.spawn(move || read(chunk))).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    })
}

fn insert<'a>(objects: &mut Objects<'a>, id: ObjectRef, file: &'a SourceFile, typed: Typed) {
    if objects.broken.contains_key(&id) {
        return;
    }
    let Content::Bytes(bytes) = &file.content else { return };
    let Typed { labels, spec } = typed;
    fn read<'a, S>(file: &'a SourceFile, bytes: &'a [u8], labels: Labels, spec: S) -> Read<'a, S> {
        Read { path: &file.path, bytes, labels, spec }
    }
    match (id, spec) {
        (ObjectRef::Host(id), Spec::Host(spec)) => {
            objects.hosts.insert(id, read(file, bytes, labels, spec));
        }
        (ObjectRef::Workspace(id), Spec::Workspace(spec)) => {
            objects.workspaces.insert(id, read(file, bytes, labels, spec));
        }
        (ObjectRef::Template(id), Spec::Template(spec)) => {
            objects.templates.insert(id, read(file, bytes, labels, spec));
        }
        (ObjectRef::Target(id), Spec::Target(spec)) => {
            objects.targets.insert(id, read(file, bytes, labels, spec));
        }
        (ObjectRef::Workload(id), Spec::Workload(spec)) => {
            objects.workloads.insert(id, read(file, bytes, labels, spec));
        }
        (ObjectRef::Deployment(id), Spec::Deployment(spec)) => {
            objects.deployments.insert(id, read(file, bytes, labels, spec));
        }
        _ => {}
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
        by_name.entry(name).or_default().push(&file.path);
        let path = file.path.as_str();
        by_folder.insert(path.strip_suffix(".yaml").unwrap_or(path), (name, &file.path));
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
    let known: std::collections::BTreeSet<&ObjectRef> =
        survey.objects.iter().map(|(id, _)| id).collect();
    for (template, files) in &survey.template_files {
        let id = ObjectRef::Template(template.clone());
        if let Some((_, first)) = files.first().filter(|_| !known.contains(&id)) {
            let message = format!("there is no template `{template}`");
            let warning = Diagnostic::warning("layout/unknown-path", message).at(&first.path);
            diagnostics.push(warning.fix(format!("create `{}`", path_of(&id, None))));
        }
    }
}

/// Why something is held, as its first diagnostic says it.
fn hold(diagnostic: &Diagnostic) -> Hold {
    let place = diagnostic.place();
    let separator = if place.is_empty() { "" } else { ": " };
    Hold {
        code: diagnostic.code.clone(),
        reason: format!("{place}{separator}{}", diagnostic.message),
    }
}

/// Points a diagnostic at a value of an object that was read.
fn locate_error<S>(diagnostic: Diagnostic, read: &Read<'_, S>, pointer: &str) -> Diagnostic {
    let diagnostic = diagnostic.at(read.path);
    let Ok(text) = yaml::decode(read.bytes) else { return diagnostic };
    match locate(text, pointer) {
        Some(span) => diagnostic.span(span, text),
        None => diagnostic,
    }
}
