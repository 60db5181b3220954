//! What a template sees. Everything that several renders share is turned into Tera's values once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use tera::Context;

use super::{Usable, schema};
use crate::model::{
    Deployment, Diagnostic, Fleet, Host, Manifests, Policy, RepoPath, TemplateRef, Values,
    Workload, Workspace, merge,
};

/// Most hosts whose variable is kept.
const HOSTS: usize = 1 << 14;
/// Most checked texts that are kept of a file: rings and overrides make siblings differ in kind.
const TEXTS: usize = 4;

/// What the renders of a deployment share.
pub(super) struct Prepared {
    deployment: Arc<Deployment>,
    workspace: Arc<Workspace>,
    workload: Arc<Workload>,
    /// Its template, or what is wrong with that.
    pub(super) compiled: Usable,
    /// Its values without overrides.
    values: Values,
    /// `workspace`, `workload` and `deployment`.
    base: Context,
    /// The merged values, by which of the overrides apply.
    variants: BTreeMap<Vec<bool>, Variant>,
    pub(super) checked: [Checked; 2],
}

/// One set of merged values.
pub(super) struct Variant {
    /// All that a template sees but for `host`.
    context: Context,
    /// How they break the template's `parameters`.
    pub(super) problems: Vec<Diagnostic>,
    /// What every host gets, where the template does not read the host: with Kubernetes and without.
    pub(super) same: [Option<Arc<Manifests>>; 2],
}

/// Some files that were found to be fine, by path.
#[derive(Default)]
pub(super) struct Checked(BTreeMap<RepoPath, Vec<Arc<[u8]>>>);

impl Prepared {
    pub(super) fn new(fleet: &Fleet, deployment: &Deployment, compiled: Usable) -> Self {
        let deployment = match fleet.deployments.get(&deployment.id) {
            Some(of_fleet) if std::ptr::eq(&raw const **of_fleet, deployment) => {
                Arc::clone(of_fleet)
            }
            _ => Arc::new(deployment.clone()),
        };
        let workspace = Arc::clone(&fleet.workspaces[&deployment.id.workspace]);
        let workload = Arc::clone(&fleet.workloads[&deployment.id.workload_ref()]);
        let mut base = Context::new();
        base.insert("workspace", &json!({"name": workspace.name, "labels": workspace.labels}));
        let mut object = json!({"name": workload.id.name, "labels": workload.labels});
        // Left out where it is not known: a template that needs it then says so.
        if let Some(repo) = &workload.spec.repo {
            object["repo"] = repo.as_str().into();
        }
        base.insert("workload", &object);
        let object = json!({"name": deployment.id.name, "labels": deployment.labels});
        base.insert("deployment", &object);
        let values = merge::deployment_values(fleet, &deployment);
        let (variants, checked) = (BTreeMap::new(), <[Checked; 2]>::default());
        Self { deployment, workspace, workload, compiled, values, base, variants, checked }
    }

    /// Whether what it was made from is what `fleet` has, apart from the template.
    pub(super) fn is_of(&self, fleet: &Fleet) -> bool {
        let Self { deployment, workspace, workload, .. } = self;
        let id = &deployment.id;
        fleet.deployments.get(id).is_some_and(|of_fleet| Arc::ptr_eq(of_fleet, deployment))
            && fleet.workspaces.get(&id.workspace).is_some_and(|one| Arc::ptr_eq(one, workspace))
            && fleet.workloads.get(&workload.id).is_some_and(|one| Arc::ptr_eq(one, workload))
    }

    pub(super) fn template(&self) -> &TemplateRef {
        &self.deployment.template
    }

    /// How many sets of values there are.
    pub(super) fn variants(&self) -> usize {
        self.variants.len()
    }

    /// The values for a host, merged and checked once for all hosts with the same overrides; the texts
    /// that were checked, for hosts of its kind; and what the workspace allows.
    pub(super) fn variant(
        &mut self,
        host: &Host,
        parameters: Option<&jsonschema::Validator>,
    ) -> (&mut Variant, &mut Checked, Option<&Policy>) {
        let deployment = &*self.deployment;
        let overrides = deployment.spec.overrides.iter();
        let applied: Vec<bool> = overrides.map(|o| o.selector.matches(&host.labels)).collect();
        let variant = self.variants.entry(applied).or_insert_with(|| {
            let mut values = self.values.clone();
            merge::apply_overrides(&mut values, deployment, host);
            let values = Value::Object(values);
            let problems =
                parameters.map_or_else(Vec::new, |p| schema::check(p, &values, deployment));
            let mut context = self.base.clone();
            context.insert("values", &values);
            Variant { context, problems, same: [None, None] }
        });
        let kubernetes = host.spec.runtime.wants_kubernetes_objects();
        let policy = self.workspace.spec.policy.as_ref();
        (variant, &mut self.checked[usize::from(kubernetes)], policy)
    }
}

impl Variant {
    /// What a template sees on a host.
    pub(super) fn context(&mut self, host: tera::Value) -> &Context {
        self.context.insert_value("host", host);
        &self.context
    }
}

impl Checked {
    /// The texts of a file that are known to be fine, the latest last.
    pub(super) fn of(&self, path: &RepoPath) -> &[Arc<[u8]>] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }

    pub(super) fn add(&mut self, path: &RepoPath, text: Arc<[u8]>) {
        let texts = self.0.entry(path.clone()).or_default();
        if texts.len() == TEXTS {
            texts.remove(0);
        }
        texts.push(text);
    }
}

/// What templates see of a host, as the variable `host`: made once for all that is rendered for it.
pub struct HostFacts<'a> {
    pub(super) host: &'a Host,
    pub(super) value: tera::Value,
}

impl<'a> HostFacts<'a> {
    #[must_use]
    pub fn new(host: &'a Host) -> Self {
        let object = json!({"name": host.name, "labels": host.labels, "values": host.spec.values});
        Self { host, value: tera::Value::from_serializable(&object) }
    }
}

impl fmt::Debug for HostFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostFacts").field(&self.host.name).finish()
    }
}

/// The facts of each host that was asked for, by the host's address: hosts stay where they are for as
/// long as the fleet is borrowed.
#[derive(Default)]
pub(super) struct Hosts(HashMap<usize, tera::Value>);

impl Hosts {
    pub(super) fn facts<'a>(&mut self, host: &'a Host) -> HostFacts<'a> {
        if self.0.len() >= HOSTS {
            self.0.clear();
        }
        let value = self.0.entry(std::ptr::from_ref(host).addr());
        let value = value.or_insert_with(|| HostFacts::new(host).value).clone();
        HostFacts { host, value }
    }
}
