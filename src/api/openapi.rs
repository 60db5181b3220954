//! The API as an OpenAPI 3.1 document: `GET /api/v1/openapi.json`, and `schemas/openapi.json`.

use serde_json::{Map, Value, json};

use crate::change::wish;

/// The document (<https://spec.openapis.org/oas/v3.1.0>).
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "titan",
            "version": "v1",
            "description": "Places workloads on fleets of hosts. Whatever is changed here becomes a commit of the config branch.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of the identity provider (`titan login`), of a CI job, or of a host",
            }},
            "schemas": schemas(),
            "headers": {"ETag": {
                "description": "What was read; `If-None-Match` with it gives 304 until that moves",
                "schema": {"type": "string"},
            }},
        },
    })
}

/// The same for a controller that lets everybody do everything.
pub(super) fn without_security() -> Value {
    let mut document = document();
    document["security"] = json!([]);
    document
}

fn paths() -> Value {
    let mut paths = Map::new();
    paths.insert(
        "/api/v1/changes".into(),
        json!({
            "post": post_change(),
            "get": {
                "operationId": "listChanges",
                "summary": "The requests that are in history, newest first",
                "parameters": [
                    query("continue", "`metadata.continue` of the page before", "^([0-9a-f]{40})?$"),
                limit(),
                ],
                "responses": responses("List", &[400, 401, 403, 404, 503]),
            },
        }),
    );
    paths.insert("/api/v1/changes/{id}".into(), json!({"get": get_change()}));
    for kind in ["hosts", "workspaces", "templates", "targets", "workloads", "deployments"] {
        paths.insert(format!("/api/v1/{kind}"), json!({"get": list(kind)}));
    }
    paths.insert("/api/v1/assignments".into(), json!({"get": list("assignments")}));
    paths.insert(
        "/api/v1/diagnostics".into(),
        json!({"get": {
            "operationId": "getDiagnostics",
            "summary": "What is wrong with the fleet, and what is held back for it",
            "parameters": [],
            "responses": responses("Diagnostics", &[400, 401, 403, 404, 503]),
        }}),
    );
    paths.insert(
        "/api/v1/plan".into(),
        json!({"get": {
            "operationId": "getPlan",
            "summary": "What `head` does where `base` is now, as `titan plan --output json`",
            "parameters": [
                required(example(query("base", "A branch, or a commit's id", BRANCH), "main")),
                required(example(query("head", "The same", BRANCH), "main")),
            ],
            "responses": responses("Object", &[400, 401, 404, 503]),
        }}),
    );
    for (kind, parts) in [
        ("hosts", &["host"][..]),
        ("workspaces", &["workspace"]),
        ("workloads", &["workspace", "workload"]),
        ("targets", &["workspace", "target"]),
        ("deployments", &["workspace", "workload", "deployment"]),
    ] {
        let path: String = parts.iter().map(|part| format!("/{{{part}}}")).collect();
        paths.insert(format!("/api/v1/{kind}{path}"), json!({"get": one(kind, parts)}));
    }
    paths.extend(super::deployments::paths());
    paths.extend(super::events::paths());
    paths.extend(super::hosts::paths());
    paths.extend(super::me::paths());
    paths.extend(super::operations::paths());
    paths.extend(super::webhooks::paths());
    Value::Object(paths)
}

fn post_change() -> Value {
    json!({
        "operationId": "postChange",
        "summary": "Change objects: one commit, or nothing",
        "parameters": [
            {
                "name": "Idempotency-Key", "in": "header",
                "description": "The request's id; the same id and content give the first answer",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
            },
            {
                "name": "wait", "in": "query",
                "description": "Answer when the commit is in history and on disk",
                "schema": {"type": "string", "enum": ["committed"]},
            },
        ],
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}},
        },
        "responses": change_responses(),
    })
}

fn get_change() -> Value {
    json!({
        "operationId": "getChange",
        "summary": "How far a request has come",
        "parameters": [parameter("id", "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")],
        "responses": responses("Change", &[401, 403, 404, 503]),
    })
}

