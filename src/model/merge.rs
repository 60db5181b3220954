//! How values are merged.

use serde_json::Value;

use super::{Fleet, Host, Values, fleet::Deployment};

/// Lays `over` on `base`: maps merge, everything else (lists too) replaces. `null` is a value.
pub fn merge(base: &mut Values, over: &Values) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

/// The values of a deployment, without its overrides:
/// template defaults < workspace < workload < deployment.
#[must_use]
pub fn deployment_values(fleet: &Fleet, deployment: &Deployment) -> Values {
    let mut values = fleet.template_of(deployment).defaults.clone();
    merge(&mut values, &fleet.workspace_of(deployment).spec.values);
    merge(&mut values, &fleet.workload_of(deployment).spec.values);
    merge(&mut values, &deployment.spec.values);
    values
}

/// Lays the overrides that select `host` on `values`, in order.
pub fn apply_overrides(values: &mut Values, deployment: &Deployment, host: &Host) {
    for over in &deployment.spec.overrides {
        if over.selector.matches(&host.labels) {
            merge(values, &over.values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        let check = |base: Value, over: Value, expected: Value| {
            let (Value::Object(mut base), Value::Object(over)) = (base, over) else {
                panic!("both are maps")
            };
            merge(&mut base, &over);
            assert_eq!(Value::Object(base), expected);
        };
        check(
            json!({"a": {"x": 1, "y": 2}}),
            json!({"a": {"y": 3}}),
            json!({"a": {"x": 1, "y": 3}}),
        );
        check(json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]}));
        check(
            json!({"a": 1, "b": "x", "c": true}),
            json!({"a": 0, "b": "", "c": false}),
            json!({"a": 0, "b": "", "c": false}),
        );
        check(json!({"a": {"x": 1}}), json!({"a": null}), json!({"a": null}));
        check(json!({"a": 1}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}}));
    }
}
