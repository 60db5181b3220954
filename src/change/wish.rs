//! A change as a caller writes it → the edits that make it.
//!
//! ```text
//!  {"changes": [{"op": "patch", "kind": "Deployment", "name": "iot/sensor/prod", "patch": {…}}]}
//!        │
//!        ▼
//!  ObjectRef + Edit …   by name, never by path: they can be made again on a newer head
//! ```

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Edit;
use super::edit::{FieldEdit, FieldPath, block_entry};
use super::object::{self, modeline};
use crate::model::{API_VERSION, Name, ObjectKind, ObjectRef};

/// One or several changes of objects that become one commit, or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// What changes, in this order; 1 to 100
    #[schemars(length(min = 1, max = 100))]
    pub changes: Vec<ObjectChange>,
    /// The commit's message; its first line is the subject [default: what changes]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the commit goes
    #[serde(default)]
    pub mode: Mode,
}

/// Where the commit of a change goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Onto the config branch
    #[default]
    Commit,
    /// Onto a branch of its own, `titan/change/<id>`, for somebody to merge
    PullRequest,
}

/// The change of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectChange {
    /// What is done to it
    pub op: Op,
    /// `Fleet`, `Host`, `Workspace`, `Template`, `Target`, `Workload` or `Deployment`
    #[schemars(regex(pattern = r"^(Fleet|Host|Workspace|Template|Target|Workload|Deployment)$"))]
    pub kind: String,
    /// The full name: `tim-pi`, `iot/sensor`, `iot/sensor/prod`; none for the fleet's settings
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(
        pattern = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,2})?$"
    ))]
    pub name: String,
    /// `create` and `update`: the object; `apiVersion`, `kind` and `metadata.name` may be left out
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Map<String, Value>>,
    /// `patch`: a JSON Merge Patch (RFC 7386) of the object
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Map<String, Value>>,
    /// `create` and `update` of a template: its files, by path below `files/`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// `delete`: also what belongs to it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
}

/// The JSON Schema (2020-12) of a [`Wish`].
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Wish).to_value()
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It must not be there yet
    Create,
    /// All of its fields become those that are given; comments stay
    Update,
    /// Some of its fields become those that are given
    Patch,
    /// It goes; to delete what is absent is a success
    Delete,
}

/// Why a wish makes no sense, whatever the fleet is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    #[error("`changes` has {0} items; 1 to {MOST} may be in one request")]
    Count(usize),
    #[error("changes[{at}]: {reason}")]
    Change { at: usize, reason: String },
    #[error(
        "changes[{at}]: {object} is in this request already; put all that changes in it into one"
    )]
    Twice { at: usize, object: ObjectRef },
    #[error("`message` has more than {LONGEST} characters, or control characters")]
    Message,
}

/// Most objects of one request.
const MOST: usize = 100;
/// Longest message, in characters.
const LONGEST: usize = 4000;

/// One change, understood.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub object: ObjectRef,
    pub op: Op,
    pub edits: Vec<Edit>,
}

impl Wish {
    /// What it comes to.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn understand(&self) -> Result<Vec<Wanted>, WishError> {
        if self.changes.is_empty() || self.changes.len() > MOST {
            return Err(WishError::Count(self.changes.len()));
        }
        if let Some(message) = &self.message {
            let odd = |c: char| c.is_control() && c != '\n';
            if message.chars().count() > LONGEST || message.chars().any(odd) {
                return Err(WishError::Message);
            }
        }
        let understand = |(at, change): (usize, &ObjectChange)| {
            change.understand().map_err(|reason| WishError::Change { at, reason })
        };
        let wanted: Vec<Wanted> =
            self.changes.iter().enumerate().map(understand).collect::<Result<_, _>>()?;
        // Each is done on what is there before, so the last would undo the others.
        for (at, one) in wanted.iter().enumerate() {
            if wanted[..at].iter().any(|other| other.object == one.object) {
                return Err(WishError::Twice { at, object: one.object.clone() });
            }
        }
        Ok(wanted)
    }

    /// The commit's message: the one given, or what changes.
    #[must_use]
    pub fn message(&self, wanted: &[Wanted]) -> String {
        if let Some(message) = self.message.as_deref().filter(|text| !text.trim().is_empty()) {
            return message.trim().to_owned();
        }
        let line = |one: &Wanted| format!("{} {}", one.op.as_str(), one.object);
        match wanted {
            [one] => line(one),
            all => {
                let lines: Vec<String> = all.iter().map(|one| format!("- {}", line(one))).collect();
                format!("change {} objects\n\n{}", all.len(), lines.join("\n"))
            }
        }
    }
}

