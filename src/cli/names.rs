//! Kinds and names of objects, as people type them.

use std::str::FromStr;

use clap::Args;

use super::exit::Failure;
use crate::change::object;
use crate::model::nearest::nearest;
use crate::model::{
    DeploymentRef, Name, NameError, ObjectKind, ObjectRef, SourceFile, TargetRef, TemplateRef,
    WorkloadRef,
};

/// A kind in singular, plural or short form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub ObjectKind);

const KINDS: [(ObjectKind, &str, &[&str]); 7] = [
    (ObjectKind::Fleet, "fleet", &[]),
    (ObjectKind::Host, "host", &["ho"]),
    (ObjectKind::Workspace, "workspace", &["ws"]),
    (ObjectKind::Template, "template", &["tpl"]),
    (ObjectKind::Target, "target", &["tg"]),
    (ObjectKind::Workload, "workload", &["wl"]),
    (ObjectKind::Deployment, "deployment", &["deploy", "dep"]),
];

/// For help texts.
pub(crate) const KINDS_HELP: &str = "Kinds: fleet, host (ho), workspace (ws), template (tpl), target (tg), workload (wl), deployment (dep)";

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase();
        let known = |(_, name, short): &&(ObjectKind, &str, &[&str])| {
            word == *name || word.strip_suffix('s') == Some(name) || short.contains(&word.as_str())
        };
        let found = KINDS.iter().find(known).map(|(kind, ..)| Self(*kind));
        found.ok_or_else(|| {
            let names = KINDS.iter().map(|(_, name, _)| *name);
            match nearest(word.strip_suffix('s').unwrap_or(&word), names) {
                Some(name) => format!("unknown kind; did you mean `{name}`?"),
                None => format!("unknown kind. {KINDS_HELP}"),
            }
        })
    }
}

/// The name of a new object: positional, or `--name`.
#[derive(Debug, Clone, Args)]
pub(crate) struct NameArgs {
    /// Name: lower case, digits and `-`, at most 63 characters
    #[arg(value_name = "NAME", required_unless_present = "flag", conflicts_with = "flag")]
    name: Option<String>,
    /// The same, as an option
    #[arg(long = "name", value_name = "NAME", id = "flag")]
    flag: Option<String>,
}

impl NameArgs {
    /// # Errors
    /// When it is no name.
    pub(crate) fn get(&self) -> Result<Name, Failure> {
        let text = self.flag.as_deref().or(self.name.as_deref()).unwrap_or_default();
        name(text)
    }
}

/// Reads a name.
///
/// # Errors
/// When it breaks a rule of names.
pub(crate) fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| bad_name(text, &error))
}

fn bad_name(text: &str, error: &NameError) -> Failure {
    let shown: String = text.escape_default().take(80).collect();
    Failure::no(format!("[name/syntax] `{shown}` is not a name: {error}"))
        .hint("use lower-case letters, digits and `-`, at most 63 characters")
}

/// `--workspace`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WorkspaceArg {
    /// The workspace [default: `default` for a new object, else where the name is found]
    #[arg(long, short = 'w', env = "TITAN_WORKSPACE", hide_env_values = true, value_name = "NAME")]
    pub(crate) workspace: Option<String>,
}

impl WorkspaceArg {
    /// # Errors
    /// When it is no name.
    pub(crate) fn given(&self) -> Result<Option<Name>, Failure> {
        // An empty variable is as good as none.
        self.workspace.as_deref().filter(|text| !text.is_empty()).map(name).transpose()
    }

    /// # Errors
    /// When it is no name.
    pub(crate) fn or_default(&self) -> Result<Name, Failure> {
        Ok(self.given()?.unwrap_or_else(Name::default_workspace))
    }
}

/// The one existing object that `text` names: in full (`iot/sensor/prod`), or the end of it where
/// that is enough. Objects whose files are broken are found too, so that they can be repaired.
///
/// # Errors
/// When there is none, or several.
pub(crate) fn existing(
    files: &[SourceFile],
    kind: ObjectKind,
    text: &str,
    workspace: Option<&Name>,
) -> Result<ObjectRef, Failure> {
    match find(files, kind, text, workspace)? {
        Some(object) => Ok(object),
        None => Err(missing(files, kind, text)),
    }
}

