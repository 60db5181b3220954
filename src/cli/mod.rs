//! The command line: one file for each subcommand, with its `Args` and one `run` function.
//!
//! ```text
//!  arguments ─▶ Cli ─▶ dispatch ─▶ <command>::run ─┬─▶ Output: results on stdout, all else on stderr
//!                      Context: fleet, branch, now ┘─▶ Exit, or an error that `exit::tell` judges
//! ```
//!
//! `context` finds and opens the fleet's repository, `output` writes, `exit` gives every kind of error
//! its exit code and hint; `told` says what became of a change, `dry_run` what would become of it.
//! `anyhow` is used here and nowhere else.
//!
//! A new command is a file with `Args` and `run(&Args, &Context) -> anyhow::Result<Exit>`, and one
//! line each in `Command` and in `dispatch`.

mod account;
mod agent;
mod bench;
mod completions;
mod context;
mod controller;
mod create;
mod delete;
mod demo;
mod describe;
mod diagnostics;
mod dry_run;
mod exit;
mod forge;
mod get;
mod help;
mod history;
mod host;
mod init;
mod login;
mod logout;
mod names;
mod output;
mod plan;
mod reconcile;
mod render;
mod resume;
mod schema;
mod selector;
mod service;
mod set;
mod status;
mod table;
mod trace;
mod validate;
mod verify;
mod whoami;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;

use self::context::{Context, Global};
use self::exit::{Exit, Failure};
use self::output::{Format, Output};
use crate::change::Proposed;
use crate::controller::workers;
use crate::git::FleetRepository;

/// Places workloads on a fleet of hosts, with Git as its only state.
#[derive(Debug, Parser)]
#[command(
    name = "titan",
    version,
    disable_help_subcommand = true,
    propagate_version = false,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = "Start with `titan init`. `titan help exit-codes` tells what exit codes mean."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a config repository
    Init(init::Args),
    /// Check the config repository; exit 1 when something is wrong
    Validate(validate::Args),
    /// Add an object, and commit it
    #[command(subcommand)]
    Create(create::Command),
    /// Change fields of an object, and commit it
    Set(set::Args),
    /// Remove an object, and commit that
    Delete(delete::Args),
    /// List objects or assignments
    Get(get::Args),
    /// Show one object, what refers to it, and where it runs
    Describe(describe::Args),
    /// Print the manifests of deployments
    Render(render::Args),
    Plan(plan::Args),
    /// Keys and tokens of hosts
    #[command(subcommand)]
    Host(host::Command),
    Reconcile(reconcile::Args),
    Controller(controller::Args),
    Agent(agent::Args),
    Status(status::Args),
    Trace(trace::Args),
    History(history::Args),
    Verify(verify::Args),
    Resume(resume::Args),
    Login(login::Args),
    /// Take back and remove the tokens of a server
    Logout(logout::Args),
    /// Show who a server takes you for
    Whoami(whoami::Args),
    Demo(demo::Args),
    /// Fleets of any size, and changes of them, to try titan with
    #[command(subcommand)]
    Bench(bench::Command),
    /// Print or write the JSON Schemas of the objects
    Schema(schema::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
    /// Print help on a command, or on `exit-codes`
    Help(help::Args),
    #[command(name = workers::SUBCOMMAND, hide = true)]
    Worker,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` come here too, with code 0.
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            drop(error.print());
            return code.into();
        }
    };
    Output::choose_color(cli.global.color);
    let context = Context::new(cli.global);
    let run = std::panic::AssertUnwindSafe(|| dispatch(&cli.command, &context));
    let exit = match std::panic::catch_unwind(run) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => exit::tell(&error, &context.output),
        Err(_) => {
            context.output.error("titan stumbled over itself", Some("please report what is above"));
            Exit::Internal
        }
    };
    exit.into()
}

fn dispatch(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    if context.output.format == Format::Markdown && !matches!(command, Command::Plan(_)) {
        return Err(Failure::usage("only `titan plan` writes Markdown").into());
    }
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Validate(args) => validate::run(args, context),
        Command::Create(command) => create::run(command, context),
        Command::Set(args) => set::run(args, context),
        Command::Delete(args) => delete::run(args, context),
        Command::Get(args) => get::run(args, context),
        Command::Describe(args) => describe::run(args, context),
        Command::Render(args) => render::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Host(command) => host::run(command, context),
        Command::Reconcile(args) => reconcile::run(args, context),
        Command::Controller(args) => controller::run(args, context),
        Command::Agent(args) => agent::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Trace(args) => trace::run(args, context),
        Command::History(args) => history::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Resume(args) => resume::run(args, context),
        Command::Login(args) => login::run(args, context),
        Command::Logout(args) => logout::run(args, context),
        Command::Whoami(args) => whoami::run(args, context),
        Command::Demo(args) => demo::run(args, context),
        Command::Bench(command) => bench::run(command, context),
        Command::Schema(args) => schema::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Help(args) => help::run(args, context),
        Command::Worker => worker::run(),
    }
}

/// Says what became of a change.
fn told(
    context: &Context,
    repository: &FleetRepository,
    proposed: &Proposed,
    what: &str,
) -> anyhow::Result<Exit> {
    let output = &context.output;
    if !proposed.landed && !proposed.changed.is_empty() {
        return dry_run::tell(context, repository, proposed);
    }
    if output.verbose > 0 {
        for path in &proposed.changed {
            output.note(&format!("`{path}`"));
        }
    }
    let value = json!({
        "revision": proposed.revision,
        "branch": repository.branch,
        "changed": proposed.changed,
    });
    if output.value(&value)? {
        return Ok(Exit::Fine);
    }
    if output.format == Format::Name {
        output.print(&format!("{}\n", proposed.revision))?;
    } else if proposed.changed.is_empty() {
        output.print(&format!("{what} (no commit)\n"))?;
    } else {
        let (branch, short) = (&repository.branch, proposed.revision.short());
        output.print(&format!("{what} ({branch} {short})\n"))?;
    }
    Ok(Exit::Fine)
}
