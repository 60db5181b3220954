//! The route in the API's document.

use serde_json::{Map, Value, json};

use super::super::openapi;
use super::told::KINDS;

/// See the module.
pub(in super::super) fn paths() -> Map<String, Value> {
    let operation = json!({
        "operationId": "getEvents",
        "summary": "What happens in the fleet, as server-sent events",
        "parameters": parameters(),
        "responses": responses(),
    });
    Map::from_iter([("/api/v1/events".to_owned(), json!({"get": operation}))])
}

fn parameters() -> Value {
    let kinds = KINDS.join("|");
    json!([
        {
            "name": "Last-Event-ID", "in": "header",
            "description": "The last id that came: what happened since is told, or `reset`",
            "schema": {"type": "string"},
        },
        openapi::query("kinds", "Only events of these names", &format!("^({kinds})(,({kinds}))*$")),
        openapi::selector_parameter(),
        openapi::query("workspace", "Only what is of this workspace", openapi::NAME),
        openapi::query("host", "Only what is of this host", openapi::NAME),
        openapi::query(
            "deployment",
            "Only what is of `workspace/workload/name`",
            &openapi::deployment(),
        ),
    ])
}

fn responses() -> Value {
    const EVENTS: &str = "Events, until one of both sides ends it: `hello` (where it begins), `object`, \
        `change`, `host`, `assignment`, `diagnostic`, `revision`; `reset`: list again; `end`: why no more come";
    let mut responses = Map::new();
    let content = json!({"text/event-stream": {"schema": event()}});
    responses.insert("200".into(), json!({"description": EVENTS, "content": content}));
    for status in [400, 401, 403, 503] {
        responses.insert(status.to_string(), openapi::refusal(status));
    }
    Value::Object(responses)
}

/// Each event, by its fields.
fn event() -> Value {
    let own = ["hello", "reset", "end"];
    let names: Vec<&str> = own.into_iter().chain(KINDS).collect();
    json!({
        "type": "object", "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "For `Last-Event-ID`"},
            "event": {"enum": names},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"type": "object"},
            },
        },
    })
}
