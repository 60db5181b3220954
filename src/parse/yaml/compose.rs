//! Events of the YAML parser → one tree, within bounds.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, options};
use serde_json::Value;

use super::encoding::{forbidden, is_forbidden, to_u32};
use super::node::{Data, Entry, Node};
use super::{Bounds, PROBLEMS, Problem, scalar};
use crate::model::Span;

mod merge;
mod scan_error;

/// Composes the first document of `text`. Stops at the first error that leaves no structure to go on
/// with, or that costs too much; collects the others.
pub(super) fn compose(text: &str, bounds: Bounds) -> (Option<Node>, Vec<Problem>) {
    let mut options = options! {
        emit_unresolved_aliases: true,
        // The composer's own check comes first; this one bounds what the scanner queues up.
        flow_nesting_limit: bounds.depth + 1,
        block_nesting_limit: bounds.depth + 1,
    };
    options.set_emit_comments(false);
    let mut composer = Composer { bounds, ..Composer::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => composer.step(event, span),
            Err(error) => Err(scan_error::problem(&error, text)),
        };
        if let Err(problem) = step {
            composer.problems.push(problem);
            break;
        }
        if composer.problems.len() >= PROBLEMS {
            break;
        }
    }
    (composer.root, composer.problems)
}

#[derive(Debug, Default)]
struct Composer {
    bounds: Bounds,
    /// Collections that are open, outermost first.
    open: Vec<Frame>,
    /// Completed nodes with an anchor, by the parser's number for it.
    anchors: HashMap<usize, (Node, Size)>,
    spent: Spent,
    documents: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 1, nodes: 0, bytes: 0 }
    }
}

#[derive(Debug, Default)]
struct Spent {
    nodes: usize,
    bytes: usize,
}

/// What copying a node would cost.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    /// Collections inside each other, itself included.
    height: usize,
}

/// A collection that is not complete.
#[derive(Debug)]
struct Frame {
    span: Span,
    anchor: usize,
    size: Size,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<(Span, Node)>, key: Option<Key> },
}

/// A key whose value is still to come.
#[derive(Debug)]
enum Key {
    Name(Box<str>, Span),
    /// A plain `<<`.
    Merge(Span),
    /// Reported already.
    Bad,
}

/// A scalar as the parser gave it.
struct Scalar<'a> {
    text: &'a str,
    style: ScalarStyle,
    anchor: usize,
    span: Span,
}

