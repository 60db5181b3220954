//! Edits of single fields of a YAML file: comments, order, quoting and blank lines survive.
//!
//! [`apply`] replaces a few bytes of the text, found by the positions of the parser's events, then
//! reads the result again: unless exactly the wanted field changed, the edit is refused.

mod document;
mod patch;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

pub(in crate::change) use write::entry as block_entry;

/// One change of one field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldEdit {
    /// Gives a field a value; the maps on the way are made. A map given for a map replaces it key by
    /// key, so that comments in it survive.
    Set(FieldPath, Value),
    /// Adds an item to a list; the list is made where there is none.
    Append(FieldPath, Value),
    /// Removes a field with its comment; nothing to do where there is none.
    Remove(FieldPath),
}

/// The way to a field, such as `spec.values.image`. Items of lists are numbers; a part with a dot is
/// written in quotes (`metadata.labels."app.kubernetes.io/name"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

/// Why a field cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the file cannot be read: {0}")]
    Syntax(String),
    #[error("the file cannot be edited in place: {0}")]
    Form(&'static str),
    #[error("`{field}` has no fields")]
    NotAMap { field: String },
    #[error("`{field}` is not a list")]
    NotAList { field: String },
    #[error("`{text}` is not of the form `field=value` or `field-`")]
    Assignment { text: String },
    #[error("`{text}` does not name a field")]
    Path { text: String },
    #[error("`{field}` cannot be changed without changing something else in the file")]
    Altered { field: String },
}

/// Makes one edit in the text of a file.
///
/// # Errors
/// When the file cannot be read, the field cannot hold the value, or the text has a form in which
/// the edit would touch anything else.
pub fn apply(text: &str, edit: &FieldEdit) -> Result<String, EditError> {
    let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
    let before = value_of(body)?;
    let mut wanted = before.clone();
    if change(&mut wanted, edit) && wanted == before {
        return Ok(text.to_owned());
    }
    let edited = match edit {
        FieldEdit::Set(path, value) => set(body, &path.0, lookup(&before, &path.0), value)?,
        FieldEdit::Append(path, value) => patch::append(body, &path.0, value)?,
        FieldEdit::Remove(path) => patch::remove(body, &path.0)?,
    };
    match value_of(&edited) {
        Ok(after) if after == wanted => Ok(format!("{mark}{edited}")),
        _ => Err(EditError::Altered { field: edit.path().to_string() }),
    }
}