fn list(kind: &str) -> Value {
    let mut parameters = vec![
        selector_parameter(),
        query("workspace", "Only what is of this workspace", NAME),
        query("continue", "`metadata.continue` of the page before", CONTINUE),
        query("revision", "A past revision: 40 hexadecimal digits", REVISION),
    ];
    parameters.push(limit());
    if kind == "assignments" {
        parameters.push(query("host", "Only those on this host", NAME));
        parameters.push(query(
            "deployment",
            "Only those of `workspace/workload/name`",
            &deployment(),
        ));
    }
    json!({
        "operationId": format!("list{}", capital(kind)),
        "summary": format!("List {kind}"),
        "parameters": parameters,
        "responses": responses("List", &[304, 400, 401, 403, 404, 503]),
    })
}

fn required(mut parameter: Value) -> Value {
    parameter["required"] = true.into();
    parameter
}

fn example(mut parameter: Value, example: &str) -> Value {
    parameter["example"] = json!(example);
    parameter
}

fn limit() -> Value {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": 10_000, "default": 500});
    json!({"name": "limit", "in": "query", "description": "Items of a page", "schema": schema})
}

fn one(kind: &str, parts: &[&str]) -> Value {
    let parameters: Vec<Value> = parts.iter().map(|part| parameter(part, NAME)).collect();
    json!({
        "operationId": format!("get{}", capital(kind.trim_end_matches('s'))),
        "summary": format!("One of the {kind}"),
        "parameters": parameters,
        "responses": responses("Object", &[304, 400, 401, 403, 404, 503]),
    })
}

/// Names of labels and their values, as Kubernetes allows them.
const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?";
const CONTINUE: &str = "^[!-~]{0,300}$";
const REVISION: &str = "^[0-9a-f]{40}$";
const BRANCH: &str = "^[A-Za-z0-9][A-Za-z0-9/_-]{0,100}$";

pub(super) fn selector_parameter() -> Value {
    query("selector", "Labels, as `kubectl` writes them: `region=eu,ring!=canary`", &selector())
}

/// The pattern of label selectors.
fn selector() -> String {
    let part = "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?";
    let key = format!("({part}(\\.{part}){{0,5}}/)?{LABEL}");
    let term =
        format!("(!?{key}|{key}(=|==|!=)({LABEL})?|{key} (in|notin) \\(({LABEL})(,{LABEL})*\\))");
    format!("^({term}(,{term})*)?$")
}

/// The pattern of a deployment's full name.
pub(super) fn deployment() -> String {
    let name = NAME.trim_start_matches('^').trim_end_matches('$');
    format!("^{name}/{name}/{name}$")
}

pub(super) const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

fn parameter(name: &str, pattern: &str) -> Value {
    let parameter = json!({
        "name": name, "in": "path", "required": true,
        "schema": {"type": "string", "pattern": pattern},
    });
    match EXAMPLES.iter().find(|(of, _)| *of == name) {
        Some((_, known)) => example(parameter, known),
        None => parameter,
    }
}

/// Names for readers, and for testers that try what is shown: a fleet that has them answers.
const EXAMPLES: [(&str, &str); 5] = [
    ("host", "tim-pi"),
    ("workspace", "default"),
    ("workload", "temperature-sensor"),
    ("target", "tim-pi"),
    ("deployment", "prod"),
];

