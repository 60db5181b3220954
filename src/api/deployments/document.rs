//! The two routes in the OpenAPI document.

use serde_json::{Map, Value, json};

use super::LONGEST_WAIT;

const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const ID: &str = "^[0-9a-f]{40}$";

pub(in super::super) fn paths() -> Map<String, Value> {
    let all = json!({"get": {
        "operationId": "getHostDeployments",
        "summary": "What a host is to run: everything, or what changed since a rendered revision",
        "description": "For the host's own token. Without `since`, or where that is unknown or too long ago, everything is told, and `full` is true.",
        "parameters": [
            name("host"),
            {
                "name": "since", "in": "query",
                "description": "The rendered revision that the host knows",
                "schema": {"type": "string", "pattern": ID},
            },
            {
                "name": "wait", "in": "query",
                "description": "Seconds to wait for something else than `If-None-Match` (or `since`) names",
                "schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0},
            },
        ],
        "responses": responses("HostDeployments", &[400, 409]),
    }});
    let names = ["host", "workspace", "workload", "deployment"].map(name);
    let one = json!({"get": {
        "operationId": "getHostDeployment",
        "summary": "The files of one assignment of a host",
        "parameters": names,
        "responses": responses("HostDeployment", &[409]),
    }});
    let path = "/api/v1/hosts/{host}/deployments";
    Map::from_iter([
        (path.to_owned(), all),
        (format!("{path}/{{workspace}}/{{workload}}/{{deployment}}"), one),
    ])
}

fn name(of: &str) -> Value {
    let schema = json!({"type": "string", "pattern": NAME});
    json!({"name": of, "in": "path", "required": true, "schema": schema})
}

fn content(schema: &str) -> Value {
    let reference = format!("#/components/schemas/{schema}");
    json!({"application/json": {"schema": {"$ref": reference}}})
}

fn responses(schema: &str, others: &[u16]) -> Value {
    let refused = |status: u16| {
        let description = match status {
            400 => "The query makes no sense",
            401 => "A valid bearer token is needed",
            403 => "The token is that of another host",
            404 => "There is no such host or assignment",
            409 => "Somebody else than titan wrote to the host's folder",
            429 => "The host has not taken the answers before this one",
            _ => "Not yet, or not now; try again later",
        };
        (status.to_string(), json!({"description": description, "content": content("Error")}))
    };
    let mut all: Map<String, Value> =
        [401, 403, 404, 429, 503].iter().chain(others).map(|status| refused(*status)).collect();
    let mut good = json!({"description": "As it is", "content": content(schema)});
    if others.contains(&400) {
        let tag = json!({"ETag": {"description": "The tree id", "schema": {"type": "string"}}});
        good["headers"] = tag.clone();
        let same = "It is what `If-None-Match` names; `titan-rendered` says at which revision";
        all.insert("304".into(), json!({"description": same, "headers": tag}));
    }
    all.insert("200".into(), good);
    Value::Object(all)
}

pub(in super::super) fn schemas() -> Map<String, Value> {
    let id = json!({"type": "string", "pattern": ID});
    let text = json!({"type": "string"});
    let list = |of: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{of}")}});
    let all = json!({
        "type": "object",
        "required": ["host", "rendered", "generation", "tree", "full", "deployments"],
        "properties": {
            "host": text, "rendered": id, "tree": id,
            "generation": {"type": "integer", "minimum": 0},
            "full": {"description": "`deployments` are all", "type": "boolean"},
            "deployments": list("HostDeployment"),
            "removed": {"type": "array", "items": text},
            "nested": {"type": "object", "additionalProperties": id},
        },
    });
    let one = json!({
        "type": "object", "required": ["deployment", "tree"],
        "properties": {
            "deployment": text, "tree": id,
            "files": list("HostFile"),
            "problem": {
                "type": "object", "required": ["reason", "message"],
                "properties": {"reason": text, "message": text},
            },
        },
    });
    let file = json!({
        "type": "object", "required": ["path"],
        "properties": {
            "path": text, "content": text,
            "base64": {"type": "string", "contentEncoding": "base64"},
        },
    });
    let named = [("HostDeployments", all), ("HostDeployment", one), ("HostFile", file)];
    named.map(|(name, schema)| (name.to_owned(), schema)).into_iter().collect()
}
