//! A YAML file as a tree of nodes that know where they lie in the text.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use serde_json::{Map, Number, Value};

use super::EditError;

/// One node with the bytes that it covers. A block collection starts at its first key or item and
/// ends with its last value; comments and blank lines behind that belong to nobody.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    pub(super) form: Form,
    /// An anchor on it may be used elsewhere, so it may not be replaced unseen.
    pub(super) anchored: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Form {
    Scalar { text: String, style: ScalarStyle },
    Map { flow: bool, entries: Vec<Entry> },
    List { flow: bool, items: Vec<Node> },
    Alias,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_range: Range<usize>,
    pub(super) value: Node,
}

/// Deepest nesting that is read; the parser's own limit is lower for every sensible file.
const DEPTH: usize = 128;

/// Reads the one document of `text`; `None` when it holds nothing but comments.
pub(super) fn read(text: &str) -> Result<Option<Node>, EditError> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| EditError::Syntax(error.to_string()))?;
        if matches!(event, Event::DocumentStart(..)) && !events.is_empty() {
            return Err(EditError::Form("it holds more than one document"));
        }
        let skipped = matches!(
            event,
            Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::Comment(..)
                | Event::Anchor(..)
        );
        if !skipped {
            events.push((event, span));
        }
    }
    if events.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader { text, events: events.into_iter() };
    reader.node(0).map(Some)
}

struct Reader<'a> {
    text: &'a str,
    events: std::vec::IntoIter<(Event<'a>, Span)>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), EditError> {
        let (event, span) = self.events.next().ok_or(EditError::Form("it ends too early"))?;
        let range = span.byte_range().ok_or(EditError::Form("its positions are not known"))?;
        Ok((event, range))
    }

    fn node(&mut self, depth: usize) -> Result<Node, EditError> {
        let (event, range) = self.next()?;
        self.rest(event, range, depth)
    }

    /// The node that starts with `event`.
    fn rest(
        &mut self,
        event: Event<'a>,
        range: Range<usize>,
        depth: usize,
    ) -> Result<Node, EditError> {
        if depth > DEPTH {
            return Err(EditError::Form("it is nested too deeply"));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // A block scalar's span runs on to the next token.
                let end = if block { self.trimmed_end(&range) } else { range.end };
                let form = Form::Scalar { text: text.into_owned(), style };
                Ok(Node { range: range.start..end, form, anchored: anchor != 0 })
            }
            Event::Alias(_) => Ok(Node { range, form: Form::Alias, anchored: false }),
            Event::MappingStart(style, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                self.map(style == StructureStyle::Flow, anchor != 0, range, depth)
            }
            Event::SequenceStart(style, anchor, tag) => {
                refuse_tag(tag.is_some())?;
                self.list(style == StructureStyle::Flow, anchor != 0, range, depth)
            }
            _ => Err(EditError::Form("it has an unexpected structure")),
        }
    }

    fn map(
        &mut self,
        flow: bool,
        anchored: bool,
        start: Range<usize>,
        depth: usize,
    ) -> Result<Node, EditError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::MappingEnd => {
                    let end = end(flow, &range, entries.last().map(|entry| &entry.value));
                    let form = Form::Map { flow, entries };
                    return Ok(Node { range: start.start..end, form, anchored });
                }
                Event::Scalar(key, ..) => {
                    let value = self.node(depth + 1)?;
                    entries.push(Entry { key: key.into_owned(), key_range: range, value });
                }
                _ => return Err(EditError::Form("it has a key that is not a plain text")),
            }
        }
    }

    fn list(
        &mut self,
        flow: bool,
        anchored: bool,
        start: Range<usize>,
        depth: usize,
    ) -> Result<Node, EditError> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, range) = self.next()?;
            if event == Event::SequenceEnd {
                let end = end(flow, &range, items.last());
                let form = Form::List { flow, items };
                return Ok(Node { range: start.start..end, form, anchored });
            }
            items.push(self.rest(event, range, depth + 1)?);
        }
    }

    fn trimmed_end(&self, range: &Range<usize>) -> usize {
        let text = self.text.get(range.clone()).unwrap_or_default();
        range.start + text.trim_end().len()
    }
}

/// Where a map or list ends: in block style with its last part, as the parser notices the end only at
/// whatever comes next.
fn end(flow: bool, noticed: &Range<usize>, last: Option<&Node>) -> usize {
    last.filter(|_| !flow).map_or(noticed.end, |last| last.range.end)
}

fn refuse_tag(tagged: bool) -> Result<(), EditError> {
    if tagged { Err(EditError::Form("it has a tag")) } else { Ok(()) }
}

impl Node {
    /// What the node means: plain scalars are JSON's literals, or text.
    pub(super) fn value(&self) -> Value {
        match &self.form {
            Form::Scalar { text, style: ScalarStyle::Plain } => plain(text),
            Form::Scalar { text, .. } => Value::String(text.clone()),
            Form::Map { entries, .. } => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.value()))
                    .collect::<Map<_, _>>(),
            ),
            Form::List { items, .. } => Value::Array(items.iter().map(Self::value).collect()),
            // Aliases are compared as such: an edit never touches them.
            Form::Alias => Value::String("\0alias".into()),
        }
    }

    /// Whether it says nothing: absent, `~`, `null` or an empty map.
    pub(super) fn is_hollow(&self) -> bool {
        match &self.form {
            Form::Scalar { style: ScalarStyle::Plain, .. } => self.value().is_null(),
            Form::Map { entries, .. } => entries.is_empty(),
            _ => false,
        }
    }
}

/// What a plain scalar means: `true`, `false`, `null`, `~`, nothing, a number as JSON writes it, or
/// text.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" | "~" | "null" => Value::Null,
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// `text` as a number, if it looks exactly as a program would write this number.
fn number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    (number.to_string() == text).then_some(number)
}