impl Op {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

impl ObjectChange {
    fn understand(&self) -> Result<Wanted, String> {
        let object = reference(&self.kind, &self.name)?;
        self.check_fields()?;
        let edits = match self.op {
            Op::Create => self.create(&object)?,
            Op::Update => self.update(&object)?,
            Op::Patch => {
                let patch = self.patch.as_ref().expect("because the fields are checked");
                let mut edits = Vec::new();
                merge_patch(&FieldPath::of(&[]), patch, &mut edits);
                vec![Edit::Fields { object: object.clone(), edits }]
            }
            Op::Delete if object == ObjectRef::Fleet => {
                return Err("the fleet's settings cannot be deleted".into());
            }
            Op::Delete => {
                vec![Edit::Delete { object: object.clone(), recursive: self.recursive }]
            }
        };
        Ok(Wanted { object, op: self.op, edits })
    }

    /// Each operation has its own fields.
    fn check_fields(&self) -> Result<(), String> {
        let Self { op, object, patch, files, recursive, .. } = self;
        let whole = matches!(op, Op::Create | Op::Update);
        let given = [
            ("object", object.is_some(), whole, whole),
            ("patch", patch.is_some(), *op == Op::Patch, *op == Op::Patch),
            ("files", !files.is_empty(), whole && self.kind == "Template", false),
            ("recursive", *recursive, *op == Op::Delete, false),
        ];
        for (field, given, may, must) in given {
            if given && !may {
                return Err(format!("`{field}` does not go with `{}` of this kind", op.as_str()));
            }
            if must && !given {
                return Err(format!("`{}` needs `{field}`", op.as_str()));
            }
        }
        Ok(())
    }

    fn create(&self, object: &ObjectRef) -> Result<Vec<Edit>, String> {
        let text = text(object, &self.given(object)?);
        let path = object::path(object);
        let mut edits = vec![Edit::Create { object: object.clone(), path, text }];
        edits.extend(self.template_files(object)?);
        Ok(edits)
    }

    fn update(&self, object: &ObjectRef) -> Result<Vec<Edit>, String> {
        let given = self.given(object)?;
        let mut edits = Vec::new();
        for field in ["metadata", "spec"] {
            let path = FieldPath::of(&[field]);
            edits.push(match given.get(field) {
                Some(value) => FieldEdit::Set(path, value.clone()),
                None => FieldEdit::Remove(path),
            });
        }
        let mut all = vec![Edit::Fields { object: object.clone(), edits }];
        if !self.files.is_empty() {
            let folder = object::folder(object).expect("because a template has a folder");
            let files = folder.join("files").map_err(|error| error.to_string())?;
            all.push(Edit::Clear { path: files });
            all.extend(self.template_files(object)?);
        }
        Ok(all)
    }

    fn template_files(&self, object: &ObjectRef) -> Result<Vec<Edit>, String> {
        let folder = object::folder(object);
        let put = |(name, text): (&String, &String)| {
            let folder = folder.as_ref().expect("because a template has a folder");
            let path = folder.join(&format!("files/{name}"));
            let path =
                path.map_err(|error| format!("the path `{}`: {error}", name.escape_default()))?;
            Ok(Edit::Put { path, bytes: text.clone().into_bytes() })
        };
        self.files.iter().map(put).collect()
    }

