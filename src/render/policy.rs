//! Documents of a manifest: whether they are Kubernetes objects, and such as the workspace may have.

use serde_json::{Map, Value};

use super::check::{Finding, Rules, broken};

/// Looks at one document, and at the items of a list as at documents of their own: whatever applies a
/// list takes it apart (client-go knows one by its `items`, whatever its kind is called).
pub(super) fn document(value: &Value, rules: Rules<'_>, findings: &mut Vec<Finding>) {
    let Value::Object(object) = value else {
        if rules.kubernetes && !value.is_null() {
            findings.push(not_an_object("the document is not a map"));
        }
        return;
    };
    let items = object.get("items").and_then(Value::as_array);
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let is_object = object.contains_key("apiVersion") && object.contains_key("kind");
    if is_object || rules.kubernetes {
        for item in items.into_iter().flatten() {
            document(item, rules, findings);
        }
    }
    if items.is_some() && kind.ends_with("List") {
        return;
    }
    if rules.kubernetes {
        well_formed(object, findings);
    }
    if rules.kubernetes || is_object {
        allowed(object, kind, rules, findings);
        secret(object, kind, findings);
    }
}

fn not_an_object(what: &str) -> Finding {
    Finding {
        fix: Some("the host's runtime takes Kubernetes objects only".to_owned()),
        ..broken(format!("not a Kubernetes object: {what}"), None)
    }
}

/// Whether the fields by which Kubernetes knows an object are there.
fn well_formed(object: &Map<String, Value>, findings: &mut Vec<Finding>) {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        None | Some(Value::Null | Value::String(_)) => Err("is missing"),
        Some(_) => Err("is not a string (quote it)"),
    };
    let api_version = object.get("apiVersion");
    let metadata = object.get("metadata");
    let mut fields = vec![("apiVersion", api_version), ("kind", object.get("kind"))];
    // A kustomization is read by kustomize and never reaches the cluster: it needs no name.
    let group = api_version.and_then(Value::as_str).and_then(|version| version.split('/').next());
    if group != Some("kustomize.config.k8s.io") {
        fields.push(("metadata.name", metadata.and_then(|metadata| metadata.get("name"))));
    }
    for (field, value) in fields {
        if let Err(problem) = text(value) {
            findings.push(not_an_object(&format!("`{field}` {problem}")));
        }
    }
    let namespace = metadata.and_then(|metadata| metadata.get("namespace"));
    if namespace.is_some_and(|namespace| !namespace.is_string() && !namespace.is_null()) {
        findings.push(not_an_object("`metadata.namespace` is not a string (quote it)"));
    }
}

/// Kind and namespace against the workspace's policy.
fn allowed(object: &Map<String, Value>, kind: &str, rules: Rules<'_>, findings: &mut Vec<Finding>) {
    let Some(policy) = rules.policy else { return };
    let mut refuse = |code, message: String, fix: String| {
        findings.push(Finding { code, message, fix: Some(fix), line: None });
    };
    if let Some(kinds) = &policy.kinds
        && !kinds.iter().any(|allowed| allowed == kind)
    {
        refuse(
            "policy/kind",
            format!("the workspace may not have a `{}`", kind.escape_default()),
            format!("it may have {}", listed(kinds)),
        );
    }
    if let Some(namespaces) = &policy.namespaces {
        let namespace = object.get("metadata").and_then(|metadata| metadata.get("namespace"));
        let name = namespace.and_then(Value::as_str);
        let what = match name {
            Some(name) if namespaces.iter().any(|allowed| allowed == name) => return,
            Some(name) => format!("be in namespace `{}`", name.escape_default()),
            None => "be without a namespace".to_owned(),
        };
        refuse(
            "policy/namespace",
            format!("a `{}` of this workspace may not {what}", kind.escape_default()),
            format!("set `metadata.namespace` to {}", listed(namespaces)),
        );
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Git keeps what it is given for good: a secret in it must be encrypted.
fn secret(object: &Map<String, Value>, kind: &str, findings: &mut Vec<Finding>) {
    if kind != "Secret" {
        return;
    }
    let mac = object.get("sops").and_then(|sops| sops.get("mac")).and_then(Value::as_str);
    let encrypted = mac.is_some_and(|mac| mac.starts_with("ENC["));
    for field in ["data", "stringData"] {
        if object.get(field).is_some_and(|data| is_plain(data, encrypted)) {
            findings.push(Finding {
                code: "policy/secret",
                message: format!("a Secret's `{field}` is not encrypted"),
                fix: Some("encrypt it with SOPS, or refer to an external secret".to_owned()),
                line: None,
            });
        }
    }
}

/// Whether anything readable is in it. `sops` beside plain data encrypts nothing.
fn is_plain(data: &Value, encrypted: bool) -> bool {
    match data {
        Value::Null => false,
        Value::Object(map) => map.values().any(|value| is_plain(value, encrypted)),
        Value::Array(list) => list.iter().any(|value| is_plain(value, encrypted)),
        Value::String(text) => !(text.is_empty() || encrypted && text.starts_with("ENC[")),
        Value::Bool(_) | Value::Number(_) => true,
    }
}
