//! JSON Schemas of the objects, generated from the types in `model`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::model::{
    API_VERSION, DeploymentSpec, FleetSpec, HostSpec, Object, ObjectKind, TargetSpec, TemplateSpec,
    WorkloadSpec, WorkspaceSpec,
};

/// Where the schemas are published; their `$id`s begin with it.
const BASE: &str = "https://titan.dev/schemas/v1";

/// The schemas of all kinds (JSON Schema 2020-12), by file name: `host.schema.json`.
#[must_use]
pub fn schemas() -> BTreeMap<String, Value> {
    ObjectKind::ALL.into_iter().map(|kind| (file_name(kind), of(kind).json.clone())).collect()
}

/// The name of a kind's schema file.
#[must_use]
pub fn file_name(kind: ObjectKind) -> String {
    format!("{}.schema.json", kind.as_str().to_ascii_lowercase())
}

/// The schema of one kind.
#[derive(Debug)]
pub(crate) struct KindSchema {
    pub(crate) json: Value,
    pub(crate) validator: jsonschema::Validator,
}

/// The schema of a kind, generated and compiled at its first use.
pub(crate) fn of(kind: ObjectKind) -> &'static KindSchema {
    static ALL: [OnceLock<KindSchema>; ObjectKind::ALL.len()] =
        [const { OnceLock::new() }; ObjectKind::ALL.len()];
    ALL[kind as usize].get_or_init(|| {
        let json = generate(kind);
        let validator =
            jsonschema::draft202012::new(&json).expect("a generated schema is a valid schema");
        KindSchema { json, validator }
    })
}

fn generate(kind: ObjectKind) -> Value {
    match kind {
        ObjectKind::Fleet => object::<FleetSpec>(kind),
        ObjectKind::Host => object::<HostSpec>(kind),
        ObjectKind::Workspace => object::<WorkspaceSpec>(kind),
        ObjectKind::Template => object::<TemplateSpec>(kind),
        ObjectKind::Target => object::<TargetSpec>(kind),
        ObjectKind::Workload => object::<WorkloadSpec>(kind),
        ObjectKind::Deployment => object::<DeploymentSpec>(kind),
    }
}

fn object<Spec: JsonSchema>(kind: ObjectKind) -> Value {
    // Without references every editor and validator reads the file by itself, and an error's place
    // in the instance leads straight to its place in the schema.
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let generated = settings.into_generator().into_root_schema_for::<Object<Spec>>();
    let mut schema = generated.to_value();
    tidy(&mut schema);
    let spec = Spec::json_schema(&mut SchemaSettings::draft2020_12().into_generator());
    let description = spec.get("description").cloned().unwrap_or_default();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$id".into(), format!("{BASE}/{}", file_name(kind)).into());
        schema.insert("title".into(), format!("titan {kind}").into());
        schema.insert("description".into(), description);
    }
    schema["properties"]["apiVersion"]["const"] = API_VERSION.into();
    schema["properties"]["kind"]["const"] = kind.as_str().into();
    schema
}

/// Makes the schema as strict as the types, and free of what only Rust knows.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(tidy);
            refuse_null(map);
            bound_integers(map);
            // Defaults of whole sections would repeat those of their fields.
            map.retain(|key, value| key != "default" || !(value.is_object() || value.is_array()));
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// An optional field is left out; `field: null` is a mistake rather than a choice.
fn refuse_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
    let Some(Value::Array(options)) = map.get_mut("anyOf") else { return };
    options.retain(|option| *option != json!({"type": "null"}));
    if let [Value::Object(only)] = options.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

/// `format: uint32` is unknown outside Rust: say the same with bounds.
fn bound_integers(map: &mut Map<String, Value>) {
    if map.get("format").is_some_and(|format| format == "uint32") {
        map.remove("format");
        map.entry("minimum").or_insert(json!(0));
        map.entry("maximum").or_insert(json!(u32::MAX));
    }
}

/// The part of a schema that describes the value at a JSON pointer.
pub(crate) fn describe<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(schema, |schema, segment| {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        schema
            .get("properties")
            .and_then(|properties| properties.get(&segment))
            .or_else(|| schema.get("items").filter(|_| segment.parse::<usize>().is_ok()))
            .or_else(|| schema.get("additionalProperties").filter(|more| more.is_object()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_through_the_schema() {
        let schema = &of(ObjectKind::Deployment).json;
        let kind = |pointer: &str| describe(schema, pointer).map(|found| found["type"].clone());
        assert_eq!(kind("/spec/replicas"), Some(json!("integer")));
        assert_eq!(kind("/spec/overrides/3/selector/matchLabels/x"), Some(json!("string")));
        assert_eq!(kind("/spec/nothing"), None);
    }

    #[test]
    fn nothing_may_be_null_and_nothing_is_referred_to() {
        for (name, schema) in schemas() {
            let text = schema.to_string();
            for word in ["\"null\"", "$ref", "uint32"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