impl Composer {
    fn step(&mut self, event: Event<'_>, at: granit_parser::Span) -> Result<(), Problem> {
        let span = span(at);
        match event {
            Event::DocumentStart(..) if self.documents > 0 => {
                let problem = Problem::new("yaml/multidoc", span, "a second document starts here");
                return Err(problem.fix("write one object into each file"));
            }
            Event::DocumentStart(..) => self.documents += 1,
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(_) => self.unknown_alias(span)?,
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.scalar(&Scalar { text: &text, style, anchor, span })?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.start(anchor, span, Content::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let map = Content::Map { entries: Vec::new(), merges: Vec::new(), key: None };
                self.start(anchor, span, map)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            _ => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, present: bool, at: granit_parser::Span) {
        if present {
            let start = at.tag_start.unwrap_or(at.start);
            let span = Span { length: 1, ..span(granit_parser::Span::empty(start)) };
            let problem = Problem::new("yaml/tag", span, "tags such as `!!str` are not allowed");
            self.problems
                .push(problem.fix("remove the tag; put text that looks like a number in quotes"));
        }
    }

    fn charge(&mut self, size: Size, span: Span) -> Result<(), Problem> {
        self.spent.nodes = self.spent.nodes.saturating_add(size.nodes);
        self.spent.bytes = self.spent.bytes.saturating_add(size.bytes);
        if self.spent.nodes > self.bounds.nodes {
            let message =
                format!("more than {} nodes, anchors and aliases counted", self.bounds.nodes);
            return Err(Problem::new("yaml/budget", span, message).fix("split the object"));
        }
        if self.spent.bytes > self.bounds.bytes {
            let message = format!("more than {} bytes, aliases expanded", self.bounds.bytes);
            return Err(Problem::new("yaml/budget", span, message).fix("split the object"));
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, span: Span) -> Result<(), Problem> {
        if depth <= self.bounds.depth {
            return Ok(());
        }
        Err(too_deep(span, self.bounds.depth))
    }

    fn start(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Problem> {
        self.check_depth(self.open.len() + 1, span)?;
        self.charge(Size { nodes: 1, ..Size::default() }, span)?;
        if self.wants_key() {
            // Its end tells `attach` that the key is over.
            self.problems.push(bad_key(span));
        }
        let size = Size { nodes: 1, bytes: 0, height: 1 };
        self.open.push(Frame { span: Span { length: 1, ..span }, anchor, size, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let data = match frame.content {
            Content::List(items) => Data::List(items),
            Content::Map { entries, merges, .. } => Data::Map(self.merged(entries, merges)),
        };
        self.attach(Node { span: frame.span, data }, frame.size, frame.anchor)
    }

    fn scalar(&mut self, scalar: &Scalar<'_>) -> Result<(), Problem> {
        let Scalar { text, style, anchor, span } = *scalar;
        let size = Size { nodes: 1, bytes: text.len(), height: 0 };
        self.charge(size, span)?;
        let escaped = style == ScalarStyle::DoubleQuoted;
        if let Some(c) = text.chars().find(|c| escaped && is_forbidden(*c)) {
            self.problems.push(forbidden(c, span));
        }
        let plain = style == ScalarStyle::Plain;
        if self.wants_key() {
            self.key(text, plain, anchor, span);
            return self.keep_anchor(anchor, || string(text, span), size);
        }
        let value = if plain { scalar::resolve(text) } else { Ok(Value::String(text.to_owned())) };
        let value = value.unwrap_or_else(|scalar::TooLarge| {
            let problem = Problem::new("field/type", span, "a number of more than 64 bits");
            self.problems.push(problem.fix("put it in quotes if it is a text"));
            Value::Null
        });
        self.attach(Node { span, data: Data::Scalar(value) }, size, anchor)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Problem> {
        let Some((_, size)) = self.anchors.get(&id) else {
            return self.unknown_alias(span);
        };
        let size = *size;
        self.check_depth(self.open.len() + size.height, span)?;
        self.charge(size, span)?;
        let node = self.anchors[&id].0.clone();
        if self.wants_key() {
            match node.data {
                Data::Scalar(Value::String(text)) => self.key(&text, false, 0, span),
                _ => self.bad_key(span),
            }
            return Ok(());
        }
        self.attach(node, size, 0)
    }

    /// Also for an alias inside the node that it names: that node is not complete.
    fn unknown_alias(&mut self, span: Span) -> Result<(), Problem> {
        self.charge(Size { nodes: 1, ..Size::default() }, span)?;
        let problem = Problem::new("yaml/alias", span, "no complete node before has this anchor");
        self.problems.push(problem.fix("write the value itself"));
        if self.wants_key() {
            self.set_key(Key::Bad);
            return Ok(());
        }
        self.attach(Node { span, data: Data::Scalar(Value::Null) }, Size::default(), 0)
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
    }

    fn key(&mut self, text: &str, plain: bool, anchor: usize, span: Span) {
        let key = match text {
            "<<" if plain && anchor == 0 => Key::Merge(span),
            "" | "~" | "null" if plain => return self.bad_key(span),
            _ => Key::Name(text.into(), span),
        };
        if let Some(frame) = self.open.last_mut() {
            frame.size.nodes += 1;
            frame.size.bytes += text.len();
        }
        self.set_key(key);
    }

    fn bad_key(&mut self, span: Span) {
        self.problems.push(bad_key(span));
        self.set_key(Key::Bad);
    }

    /// Adds a complete node to what is open.
    fn attach(&mut self, node: Node, size: Size, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.keep_anchor(anchor, || node.clone(), size)?;
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.size.nodes += size.nodes;
        frame.size.bytes += size.bytes;
        frame.size.height = frame.size.height.max(size.height + 1);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, merges, key } => match key.take() {
                Some(Key::Name(key, key_span)) => {
                    entries.push(Entry { key, key_span, value: node })
                }
                Some(Key::Merge(span)) => merges.push((span, node)),
                // A list or map in the place of a key, reported where it began: its value follows.
                None => *key = Some(Key::Bad),
                Some(Key::Bad) => {}
            },
        }
        Ok(())
    }

    /// The copy counts as much as an alias would, so that anchors alone cannot fill the memory either.
    fn keep_anchor(
        &mut self,
        anchor: usize,
        node: impl FnOnce() -> Node,
        size: Size,
    ) -> Result<(), Problem> {
        if anchor != 0 {
            let node = node();
            self.charge(size, node.span)?;
            self.anchors.insert(anchor, (node, size));
        }
        Ok(())
    }
}

fn string(text: &str, span: Span) -> Node {
    Node { span, data: Data::Scalar(Value::String(text.to_owned())) }
}

fn bad_key(span: Span) -> Problem {
    let problem = Problem::new("yaml/key", span, "a key must be a text, not a list, map or null");
    problem.fix("write a text before the `:`")
}

fn too_deep(span: Span, depth: usize) -> Problem {
    let message = format!("lists and maps are nested more than {depth} deep");
    Problem::new("yaml/depth", span, message).fix("flatten the object")
}

/// A place on one line: what goes on over several lines is shown by its first character.
fn span(at: granit_parser::Span) -> Span {
    let same_line = at.start.line() == at.end.line();
    let length = if same_line { at.end.col().saturating_sub(at.start.col()) } else { 1 };
    Span {
        line: to_u32(at.start.line()),
        column: to_u32(at.start.col() + 1),
        length: to_u32(length.max(1)),
    }
}
