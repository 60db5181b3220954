//! `titan host keys`.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::context::{Config, Context};
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::output::Format;
use crate::cli::table::table;
use crate::git::{GitError, Repository};
use crate::model::{Host, HostKey, ObjectKind, Revision, Timestamp};
use crate::proof::fingerprint;

/// Commits that are looked at; a key that is older is told as old as the oldest of them.
const LONGEST: usize = 10_000;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Git tells since when a key is good, and who said so: the host itself, which enrolled or replaced its key, or
whoever wrote the commit. Fingerprints are those of `ssh-keygen -l`.

Example:
  titan host keys tim-pi"
)]
pub(crate) struct Args {
    /// The host
    name: String,
}

/// A key of a host, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Known {
    pub(in crate::cli) fingerprint: String,
    pub(in crate::cli) key: HostKey,
    pub(in crate::cli) since: Timestamp,
    pub(in crate::cli) by: String,
    pub(in crate::cli) revision: Revision,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let config = context.config()?;
    let object = names::existing(&config.files, ObjectKind::Host, &args.name, None)?;
    let host = object.name().and_then(|name| config.fleet().hosts.get(name));
    let host = host.with_context(|| format!("the file of {object} cannot be read"))?;
    let known = of(&config, host)?;
    let output = &context.output;
    if output.value(&serde_json::json!(known))? {
        return Ok(Exit::Fine);
    }
    if output.format == Format::Name {
        let names = known.iter().map(|known| format!("{}\n", known.fingerprint));
        output.print(&names.collect::<String>())?;
    } else if known.is_empty() {
        output.print(&format!("{object} has no keys\n"))?;
    } else {
        let row = |known: &Known| {
            let Known { fingerprint, since, by, revision, .. } = known;
            vec![fingerprint.clone(), since.to_string(), by.clone(), revision.short().to_string()]
        };
        let rows: Vec<_> = known.iter().map(row).collect();
        output.print(&table(&["KEY", "SINCE", "BY", "COMMIT"], &rows))?;
    }
    if let Some(open) = host.spec.enrollment.as_ref().filter(|open| context.now < open.expires) {
        output.note(&format!("{object} may enroll until {}", open.expires));
    }
    Ok(Exit::Fine)
}

/// The keys of a host, in the order of its file.
///
/// # Errors
/// When history cannot be read.
pub(in crate::cli) fn of(config: &Config, host: &Host) -> Result<Vec<Known>, GitError> {
    let git = &config.repository.repository;
    let Some(head) = git.branch(&config.repository.branch)? else { return Ok(Vec::new()) };
    let mut keys = host.spec.keys.clone();
    let mut known = Vec::new();
    let mut after = head;
    let mut seen = None;
    for revision in git.first_parents(head, None, LONGEST)? {
        if keys.is_empty() {
            break;
        }
        let entry = git.entry(git.commit(revision)?.tree, &host.path)?.map(|entry| entry.id);
        if entry != seen || entry.is_none() {
            let text = match entry {
                Some(entry) => String::from_utf8_lossy(&git.blob(entry)?).into_owned(),
                None => String::new(),
            };
            let (still, new): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|key| text.contains(&key.to_string()));
            for key in new {
                known.push(told(git, key, after)?);
            }
            (keys, seen) = (still, entry);
        }
        after = revision;
    }
    for key in keys {
        known.push(told(git, key, after)?);
    }
    known.sort_by_key(|known| host.spec.keys.iter().position(|key| *key == known.key));
    Ok(known)
}

/// A key that came with a commit.
fn told(git: &Repository, key: HostKey, revision: Revision) -> Result<Known, GitError> {
    let commit = git.commit(revision)?;
    let by = commit.trailer("Titan-Actor").unwrap_or(&commit.author.name).to_owned();
    let since = commit.committer.time();
    Ok(Known { fingerprint: fingerprint(&key), key, since, by, revision })
}
