//! `titan completions`.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::context::Context;
use super::exit::Exit;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:
  titan completions bash > ~/.local/share/bash-completion/completions/titan")]
pub(crate) struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "titan", &mut script);
    context.output.bytes(&script)?;
    Ok(Exit::Fine)
}
