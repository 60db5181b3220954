//! What happens in a fleet, told from Git alone: what differs between two positions of the three branches.
//!
//! ```text
//!             config    rendered   status
//!  Position (   a     ,    b     ,   c    )
//!      │ Move: one branch goes on; files that differ → Events, on every controller the same
//!      ▼
//!  Position (   d     ,    b     ,   c    )
//! ```
//! Costs what differs: equal trees are not entered, and where more differs than a reader would want to hear
//! of, it is not looked at any further.

mod source;
mod status;

use crate::git::{GitError, Repository};
use crate::model::{
    AssignmentRef, Connection, Diagnostic, Labels, Name, ObjectRef, Phase, RequestId, Revision,
    Timestamp, TreeId,
};

/// Most events of one move; where there are more, a reader lists again.
pub const MOST: usize = 10_000;

/// The branches of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    Config,
    Rendered,
    Status,
}

impl Branch {
    pub const ALL: [Self; 3] = [Self::Config, Self::Rendered, Self::Status];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Rendered => "rendered",
            Self::Status => "status",
        }
    }
}

/// Where the branches are; `None`: there is no such branch yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub config: Option<Revision>,
    pub rendered: Option<Revision>,
    pub status: Option<Revision>,
}

/// One branch goes on, and the others stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    pub from: Position,
    pub branch: Branch,
    pub head: Option<Revision>,
}

impl Position {
    #[must_use]
    pub fn of(&self, branch: Branch) -> Option<Revision> {
        match branch {
            Branch::Config => self.config,
            Branch::Rendered => self.rendered,
            Branch::Status => self.status,
        }
    }

    #[must_use]
    pub fn with(mut self, branch: Branch, head: Option<Revision>) -> Self {
        match branch {
            Branch::Config => self.config = head,
            Branch::Rendered => self.rendered = head,
            Branch::Status => self.status = head,
        }
        self
    }

    /// The first move on the way to `goal`; `None`: it is here. Cause comes before effect.
    #[must_use]
    pub fn toward(self, goal: Self) -> Option<Move> {
        let branch = Branch::ALL.into_iter().find(|branch| self.of(*branch) != goal.of(*branch))?;
        Some(Move { from: self, branch, head: goal.of(branch) })
    }
}

impl Move {
    /// Where it leads.
    #[must_use]
    pub fn to(&self) -> Position {
        self.from.with(self.branch, self.head)
    }
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Created,
    Updated,
    Deleted,
}

impl Action {
    fn of<T>(sides: &[Option<T>; 2]) -> Self {
        match sides {
            [None, _] => Self::Created,
            [Some(_), Some(_)] => Self::Updated,
            [Some(_), None] => Self::Deleted,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// How far a request to change something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is in history.
    Committed,
    /// The controller has looked at it, whether anything had to be rendered for it or not.
    Rendered,
    /// It was refused.
    Rejected,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "Committed",
            Self::Rendered => "Rendered",
            Self::Rejected => "Rejected",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The file of an object differs, or one of a template's files.
    Object {
        object: ObjectRef,
        action: Action,
        revision: Option<Revision>,
        /// Those that it had, and those that it has.
        labels: Vec<Labels>,
    },
    /// Somebody's request went on.
    Change { id: RequestId, stage: Stage, commit: Option<Revision>, actor: Option<String> },
    /// The status of an assignment differs.
    Assignment {
        assignment: AssignmentRef,
        action: Action,
        phase: Phase,
        reason: String,
        /// What it is to run, by the commits that last changed that.
        source: Revision,
        rendered: Revision,
    },
    /// A host is heard, or is not.
    Host { host: Name, action: Action, connection: Connection, since: Timestamp },
    /// Something is wrong with the config branch, or is not any more.
    Diagnostic { action: Action, diagnostic: Box<Diagnostic> },
    /// A branch moved: all that differs there was told before.
    Revision { branch: Branch, revision: Option<Revision> },
}

/// What happens in a move, in an order that follows from Git; `None`: more than [`MOST`].
///
/// # Errors
/// When objects cannot be read.
pub fn events(repository: &Repository, one: &Move) -> Result<Option<Vec<Event>>, GitError> {
    let heads = [one.from.of(one.branch), one.head];
    let trees = [tree(repository, heads[0])?, tree(repository, heads[1])?];
    let found = match one.branch {
        Branch::Config => source::events(repository, heads, trees)?,
        // What is rendered differently shows as a status that differs.
        Branch::Rendered => Some(Vec::new()),
        Branch::Status => status::events(repository, trees)?,
    };
    let Some(mut events) = found.filter(|events| events.len() < MOST) else { return Ok(None) };
    events.push(Event::Revision { branch: one.branch, revision: one.head });
    Ok(Some(events))
}

fn tree(repository: &Repository, head: Option<Revision>) -> Result<Option<TreeId>, GitError> {
    head.map(|head| Ok(repository.commit(head)?.tree)).transpose()
}

#[cfg(test)]
mod tests;
