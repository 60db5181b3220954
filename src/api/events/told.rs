//! An event as it is sent: small, with a link to the rest. Its text is made once for all who hear of it.

use serde_json::{Value, json};

use super::super::objects;
use crate::model::ObjectRef;
use crate::observe::events::Event;

/// What may be asked for by `kinds=`.
pub(super) const KINDS: [&str; 6] =
    ["object", "change", "host", "assignment", "diagnostic", "revision"];

/// What somebody may hear of.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) event: Event,
    /// All of it but its id.
    pub(super) text: Box<str>,
}

impl Told {
    pub(super) fn of(event: Event) -> Self {
        let text = frame(kind(&event), &data(&event)).into();
        Self { event, text }
    }
}

/// An event's name and data, as lines.
pub(super) fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n")
}

/// One of [`KINDS`].
pub(super) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Object { .. } => "object",
        Event::Change { .. } => "change",
        Event::Host { .. } => "host",
        Event::Assignment { .. } => "assignment",
        Event::Diagnostic { .. } => "diagnostic",
        Event::Revision { .. } => "revision",
    }
}

fn data(event: &Event) -> Value {
    let mut data = match event {
        Event::Object { object, action, revision, .. } => json!({
            "action": action.as_str(),
            "kind": object.kind(),
            "workspace": object.workspace(),
            "name": object.full_name(),
            "revision": revision,
            "href": href(object),
        }),
        Event::Change { id, stage, commit, .. } => json!({
            "id": id,
            "stage": stage.as_str(),
            "commit": commit,
            "href": format!("/api/v1/changes/{id}"),
        }),
        Event::Host { host, action, connection, since } => json!({
            "action": action.as_str(),
            "host": host,
            "connection": connection,
            "since": since,
            "href": format!("/api/v1/hosts/{host}"),
        }),
        Event::Assignment { assignment, action, phase, reason, source, rendered } => {
            let (deployment, host) = (&assignment.deployment, &assignment.host);
            json!({
                "action": action.as_str(),
                "deployment": deployment,
                "host": host,
                "state": phase,
                "reason": reason,
                "source": source,
                "rendered": rendered,
                "href": format!("/api/v1/assignments?host={host}&deployment={deployment}"),
            })
        }
        Event::Diagnostic { action, diagnostic } => json!({
            "action": action.as_str(),
            "severity": diagnostic.severity,
            "code": diagnostic.code,
            "path": diagnostic.path,
            "line": diagnostic.span.map(|span| span.line),
            "message": diagnostic.message,
            "href": "/api/v1/diagnostics",
        }),
        Event::Revision { branch, revision } => {
            json!({"branch": branch.as_str(), "revision": revision})
        }
    };
    if let Value::Object(fields) = &mut data {
        fields.retain(|_, value| !value.is_null());
    }
    data
}

/// Where an object is read; the fleet's settings are nowhere.
fn href(object: &ObjectRef) -> Option<String> {
    let (plural, _) = objects::KINDS.into_iter().find(|(_, kind)| *kind == object.kind())?;
    Some(format!("/api/v1/{plural}/{}", object.full_name()))
}
