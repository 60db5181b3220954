//! A YAML node and where it stands.

use serde_json::{Map, Value};

use crate::model::Span;

/// One node of a document, aliases and merges expanded.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) data: Data,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Never a list or a map.
    Scalar(Value),
    List(Vec<Node>),
    /// In the order of the text, keys unique.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its key; absent for list items and the document itself.
    pub(crate) key: Option<Span>,
    pub(crate) value: Span,
}

impl Node {
    pub(crate) fn into_value(self) -> Value {
        match self.data {
            Data::Scalar(value) => value,
            Data::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Data::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|entry| (entry.key.into(), entry.value.into_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The place of the value that a JSON pointer names.
    pub(crate) fn find(&self, pointer: &str) -> Option<Place> {
        let mut place = Place { key: None, value: self.span };
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            node = match &node.data {
                Data::Map(entries) => {
                    let entry = entries.iter().find(|entry| *entry.key == *segment)?;
                    place.key = Some(entry.key_span);
                    &entry.value
                }
                Data::List(items) => {
                    place.key = None;
                    items.get(segment.parse::<usize>().ok()?)?
                }
                Data::Scalar(_) => return None,
            };
            place.value = node.span;
        }
        Some(place)
    }
}