    /// The object that is given, with `kind` and the like checked and taken out.
    fn given(&self, object: &ObjectRef) -> Result<Map<String, Value>, String> {
        let mut given = self.object.clone().expect("because the fields are checked");
        for (field, expected) in [("apiVersion", API_VERSION), ("kind", object.kind().as_str())] {
            if let Some(value) = given.remove(field).filter(|value| value != expected) {
                return Err(format!("`object.{field}` is {value}, and not `{expected}`"));
            }
        }
        let unknown = given.keys().find(|key| !["metadata", "spec"].contains(&key.as_str()));
        if let Some(key) = unknown {
            return Err(format!("`object` has no field `{}`", key.escape_default()));
        }
        if let Some(Value::Object(metadata)) = given.get_mut("metadata") {
            let own = object.name().map(Name::as_str);
            if let Some(name) = metadata.get("name").filter(|name| name.as_str() != own) {
                return Err(format!("`object.metadata.name` is {name}, and not that of `name`"));
            }
        }
        given.entry("spec").or_insert_with(|| Value::Object(Map::new()));
        Ok(given)
    }
}

/// The object that `kind` and `name` mean.
///
/// # Errors
/// What is wrong with them, and how it should be.
pub fn reference(kind: &str, name: &str) -> Result<ObjectRef, String> {
    let known = ObjectKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let Some(kind) = known else {
        let all: Vec<_> = ObjectKind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(format!("`kind` is one of {}", all.join(", ")));
    };
    let plain = |name: &str| {
        Name::new(name).map_err(|error| format!("`{}`: {error}", name.escape_default()))
    };
    let told = |error: crate::model::id::RefError| error.to_string();
    Ok(match kind {
        ObjectKind::Fleet if name.is_empty() => ObjectRef::Fleet,
        ObjectKind::Fleet => return Err("the fleet's settings have no `name`".into()),
        ObjectKind::Host => ObjectRef::Host(plain(name)?),
        ObjectKind::Workspace => ObjectRef::Workspace(plain(name)?),
        ObjectKind::Template => ObjectRef::Template(name.parse().map_err(told)?),
        ObjectKind::Target => ObjectRef::Target(name.parse().map_err(told)?),
        ObjectKind::Workload => ObjectRef::Workload(name.parse().map_err(told)?),
        ObjectKind::Deployment => ObjectRef::Deployment(name.parse().map_err(told)?),
    })
}

/// The file of a new object.
fn text(object: &ObjectRef, given: &Map<String, Value>) -> String {
    let kind = object.kind();
    let mut text = format!("{}\napiVersion: {API_VERSION}\nkind: {kind}\n", modeline(kind));
    for field in ["metadata", "spec"] {
        if let Some(value) = given.get(field) {
            text.push_str(&block_entry(field, value, 0));
        }
    }
    text
}

/// RFC 7386: what is null goes, maps are gone into, everything else is set.
fn merge_patch(path: &FieldPath, patch: &Map<String, Value>, edits: &mut Vec<FieldEdit>) {
    for (key, value) in patch {
        let path = path.below(key);
        match value {
            Value::Null => edits.push(FieldEdit::Remove(path)),
            Value::Object(below) if !below.is_empty() => merge_patch(&path, below, edits),
            value => edits.push(FieldEdit::Set(path, value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wish(changes: Value) -> Result<Vec<Wanted>, WishError> {
        let wish: Wish = serde_json::from_value(json!({"changes": changes})).expect("a wish");
        wish.understand()
    }

    fn reason(changes: Value) -> String {
        wish(changes).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn a_new_object_becomes_its_file() {
        let wanted = wish(json!([{
            "op": "create", "kind": "Host", "name": "tim-pi",
            "object": {"metadata": {"labels": {"ring": "1"}}, "spec": {"runtime": "directory"}},
        }]));
        let wanted = wanted.expect("it makes sense");
        let [Edit::Create { path, text, .. }] = &wanted[0].edits[..] else { panic!("{wanted:?}") };
        assert_eq!(path.as_str(), "hosts/tim-pi.yaml");
        assert!(
            text.contains(
                "kind: Host\nmetadata:\n  labels:\n    ring: \"1\"\nspec:\n  runtime: directory\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_merge_patch_sets_and_removes() {
        let wanted = wish(json!([{
            "op": "patch", "kind": "Deployment", "name": "iot/sensor/prod",
            "patch": {"spec": {"values": {"image": "x:2", "old": null}, "suspend": true}},
        }]));
        let wanted = wanted.expect("it makes sense");
        let [Edit::Fields { edits, .. }] = &wanted[0].edits[..] else { panic!("{wanted:?}") };
        let shown: Vec<_> = edits.iter().map(|edit| edit.path().to_string()).collect();
        assert_eq!(shown, ["spec.suspend", "spec.values.image", "spec.values.old"]);
        assert!(matches!(edits[2], FieldEdit::Remove(_)));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(reason(json!([])), "`changes` has 0 items; 1 to 100 may be in one request");
        let one = |op: &str, kind: &str, name: &str, more: Value| {
            let mut change = json!({"op": op, "kind": kind, "name": name});
            change.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
            reason(json!([change]))
        };
        assert!(one("create", "Hots", "a", json!({})).contains("`kind` is one of Fleet, Host"));
        for name in ["../x", "A", "", "a/b", ".git", "a\u{0}"] {
            assert!(one("delete", "Host", name, json!({})).starts_with("changes[0]: "), "{name}");
        }
        assert!(one("create", "Host", "a", json!({})).contains("`create` needs `object`"));
        assert!(one("patch", "Host", "a", json!({"object": {}})).contains("`object` does not go"));
        assert!(one("create", "Host", "a", json!({"object": {"status": 1}})).contains("`status`"));
        let other = json!({"object": {"metadata": {"name": "b"}}});
        assert!(one("update", "Host", "a", other).contains("not that of `name`"));
        let escape = json!({"object": {}, "files": {"../x": "a"}});
        assert!(one("create", "Template", "t", escape).contains("the path"));
        assert!(one("delete", "Fleet", "", json!({})).contains("cannot be deleted"));
        let twice = json!([
            {"op": "patch", "kind": "Host", "name": "a", "patch": {"spec": {"cordoned": true}}},
            {"op": "delete", "kind": "Host", "name": "b"},
            {"op": "delete", "kind": "Host", "name": "a"},
        ]);
        assert!(reason(twice).starts_with("changes[2]: host a is in this request already"));
    }
}
