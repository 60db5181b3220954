//! Whether rendering reads the same in two states of an object.
//!
//! What is compared field by field is taken apart completely: a new field does not compile until
//! somebody has said here whether it matters.

use serde::Serialize;

use crate::model::{
    Deployment, DeploymentSpec, Host, HostSpec, Override, Template, Workload, WorkloadSpec,
    Workspace, WorkspaceSpec,
};

/// Its name, labels and values, and what its runtime takes.
pub(super) fn host(a: &Host, b: &Host) -> bool {
    let Host { name, path: _, labels, spec } = a;
    let HostSpec { runtime, values, cordoned: _, tokens: _, keys: _, enrollment: _ } = spec;
    *name == b.name
        && *labels == b.labels
        && *runtime == b.spec.runtime
        && exactly(values, &b.spec.values)
}

pub(super) fn workspace(a: &Workspace, b: &Workspace) -> bool {
    let Workspace { name, path: _, labels, spec } = a;
    let WorkspaceSpec { hosts: _, values, policy, members: _ } = spec;
    *name == b.name
        && *labels == b.labels
        && *policy == b.spec.policy
        && exactly(values, &b.spec.values)
}

pub(super) fn workload(a: &Workload, b: &Workload) -> bool {
    let Workload { id, path: _, labels, spec } = a;
    // The template reaches rendering through the deployment.
    let WorkloadSpec { repo, template: _, values } = spec;
    *id == b.id && *labels == b.labels && *repo == b.spec.repo && exactly(values, &b.spec.values)
}

pub(super) fn template(a: &Template, b: &Template) -> bool {
    let Template { id, path, defaults, parameters, files } = a;
    *id == b.id
        && *path == b.path
        && *files == b.files
        && exactly(defaults, &b.defaults)
        && exactly(parameters, &b.parameters)
}

/// All but where it is placed. Its path stands in diagnostics.
pub(super) fn deployment(a: &Deployment, b: &Deployment) -> bool {
    let Deployment { id, path, labels, spec, template, target: _ } = a;
    // The template that the spec names is resolved beside it.
    let DeploymentSpec {
        template: _,
        target: _,
        replicas: _,
        spread: _,
        suspend: _,
        values,
        overrides,
    } = spec;
    *id == b.id
        && *path == b.path
        && *labels == b.labels
        && *template == b.template
        && exactly(values, &b.spec.values)
        && overrides.len() == b.spec.overrides.len()
        && overrides.iter().zip(&b.spec.overrides).all(|(a, b)| overriding(a, b))
}

/// Where a deployment is placed.
pub(super) fn placement(a: &Deployment, b: &Deployment) -> bool {
    let wish = |deployment: &Deployment| {
        let DeploymentSpec { replicas, suspend, .. } = deployment.spec;
        (replicas, suspend)
    };
    a.target == b.target && a.spec.spread == b.spec.spread && wish(a) == wish(b)
}

fn overriding(a: &Override, b: &Override) -> bool {
    let Override { selector, values } = a;
    *selector == b.selector && exactly(values, &b.values)
}

/// Whether values are printed alike. `==` is not enough: it takes 0.0 and -0.0 for one number.
fn exactly(a: &impl Serialize, b: &impl Serialize) -> bool {
    matches!((serde_json::to_string(a), serde_json::to_string(b)), (Ok(a), Ok(b)) if a == b)
}
