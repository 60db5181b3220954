//! `titan schema`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::names::{KINDS_HELP, Kind};
use crate::api::openapi;
use crate::parse::schema;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  titan schema host
  titan schema --output-dir schemas")]
pub(crate) struct Args {
    /// The kind of object
    #[arg(help = KINDS_HELP)]
    kind: Option<Kind>,
    /// Write all of them there, as `<kind>.schema.json`, and the API's as `openapi.json`
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    output_dir: Option<PathBuf>,
}

/// The file of the API's description.
const OPENAPI: &str = "openapi.json";

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let schemas = schema::schemas();
    if let Some(dir) = &args.output_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        for (name, schema) in &schemas {
            let file = dir.join(name);
            std::fs::write(&file, format!("{schema:#}\n"))
                .with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        let file = dir.join(OPENAPI);
        std::fs::write(&file, format!("{:#}\n", openapi::document()))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        let count = schemas.len() + 1;
        context.output.note(&format!("{count} schemas written to `{}`", dir.display()));
        return Ok(Exit::Fine);
    }
    match args.kind {
        Some(Kind(kind)) => {
            let schema = schemas.get(&schema::file_name(kind));
            let schema = schema.context("every kind has a schema")?;
            context.output.print(&format!("{schema:#}\n"))?;
        }
        None => {
            return Err(Failure::usage("which schema?")
                .hint(format!("name a kind, or give `--output-dir`. {KINDS_HELP}"))
                .into());
        }
    }
    Ok(Exit::Fine)
}
