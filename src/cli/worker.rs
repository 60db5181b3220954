//! `titan worker`: hidden; what the controller starts to render in. See [`crate::controller::workers`].

use std::io;

use anyhow::{Context as _, Result};

use super::exit::Exit;
use crate::controller::workers;

pub(crate) fn run() -> Result<Exit> {
    workers::serve(io::stdin().lock(), io::stdout().lock()).context("cannot render")?;
    Ok(Exit::Fine)
}
