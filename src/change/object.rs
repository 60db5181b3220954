//! Objects as files: where each lies, and the text of a new one.

use serde_json::{Map, Value};

use super::edit::block_entry;
use crate::model::{
    API_VERSION, DeploymentRef, Labels, Name, ObjectKind, ObjectRef, RepoPath, TargetRef, TemplateRef, WorkloadRef,
};

/// Where the schemas of scaffolded files are.
pub const SCHEMAS: &str = "https://titan.dev/schemas/v1";

/// A new object: only the fields that were given, in this order.
#[derive(Debug, Clone)]
pub struct Scaffold {
    pub object: ObjectRef,
    pub labels: Labels,
    /// The fields of `spec`.
    pub spec: Vec<(&'static str, Value)>,
}

impl Scaffold {
    #[must_use]
    pub fn new(object: ObjectRef) -> Self {
        Self { object, labels: Labels::new(), spec: Vec::new() }
    }

    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Adds a field of `spec`, if it has a value.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        self.spec.extend(value.map(|value| (name, value.into())));
        self
    }

    /// The text of the file, with the line that tells editors the schema.
    #[must_use]
    pub fn text(&self) -> String {
        let kind = self.object.kind();
        let mut text = format!("{}\napiVersion: {API_VERSION}\nkind: {kind}\n", modeline(kind));
        let mut metadata = String::new();
        if let Some(name) = self.object.name() {
            metadata.push_str(&block_entry("name", &name.as_str().into(), 2));
        }
        if !self.labels.is_empty() {
            metadata.push_str(&block_entry("labels", &label_map(&self.labels), 2));
        }
        if !metadata.is_empty() {
            text.push_str("metadata:\n");
            text.push_str(&metadata);
        }
        if self.spec.is_empty() {
            text.push_str("spec: {}\n");
            return text;
        }
        text.push_str("spec:\n");
        for (name, value) in &self.spec {
            text.push_str(&block_entry(name, value, 2));
        }
        text
    }
}

/// The comment by which editors find the schema of a kind.
#[must_use]
pub fn modeline(kind: ObjectKind) -> String {
    let kind = kind.as_str().to_ascii_lowercase();
    format!("# yaml-language-server: $schema={SCHEMAS}/{kind}.schema.json")
}

