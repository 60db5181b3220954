//! One file → one object.
//!
//! ```text
//! size → encoding → YAML → kind → fields (JSON Schema) → labels, names, addresses → the type
//! ```
//! Each step reports all that it finds; a later step runs only where the earlier ones leave something to look at.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::{self, Finding};
use super::file::{Draft, Item};
use super::rules;
use super::schema;
use super::yaml::{self, Bounds, Problem};
use crate::model::{
    API_VERSION, Diagnostic, Host, Labels, Limits, Object, ObjectKind, ObjectRef, RepoPath, Span,
    Target, TargetSpec, Workload, Workspace,
};

/// Reads the object `id` from its file.
///
/// # Errors
/// Everything that is wrong with it; never empty.
pub(crate) fn read(
    id: &ObjectRef,
    path: &RepoPath,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Item, Vec<Diagnostic>> {
    if bytes.len() > limits.yaml_size.bytes() {
        return Err(too_large(path, bytes, limits));
    }
    let bounds = Bounds::new(limits);
    let text = yaml::decode(bytes).map_err(|problem| vec![problem.diagnostic(path, "")])?;
    let located = |problems: Vec<Problem>| {
        problems.into_iter().map(|problem| problem.diagnostic(path, text)).collect::<Vec<_>>()
    };
    let value = match yaml::read(text, bounds).map_err(located)? {
        Some(node) => node.into_value(),
        None => Value::Null,
    };
    object(id, path, value).map_err(|findings| locate_all(findings, path, text, bounds))
}

/// A file over the limit, and, where its beginning shows it, what else a smaller file would be refused for.
fn too_large(path: &RepoPath, bytes: &[u8], limits: &Limits) -> Vec<Diagnostic> {
    let message = format!("the file has {} bytes, more than {}", bytes.len(), limits.yaml_size);
    let too_large = Diagnostic::error("object/size", message).at(path).fix("split the object");
    let start = bytes.get(..limits.yaml_size.bytes()).unwrap_or(bytes);
    let text = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let blown = yaml::blown_bounds(text, Bounds::new(limits));
    let blown = blown.map(|problem| problem.diagnostic(path, text));
    std::iter::once(too_large).chain(blown).collect()
}

/// Findings about values → diagnostics at their places. The text is read a second time: places are
/// only kept where somebody asks for them.
fn locate_all(
    findings: Vec<Finding>,
    path: &RepoPath,
    text: &str,
    bounds: Bounds,
) -> Vec<Diagnostic> {
    let root = yaml::read(text, bounds).ok().flatten();
    let place = |finding: &Finding| -> Option<Span> {
        if finding.code == "object/empty" {
            return None;
        }
        let place = root.as_ref()?.find(&finding.pointer)?;
        Some(if finding.key { place.key.unwrap_or(place.value) } else { place.value })
    };
    let mut diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .take(yaml::PROBLEMS)
        .map(|finding| {
            let span = place(&finding);
            let mut diagnostic = Diagnostic::error(finding.code, finding.message).at(path);
            diagnostic.fix = finding.fix;
            match span {
                // Never show an address: it may hold a password.
                Some(span) if finding.code.starts_with("git/url") => {
                    Diagnostic { span: Some(span), ..diagnostic }
                }
                Some(span) => diagnostic.span(span, text),
                None => diagnostic,
            }
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    diagnostics.dedup();
    diagnostics
}

fn object(id: &ObjectRef, path: &RepoPath, value: Value) -> Result<Item, Vec<Finding>> {
    if value.is_null() {
        let finding = Finding::value("object/empty", "", "there is no object in this file");
        return Err(vec![finding.fix(format!("write a {}, or remove the file", id.kind()))]);
    }
    let wrong_kind = check_kind(id.kind(), &value);
    if !wrong_kind.is_empty() {
        return Err(wrong_kind);
    }
    let mut findings = check::check(schema::of(id.kind()), &value);
    rules::check(id, &value, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let path = path.clone();
    match id.clone() {
        ObjectRef::Fleet => typed(value, |_, spec| Item::Fleet(Arc::new(spec))),
        ObjectRef::Host(name) => {
            typed(value, |labels, spec| Item::Host(Arc::new(Host { name, path, labels, spec })))
        }
        ObjectRef::Workspace(name) => typed(value, |labels, spec| {
            Item::Workspace(Arc::new(Workspace { name, path: Some(path), labels, spec }))
        }),
        ObjectRef::Template(_) => typed(value, |_, spec| Item::Template(Arc::new(spec))),
        ObjectRef::Target(id) => typed(value, |labels, TargetSpec { selector }| {
            Item::Target(Arc::new(Target { id, path, labels, selector }))
        }),
        ObjectRef::Workload(id) => typed(value, |labels, spec| {
            Item::Workload(Arc::new(Workload { id, path, labels, spec }))
        }),
        ObjectRef::Deployment(_) => {
            typed(value, |labels, spec| Item::Deployment(Arc::new(Draft { labels, spec })))
        }
    }
}

/// An object of another kind is only told so: its fields cannot be judged.
fn check_kind(kind: ObjectKind, value: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut check = |field: &str, wanted: &str| {
        let Some(Value::String(found)) = value.get(field) else { return };
        if found != wanted {
            let message = format!("`{field}` must be `{wanted}` in this place");
            let finding = Finding::value("object/kind", &format!("/{field}"), message);
            findings.push(finding.fix(format!("write `{wanted}`, or move the file")));
        }
    };
    check("apiVersion", API_VERSION);
    check("kind", kind.as_str());
    findings
}

fn typed<S: DeserializeOwned>(
    value: Value,
    item: impl FnOnce(Labels, S) -> Item,
) -> Result<Item, Vec<Finding>> {
    match serde_json::from_value::<Object<S>>(value) {
        Ok(object) => Ok(item(object.metadata.labels, object.spec)),
        // `1.0` is whole to JSON Schema and not to the types; sizes can overflow.
        Err(error) => {
            let message = format!("a value of `spec` cannot be used: {error}");
            let finding = Finding::value("field/range", "/spec", message);
            Err(vec![finding.fix("write whole numbers without a fraction")])
        }
    }
}
