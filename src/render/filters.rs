//! Filters beside those of Tera, or in their place.

use std::sync::Arc;

use tera::value::{Key, ValueKind};
use tera::{Error, ErrorKind, Kwargs, Map, State, Tera, Value};

use super::scan::SOME;

pub(super) fn install(tera: &mut Tera) {
    tera.register_filter("json_encode", json_encode);
    tera.register_filter("group_by", group_by);
    tera.register_filter(SOME, |value: Value, _: Kwargs, _: &State<'_>| match value.kind() {
        ValueKind::Undefined => Err(mismatch("a value", &value)),
        _ => Ok(value),
    });
}

/// JSON, which is YAML too: how a value of any type gets into a manifest with its quotes right.
fn json_encode(value: Value, arguments: Kwargs, _: &State<'_>) -> Result<String, Error> {
    if has_undefined(&value) {
        return Err(mismatch("a value", &Value::undefined()));
    }
    let pretty = arguments.get::<bool>("pretty")?.unwrap_or(false);
    let text =
        if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
    text.map_err(|_| Error::message("the value cannot be written as JSON"))
}

/// Tera serializes undefined as `null`: that would hide a missing value.
fn has_undefined(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined => true,
        ValueKind::Array => value.as_array().is_some_and(|all| all.iter().any(has_undefined)),
        ValueKind::Map => value.as_map().is_some_and(|all| all.values().any(has_undefined)),
        _ => false,
    }
}

/// As Tera's own, whose groups come in an order that changes from run to run; here they come in the
/// order in which they first appear.
fn group_by(items: &[Value], arguments: Kwargs, _: &State<'_>) -> Result<Map, Error> {
    let attribute = arguments.must_get::<&str>("attribute")?;
    let mut groups = Vec::<(Key<'static>, Vec<Value>)>::new();
    for item in items {
        let value = item.get_from_path(attribute).cloned().unwrap_or_else(Value::undefined);
        let key = match value.kind() {
            ValueKind::None => continue,
            ValueKind::String => Key::String(Arc::from(value.as_str().unwrap_or_default())),
            ValueKind::Bool => Key::Bool(value.as_bool().unwrap_or_default()),
            _ => match value.as_i64() {
                Some(number) => Key::I64(number),
                None => return Err(mismatch("string, integer or bool", &value)),
            },
        };
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(item.clone()),
            None => groups.push((key, vec![item.clone()])),
        }
    }
    Ok(groups.into_iter().map(|(key, group)| (key, Value::from(group))).collect())
}

/// An error of this kind points at the value, any other at the filter.
pub(super) fn mismatch(expected: &str, value: &Value) -> Error {
    Error::new(ErrorKind::InvalidArgument {
        expected_type: expected.to_owned(),
        actual_type: value.name().to_owned(),
    })
}
