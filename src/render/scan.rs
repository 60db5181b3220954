//! A template's text as Tera gets it: with a meter in every loop.
//!
//! Tera has no fuel: a template may loop until the end of time. So every loop, include, block and
//! component is made to report to [`super::fuel`] by a call that is written into the text. It also
//! joins undefined values as if they were empty; so what is joined has to pass a filter.
//!
//! ```text
//!  {% for x in xs %}        {% for x in (xs) | __each %}
//!  [f(x) for x in xs]       [f(x) for x in (xs) | __each ]
//!  {% include "a" -%}       {% include "a" -%}{{ __tick() -}}
//!  {{ "x:" ~ a.b }}         {{ "x:" ~ a.b | __some }}
//! ```
//!
//! All insertions stay on their line and print nothing; [`super::source`] maps places back to what
//! people wrote. The scanner follows Tera's own lexer (`tera-2.4.0/src/parsing/lexer.rs`); where a text is
//! malformed it stops, and Tera reports the mistake.

use super::source::{Node, Refused, Use};

/// The name of the filter that counts the items of what a loop goes through.
pub(super) const EACH: &str = "__each";
/// The name of the function that counts one step.
pub(super) const TICK: &str = "__tick";
/// The name of the filter that lets through what is defined.
pub(super) const SOME: &str = "__some";
/// Tera's variable that holds all others, in an order that changes from run to run.
const EVERYTHING: &str = "__tera_context";
/// Most `elif` in one file: Tera recurses for each of them.
const MAX_ELIF: usize = 100;

/// What was found in a text.
pub(super) struct Found {
    /// What is to be inserted where, in order.
    pub(super) inserts: Vec<(usize, &'static str)>,
    pub(super) uses: Vec<Use>,
    pub(super) blocks: usize,
    pub(super) refused: Option<(usize, Refused)>,
}

/// Reads a whole text.
pub(super) fn scan(text: &str) -> Found {
    let mut scanner = Scanner::new(text);
    scanner.template();
    let Scanner { mut inserts, uses, refused, deepest: blocks, .. } = scanner;
    inserts.sort_by_key(|(at, _)| *at);
    Found { inserts, uses, blocks, refused }
}

/// A token inside `{{ … }}` or `{% … %}`, as far as the scanner tells them apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Ident(&'a str),
    /// Its content, escapes and all.
    Text(&'a str),
    Symbol(u8),
    /// The closing delimiter, and whether it trims.
    End(bool),
}

/// How far the clause `for x[, y] in …` has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    None,
    /// After `for`, and after what follows it.
    For,
    Variable,
    Comma,
    /// After `in`: what is looped over runs until the clause ends.
    In,
    Done,
}

/// How far the right side of a `~` has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// None is being read.
    No,
    /// `~` came just now.
    Next,
    /// Something came; whether it is only a string.
    Operand { literal: bool },
}

/// An open bracket, or the tag itself.
struct Frame {
    bracket: u8,
    clause: Clause,
    joined: Joined,
}

