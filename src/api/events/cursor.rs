//! The id of an event: what a client has seen, so that any controller can go on from there.
//!
//! ```text
//!  <config>.<rendered>.<status>                   three commits, all of which it knows; `-` for none
//!  <config>.<rendered>.<status>.<c|r|s><head>.<n> and the first n events of what brings one branch to <head>
//! ```

use std::fmt;
use std::str::FromStr;

use crate::model::Revision;
use crate::observe::events::{Branch, Move, Position};

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    At(Position),
    /// In the middle of a move, of which so many events were seen.
    Within(Move, usize),
}

/// A text that titan does not give out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoCursor;

impl Cursor {
    /// All that has to be known to go on from here.
    pub(super) fn positions(&self) -> [Position; 2] {
        match self {
            Self::At(position) => [*position; 2],
            Self::Within(way, _) => [way.from, way.to()],
        }
    }
}

fn letter(branch: Branch) -> char {
    match branch {
        Branch::Config => 'c',
        Branch::Rendered => 'r',
        Branch::Status => 's',
    }
}

struct Head(Option<Revision>);

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(revision) => revision.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.positions()[0];
        write!(f, "{}.{}.{}", Head(at.config), Head(at.rendered), Head(at.status))?;
        if let Self::Within(way, seen) = self {
            write!(f, ".{}{}.{seen}", letter(way.branch), Head(way.head))?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let head = |text: &str| match text {
            "-" => Ok(None),
            text => text.parse().map(Some).map_err(|_| NoCursor),
        };
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let [config, rendered, status, rest @ ..] = parts.as_slice() else { return Err(NoCursor) };
        let (config, rendered, status) = (head(config)?, head(rendered)?, head(status)?);
        let from = Position { config, rendered, status };
        let cursor = match rest {
            [] => Self::At(from),
            [to, seen] => {
                let named = |branch: &Branch| to.starts_with(letter(*branch));
                let branch = Branch::ALL.into_iter().find(named).ok_or(NoCursor)?;
                let seen = seen.parse().map_err(|_| NoCursor)?;
                Self::Within(Move { from, branch, head: head(&to[1..])? }, seen)
            }
            _ => return Err(NoCursor),
        };
        // There is one way to write each; and a move leads somewhere.
        let moves = !matches!(cursor, Self::Within(way, _) if way.to() == from);
        if moves && cursor.to_string() == text { Ok(cursor) } else { Err(NoCursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(byte: u8) -> Option<Revision> {
        Some(Revision::from_bytes([byte; 20]))
    }

    #[test]
    fn ids_come_back_as_what_they_stand_for() {
        let from = Position { config: at(0xab), rendered: at(2), status: None };
        let mut all = vec![Cursor::At(from), Cursor::At(Position::default())];
        for branch in Branch::ALL {
            all.push(Cursor::Within(Move { from, branch, head: at(7) }, 12));
        }
        for cursor in all {
            let text = cursor.to_string();
            assert_eq!(text.parse(), Ok(cursor), "{text}");
        }
        assert_eq!(Cursor::At(Position::default()).to_string(), "-.-.-");
    }

    #[test]
    fn other_texts_are_none() {
        let id = "a".repeat(40);
        for text in [
            "",
            "7",
            "-",
            "-.-",
            "-.-.",
            "-.-.-.",
            "-.-.-.c-",
            "-.-.-.x-.1",
            "-.-.-.é-.1",
            "-.-.-..1",
            "-.-.-.c-.1",
            &format!("-.-.-.c{id}.-1"),
            &format!("-.-.-.c{id}.+1"),
            &format!("-.-.-.c{id}.01"),
            &format!("-.-.-.c{id}.99999999999999999999"),
            &format!("-.-.-.c{id}.1.2"),
            &id,
            &format!("{id}.-.-.c{id}.1"),
            &format!("{id}.{id}.{}", &id[1..]),
            &format!("{id}.{id}.{}", id.to_uppercase()),
            &format!("{id}.{id}.{id} "),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
