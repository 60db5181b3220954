//! `titan history`: what ran there, and who is behind it.

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::Format;
use super::table::table;
use crate::git::Repository;
use crate::model::{Name, TimeSpan, Timestamp};
use crate::observe::lineage::{At, Subject, Turn, add_deployed, commit_at, history, running};

/// Tell what ran somewhere, since when, from which commit and by whom
///
/// Reads the rendered branch, the config branch and, for the time of deployment, the status branch. No controller
/// needs to run, and nothing is kept elsewhere.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan history iot/temperature-sensor/prod@tim-pi     one deployment on one host
  titan history tim-pi --at 2026-11-20T12:00:00Z       all that ran on a host at that time
  titan history iot/temperature-sensor/prod --at 4f2a9c1
  titan history tim-pi --at 3d --output json           three days ago

Times are those of the source commits. Exit codes: 0 it is known; 1 nothing of that name ever ran.")]
pub(super) struct Args {
    /// An assignment `ws/workload/name@host`, a deployment `ws/workload/name`, or a host
    #[arg(value_name = "ASSIGNMENT|DEPLOYMENT|HOST")]
    subject: String,
    /// What ran there then: a time, a day (its end, UTC), how long ago, or a commit of either branch
    #[arg(long, value_name = "TIME|REVISION")]
    at: Option<String>,
    /// Most changes to show
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "at")]
    limit: usize,
}

/// # Errors
/// When the subject makes no sense, or Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let subject = subject(&args.subject)?;
    let config = context.config()?;
    let branches = config.fleet().settings.branches.clone();
    let git = &config.repository.repository;
    let Some(tip) = git.head_of(&branches.rendered)? else {
        let failure = Failure::no(format!("there is no branch `{}` yet", branches.rendered));
        return Err(failure.hint("`titan reconcile` makes it").into());
    };
    let (mut turns, at) = match &args.at {
        None => (history(git, tip, &subject, args.limit)?, Some(tip)),
        Some(text) => match commit_at(git, tip, at(text, git, context.now)?)? {
            Some(commit) => (running(git, commit, &subject)?, Some(commit)),
            None => (Vec::new(), None),
        },
    };
    if turns.is_empty() && history(git, tip, &subject, 1)?.is_empty() {
        let failure = Failure::no(format!("nothing called `{}` ever ran", args.subject));
        return Err(failure.hint("`titan get assignments` lists what runs").into());
    }
    if let Some(status) = git.head_of(&branches.status)? {
        add_deployed(git, status, &mut turns)?;
    }
    let value = json!({"subject": args.subject, "rendered": at, "history": turns});
    if context.output.value(&value)? {
        return Ok(Exit::Fine);
    }
    if turns.is_empty() {
        context.output.note("nothing ran there then");
    } else {
        context.output.print(&text(&turns, context.output.format))?;
    }
    Ok(Exit::Fine)
}

fn subject(text: &str) -> Result<Subject, Failure> {
    let parsed = match (text.contains('@'), text.contains('/')) {
        (true, _) => text.parse().map(Subject::Assignment).ok(),
        (false, true) => text.parse().map(Subject::Deployment).ok(),
        (false, false) => Name::new(text).map(Subject::Host).ok(),
    };
    let shown: String = text.escape_default().take(80).collect();
    parsed.ok_or_else(|| {
        Failure::usage(format!("`{shown}` is no assignment, deployment or host")).hint(
            "give `workspace/workload/name@host`, `workspace/workload/name`, or a host's name",
        )
    })
}

/// A time where it can be one, else a commit.
fn at(text: &str, git: &Repository, now: Timestamp) -> Result<At> {
    // As it is; without a zone; a day.
    for text in [text.to_owned(), format!("{text}Z"), format!("{text}T23:59:59.999999999Z")] {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(At::Time(time));
        }
    }
    // A span such as `3d` may also be the short id of a commit.
    match git.resolve(text) {
        Ok(revision) => Ok(At::Commit(revision)),
        Err(error) => match text.parse::<TimeSpan>() {
            Ok(span) => Ok(At::Time(now.checked_sub(span.duration())?)),
            Err(_) => Err(error.into()),
        },
    }
}

fn text(turns: &[Turn], format: Format) -> String {
    if format == Format::Name {
        return turns.iter().map(|turn| format!("{}\n", turn.rendered)).collect();
    }
    let row = |turn: &Turn| {
        let source = turn.source.as_ref();
        let approvals = source.map(|source| {
            let parts = source.approvals.iter().map(|one| format!("{}: {}", one.how, one.by));
            parts.collect::<Vec<_>>().join(", ")
        });
        let (revision, subject) = match source {
            Some(source) => (source.revision.short(), source.subject.clone()),
            None => ("by hand".to_owned(), String::new()),
        };
        let mut row = vec![
            turn.since.to_string(),
            turn.assignment.to_string(),
            turn.tree.map_or_else(|| "removed".to_owned(), |tree| tree.short()),
            revision,
            subject,
            turn.by.clone(),
            approvals.unwrap_or_default(),
            turn.deployed.map(|time| time.to_string()).unwrap_or_default(),
        ];
        if format == Format::Wide {
            row.push(turn.rendered.short());
            row.push(turn.folder.to_string());
        }
        row
    };
    let mut heading =
        vec!["SINCE", "ASSIGNMENT", "TREE", "COMMIT", "SUBJECT", "BY", "APPROVED", "DEPLOYED"];
    if format == Format::Wide {
        heading.extend(["RENDERED", "FOLDER"]);
    }
    table(&heading, &turns.iter().map(row).collect::<Vec<_>>())
}
