//! Errors of a JSON Schema → findings with titan's codes.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::schema::{KindSchema, describe};
use crate::model::nearest::nearest;

/// Something wrong with a value, by the JSON pointer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) pointer: String,
    /// Whether the key is meant rather than the value.
    pub(crate) key: bool,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn value(code: &'static str, pointer: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, pointer: pointer.to_owned(), key: false, message, fix: None }
    }

    pub(crate) fn key(code: &'static str, pointer: &str, message: impl Into<String>) -> Self {
        Self { key: true, ..Self::value(code, pointer, message) }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Most errors that are read from one validation: what comes behind is seen when these are fixed.
const ERRORS: usize = super::yaml::PROBLEMS;

/// Everything in which `value` is not what the schema wants. No message holds a value: it may be a secret.
pub(crate) fn check(schema: &KindSchema, value: &Value) -> Vec<Finding> {
    if schema.validator.is_valid(value) {
        return Vec::new();
    }
    let errors = schema.validator.iter_errors(value).take(ERRORS);
    errors.flat_map(|error| findings(&schema.json, &error)).take(ERRORS).collect()
}

fn findings(schema: &Value, error: &ValidationError<'_>) -> Vec<Finding> {
    let pointer = error.instance_path().as_str();
    let part = describe(schema, pointer).unwrap_or(&Value::Null);
    let one = match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            return unexpected.iter().map(|name| unknown(part, pointer, name)).collect();
        }
        Kind::Required { property } => required(pointer, property.as_str().unwrap_or_default()),
        Kind::Type { kind } => wrong_type(pointer, &expected(kind), error.instance()),
        Kind::AnyOf { context } => return any_of(schema, pointer, context, error.instance()),
        Kind::OneOfNotValid { .. } | Kind::Enum { .. } => one_of(part, pointer, error.instance()),
        Kind::Constant { expected_value } => {
            let message = format!("{} must be `{}`", field(pointer), plain(expected_value));
            Finding::value("field/value", pointer, message)
        }
        Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
            let message = format!("{} must be at least {limit}", field(pointer));
            Finding::value("field/range", pointer, message).fix("write a larger number")
        }
        Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
            let message = format!("{} may be at most {limit}", field(pointer));
            Finding::value("field/range", pointer, message).fix("write a smaller number")
        }
        Kind::MaxItems { limit } => {
            let message = format!("{} may have at most {limit} items", field(pointer));
            Finding::value("field/range", pointer, message).fix("remove some")
        }
        Kind::Pattern { pattern } => wrong_form(part, pointer, pattern),
        _ => Finding::value("field/value", pointer, format!("{} is not valid", field(pointer))),
    };
    vec![one]
}

/// A field as messages name it: `spec.selector`, or the object as a whole.
pub(crate) fn field(pointer: &str) -> String {
    if pointer.is_empty() {
        return "the object".to_owned();
    }
    let dotted = pointer.trim_start_matches('/').replace('/', ".");
    let text: String = dotted.replace("~1", "/").replace("~0", "~").chars().take(120).collect();
    format!("`{}`", text.escape_default())
}

/// A JSON pointer to a member of the value at `pointer`.
pub(crate) fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unknown(part: &Value, pointer: &str, name: &str) -> Finding {
    let known: Vec<&str> = part["properties"]
        .as_object()
        .map(|fields| fields.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let shown: String = name.chars().take(64).collect();
    let message = format!("`{}` is not a field of {}", shown.escape_default(), field(pointer));
    let finding = Finding::key("field/unknown", &member(pointer, name), message);
    match nearest(name, known.iter().copied()) {
        Some(meant) => finding.fix(format!("write `{meant}`")),
        None => finding.fix(format!("remove it, or use one of `{}`", known.join("`, `"))),
    }
}

fn required(pointer: &str, name: &str) -> Finding {
    let missing = member(pointer, name);
    let message = format!("{} is missing", field(&missing));
    Finding::key("field/required", pointer, message).fix(format!("add `{name}:`"))
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
        }
    }
}

/// A JSON type as people say it in YAML.
fn spoken(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "object" => "a map",
        "array" => "a list",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        other => other,
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn wrong_type(pointer: &str, kind: &str, value: &Value) -> Finding {
    if kind == "integer" && value.is_number() {
        let message = format!("{} must be a whole number", field(pointer));
        return Finding::value("field/range", pointer, message).fix("write it without a fraction");
    }
    let message = format!("{} must be {}, this is {}", field(pointer), spoken(kind), found(value));
    // Nothing stands nowhere: the key is what can be shown of it.
    let finding =
        Finding { key: value.is_null(), ..Finding::value("field/type", pointer, message) };
    match (kind, value) {
        ("string", Value::Number(_) | Value::Bool(_)) => finding.fix("put it in quotes"),
        (_, Value::Null) => finding.fix("give it a value, or remove the field"),
        ("boolean", Value::String(_)) => finding.fix("write `true` or `false`, without quotes"),
        ("integer" | "number", Value::String(_)) => finding.fix("write a number, without quotes"),
        _ => finding.fix(format!("write {}", spoken(kind))),
    }
}

/// Of several forms, the one whose type fits tells best what is wrong.
fn any_of(
    schema: &Value,
    pointer: &str,
    forms: &[Vec<ValidationError<'static>>],
    value: &Value,
) -> Vec<Finding> {
    let of_type = |form: &&Vec<ValidationError<'static>>| {
        !form.iter().any(|error| {
            matches!(error.kind(), Kind::Type { .. })
                && error.instance_path().as_str() == pointer
                && !error.instance().is_number()
        })
    };
    match forms.iter().find(of_type) {
        Some(form) => form.iter().flat_map(|error| findings(schema, error)).collect(),
        None => {
            let part = describe(schema, pointer).unwrap_or(&Value::Null);
            let kinds: Vec<&str> = part["anyOf"]
                .as_array()
                .map(|forms| {
                    forms.iter().filter_map(|form| form["type"].as_str()).map(spoken).collect()
                })
                .unwrap_or_default();
            let kinds = kinds.join(" or ");
            let message = format!("{} must be {kinds}, this is {}", field(pointer), found(value));
            vec![Finding::value("field/type", pointer, message).fix(format!("write {kinds}"))]
        }
    }
}

fn one_of(part: &Value, pointer: &str, value: &Value) -> Finding {
    let listed = part["oneOf"].as_array().or_else(|| part["enum"].as_array());
    let words: Vec<&str> = listed
        .into_iter()
        .flatten()
        .filter_map(|option| option.get("const").unwrap_or(option).as_str())
        .collect();
    let Some(text) = value.as_str() else {
        return wrong_type(pointer, "string", value);
    };
    let all = words.join("`, `");
    let message = format!("{} must be one of `{all}`", field(pointer));
    let finding = Finding::value("field/value", pointer, message);
    match nearest(text, words.iter().copied()) {
        Some(meant) => finding.fix(format!("write `{meant}`")),
        None => finding.fix(format!("write one of `{all}`")),
    }
}

fn wrong_form(part: &Value, pointer: &str, pattern: &str) -> Finding {
    let message = format!("{} has not the form that it must have", field(pointer));
    let finding = Finding::value("field/value", pointer, message);
    match part["description"].as_str() {
        Some(text) if part["pattern"] == *pattern => finding.fix(format!("write {}", lower(text))),
        _ => finding.fix(format!("write what matches `{pattern}`")),
    }
}

/// A description as it continues a sentence.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
