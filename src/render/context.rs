//! What a template sees. Everything that several renders share is turned into Tera's values once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tera::Context;

use super::compile::Compiled;
use super::schema;
use crate::model::{Deployment, Diagnostic, Fleet, Host, Manifests, Policy, RepoPath, merge};

/// Most hosts whose variable is kept.
const HOSTS: usize = 1 << 14;
/// Most checked texts that are kept of a file: rings and overrides make siblings differ in kind.
const TEXTS: usize = 4;

/// What the renders of a deployment share.
pub(super) struct Prepared<'a> {
    fleet: &'a Fleet,
    deployment: &'a Deployment,
    pub(super) policy: Option<&'a Policy>,
    /// Its template, or what is wrong with that.
    pub(super) compiled: Result<Arc<Compiled>, Vec<Diagnostic>>,
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

impl<'a> Prepared<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        deployment: &'a Deployment,
        compiled: Result<Arc<Compiled>, Vec<Diagnostic>>,
    ) -> Self {
        let (workspace, workload) = (fleet.workspace_of(deployment), fleet.workload_of(deployment));
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
        let (variants, checked) = (BTreeMap::new(), <[Checked; 2]>::default());
        let policy = workspace.spec.policy.as_ref();
        Self { fleet, deployment, policy, compiled, base, variants, checked }
    }

    /// How many sets of values there are.
    pub(super) fn variants(&self) -> usize {
        self.variants.len()
    }

    /// The values for a host, merged and checked once for all hosts with the same overrides; and the
    /// texts that were checked, for hosts of its kind.
    pub(super) fn variant(
        &mut self,
        host: &Host,
        parameters: Option<&jsonschema::Validator>,
    ) -> (&mut Variant, &mut Checked) {
        let deployment = self.deployment;
        let overrides = deployment.spec.overrides.iter();
        let applied: Vec<bool> = overrides.map(|o| o.selector.matches(&host.labels)).collect();
        let variant = self.variants.entry(applied).or_insert_with(|| {
            let mut values = merge::deployment_values(self.fleet, deployment);
            merge::apply_overrides(&mut values, deployment, host);
            let values = Value::Object(values);
            let problems =
                parameters.map_or_else(Vec::new, |p| schema::check(p, &values, deployment));
            let mut context = self.base.clone();
            context.insert("values", &values);
            Variant { context, problems, same: [None, None] }
        });
        let kubernetes = host.spec.runtime.wants_kubernetes_objects();
        (variant, &mut self.checked[usize::from(kubernetes)])
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

/// The variable `host` for each host that was asked for, by the host's address: hosts stay where they
/// are for as long as the fleet is borrowed.
#[derive(Default)]
pub(super) struct Hosts(HashMap<usize, tera::Value>);

impl Hosts {
    pub(super) fn value(&mut self, host: &Host) -> tera::Value {
        if self.0.len() >= HOSTS {
            self.0.clear();
        }
        let make = || {
            let object =
                json!({"name": host.name, "labels": host.labels, "values": host.spec.values});
            tera::Value::from_serializable(&object)
        };
        self.0.entry(std::ptr::from_ref(host).addr()).or_insert_with(make).clone()
    }
}
