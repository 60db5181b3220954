//! Which files are what, before any of them is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::File;
use super::hold;
use super::layout::{Place, SETTINGS, classify};
use crate::model::{Content, Diagnostic, Hold, Name, ObjectRef, RepoPath, SourceFile, TemplateRef};

/// The files of one revision by what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Survey<'a> {
    /// All objects but the settings, in the order of paths.
    pub(crate) objects: Vec<(&'a ObjectRef, &'a File)>,
    pub(crate) template_files: BTreeMap<&'a TemplateRef, Vec<(&'a RepoPath, &'a SourceFile)>>,
    /// Objects that are meant to be there, and of which a part cannot be read.
    pub(crate) broken: BTreeMap<ObjectRef, Hold>,
    /// A folder that may have held any number of objects cannot be read.
    pub(crate) all: Option<Hold>,
    /// Files lie beside the places of objects: which objects are there decides what that means.
    pub(crate) astray: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

pub(crate) fn survey<'a>(files: impl IntoIterator<Item = &'a File>) -> Survey<'a> {
    let mut survey = Survey::default();
    let mut bad_names = BTreeSet::new();
    let mut meant = Vec::new();
    for file in files {
        let source = &file.source;
        match &file.place {
            Place::Object(ObjectRef::Fleet) | Place::Foreign => {}
            Place::Object(object) => survey.objects.push((object, file)),
            Place::TemplateFile { template, path } => {
                survey.template_files.entry(template).or_default().push((path, source));
            }
            Place::BadName(bad) => {
                meant.push((source, source.path.as_str().to_ascii_lowercase()));
                // Once for a folder, whatever lies below it.
                if bad_names.insert(&bad.prefix) {
                    let message = format!("`{}`: {}", bad.prefix, bad.error);
                    let diagnostic = Diagnostic::error("name/syntax", message).at(&source.path);
                    survey.diagnostics.push(
                        diagnostic.fix("rename it with lower-case letters, digits and `-` only"),
                    );
                }
            }
            Place::Unknown { nearest } => {
                survey.misplaced(source, nearest);
                meant.push((source, nearest.clone()));
            }
        }
    }
    survey.hold_meant(&meant);
    survey
}

impl Survey<'_> {
    /// A file that was moved to where titan does not read it (`prod.yml`, `Hosts/a.yaml`) is no wish to
    /// delete what it defined: the object that it was meant for stays, unless its own file is there.
    fn hold_meant(&mut self, meant: &[(&SourceFile, String)]) {
        if meant.is_empty() {
            return;
        }
        let defined: BTreeSet<&ObjectRef> = self.objects.iter().map(|(id, _)| *id).collect();
        let folders: BTreeSet<_> = self
            .objects
            .iter()
            .filter_map(|(_, file)| file.source.path.segments().next())
            .collect();
        for (file, nearest) in meant {
            let yaml = [".yaml", ".yml"].iter().any(|end| file.path.as_str().ends_with(end));
            let Some(path) = RepoPath::new(nearest).ok().filter(|_| yaml) else { continue };
            let Place::Object(object) = classify(&path) else { continue };
            if object == ObjectRef::Fleet {
                continue;
            }
            self.astray = true;
            let reason = format!("{}: this file was probably meant to be `{path}`", file.path);
            let hold = Hold { code: "layout/unknown-path".into(), reason };
            let root = path.segments().next();
            if root != file.path.segments().next() {
                // Of a misspelled folder only the first file is read.
                if !root.is_some_and(|root| folders.contains(root)) {
                    self.all.get_or_insert(hold);
                }
            } else if !defined.contains(&object) {
                self.broken.entry(object).or_insert(hold);
            }
        }
    }

    fn misplaced(&mut self, file: &SourceFile, nearest: &str) {
        let Some(diagnostic) = not_a_file(file) else {
            let message = "titan reads nothing in this place";
            let diagnostic = Diagnostic::warning("layout/unknown-path", message).at(&file.path);
            self.diagnostics.push(diagnostic.fix(format!("move it to `{nearest}`, or remove it")));
            return;
        };
        // What stands where a folder was: the objects that lay in it are not deleted.
        let hold = hold(&diagnostic);
        match template_folder(&file.path) {
            Some(template) => {
                self.broken.entry(ObjectRef::Template(template)).or_insert(hold);
            }
            None => {
                let first = file.path.segments().next();
                let holds_objects = matches!(first, Some("hosts" | "workspaces"));
                self.all = self.all.take().or_else(|| holds_objects.then_some(hold));
            }
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The template in whose folder a path lies.
fn template_folder(path: &RepoPath) -> Option<TemplateRef> {
    let parts: Vec<&str> = path.segments().collect();
    let (workspace, name) = match parts.as_slice() {
        ["templates", name, ..] => (None, name),
        ["workspaces", workspace, "templates", name, ..] => {
            (Some(Name::new(workspace).ok()?), name)
        }
        _ => return None,
    };
    Some(TemplateRef { workspace, name: Name::new(name).ok()? })
}

/// The content of a file that titan wants to read.
///
/// # Errors
/// Why it must not or cannot be read.
pub(crate) fn content(file: &SourceFile) -> Result<&Arc<[u8]>, Vec<Diagnostic>> {
    if let Some(diagnostic) = not_a_file(file) {
        return Err(vec![diagnostic]);
    }
    match &file.content {
        Content::Bytes(bytes) if bytes.starts_with(b"version https://git-lfs.github.com/spec/") => {
            let message = "the file is a Git LFS pointer, its content is not in the repository";
            let diagnostic = Diagnostic::error("git/lfs", message).at(&file.path);
            let fix = "commit the file itself: `git lfs untrack` it, then add it again";
            Err(vec![diagnostic.fix(fix)])
        }
        Content::Bytes(bytes) => Ok(bytes),
        Content::TooLarge { bytes } => {
            let message = format!("the file has {bytes} bytes, more than `limits.blobSize`");
            let diagnostic = Diagnostic::error("object/size", message).at(&file.path);
            Err(vec![diagnostic.fix(format!("split it, or raise the limit in `{SETTINGS}`"))])
        }
        _ => unreachable!("what is not a file was told apart above"),
    }
}

fn not_a_file(file: &SourceFile) -> Option<Diagnostic> {
    let (code, message, fix) = match &file.content {
        Content::Bytes(_) | Content::TooLarge { .. } => return None,
        Content::Symlink => {
            ("git/symlink", "symbolic links are not followed".to_owned(), "commit the file itself")
        }
        Content::Submodule => {
            ("git/submodule", "submodules are not read".to_owned(), "commit the files themselves")
        }
        Content::Malformed { reason } => {
            let reason = reason.escape_default();
            let fix = "rewrite the folder with names that every checkout can have";
            ("git/fsck", format!("Git would refuse this folder: {reason}"), fix)
        }
    };
    Some(Diagnostic::error(code, message).at(&file.path).fix(fix))
}