impl Frame {
    fn new(bracket: u8) -> Self {
        Self { bracket, clause: Clause::None, joined: Joined::No }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    inserts: Vec<(usize, &'static str)>,
    uses: Vec<Use>,
    refused: Option<(usize, Refused)>,
    branches: usize,
    /// The component whose body this is.
    component: Option<String>,
    /// Blocks that are open, and the most that ever were.
    blocks: usize,
    deepest: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            inserts: Vec::new(),
            uses: Vec::new(),
            refused: None,
            branches: 0,
            component: None,
            blocks: 0,
            deepest: 0,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Everything: content, comments, raw blocks, tags and expressions. Returns at the first
    /// construct that does not end.
    fn template(&mut self) {
        while let Some(start) = self.rest().as_bytes().windows(2).position(is_start) {
            self.at += start;
            let kind = self.rest().as_bytes()[1];
            let done = match kind {
                b'#' => self.skip_past("#}"),
                b'%' if self.raw() => Some(()),
                b'%' => self.expression("%}"),
                _ => self.expression("}}"),
            };
            if done.is_none() {
                return;
            }
        }
    }

    fn skip_past(&mut self, end: &str) -> Option<()> {
        // Tera looks for the end behind `{#`, or behind `{#-`.
        let opening = if self.rest().as_bytes().get(2) == Some(&b'-') { 3 } else { 2 };
        self.at += opening;
        self.at += self.rest().find(end)? + end.len();
        Some(())
    }

    /// Skips `{% raw %} … {% endraw %}`, if that is what comes.
    fn raw(&mut self) -> bool {
        let opening = if self.rest().as_bytes().get(2) == Some(&b'-') { 3 } else { 2 };
        let Some(length) = named_tag(&self.rest()[opening..], "raw") else { return false };
        let mut body = opening + length;
        while let Some(start) = self.rest()[body..].find("{%") {
            body += start + 2;
            if let Some(length) = named_tag(&self.rest()[body..], "endraw") {
                self.at += body + length;
                return true;
            }
        }
        self.at = self.text.len();
        true
    }

    /// One tag or one printed expression, until `end`.
    fn expression(&mut self, end: &str) -> Option<()> {
        let tag = end == "%}";
        self.at += 2;
        if self.rest().starts_with('-') {
            self.at += 1;
        }
        let (first, start) = self.token(end)?;
        let mut stack = vec![Frame::new(0)];
        let keyword = match first {
            Token::Ident(keyword) if tag => keyword,
            _ => "",
        };
        if keyword == "for" {
            stack[0].clause = Clause::For;
        }
        self.enter(keyword, start);
        let (mut token, mut start, mut previous) = (first, start, Token::Symbol(0));
        loop {
            if let Token::End(trims) = token {
                self.join(token, previous, start, &mut stack);
                self.close_clause(&mut stack[0].clause, start);
                self.after_tag(keyword, trims);
                return Some(());
            }
            self.note_use(token, previous, keyword, start);
            let attribute = previous == Token::Symbol(b'.');
            self.join(token, previous, start, &mut stack);
            self.step(token, start, attribute, &mut stack);
            previous = token;
            (token, start) = self.token(end)?;
        }
    }

    /// Lets both sides of a `~` pass the filter [`SOME`]; a filter binds tighter than any operator.
    fn join(&mut self, token: Token<'_>, before: Token<'_>, start: usize, stack: &mut [Frame]) {
        let Some(frame) = stack.last_mut() else { return };
        let ends = match token {
            Token::Symbol(symbol) => b"~+-*/%=!<>,:|)]}".contains(&symbol),
            Token::Ident(word) if before != Token::Symbol(b'.') => {
                matches!(word, "and" | "or" | "not" | "in" | "is" | "if" | "else" | "for")
            }
            Token::Ident(_) | Token::Text(_) => false,
            Token::End(_) => true,
        };
        let tilde = token == Token::Symbol(b'~');
        // A filter or a test has its own idea of what is undefined.
        let checked = matches!(token, Token::Symbol(b'|') | Token::Ident("is"));
        let (insert, joined) = match frame.joined {
            Joined::No => (tilde && !matches!(before, Token::Text(_)), Joined::No),
            Joined::Operand { literal } if ends => (!literal && !checked, Joined::No),
            Joined::Operand { .. } => (false, Joined::Operand { literal: false }),
            // A component's attributes are no operators.
            Joined::Next if token == Token::Symbol(b'<') => (false, Joined::No),
            Joined::Next => (false, Joined::Operand { literal: matches!(token, Token::Text(_)) }),
        };
        if insert {
            self.inserts.push((start, " | __some "));
        }
        frame.joined = if tilde { Joined::Next } else { joined };
    }

    /// Follows brackets, and the clauses of loops in them.
    fn step(&mut self, token: Token<'_>, start: usize, attribute: bool, stack: &mut Vec<Frame>) {
        match token {
            Token::Symbol(bracket @ (b'(' | b'[' | b'{')) => {
                stack.push(Frame::new(bracket));
            }
            Token::Symbol(b')' | b']' | b'}') if stack.len() > 1 => {
                if let Some(mut frame) = stack.pop() {
                    self.close_clause(&mut frame.clause, start);
                }
            }
            Token::Ident(EVERYTHING) if !attribute => {
                self.refused.get_or_insert((start, Refused::Everything));
            }
            _ => {
                let Some(frame) = stack.last_mut() else { return };
                if frame.bracket != b'[' && frame.bracket != 0 {
                    return;
                }
                let in_list = frame.bracket == b'[';
                frame.clause = match (frame.clause, token) {
                    (Clause::None, Token::Ident("for")) if in_list && !attribute => Clause::For,
                    (Clause::For | Clause::Comma, Token::Ident(name))
                        if name != "for" || in_list =>
                    {
                        Clause::Variable
                    }
                    (Clause::Variable, Token::Symbol(b',')) => Clause::Comma,
                    (Clause::Variable, Token::Ident("in")) => {
                        self.inserts.push((self.at, " ("));
                        Clause::In
                    }
                    (Clause::In, Token::Ident("if")) if in_list && !attribute => {
                        self.close_clause(&mut frame.clause, start);
                        Clause::Done
                    }
                    (clause @ (Clause::In | Clause::Done), _) => clause,
                    // The tag's own `for` comes by once more, as its first token.
                    (Clause::For, Token::Ident("for")) => Clause::For,
                    _ => Clause::None,
                };
            }
        }
    }

    /// Closes the bracket that was opened behind `in`, if there is one.
    fn close_clause(&mut self, clause: &mut Clause, at: usize) {
        if *clause == Clause::In {
            self.inserts.push((at, ") | __each "));
            *clause = Clause::Done;
        }
    }

    fn after_tag(&mut self, keyword: &str, trims: bool) {
        if matches!(keyword, "include" | "block" | "component") {
            self.inserts.push((self.at, if trims { "{{__tick()-}}" } else { "{{__tick()}}" }));
        }
    }

    /// What a tag opens or closes.
    fn enter(&mut self, keyword: &str, at: usize) {
        match keyword {
            "elif" => {
                self.branches += 1;
                if self.branches > MAX_ELIF {
                    self.refused.get_or_insert((at, Refused::Branches));
                }
            }
            "block" => {
                self.blocks += 1;
                self.deepest = self.deepest.max(self.blocks);
            }
            "endblock" => self.blocks = self.blocks.saturating_sub(1),
            "component" => self.component = Some(self.dotted_name().to_owned()),
            "endcomponent" => self.component = None,
            _ => {}
        }
    }

    /// `include "file"`, `extends "file"`, `<component`.
    fn note_use(&mut self, token: Token<'_>, before: Token<'_>, keyword: &str, start: usize) {
        let of = match (token, before, keyword) {
            (Token::Text(name), Token::Ident(_), "include" | "extends") => {
                Node::File(name.to_owned())
            }
            (Token::Ident(name), Token::Symbol(b'<'), _) => {
                Node::Component(format!("{name}{}", self.dotted_name()))
            }
            _ => return,
        };
        self.uses.push(Use { by: self.component.clone(), of, at: start..self.at });
    }

    /// The name that comes next, with dots.
    fn dotted_name(&self) -> &'a str {
        let rest = self.rest().trim_start_matches(|c: char| c.is_ascii_whitespace());
        let part = |c: char| c == '_' || c == '.' || c.is_ascii_alphanumeric();
        &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())]
    }

    /// The next token and where it starts; `None` where the text ends before the expression.
    fn token(&mut self, end: &str) -> Option<(Token<'a>, usize)> {
        let space = |c: char| c.is_ascii_whitespace();
        self.at = self.text.len() - self.rest().trim_start_matches(space).len();
        let (start, rest) = (self.at, self.rest());
        let first = rest.chars().next()?;
        let (token, length) = if rest.starts_with(end) {
            (Token::End(false), end.len())
        } else if rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(end)) {
            (Token::End(true), end.len() + 1)
        } else if matches!(first, '"' | '\'' | '`') {
            let content = string(rest)?;
            (Token::Text(content), content.len() + 2)
        } else if first == '_' || first.is_ascii_alphabetic() {
            let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            (Token::Ident(&rest[..length]), length)
        } else {
            let symbol = u8::try_from(first).unwrap_or(0);
            (Token::Symbol(symbol), first.len_utf8())
        };
        self.at += length;
        Some((token, start))
    }
}

fn is_start(pair: &[u8]) -> bool {
    matches!(pair, b"{{" | b"{%" | b"{#")
}

/// The content of the string that `text` starts with.
fn string(text: &str) -> Option<&str> {
    let quote = *text.as_bytes().first()?;
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = !escaped && byte == quote;
        escaped = !escaped && byte == b'\\';
        ends
    })?;
    Some(&text[1..=end])
}

/// The length of `[-] name [-]%}`, if `text` starts with that.
fn named_tag(text: &str, name: &str) -> Option<usize> {
    let space = |c: char| c.is_ascii_whitespace();
    let rest = text.strip_prefix('-').unwrap_or(text).trim_start_matches(space);
    let rest = rest.strip_prefix(name)?.trim_start_matches(space);
    let rest = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}
