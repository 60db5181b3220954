//! Which path defines what (`repo-layout.md`).
//!
//! ```text
//! titan.yaml
//! hosts/[folder/…]<host>.yaml
//! templates/<template>/{template.yaml, files/**}
//! workspaces/<ws>/{workspace.yaml, templates/…, targets/<target>.yaml}
//! workspaces/<ws>/workloads/<workload>/{workload.yaml, deployments/<deployment>.yaml}
//! ```

use crate::model::{
    DeploymentRef, Name, NameError, ObjectRef, RepoPath, TargetRef, TemplateRef, WorkloadRef,
};

/// What a path of the config branch stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It defines this object.
    Object(ObjectRef),
    /// It is a file of a template, at `path` below the template's `files/`.
    TemplateFile { template: TemplateRef, path: RepoPath },
    /// It is none of titan's business: a README, CODEOWNERS, a folder of other tools.
    Foreign,
    /// It would define something if its name were one.
    BadName(BadName),
    /// It lies where titan reads, and defines nothing there.
    Unknown {
        /// The place that was probably meant.
        nearest: String,
    },
}

/// A part of a path that is not a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName {
    /// The path up to and with the part: the same for all files below a badly named folder.
    pub prefix: String,
    pub error: NameError,
}

/// The folders that titan reads.
const FOLDERS: [&str; 3] = ["hosts", "templates", "workspaces"];

/// The file of the fleet's settings.
pub(crate) const SETTINGS: &str = "titan.yaml";

/// Tells what `path` stands for, by its text alone.
#[must_use]
pub fn classify(path: &RepoPath) -> Place {
    let text = path.as_str();
    let parts: Vec<&str> = path.segments().collect();
    match parts.as_slice() {
        [SETTINGS] => Place::Object(ObjectRef::Fleet),
        ["hosts", below @ ..] if !below.is_empty() => host(text, below),
        ["templates", below @ ..] if !below.is_empty() => {
            template(Walk { text, at: "templates".len() }, None, below)
        }
        ["workspaces", below @ ..] if !below.is_empty() => workspace(text, below),
        [folder] if FOLDERS.contains(folder) => Place::Unknown { nearest: format!("{folder}/") },
        _ => root(text, &parts),
    }
}

/// The file that defines an object. `host_folder` is where a host lies below `hosts/`; others take none.
#[must_use]
pub fn path_of(object: &ObjectRef, host_folder: Option<&RepoPath>) -> RepoPath {
    let template_folder = |template: &TemplateRef| match &template.workspace {
        Some(workspace) => format!("workspaces/{workspace}/templates/{}", template.name),
        None => format!("templates/{}", template.name),
    };
    let text = match object {
        ObjectRef::Fleet => SETTINGS.to_owned(),
        ObjectRef::Host(name) => match host_folder {
            Some(folder) => format!("hosts/{folder}/{name}.yaml"),
            None => format!("hosts/{name}.yaml"),
        },
        ObjectRef::Workspace(name) => format!("workspaces/{name}/workspace.yaml"),
        ObjectRef::Template(template) => format!("{}/template.yaml", template_folder(template)),
        ObjectRef::Target(TargetRef { workspace, name }) => {
            format!("workspaces/{workspace}/targets/{name}.yaml")
        }
        ObjectRef::Workload(WorkloadRef { workspace, name }) => {
            format!("workspaces/{workspace}/workloads/{name}/workload.yaml")
        }
        ObjectRef::Deployment(id) => {
            let folder = format!("workspaces/{}/workloads/{}", id.workspace, id.workload);
            format!("{folder}/deployments/{}.yaml", id.name)
        }
    };
    RepoPath::new(&text).expect("names and folders are safe path segments")
}

/// A path, and how far it was read.
#[derive(Clone, Copy)]
struct Walk<'a> {
    text: &'a str,
    /// Bytes that were read, without the `/` behind them.
    at: usize,
}

