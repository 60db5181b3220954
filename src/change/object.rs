//! Objects as files: where each lies, and the text of a new one.

use serde_json::{Map, Value};

use super::edit::block_entry;
use crate::model::{API_VERSION, Labels, ObjectKind, ObjectRef, RepoPath};
use crate::parse::layout::{self, Place};

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
    layout::path_of(object, None)
}

/// The object that a file defines, by its path.
#[must_use]
pub fn at(path: &RepoPath) -> Option<ObjectRef> {
    match layout::classify(path) {
        Place::Object(object) => Some(object),
        _ => None,
    }
}

/// The folder that belongs to an object alone, with all that it owns; `None` for single files.
#[must_use]
pub fn folder(object: &ObjectRef) -> Option<RepoPath> {
    let whole =
        matches!(object, ObjectRef::Workspace(_) | ObjectRef::Template(_) | ObjectRef::Workload(_));
    let path = path(object);
    let (folder, _) = path.as_str().rsplit_once('/').filter(|_| whole)?;
    RepoPath::new(folder).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Name;

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
