//! `titan help`, with topics that are no commands.

use anyhow::Result;
use clap::CommandFactory;

use super::Cli;
use super::context::Context;
use super::exit::{Exit, Failure};
use crate::model::nearest::nearest;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// A command, such as `create host`, or `exit-codes`
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    if args.topic == ["exit-codes"] {
        context.output.print(&exit_codes())?;
        return Ok(Exit::Fine);
    }
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for word in &args.topic {
        let known: Vec<String> =
            command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        command = command.find_subcommand_mut(word).ok_or_else(|| {
            let failure = Failure::usage(format!("there is no help on `{}`", args.topic.join(" ")));
            match nearest(word, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("`titan help` lists the commands"),
            }
        })?;
    }
    context.output.print(&command.render_long_help().ansi().to_string())?;
    Ok(Exit::Fine)
}

fn exit_codes() -> String {
    let lines = Exit::ALL.iter().map(|exit| format!("{:>4}  {}\n", *exit as u8, exit.meaning()));
    format!("Exit codes of titan:\n\n{}", lines.collect::<String>())
}
