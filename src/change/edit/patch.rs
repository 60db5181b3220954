//! The edits, as replacements of a few bytes of the text.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::EditError;
use super::document::{Entry, Form, Node, read};
use super::write;

/// Where a path leads: the node, and what is around it.
struct Place<'a> {
    node: &'a Node,
    /// The entry whose value the node is; absent at the root and for items of lists.
    entry: Option<&'a Entry>,
    /// The map that holds the entry.
    map: Option<&'a Node>,
    /// Whether a collection in flow form (`{…}`, `[…]`) is around it.
    in_flow: bool,
    /// How many parts of the path led here.
    depth: usize,
}

/// Follows `path` as far as it exists.
fn find<'a>(root: &'a Node, path: &[String]) -> Result<Place<'a>, EditError> {
    let mut place = Place { node: root, entry: None, map: None, in_flow: false, depth: 0 };
    for key in path {
        refuse_shared(place.node)?;
        let found = match &place.node.form {
            Form::Map { flow, entries } => {
                let entry = entries.iter().find(|entry| entry.key == *key);
                entry.map(|entry| (*flow, Some(entry), &entry.value))
            }
            Form::List { flow, items } => {
                let item = key.parse().ok().and_then(|index: usize| items.get(index));
                Some((*flow, None, item.ok_or_else(|| not_a_map(path, place.depth))?))
            }
            _ => None,
        };
        let Some((flow, entry, node)) = found else { break };
        let map = entry.is_some().then_some(place.node);
        let in_flow = place.in_flow || flow;
        place = Place { node, entry, map, in_flow, depth: place.depth + 1 };
    }
    refuse_shared(place.node)?;
    Ok(place)
}

/// What an anchor or alias touches has a meaning elsewhere in the file too.
fn refuse_shared(node: &Node) -> Result<(), EditError> {
    if node.anchored || matches!(node.form, Form::Alias) {
        return Err(EditError::Form("the field is shared through an anchor"));
    }
    Ok(())
}

fn not_a_map(path: &[String], depth: usize) -> EditError {
    EditError::NotAMap { field: path[..depth].join(".") }
}

fn root(text: &str) -> Result<Node, EditError> {
    read(text)?.ok_or(EditError::Form("it is empty"))
}

/// Gives the field at `path` a value; makes the maps on the way.
pub(super) fn set(text: &str, path: &[String], value: &Value) -> Result<String, EditError> {
    let root = root(text)?;
    let place = find(&root, path)?;
    if place.depth == path.len() {
        return replace(text, &place, value);
    }
    let rest = &path[place.depth..];
    let (name, value) = nest(rest, value);
    if place.node.is_hollow() {
        return fill(text, &place, &name, &value);
    }
    match &place.node.form {
        Form::Map { flow, entries } => {
            let last = entries.last().expect("an empty map is hollow");
            if *flow || place.in_flow {
                let entry = format!(
                    ", {}: {}",
                    write::key(&name),
                    write::inline(&value, ScalarStyle::Plain)
                );
                return Ok(splice(text, last.value.range.end..last.value.range.end, &entry));
            }
            let indent = column(text, entries[0].key_range.start);
            Ok(insert_lines(text, last.value.range.end, &write::entry(&name, &value, indent)))
        }
        _ => Err(not_a_map(path, place.depth)),
    }
}

/// Adds an item to the list at `path`; makes the list where there is none.
pub(super) fn append(text: &str, path: &[String], value: &Value) -> Result<String, EditError> {
    let root = root(text)?;
    let place = find(&root, path)?;
    let Form::List { flow, items } = &place.node.form else {
        if place.depth < path.len() || place.node.is_hollow() {
            return set(text, path, &Value::Array(vec![value.clone()]));
        }
        return Err(EditError::NotAList { field: path.join(".") });
    };
    let Some(last) = items.last() else {
        return set(text, path, &Value::Array(vec![value.clone()]));
    };
    if *flow || place.in_flow {
        let item = format!(", {}", write::inline(value, ScalarStyle::Plain));
        return Ok(splice(text, last.range.end..last.range.end, &item));
    }
    let start = items[0].range.start;
    let dash = text[..start].rfind('-').ok_or(EditError::Form("a list has no dash"))?;
    Ok(insert_lines(text, last.range.end, &write::item(value, column(text, dash))))
}

