//! The options that name the forge where pull requests are opened.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use crate::api::{Forge, ForgeError, ForgeKind, ForgePlace};
use crate::git::Location;

#[derive(Debug, Clone, Args)]
pub(super) struct ForgeArgs {
    /// File with a token: changes with `"mode": "pull-request"` get a pull request. Read each time
    #[arg(long, value_name = "FILE")]
    forge_token_file: Option<PathBuf>,
    /// The forge: github, gitlab or gitea (Forgejo too) [default: as the fleet's address tells]
    #[arg(long, value_name = "KIND", requires = "forge_token_file")]
    forge: Option<ForgeKind>,
    /// The forge's own address [default: that of the fleet's host]
    #[arg(long, value_name = "URL", requires = "forge_token_file")]
    forge_url: Option<String>,
    /// The repository there, such as `owner/name` [default: as the fleet's address tells]
    #[arg(long, value_name = "NAME", requires = "forge_token_file")]
    forge_repository: Option<String>,
}

impl ForgeArgs {
    /// Where pull requests are opened, if anywhere.
    ///
    /// # Errors
    /// When that is not known, or there is no token.
    pub(super) fn choose(&self, fleet: &Location) -> Result<Option<Forge>, Failure> {
        let Some(token) = self.forge_token_file.clone() else { return Ok(None) };
        let place = ForgePlace {
            kind: self.forge,
            url: self.forge_url.clone(),
            repository: self.forge_repository.clone(),
        };
        let forge = Forge::new(fleet, place, token).map_err(|error| match error {
            ForgeError::Token(_) => Failure::no(error.to_string()),
            _ => Failure::usage(error.to_string()),
        });
        forge.map(Some)
    }
}
