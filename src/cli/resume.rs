//! `titan resume`: go on after the config branch was rewritten.

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use crate::controller::{Resumed, resume};

/// Go on after the history of the config branch was rewritten
///
/// When the config branch no longer contains the commit that was rendered last, nothing is rendered: a
/// force-push must not change what runs. This accepts the new history from a commit on, by a commit of yours
/// on the rendered branch that changes no file. Guards on removals apply as ever.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  titan resume                                     is anything held?
  titan resume --accept 4f2a9c1 -m 'secret removed from history, INC-42'

Exit codes: 0 accepted, or nothing is held; 1 held, or the commit is not on the config branch.")]
pub(super) struct Args {
    /// The commit of the new history to go on from, usually its head
    #[arg(long, value_name = "COMMIT")]
    accept: Option<String>,
    /// Why, for those who read the rendered branch later
    #[arg(long, short, value_name = "TEXT", default_value = "", requires = "accept")]
    message: String,
}

/// # Errors
/// When Git fails.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let repository = context.open()?;
    let git = &repository.repository;
    let accept = args.accept.as_deref().map(|name| git.resolve(name)).transpose()?;
    let by = git.user(context.now);
    let outcome = resume(&repository, accept, &by, &args.message)?;
    let (value, text, exit) = match outcome {
        Resumed::Accepted(commit) => (
            json!({"held": false, "accepted": accept, "commit": commit}),
            format!("accepted; the next pass goes on (commit {})\n", commit.short()),
            Exit::Fine,
        ),
        Resumed::NothingHeld => {
            let text = "nothing is held: the config branch continues from what was rendered last\n";
            (json!({"held": false}), text.to_owned(), Exit::Fine)
        }
        Resumed::Held { last, head } => (
            json!({"held": true, "last": last, "head": head}),
            format!(
                "held: the config branch no longer contains {}, which was rendered last\nto go on: titan resume --accept {head}\n",
                last.short()
            ),
            Exit::No,
        ),
        Resumed::Elsewhere { head } => {
            let branch = &repository.branch;
            let failure = Failure::no(format!("branch `{branch}` does not contain that commit"));
            return Err(failure.hint(format!("its head is {head}")).into());
        }
    };
    if !context.output.value(&value)? {
        context.output.print(&text)?;
    }
    Ok(exit)
}
