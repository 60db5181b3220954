//! The routes for keys in the OpenAPI document.

use serde_json::{Map, Value, json};

use crate::api::openapi::refusal;

const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const KEY: &str = "^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}$";

pub(in crate::api) fn paths() -> Map<String, Value> {
    let key = json!({"post": {
        "operationId": "postHostKey",
        "summary": "A host registers its public key, or replaces the one that it has",
        "description": "With a token to enroll, which counts once, or with a token that the host signed with its key. The same again has the same answer.",
        "parameters": [host()],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object", "required": ["key"], "additionalProperties": false,
            "properties": {"key": {
                "description": "An Ed25519 public key as OpenSSH writes it, without a comment",
                "type": "string", "pattern": KEY,
            }},
        }}}},
        "responses": responses(
            &["host", "fingerprint", "commit"],
            json!({"fingerprint": text(), "commit": {"type": ["string", "null"]}}),
            &[400, 401, 403, 404, 408, 409, 411, 413, 503],
        ),
    }});
    let enrollments = json!({"post": {
        "operationId": "postHostEnrollment",
        "summary": "Let a host enroll: a token for `key`, shown once, good for ten minutes",
        "parameters": [host()],
        "responses": responses(
            &["host", "token", "expires", "commit"],
            json!({
                "token": text(), "commit": text(),
                "expires": {"type": "string", "format": "date-time"},
            }),
            &[400, 401, 403, 404, 409, 411, 413, 503],
        ),
    }});
    Map::from_iter([
        ("/api/v1/hosts/{host}/key".to_owned(), key),
        ("/api/v1/hosts/{host}/enrollments".to_owned(), enrollments),
    ])
}

fn host() -> Value {
    let schema = json!({"type": "string", "pattern": NAME});
    json!({"name": "host", "in": "path", "required": true, "schema": schema})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn responses(required: &[&str], mut properties: Value, others: &[u16]) -> Value {
    properties["host"] = text();
    let schema = json!({"type": "object", "required": required, "properties": properties});
    let good = json!({"description": "It is in history", "content": {"application/json": {"schema": schema}}});
    let refused = |status: &u16| match status {
        409 => {
            let mut refused = refusal(400);
            refused["description"] = "The host's file cannot be changed so".into();
            ("409".to_owned(), refused)
        }
        status => (status.to_string(), refusal(*status)),
    };
    let mut all: Map<String, Value> = others.iter().map(refused).collect();
    all.insert("200".into(), good);
    Value::Object(all)
}