pub(super) fn query(name: &str, description: &str, pattern: &str) -> Value {
    let schema = json!({"type": "string", "pattern": pattern});
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The usual answers of a route, and what goes wrong.
pub(super) fn responses(schema: &str, others: &[u16]) -> Value {
    let mut all = Map::new();
    all.insert(
        "200".into(),
        json!({
            "description": "As it is",
            "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
            "content": content(schema),
        }),
    );
    for status in others {
        all.insert(status.to_string(), refusal(*status));
    }
    Value::Object(all)
}

fn change_responses() -> Value {
    let mut all = Map::new();
    for (status, description) in [
        (200, "Committed, durably; or nothing had to change"),
        (202, "Accepted; `href` tells how it goes on"),
        (404, "What is to be changed does not exist, or is nothing of the caller's"),
        (409, "The id stands for another request, or an object is there already"),
        (422, "It would break the fleet: see `diagnostics`"),
        (503, "Not now; the same request may be sent again"),
        (504, "Not committed yet; `href` tells how it goes on"),
    ] {
        let content = json!({"application/json": {"schema": {"anyOf": [
            {"$ref": "#/components/schemas/Change"}, {"$ref": "#/components/schemas/Error"},
        ]}}});
        all.insert(status.to_string(), json!({"description": description, "content": content}));
    }
    for status in [400, 401, 403, 408, 411, 413] {
        all.insert(status.to_string(), refusal(status));
    }
    Value::Object(all)
}

pub(super) fn refusal(status: u16) -> Value {
    let description = match status {
        304 => return json!({"description": "Nothing has moved since"}),
        400 => "It makes no sense",
        401 => "A valid bearer token is needed",
        403 => "Not allowed",
        404 => "There is no such thing, or it is nothing of the caller's",
        408 => "The body came too slowly",
        411 => "The request needs a `Content-Length`",
        413 => "The body is too large",
        _ => "Not now; try again later",
    };
    json!({"description": description, "content": content("Error")})
}

fn content(schema: &str) -> Value {
    let reference = format!("#/components/schemas/{schema}");
    json!({"application/json": {"schema": {"$ref": reference}}})
}

fn schemas() -> Value {
    let mut all = Map::new();
    let mut wish = wish::schema();
    let definitions = wish.as_object_mut().and_then(|wish| {
        wish.remove("$schema");
        wish.remove("$defs")
    });
    if let Some(Value::Object(definitions)) = definitions {
        all.extend(definitions.into_iter().map(|(name, schema)| (name, moved(schema))));
    }
    all.insert("Wish".into(), moved(wish));
    all.extend(super::deployments::schemas());
    all.insert(
        "Error".into(),
        json!({
            "type": "object", "required": ["error"],
            "properties": {"error": {"type": "string"}},
        }),
    );
    all.insert("Change".into(), json!({
        "type": "object", "required": ["id", "state", "href"],
        "properties": {
            "id": {"type": "string"},
            "state": {"enum": [
                "Accepted", "Committed", "Proposed", "Unchanged", "Rendered", "Deployed",
                "Rejected", "Failed",
            ]},
            "commit": {"type": "string"}, "branch": {"type": "string"},
            "pullRequest": {"type": "string", "format": "uri"},
            "rendered": {"type": "string"}, "reason": {"type": "string"},
            "diagnostics": {"type": "array", "items": {"$ref": "#/components/schemas/Diagnostic"}},
            "href": {"type": "string"},
        },
    }));
    all.insert(
        "Diagnostic".into(),
        json!({
            "type": "object", "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }),
    );
    all.insert(
        "Object".into(),
        json!({
            "type": "object", "required": ["apiVersion", "kind"],
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}},
        }),
    );
    all.insert(
        "List".into(),
        json!({
            "type": "object", "required": ["apiVersion", "kind", "metadata", "items"],
            "properties": {
                "metadata": {"type": "object"},
                "items": {"type": "array", "items": {"type": "object"}},
            },
        }),
    );
    all.insert("Me".into(), me());
    all.insert(
        "Diagnostics".into(),
        json!({
            "type": "object", "required": ["items", "held"],
            "properties": {
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Diagnostic"}},
                "held": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }),
    );
    Value::Object(all)
}

/// Who somebody is.
fn me() -> Value {
    json!({
        "type": "object", "required": ["subject", "kind", "groups", "admin", "workspaces"],
        "properties": {
            "subject": {"type": "string"},
            "kind": {"enum": ["person", "ci", "development"]},
            "groups": {"type": "array", "items": {"type": "string"}},
            "admin": {"type": "boolean"},
            "workspaces": {
                "type": "object",
                "additionalProperties": {"enum": ["viewer", "deployer", "editor", "owner"]},
            },
        },
    })
}

/// A schema whose definitions lie among the document's.
fn moved(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| match value {
                    Value::String(text) if key == "$ref" => {
                        (key, Value::String(text.replace("#/$defs/", "#/components/schemas/")))
                    }
                    value => (key, moved(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(moved).collect()),
        value => value,
    }
}
