//! A template's files, read once: what is copied, what Tera renders, and what is only included.

use std::collections::BTreeMap;
use std::sync::Arc;

use tera::Tera;

use super::errors;
use super::filters;
use super::fuel::Fuel;
use super::nesting;
use super::source::{Refused, Source};
use crate::model::fleet::TemplateFile;
use crate::model::{Diagnostic, Limits, PathError, RepoPath, Template};

/// The suffix of files that Tera renders; their output loses it.
const SUFFIX: &str = ".tera";

/// A template, ready to be rendered any number of times.
pub(super) struct Compiled {
    pub(super) tera: Tera,
    pub(super) fuel: Arc<Fuel>,
    /// What Tera read, by the name that includes use: the path below `files/`.
    pub(super) sources: BTreeMap<String, Source>,
    /// What comes out, by its path below the assignment's folder.
    pub(super) outputs: BTreeMap<RepoPath, Output>,
    /// Checks the merged values; `None`: anything goes.
    pub(super) parameters: Option<jsonschema::Validator>,
    /// Whether what comes out may differ between hosts that get the same values.
    pub(super) reads_host: bool,
}

/// Where an output file comes from.
pub(super) enum Output {
    /// Copied byte for byte.
    Copied { path: RepoPath, bytes: Arc<[u8]> },
    /// Rendered from the source of this name.
    Rendered { name: String },
}

impl Compiled {
    /// # Errors
    /// Everything that is wrong with the template whatever the values are.
    pub(super) fn new(template: &Template, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let sources = sources(template, &mut problems);
        let outputs = outputs(template, limits, &mut problems);
        let parameters = super::schema::compile(template, &mut problems);
        let mut tera = Tera::new();
        tera.autoescape_on(Vec::<&str>::new());
        filters::install(&mut tera);
        let fuel = Fuel::install(&mut tera);
        match nesting::check(&sources) {
            Some(problem) => problems.push(problem),
            None => load(&mut tera, &sources, &mut problems),
        }
        if problems.is_empty() {
            let reads_host = sources.values().any(|source| has_word(&source.text, "host"));
            Ok(Self { tera, fuel, sources, outputs, parameters, reads_host })
        } else {
            Err(problems)
        }
    }
}

/// Whether a word stands anywhere in a text, in a comment for one. Nothing that Tera has reads a variable
/// whose name is not written out, so a template without the word `host` does not read the host.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    text.split(|c| !part(c)).any(|found| found == word)
}

/// A file whose name starts with `_` is there to be included, and never comes out.
fn is_partial(below: &RepoPath) -> bool {
    below.file_name().starts_with('_')
}

/// All files that Tera reads.
fn sources(template: &Template, problems: &mut Vec<Diagnostic>) -> BTreeMap<String, Source> {
    let mut sources = BTreeMap::new();
    for (below, file) in &template.files {
        if !below.as_str().ends_with(SUFFIX) && !is_partial(below) {
            continue;
        }
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => drop(sources.insert(below.to_string(), Source::new(&file.path, text))),
            Err(_) => problems.push(
                Diagnostic::error("template/syntax", "the template is not UTF-8")
                    .at(&file.path)
                    .fix("save it as UTF-8, or drop the suffix `.tera` to have it copied"),
            ),
        }
    }
    problems.extend(sources.values().filter_map(refused));
    sources
}

/// What Tera would take and titan does not.
fn refused(source: &Source) -> Option<Diagnostic> {
    let (at, why) = source.refused?;
    let (code, message, fix) = match why {
        Refused::Everything => (
            "template/unknown",
            "`__tera_context` does not exist here: its order would change from run to run",
            "name the variables that are meant",
        ),
        Refused::Branches => {
            ("template/syntax", "too many `elif` in one file", "look the value up in a map instead")
        }
    };
    let length = if why == Refused::Everything { "__tera_context".len() } else { "elif".len() };
    let span = source.span(at..at + length);
    Some(Diagnostic::error(code, message).at(&source.path).span(span, &source.text).fix(fix))
}

/// Gives the sources to Tera. One file's mistake hides those of the others, so what cannot be parsed
/// is taken out, and the rest is tried again.
fn load(tera: &mut Tera, sources: &BTreeMap<String, Source>, problems: &mut Vec<Diagnostic>) {
    let usable = sources.iter().filter(|(_, source)| source.refused.is_none());
    let mut texts: BTreeMap<&str, String> =
        usable.map(|(name, source)| (name.as_str(), source.metered())).collect();
    let mut unparsed = Vec::new();
    while let Err(error) = tera.add_raw_templates(&texts) {
        let Some((name, problem)) = errors::syntax(&error, sources) else {
            // With files taken out, whatever else is missed may well be in them.
            if texts.len() == sources.len() {
                problems.extend(errors::loading(&error, sources, &texts));
            }
            break;
        };
        unparsed.push(problem);
        texts.remove(name.as_str());
    }
    problems.extend(unparsed);
}

/// What comes out, and under which path.
fn outputs(
    template: &Template,
    limits: &Limits,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<RepoPath, Output> {
    let mut outputs = BTreeMap::new();
    let mut origins = BTreeMap::<RepoPath, &TemplateFile>::new();
    for (below, file) in template.files.iter().filter(|(below, _)| !is_partial(below)) {
        let (target, output) = match below.as_str().strip_suffix(SUFFIX) {
            Some(target) => (target, Output::Rendered { name: below.to_string() }),
            None => (
                below.as_str(),
                Output::Copied { path: file.path.clone(), bytes: Arc::clone(&file.bytes) },
            ),
        };
        let target = match RepoPath::new(target) {
            Ok(target) => target,
            Err(error) => {
                problems.push(no_path(target, &error, file));
                continue;
            }
        };
        match collision(&origins, &target) {
            Some(other) => problems.push(
                Diagnostic::error(
                    "render/collision",
                    format!("it would be written to `{target}`, as `{}` is", other.path),
                )
                .at(&file.path)
                .fix("rename or remove one of them"),
            ),
            None => {
                origins.insert(target.clone(), file);
                outputs.insert(target, output);
            }
        }
    }
    if outputs.len() > limits.assignment_files as usize {
        let message = format!(
            "the template has {} files; {} are allowed (`limits.assignmentFiles`)",
            outputs.len(),
            limits.assignment_files
        );
        problems.push(Diagnostic::error("render/files", message).at(&template.path));
    }
    outputs
}

fn no_path(target: &str, error: &PathError, file: &TemplateFile) -> Diagnostic {
    let message = format!("`{}` is no path for a manifest: {error}", target.escape_default());
    Diagnostic::error("render/path", message).at(&file.path).fix("rename the file")
}

/// The file that already lies at `target`, or where `target` needs a folder. Folders come after the
/// files of their name, in the order of paths, so that the other way round cannot be.
fn collision<'a>(
    origins: &BTreeMap<RepoPath, &'a TemplateFile>,
    target: &RepoPath,
) -> Option<&'a TemplateFile> {
    let text = target.as_str();
    let parents = text.match_indices('/').map(|(at, _)| &text[..at]);
    let paths = parents.chain([text]).filter_map(|path| RepoPath::new(path).ok());
    paths.into_iter().find_map(|path| origins.get(&path).copied())
}
