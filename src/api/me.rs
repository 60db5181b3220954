//! `GET /api/v1/me`: who asks, as titan knows them, and what they may do where. `GET /api/v1/identity`:
//! where people log in, for who has no token yet.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use warp::http::{HeaderMap, StatusCode};
use warp::{Filter, Rejection};

use super::Context;
use super::error::{Refused, Reply, json_reply};
use super::openapi::responses;
use crate::model::access::{is_admin, role_in};
use crate::model::identity::IssuerKind;
use crate::model::{Fleet, Subject};

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    let asked = Arc::clone(&context);
    let identity = warp::path!("api" / "v1" / "identity")
        .and(super::error::get(super::error::READ))
        .map(move || json_reply(StatusCode::OK, &offers(&asked.snapshot().fleet)));
    let me = warp::path!("api" / "v1" / "me")
        .and(super::error::get(super::error::READ))
        .and(warp::header::headers_cloned())
        .then(move |headers: HeaderMap| {
            let context = Arc::clone(&context);
            async move { me(&context, &headers).await.unwrap_or_else(|refused| refused.reply()) }
        });
    identity.or(me).unify()
}

/// What `titan login` needs to know: none of it is a secret.
fn offers(fleet: &Fleet) -> Value {
    let people = fleet.settings.identity.iter().filter(|of| of.kind == IssuerKind::People);
    let offers = people.map(|of| {
        json!({
            "name": of.name,
            "issuer": of.issuer,
            "clientId": of.client_id,
            "audience": of.audience,
            "scopes": of.scopes,
        })
    });
    json!({"issuers": offers.collect::<Vec<_>>()})
}

/// Both routes, for the OpenAPI document.
pub(super) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    paths.insert(
        "/api/v1/me".into(),
        json!({"get": {
            "operationId": "getMe",
            "summary": "Who the caller is, and what they may do where",
            "parameters": [],
            "responses": responses("Me", &[401, 403, 503]),
        }}),
    );
    paths.insert(
        "/api/v1/identity".into(),
        json!({"get": {
            "operationId": "getIdentity",
            "summary": "Where people log in",
            "security": [],
            "parameters": [],
            "responses": {"200": {
                "description": "The issuers whose people are known",
                "content": {"application/json": {"schema": {
                    "type": "object", "required": ["issuers"],
                    "properties": {"issuers": {"type": "array", "items": {"type": "object"}}},
                }}},
            }},
        }}),
    );
    paths
}

async fn me(context: &Context, headers: &HeaderMap) -> Result<Reply, Refused> {
    let subject = context.caller(headers).await?.subject;
    let fleet = &context.snapshot().fleet;
    Ok(json_reply(StatusCode::OK, &told(fleet, &subject)))
}

fn told(fleet: &Fleet, subject: &Subject) -> Value {
    let (kind, groups) = match subject {
        Subject::Person(person) => ("person", json!(person.groups)),
        Subject::Ci(_) => ("ci", json!([])),
        Subject::Host(_) => ("host", json!([])),
        Subject::Local => ("development", json!([])),
        Subject::Anonymous => ("anonymous", json!([])),
    };
    let roles = fleet.workspaces.keys().filter_map(|workspace| {
        let role = role_in(fleet, subject, workspace)?;
        Some((workspace.to_string(), json!(role)))
    });
    json!({
        "subject": subject.to_string(),
        "kind": kind,
        "groups": groups,
        "admin": is_admin(fleet, subject),
        "workspaces": roles.collect::<Map<_, _>>(),
    })
}