/// Removes the field at `path` with the comment lines right above it.
pub(super) fn remove(text: &str, path: &[String]) -> Result<String, EditError> {
    let root = root(text)?;
    let place = find(&root, path)?;
    if place.depth < path.len() {
        return Ok(text.to_owned());
    }
    let (Some(entry), Some(map)) = (place.entry, place.map) else {
        return Err(EditError::NotAMap { field: path[..path.len().saturating_sub(1)].join(".") });
    };
    let Form::Map { flow, entries } = &map.form else {
        return Err(EditError::Form("a field lies outside of a map"));
    };
    let index = entries.iter().position(|other| other.key == entry.key).unwrap_or_default();
    let end = end_of(text, entry);
    if *flow || place.in_flow {
        let range = match (entries.get(index + 1), index.checked_sub(1)) {
            (Some(next), _) => entry.key_range.start..next.key_range.start,
            (None, Some(previous)) => end_of(text, &entries[previous])..end,
            (None, None) => entry.key_range.start..end,
        };
        return Ok(splice(text, range, ""));
    }
    if entries.len() == 1 {
        return empty(text, &root, &path[..path.len() - 1], map);
    }
    let line = line_start(text, entry.key_range.start);
    let first_of_item = !text[line..entry.key_range.start].trim().is_empty();
    if first_of_item {
        return Ok(splice(text, entry.key_range.start..entries[1].key_range.start, ""));
    }
    let start = with_own_comments(text, line, column(text, entry.key_range.start));
    Ok(splice(text, start..line_end(text, end), ""))
}

/// Leaves `{}` where a block map lost its only field.
fn empty(text: &str, root: &Node, path: &[String], map: &Node) -> Result<String, EditError> {
    let place = find(root, path)?;
    match place.entry {
        Some(entry) => Ok(splice(text, colon(text, entry)?..map.range.end, " {}")),
        None => Ok(splice(text, map.range.clone(), "{}")),
    }
}

/// Puts a value in the place of another, in the form that the old one had.
fn replace(text: &str, place: &Place<'_>, value: &Value) -> Result<String, EditError> {
    let node = place.node;
    match &node.form {
        Form::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => {
            let entry = place.entry.ok_or(EditError::Form("a block text is an item of a list"))?;
            let inline = format!(" {}", write::inline(value, ScalarStyle::Plain));
            Ok(splice(text, colon(text, entry)?..node.range.end, &inline))
        }
        Form::Scalar { .. } if node.range.is_empty() => {
            let entry = place.entry.ok_or(EditError::Form("an item of a list is empty"))?;
            let colon = colon(text, entry)?;
            Ok(splice(
                text,
                colon..colon,
                &format!(" {}", write::inline(value, ScalarStyle::Plain)),
            ))
        }
        Form::Scalar { style, .. } => {
            let style = if value.is_string() { *style } else { ScalarStyle::Plain };
            Ok(splice(text, node.range.clone(), &write::inline(value, style)))
        }
        Form::Map { flow: true, .. } | Form::List { flow: true, .. } => {
            Ok(splice(text, node.range.clone(), &write::inline(value, ScalarStyle::Plain)))
        }
        Form::Map { .. } | Form::List { .. } => {
            let entry = place.entry.ok_or(EditError::Form("an item of a list is a block"))?;
            let colon = colon(text, entry)?;
            if !write::is_nested(value) {
                let inline = format!(" {}", write::inline(value, ScalarStyle::Plain));
                return Ok(splice(text, colon..node.range.end, &inline));
            }
            let block = write::block(value, column(text, entry.key_range.start) + write::STEP);
            let block = format!("\n{}", block.trim_end_matches('\n'));
            Ok(splice(text, colon..node.range.end, &block))
        }
        Form::Alias => Err(EditError::Form("the field is shared through an anchor")),
    }
}