/// As [`existing`]; `None` when there is none.
///
/// # Errors
/// When there are several, or the name can be nobody's.
pub(crate) fn find(
    files: &[SourceFile],
    kind: ObjectKind,
    text: &str,
    workspace: Option<&Name>,
) -> Result<Option<ObjectRef>, Failure> {
    for part in text.split('/') {
        name(part)?;
    }
    let all = objects(files, kind).filter(|object| {
        workspace.is_none() || object.workspace() == workspace || object.workspace().is_none()
    });
    let full = |object: &ObjectRef| object.full_name();
    let ending = format!("/{text}");
    let mut found: Vec<ObjectRef> =
        all.filter(|object| full(object) == text || full(object).ends_with(&ending)).collect();
    found.sort();
    found.dedup();
    if let Some(exact) = found.iter().position(|object| full(object) == text) {
        return Ok(Some(found.swap_remove(exact)));
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => {
            let names: Vec<String> =
                found.iter().map(|object| format!("`{}`", full(object))).collect();
            Err(Failure::no(format!("`{text}` may be any of {}", names.join(", ")))
                .hint("give the full name, or `--workspace`"))
        }
    }
}

fn missing(files: &[SourceFile], kind: ObjectKind, text: &str) -> Failure {
    let word = kind.as_str().to_ascii_lowercase();
    let names: Vec<String> = objects(files, kind).map(|object| object.full_name()).collect();
    let failure = Failure::no(format!("there is no {word} `{text}`"));
    let near = nearest(text, names.iter().flat_map(|name| [name.as_str(), last(name)]));
    match near {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("`titan get {word}s` lists what there is")),
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn objects(files: &[SourceFile], kind: ObjectKind) -> impl Iterator<Item = ObjectRef> {
    let objects = files.iter().filter_map(|file| object::at(&file.path));
    objects.filter(move |object| object.kind() == kind)
}

/// A template, in a workspace or shared.
#[must_use]
pub(crate) fn template(workspace: Option<Name>, name: Name) -> ObjectRef {
    ObjectRef::Template(TemplateRef { workspace, name })
}

#[must_use]
pub(crate) fn target(workspace: Name, name: Name) -> ObjectRef {
    ObjectRef::Target(TargetRef { workspace, name })
}

#[must_use]
pub(crate) fn workload(workspace: Name, name: Name) -> ObjectRef {
    ObjectRef::Workload(WorkloadRef { workspace, name })
}

#[must_use]
pub(crate) fn deployment(workspace: Name, workload: Name, name: Name) -> ObjectRef {
    ObjectRef::Deployment(DeploymentRef::new(workspace, workload, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RepoPath;

    #[test]
    fn kinds_have_three_forms() {
        let check = |text: &str, expected: ObjectKind| {
            assert_eq!(text.parse(), Ok(Kind(expected)), "{text}");
        };
        check("hosts", ObjectKind::Host);
        check("Host", ObjectKind::Host);
        check("ws", ObjectKind::Workspace);
        check("deploy", ObjectKind::Deployment);
        assert!("hsot".parse::<Kind>().unwrap_err().contains("`host`"));
    }

    #[test]
    fn the_end_of_a_name_is_enough_where_it_is_one_objects() {
        let paths = [
            "workspaces/a/workloads/web/deployments/prod.yaml",
            "workspaces/a/workloads/web/deployments/test.yaml",
            "workspaces/b/workloads/web/deployments/prod.yaml",
        ];
        let file = |path: &&str| SourceFile::regular(RepoPath::new(path).unwrap(), *b"");
        let files: Vec<_> = paths.iter().map(file).collect();
        let check = |text: &str, workspace: Option<&str>, expected: Result<&str, &str>| {
            let workspace = workspace.map(|name| Name::new(name).unwrap());
            let found = existing(&files, ObjectKind::Deployment, text, workspace.as_ref());
            match (found, expected) {
                (Ok(found), expected) => assert_eq!(Ok(found.full_name().as_str()), expected),
                (Err(error), Err(part)) => {
                    let text = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
                    assert!(text.contains(part), "{text}");
                }
                (Err(error), Ok(_)) => panic!("{error}"),
            }
        };
        check("test", None, Ok("a/web/test"));
        check("a/web/prod", None, Ok("a/web/prod"));
        check("web/prod", Some("b"), Ok("b/web/prod"));
        check("prod", None, Err("`a/web/prod`, `b/web/prod`"));
        check("prdo", None, Err("did you mean `prod`"));
        check("../x", None, Err("name/syntax"));
    }
}