/// Labels as a value.
#[must_use]
pub fn label_map(labels: &Labels) -> Value {
    let entries = labels.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The file that defines an object. A host's may also lie in any folder below `hosts/`.
#[must_use]
pub fn path(object: &ObjectRef) -> RepoPath {
    let text = match object {
        ObjectRef::Fleet => "titan.yaml".to_owned(),
        ObjectRef::Host(name) => format!("hosts/{name}.yaml"),
        ObjectRef::Workspace(name) => format!("workspaces/{name}/workspace.yaml"),
        ObjectRef::Template(template) => format!("{}/template.yaml", template_folder(template)),
        ObjectRef::Target(target) => {
            format!("workspaces/{}/targets/{}.yaml", target.workspace, target.name)
        }
        ObjectRef::Workload(workload) => {
            format!("workspaces/{}/workloads/{}/workload.yaml", workload.workspace, workload.name)
        }
        ObjectRef::Deployment(deployment) => format!(
            "workspaces/{}/workloads/{}/deployments/{}.yaml",
            deployment.workspace, deployment.workload, deployment.name
        ),
    };
    made(&text)
}

/// The object that a file defines, by its path.
#[must_use]
pub fn at(path: &RepoPath) -> Option<ObjectRef> {
    let name = |text: &str| Name::new(text).ok();
    let file = |text: &str| Name::new(text.strip_suffix(".yaml")?).ok();
    let parts: Vec<&str> = path.segments().collect();
    Some(match parts.as_slice() {
        ["titan.yaml"] => ObjectRef::Fleet,
        ["hosts", .., host] => ObjectRef::Host(file(host)?),
        ["templates", template, "template.yaml"] => {
            ObjectRef::Template(TemplateRef { workspace: None, name: name(template)? })
        }
        ["workspaces", workspace, rest @ ..] => {
            let workspace = name(workspace)?;
            match rest {
                ["workspace.yaml"] => ObjectRef::Workspace(workspace),
                ["templates", template, "template.yaml"] => {
                    let workspace = Some(workspace);
                    ObjectRef::Template(TemplateRef { workspace, name: name(template)? })
                }
                ["targets", target] => {
                    ObjectRef::Target(TargetRef { workspace, name: file(target)? })
                }
                ["workloads", workload, "workload.yaml"] => {
                    ObjectRef::Workload(WorkloadRef { workspace, name: name(workload)? })
                }
                ["workloads", workload, "deployments", deployment] => {
                    let (workload, name) = (name(workload)?, file(deployment)?);
                    ObjectRef::Deployment(DeploymentRef { workspace, workload, name })
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The folder that belongs to an object alone, with all that it owns; `None` for single files.
#[must_use]
pub fn folder(object: &ObjectRef) -> Option<RepoPath> {
    let whole =
        matches!(object, ObjectRef::Workspace(_) | ObjectRef::Template(_) | ObjectRef::Workload(_));
    let path = path(object);
    let (folder, _) = path.as_str().rsplit_once('/').filter(|_| whole)?;
    Some(made(folder))
}

/// The folder of a template's files.
#[must_use]
pub fn template_files(template: &TemplateRef) -> RepoPath {
    made(&format!("{}/files", template_folder(template)))
}

fn template_folder(template: &TemplateRef) -> String {
    match &template.workspace {
        Some(workspace) => format!("workspaces/{workspace}/templates/{}", template.name),
        None => format!("templates/{}", template.name),
    }
}

fn made(text: &str) -> RepoPath {
    RepoPath::new(text).expect("names are safe parts of a path, and short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_what_was_given_and_no_more() {
        let host = ObjectRef::Host(Name::new("tim-pi").unwrap());
        let labels = Labels::from([("name".into(), "tim-pi".into()), ("ring".into(), "1".into())]);
        let scaffold = Scaffold::new(host.clone())
            .labels(labels)
            .field("runtime", Some("docker"))
            .field("cordoned", None::<bool>);
        let expected = "\
# yaml-language-server: $schema=https://titan.dev/schemas/v1/host.schema.json
apiVersion: titan.dev/v1
kind: Host
metadata:
  name: tim-pi
  labels:
    name: tim-pi
    ring: \"1\"
spec:
  runtime: docker
";
        assert_eq!(scaffold.text(), expected);
        assert!(Scaffold::new(host).text().ends_with("  name: tim-pi\nspec: {}\n"));
    }

    #[test]
    fn objects_have_one_place() {
        let check = |object: ObjectRef, file: &str, dir: Option<&str>| {
            assert_eq!(path(&object).as_str(), file);
            assert_eq!(at(&path(&object)).as_ref(), Some(&object));
            assert_eq!(folder(&object).as_ref().map(RepoPath::as_str), dir);
        };
        check(ObjectRef::Host(Name::new("a").unwrap()), "hosts/a.yaml", None);
        check(
            ObjectRef::Template("a".parse().unwrap()),
            "templates/a/template.yaml",
            Some("templates/a"),
        );
        check(
            ObjectRef::Template("w/a".parse().unwrap()),
            "workspaces/w/templates/a/template.yaml",
            Some("workspaces/w/templates/a"),
        );
        check(
            ObjectRef::Workload("w/a".parse().unwrap()),
            "workspaces/w/workloads/a/workload.yaml",
            Some("workspaces/w/workloads/a"),
        );
        check(
            ObjectRef::Deployment("w/a/b".parse().unwrap()),
            "workspaces/w/workloads/a/deployments/b.yaml",
            None,
        );
    }
}