impl<'a> Walk<'a> {
    /// Reads a folder's name.
    fn folder(&mut self, part: &'a str) -> Result<Name, Place> {
        self.at += 1 + part.len();
        self.name(part)
    }

    /// Reads the last part, `<name>.yaml`.
    fn file(&mut self, part: &'a str) -> Result<Name, Place> {
        self.at = self.text.len();
        let stem = part.strip_suffix(".yaml").unwrap_or(part);
        self.name(stem)
    }

    fn name(&self, text: &str) -> Result<Name, Place> {
        Name::new(text).map_err(|error| {
            let prefix = self.text[..self.at].to_owned();
            Place::BadName(BadName { prefix, error })
        })
    }
}

fn either(place: Result<Place, Place>) -> Place {
    place.unwrap_or_else(|place| place)
}

fn is_yaml(part: &str) -> bool {
    part.ends_with(".yaml")
}

/// Files that people and tools keep anywhere.
fn is_foreign(parts: &[&str]) -> bool {
    let Some(file) = parts.last() else { return true };
    let upper = file.to_ascii_uppercase();
    let note = ["README", "LICENSE", "CODEOWNERS", "OWNERS"].iter().any(|name| {
        upper == *name || upper.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
    });
    note || (!is_yaml(file) && parts.iter().any(|part| part.starts_with('.')))
}

/// A path with `.yaml` instead of the ending that it has.
fn with_yaml(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let separator = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{separator}{stem}.yaml")
}

fn host(text: &str, below: &[&str]) -> Place {
    let [folders @ .., file] = below else { return Place::Foreign };
    if !is_yaml(file) {
        if is_foreign(below) {
            return Place::Foreign;
        }
        return Place::Unknown { nearest: with_yaml(text) };
    }
    let mut walk = Walk { text, at: "hosts".len() };
    let place = folders
        .iter()
        .try_for_each(|folder| walk.folder(folder).map(drop))
        .and_then(|()| walk.file(file));
    either(place.map(|name| Place::Object(ObjectRef::Host(name))))
}

fn template<'a>(mut walk: Walk<'a>, workspace: Option<&Name>, below: &[&'a str]) -> Place {
    let named = |walk: &mut Walk<'a>, part: &'a str| {
        let name = walk.folder(part)?;
        Ok(TemplateRef { workspace: workspace.cloned(), name })
    };
    match below {
        [name, "template.yaml"] => {
            either(named(&mut walk, name).map(|id| Place::Object(ObjectRef::Template(id))))
        }
        [name, "files", rest @ ..] if !rest.is_empty() => {
            either(named(&mut walk, name).map(|template| {
                let path = RepoPath::new(&rest.join("/")).expect("the end of a path is a path");
                Place::TemplateFile { template, path }
            }))
        }
        _ if is_foreign(below) => Place::Foreign,
        [file] => {
            let stem = file.rsplit_once('.').map_or(*file, |(stem, _)| stem);
            Place::Unknown { nearest: format!("{}/{stem}/template.yaml", &walk.text[..walk.at]) }
        }
        [name, "template.yml"] => {
            Place::Unknown { nearest: format!("{}/{name}/template.yaml", &walk.text[..walk.at]) }
        }
        [name, rest @ ..] => Place::Unknown {
            nearest: format!("{}/{name}/files/{}", &walk.text[..walk.at], rest.join("/")),
        },
        [] => Place::Foreign,
    }
}

fn workspace(text: &str, below: &[&str]) -> Place {
    let [folder, rest @ ..] = below else { return Place::Foreign };
    if rest.is_empty() {
        if is_foreign(below) {
            return Place::Foreign;
        }
        let stem = folder.rsplit_once('.').map_or(*folder, |(stem, _)| stem);
        return Place::Unknown { nearest: format!("workspaces/{stem}/workspace.yaml") };
    }
    if is_foreign(rest) && !matches!(rest, ["templates", _, "files", ..]) {
        return Place::Foreign;
    }
    let mut walk = Walk { text, at: "workspaces".len() };
    let name = match walk.folder(folder) {
        Ok(name) => name,
        Err(place) => return place,
    };
    match rest {
        ["templates", below @ ..] if !below.is_empty() => {
            walk.at += "/templates".len();
            template(walk, Some(&name), below)
        }
        _ => either(owned(walk, name, rest)),
    }
}