/// Sets a value; for a map in the place of a map, only what differs in it.
fn set(text: &str, path: &[String], old: Option<&Value>, new: &Value) -> Result<String, EditError> {
    let (Some(Value::Object(old)), Value::Object(new)) = (old, new) else {
        return patch::set(text, path, new);
    };
    if old.is_empty() || new.is_empty() {
        return patch::set(text, path, &Value::Object(new.clone()));
    }
    let below = |key: &String| [path, std::slice::from_ref(key)].concat();
    let mut text = text.to_owned();
    for (key, value) in new {
        if old.get(key) != Some(value) {
            text = set(&text, &below(key), old.get(key), value)?;
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        text = patch::remove(&text, &below(key))?;
    }
    Ok(text)
}

fn value_of(text: &str) -> Result<Value, EditError> {
    Ok(document::read(text)?.map_or(Value::Null, |node| node.value()))
}

/// What a YAML text says, read as an edit reads it.
///
/// # Errors
/// When the text cannot be read, or uses tags.
pub fn read(text: &str) -> Result<Value, EditError> {
    value_of(text.trim_start_matches('\u{feff}'))
}

/// A value as YAML text, ended by a line feed.
#[must_use]
pub fn yaml(value: &Value) -> String {
    write::block(value, 0)
}

/// Makes an edit in a plain value.
///
/// # Errors
/// When something that has no fields is in the way.
pub fn assign(value: &mut Value, edit: &FieldEdit) -> Result<(), EditError> {
    let field = || edit.path().to_string();
    if change(value, edit) { Ok(()) } else { Err(EditError::NotAMap { field: field() }) }
}

/// The value of the field that `path` names in `text`.
///
/// # Errors
/// When the file cannot be read.
pub fn field(text: &str, path: &FieldPath) -> Result<Option<Value>, EditError> {
    Ok(lookup(&value_of(text.trim_start_matches('\u{feff}'))?, &path.0).cloned())
}

fn lookup<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(entries) => entries.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// What the edit means, done on the plain value: the measure for what was done to the text. False
/// when something is in the way.
pub(in crate::change) fn change(value: &mut Value, edit: &FieldEdit) -> bool {
    match edit {
        FieldEdit::Set(path, new) => {
            let Some(place) = reach(value, &path.0) else { return false };
            *place = new.clone();
        }
        FieldEdit::Append(path, new) => match reach(value, &path.0) {
            Some(Value::Array(items)) => items.push(new.clone()),
            Some(place) => *place = Value::Array(vec![new.clone()]),
            None => return false,
        },
        FieldEdit::Remove(path) => {
            let Some((last, way)) = path.0.split_last() else { return false };
            if lookup(value, &path.0).is_some()
                && let Some(Value::Object(entries)) = reach(value, way)
            {
                entries.remove(last);
            }
        }
    }
    true
}

/// The place that `path` names, made where it does not exist; `None` where something else is in the way.
fn reach<'a>(mut value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    for key in path {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        value = match value {
            Value::Object(entries) => entries.entry(key.clone()).or_insert(Value::Null),
            Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

impl FieldEdit {
    #[must_use]
    pub fn path(&self) -> &FieldPath {
        match self {
            Self::Set(path, _) | Self::Append(path, _) | Self::Remove(path) => path,
        }
    }
}

impl FromStr for FieldEdit {
    type Err = EditError;

    /// `field=value`, or `field-` to remove it. A value is JSON where it can be read as such
    /// (`3`, `true`, `["a"]`, `"3"`), else text. Labels and references are always text.
    fn from_str(text: &str) -> Result<Self, EditError> {
        let mut quoted = false;
        let equals = text.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '=' && !quoted
        });
        if let Some((equals, _)) = equals {
            let path: FieldPath = text[..equals].parse()?;
            let value = path.value(&text[equals + 1..]);
            return Ok(Self::Set(path, value));
        }
        let error = || EditError::Assignment { text: text.escape_default().to_string() };
        Ok(Self::Remove(text.strip_suffix('-').ok_or_else(error)?.parse()?))
    }
}

/// Fields of `spec` that hold text whatever it looks like.
const TEXT_FIELDS: [&str; 6] = ["template", "target", "spread", "repo", "repoUrl", "extends"];

impl FieldPath {
    /// A path of these parts.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// This path and one part more.
    #[must_use]
    pub fn below(&self, part: &str) -> Self {
        Self([self.0.as_slice(), &[part.to_owned()]].concat())
    }

    fn value(&self, text: &str) -> Value {
        let parts: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let is_text = match parts.as_slice() {
            ["metadata", ..] => true,
            ["spec", field] => TEXT_FIELDS.contains(field),
            [.., "matchLabels", _] => true,
            _ => false,
        };
        let json = if is_text { None } else { serde_json::from_str::<Value>(text).ok() };
        match json {
            // `1.10` is a version, not the number 1.1.
            Some(Value::Number(number)) if number.to_string() != text => Value::String(text.into()),
            Some(value) => value,
            None => Value::String(text.to_owned()),
        }
    }
}

impl FromStr for FieldPath {
    type Err = EditError;
    fn from_str(text: &str) -> Result<Self, EditError> {
        let error = || EditError::Path { text: text.escape_default().to_string() };
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                c if c.is_control() => return Err(error()),
                c => parts.last_mut().expect("there is always a part").push(c),
            }
        }
        if quoted || parts.iter().any(String::is_empty) {
            return Err(error());
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let quote = if part.contains('.') { "\"" } else { "" };
            write!(f, "{dot}{quote}{part}{quote}")?;
        }
        Ok(())
    }
}
