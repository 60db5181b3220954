//! Which two states of the config repository are compared.

use std::path::Path;

use anyhow::Result;

use super::super::context::Context;
use super::super::exit::Failure;
use crate::git::{FleetRepository, GitError, Repository};
use crate::model::Revision;
use crate::publish::forecast::Point;

/// What is compared with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) base: Point,
    pub(super) head: Point,
}

/// Reads what the command line asks for; `folder` is that of `--worktree`, if that is given.
pub(super) fn range(
    text: Option<&str>,
    folder: Option<Option<&Path>>,
    repository: &FleetRepository,
    context: &Context,
) -> Result<Range> {
    let git = &repository.repository;
    let head = || match resolve(git, "HEAD") {
        Ok(found) if context.global.branch.is_none() => Ok(Point::commit("HEAD", found)),
        _ => Ok(Point::commit(&repository.branch, resolve(git, &repository.branch)?)),
    };
    let point = |name: &str| -> Result<Point> {
        if name.is_empty() { head() } else { Ok(Point::commit(name, resolve(git, name)?)) }
    };
    let own = || match git.worktree() {
        Some(worktree) if context.global.fleet.is_none() => Ok(worktree),
        _ => Err(Failure::usage("there is no checkout whose files could be compared")
            .hint("give revisions, such as `main..my-branch`, or `--worktree=DIR`")),
    };
    let files = |folder: &Path, name: &str| -> Result<Point> {
        if !folder.is_dir() {
            return Err(Failure::no(format!("`{}` is not a folder", folder.display())).into());
        }
        Ok(Point { name: name.to_owned(), revision: None, folder: Some(folder.to_owned()) })
    };
    let worktree = |folder: Option<&Path>| match folder {
        Some(folder) => files(folder, &folder.display().to_string()),
        None => files(own()?, "working tree"),
    };
    match (text.map(|text| (text, parts(text))), folder) {
        (None, folder) => Ok(Range { head: worktree(folder.flatten())?, base: head()? }),
        (Some((text, Parts::One)), Some(folder)) => {
            Ok(Range { base: point(text)?, head: worktree(folder)? })
        }
        (Some(_), Some(_)) => Err(Failure::usage("`--worktree` is compared with one revision")
            .hint("leave `..` out")
            .into()),
        (Some((_, Parts::Two(base, head))), None) => {
            Ok(Range { base: point(base)?, head: point(head)? })
        }
        (Some((_, Parts::Since(base, head))), None) => since(git, point(base)?, point(head)?),
        (Some((text, Parts::One)), None) => {
            let head = point(text)?;
            let parents = head.revision.map(|revision| git.commit(revision)).transpose()?;
            let parent = parents.and_then(|commit| commit.parents.first().copied());
            let base = Point { name: format!("{text}^"), revision: parent, folder: None };
            Ok(Range { base, head })
        }
    }
}

enum Parts<'a> {
    One,
    /// `A..B`
    Two(&'a str, &'a str),
    /// `A...B`
    Since(&'a str, &'a str),
}

/// No name of a revision has two dots in a row.
fn parts(text: &str) -> Parts<'_> {
    match (text.split_once("..."), text.split_once("..")) {
        (Some((base, head)), _) => Parts::Since(base, head),
        (None, Some((base, head))) => Parts::Two(base, head),
        (None, None) => Parts::One,
    }
}

/// From where `head` left `base`.
fn since(git: &Repository, base: Point, head: Point) -> Result<Range> {
    let (Some(one), Some(two)) = (base.revision, head.revision) else {
        unreachable!("both were resolved")
    };
    let Some(start) = git.merge_base(one, two)? else {
        let message = format!("`{}` and `{}` have no commit in common", base.name, head.name);
        return Err(Failure::no(message).hint("`A..B` compares any two commits").into());
    };
    Ok(Range { base: Point { revision: Some(start), ..base }, head })
}

/// A revision; in a clone, also a branch of the repository that it was cloned from.
pub(in crate::cli) fn resolve(git: &Repository, name: &str) -> Result<Revision, GitError> {
    git.resolve(name)
        .or_else(|error| git.resolve(&format!("refs/remotes/origin/{name}")).map_err(|_| error))
}