/// What a workspace holds besides templates.
fn owned<'a>(mut walk: Walk<'a>, workspace: Name, rest: &[&'a str]) -> Result<Place, Place> {
    let object = match rest {
        ["workspace.yaml"] => ObjectRef::Workspace(workspace),
        ["targets", file] if is_yaml(file) => {
            walk.at += "/targets".len();
            ObjectRef::Target(TargetRef { workspace, name: walk.file(file)? })
        }
        ["workloads", name, "workload.yaml"] => {
            walk.at += "/workloads".len();
            ObjectRef::Workload(WorkloadRef { workspace, name: walk.folder(name)? })
        }
        ["workloads", workload, "deployments", file] if is_yaml(file) => {
            walk.at += "/workloads".len();
            let workload = walk.folder(workload)?;
            ObjectRef::Deployment(DeploymentRef::new(workspace, workload, walk.file(file)?))
        }
        _ => return Err(Place::Unknown { nearest: nearest_owned(&workspace, rest) }),
    };
    Ok(Place::Object(object))
}

fn nearest_owned(workspace: &Name, rest: &[&str]) -> String {
    let file = rest.last().copied().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let below = match rest {
        ["workspace.yml"] => "workspace.yaml".to_owned(),
        ["workloads", _] => format!("workloads/{stem}/workload.yaml"),
        ["workloads", workload, "workload.yml"] => format!("workloads/{workload}/workload.yaml"),
        ["workloads", workload, ..] => format!("workloads/{workload}/deployments/{stem}.yaml"),
        ["targets" | "target", ..] => format!("targets/{stem}.yaml"),
        ["workload", ..] => format!("workloads/{stem}/workload.yaml"),
        ["template", name, ..] => format!("templates/{name}/template.yaml"),
        ["deployments" | "deployment", ..] => {
            format!("workloads/<workload>/deployments/{stem}.yaml")
        }
        _ => {
            return format!(
                "workspaces/{workspace}/{{workspace.yaml, targets/, templates/, workloads/}}"
            );
        }
    };
    format!("workspaces/{workspace}/{below}")
}

/// Outside titan's folders all is fine, unless it looks like a slip.
fn root(text: &str, parts: &[&str]) -> Place {
    let yaml = |part: &str| is_yaml(part) || part.ends_with(".yml");
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Place::Foreign };
    if !yaml(last) {
        return Place::Foreign;
    }
    if let [file] = parts {
        let stem = file.rsplit_once('.').map_or(*file, |(stem, _)| stem);
        if stem.eq_ignore_ascii_case("titan") {
            return Place::Unknown { nearest: SETTINGS.to_owned() };
        }
        return Place::Foreign;
    }
    match FOLDERS.iter().find(|folder| is_slip(first, folder)) {
        Some(folder) => {
            let rest = &text[first.len()..];
            let rest =
                rest.strip_suffix(".yml").map_or(rest.to_owned(), |stem| format!("{stem}.yaml"));
            Place::Unknown { nearest: format!("{folder}{rest}") }
        }
        None => Place::Foreign,
    }
}

/// Whether `written` was meant to be the folder: another case, the singular, or one letter off in a long word.
fn is_slip(written: &str, folder: &str) -> bool {
    let plain: String = written.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    plain == folder
        || Some(plain.as_str()) == folder.strip_suffix('s')
        || (folder.len() > 6
            && written.len() < 20
            && strsim::damerau_levenshtein(&plain, folder) == 1)
}

#[cfg(test)]
mod tests;
