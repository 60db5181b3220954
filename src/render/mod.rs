//! Assignment → manifests.

use crate::model::{Deployment, Diagnostic, Fleet, Host, Manifests};

/// Version of the rendering rules: a new one may render the same source differently.
pub const RENDERER: &str = concat!("titan/", env!("CARGO_PKG_VERSION"));

/// Renders the deployments of one fleet; keeps compiled templates and merged values between calls.
#[derive(Debug)]
pub struct Renderer<'a> {
    fleet: &'a Fleet,
}

/// Why an assignment could not be rendered: one diagnostic or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.first().map_or("cannot be rendered", |first| first.message.as_str()))]
pub struct RenderError(pub Vec<Diagnostic>);

impl<'a> Renderer<'a> {
    #[must_use]
    pub fn new(fleet: &'a Fleet) -> Self {
        Self { fleet }
    }

    /// What `host` must run for `deployment`.
    ///
    /// # Errors
    /// Diagnostics that point into the template, or into the deployment's file.
    pub fn render(
        &mut self,
        deployment: &Deployment,
        host: &Host,
    ) -> Result<Manifests, RenderError> {
        let _ = (self.fleet, deployment, host);
        unimplemented!()
    }
}
