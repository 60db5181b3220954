//! What a template sees. Everything that several renders share is turned into Tera's values once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tera::Context;

use super::schema;
use crate::model::{Deployment, Diagnostic, Fleet, Host, Name, RepoPath, merge};

/// The shared part of a deployment's contexts.
pub(super) struct Prepared {
    pub(super) deployment: Deployment,
    /// `workspace`, `workload` and `deployment`.
    base: Context,
    /// The merged values, by which of the overrides apply.
    variants: BTreeMap<Vec<bool>, Arc<Variant>>,
    /// What was written and checked last, by whether it is for Kubernetes, and path: hosts that get
    /// the same bytes share them, and they are checked once.
    pub(super) checked: BTreeMap<(bool, RepoPath), Arc<[u8]>>,
}

/// One set of merged values.
pub(super) struct Variant {
    values: tera::Value,
    /// How they break the template's `parameters`.
    pub(super) problems: Vec<Diagnostic>,
}

impl Prepared {
    pub(super) fn new(fleet: &Fleet, deployment: &Deployment) -> Self {
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
        let deployment = deployment.clone();
        Self { deployment, base, variants: BTreeMap::new(), checked: BTreeMap::new() }
    }

    /// The values for a host, merged and checked once for all hosts with the same overrides.
    pub(super) fn variant(
        &mut self,
        fleet: &Fleet,
        host: &Host,
        parameters: Option<&jsonschema::Validator>,
    ) -> Arc<Variant> {
        let deployment = &self.deployment;
        let overrides = deployment.spec.overrides.iter();
        let applied: Vec<bool> = overrides.map(|o| o.selector.matches(&host.labels)).collect();
        let variant = self.variants.entry(applied).or_insert_with(|| {
            let mut values = merge::deployment_values(fleet, deployment);
            merge::apply_overrides(&mut values, deployment, host);
            let values = Value::Object(values);
            let problems =
                parameters.map_or_else(Vec::new, |p| schema::check(p, &values, deployment));
            Arc::new(Variant { values: tera::Value::from_serializable(&values), problems })
        });
        Arc::clone(variant)
    }

    pub(super) fn context(&self, variant: &Variant, host: tera::Value) -> Context {
        let mut context = self.base.clone();
        context.insert_value("values", variant.values.clone());
        context.insert_value("host", host);
        context
    }
}

/// The variable `host` for each host that was asked for.
#[derive(Default)]
pub(super) struct Hosts(BTreeMap<Name, (Host, tera::Value)>);

impl Hosts {
    pub(super) fn value(&mut self, host: &Host) -> tera::Value {
        if let Some((known, value)) = self.0.get(&host.name)
            && known == host
        {
            return value.clone();
        }
        let object = json!({"name": host.name, "labels": host.labels, "values": host.spec.values});
        let value = tera::Value::from_serializable(&object);
        self.0.insert(host.name.clone(), (host.clone(), value.clone()));
        value
    }
}