/// Puts the first field into `field:`, `field: null` or `field: {}`.
fn fill(text: &str, place: &Place<'_>, name: &str, value: &Value) -> Result<String, EditError> {
    let range = place.node.range.clone();
    let Some(entry) = place.entry.filter(|_| !place.in_flow) else {
        let inline = write::inline(&single(name, value), ScalarStyle::Plain);
        return Ok(splice(text, range, &inline));
    };
    let colon = colon(text, entry)?;
    let same_line = !text[colon..range.end.max(colon)].contains('\n');
    if !same_line {
        let inline = write::inline(&single(name, value), ScalarStyle::Plain);
        return Ok(splice(text, range, &inline));
    }
    let opened = splice(text, colon..range.end.max(colon), "");
    let indent = column(text, entry.key_range.start) + write::STEP;
    Ok(insert_lines(&opened, colon, &write::entry(name, value, indent)))
}

/// `[a, b, c]` and a value → `a` and `{b: {c: value}}`.
fn nest(path: &[String], value: &Value) -> (String, Value) {
    let (first, rest) = path.split_first().expect("a part of the path is missing in the file");
    let value = rest.iter().rev().fold(value.clone(), |value, key| single(key, &value));
    (first.clone(), value)
}

fn single(name: &str, value: &Value) -> Value {
    Value::Object([(name.to_owned(), value.clone())].into_iter().collect())
}

fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    format!("{}{}{}", &text[..range.start], in_line_ends_of(text, with), &text[range.end..])
}

/// Inserts whole lines behind the line that holds `position`.
fn insert_lines(text: &str, position: usize, lines: &str) -> String {
    let end = line_end(text, position);
    if text[..end].ends_with('\n') {
        return splice(text, end..end, lines);
    }
    splice(text, end..end, &format!("\n{}", lines.trim_end_matches('\n')))
}

/// New lines end as the others of the file do.
fn in_line_ends_of(text: &str, with: &str) -> String {
    if text.contains("\r\n") { with.replace('\n', "\r\n") } else { with.to_owned() }
}

/// Behind the colon of an entry.
fn colon(text: &str, entry: &Entry) -> Result<usize, EditError> {
    let behind = &text[entry.key_range.end..];
    let offset = behind.find(':').ok_or(EditError::Form("a key has no colon"))?;
    Ok(entry.key_range.end + offset + 1)
}

/// The end of an entry; one without a value ends with its colon.
fn end_of(text: &str, entry: &Entry) -> usize {
    let value = &entry.value.range;
    if value.is_empty() { colon(text, entry).unwrap_or(value.end) } else { value.end }
}

fn line_start(text: &str, position: usize) -> usize {
    text[..position].rfind('\n').map_or(0, |feed| feed + 1)
}

/// Behind the line feed of the line that holds `position`.
fn line_end(text: &str, position: usize) -> usize {
    text[position..].find('\n').map_or(text.len(), |feed| position + feed + 1)
}

fn column(text: &str, position: usize) -> usize {
    text[line_start(text, position)..position].chars().count()
}

/// The start of the comment lines right above `line` that stand in the same column. The comment at
/// the top of a file belongs to the file.
fn with_own_comments(text: &str, line: usize, column: usize) -> usize {
    let mut start = line;
    while start > 0 {
        let above = line_start(text, start - 1);
        let content = &text[above..start];
        let own = content.trim_start().starts_with('#')
            && content.len() - content.trim_start().len() == column;
        if !own {
            return start;
        }
        if above == 0 {
            return line;
        }
        start = above;
    }
    start
}
