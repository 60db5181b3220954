//! `POST /api/v1/hosts/<host>/enrollments`: somebody who may change hosts lets one enroll.

use std::sync::Arc;

use serde_json::json;
use warp::http::{HeaderMap, StatusCode};
use warp::{Filter, Rejection};

use super::desk;
use crate::api::error::{Refused, Reply, json_reply};
use crate::api::{Context, body, error};
use crate::change::host_key;
use crate::change::wish::{Op, Wanted};
use crate::model::{Name, ObjectRef, Timestamp};
use crate::proof::secret;

pub(super) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Reply,), Error = Rejection> + Clone {
    warp::path!("api" / "v1" / "hosts" / Name / "enrollments")
        .and(error::post(error::TAKE))
        .and(warp::header::headers_cloned())
        .then(move |host: Name, headers: HeaderMap| {
            let context = Arc::clone(&context);
            async move {
                open(&context, &host, &headers).await.unwrap_or_else(|refused| refused.reply())
            }
        })
}

/// Nothing is asked for in the body: what comes is not read.
async fn open(context: &Context, host: &Name, headers: &HeaderMap) -> Result<Reply, Refused> {
    let snapshot = context.snapshot();
    body::check_length(headers, snapshot.limits.http_body.0)?;
    if !snapshot.ready {
        return Err(Refused::Busy);
    }
    let caller = context.caller(headers).await?;
    let token = secret::make().ok_or(Refused::Busy)?;
    let expires = host_key::expires(Timestamp::now());
    let digest = secret::digest(&token);
    let edit = host_key::enroll(host, &digest, expires);
    let object = ObjectRef::Host(host.clone());
    let wanted = Wanted { object, op: Op::Patch, edits: vec![edit.clone()] };
    caller.may(&snapshot.fleet, &wanted)?;
    let (message, actor) = (format!("let host {host} enroll"), caller.actor());
    let subject = Some(caller.subject.clone());
    let request =
        desk::request(&[host.as_str(), &digest], message, (&actor, subject), (host, edit));
    let commit = desk::commit(context, request, &actor).await?;
    let answer = json!({"host": host, "token": token, "expires": expires, "commit": commit});
    Ok(json_reply(StatusCode::OK, &answer))
}
