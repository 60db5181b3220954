//! What hosts' routes have committed, by the same way as `POST /api/v1/changes`.

use sha2::{Digest as _, Sha256};
use warp::http::StatusCode;

use crate::api::changes::{Change, State, decide};
use crate::api::error::Refused;
use crate::api::{Context, caller};
use crate::change::wish::{Op, Wanted};
use crate::change::{Edit, Mode, Options, Request};
use crate::git::Signature;
use crate::model::{Name, ObjectRef, RequestId, Revision, Subject, Timestamp, hex};

/// The request for one edit of a host's file. `about` names what is asked for: the same is the same
/// request. A `subject` is judged by its role; hosts are by what they prove themselves with.
pub(super) fn request(
    about: &[&str],
    message: String,
    (actor, subject): (&str, Option<Subject>),
    (host, edit): (&Name, Edit),
) -> Request {
    let (id, digest) = id(about);
    let seconds = Timestamp::now().as_second();
    let author = Signature { seconds, offset: 0, ..caller::signature(actor) };
    let trailers = vec![
        ("Titan-Actor".to_owned(), actor.to_owned()),
        ("Titan-Via".to_owned(), "api".to_owned()),
    ];
    let committer = author.clone();
    let options = Options { author, committer, message, trailers, mode: Mode::Commit };
    let object = ObjectRef::Host(host.clone());
    let wanted = vec![Wanted { object, op: Op::Patch, edits: vec![edit] }];
    Request { id, digest, wanted, subject, options, branch: None }
}

/// The id of a request, and the digest of what it asks for.
pub(super) fn id(about: &[&str]) -> (RequestId, String) {
    let digest = hex::encode(&Sha256::digest(about.join("\n")));
    let id = format!("host-{digest}").parse().expect("because it is a word and digits");
    (id, format!("sha256:{digest}"))
}

/// Has it committed; the commit, or the head where nothing had to change.
///
/// # Errors
/// Among others 401 where what the host proves itself with is not good at the head.
pub(super) async fn commit(
    context: &Context,
    request: Request,
    actor: &str,
) -> Result<Revision, Refused> {
    let change = decide(context, request, actor).await?;
    match (change.state, change.commit, change.refusal) {
        (State::Committed | State::Unchanged, Some(commit), _) => Ok(commit),
        (_, _, Some(StatusCode::UNAUTHORIZED)) => Err(Refused::BadToken(
            "it was used or taken back; `titan host enroll` makes a new one".into(),
        )),
        (_, _, Some(StatusCode::NOT_FOUND)) => Err(Refused::NotFound),
        (_, _, Some(StatusCode::FORBIDDEN)) => {
            let reason = reason(change);
            let needs = reason.strip_prefix("this takes ").unwrap_or(&reason);
            Err(Refused::Forbidden(needs.to_owned()))
        }
        (State::Rejected, ..) => Err(Refused::Conflict(reason(change))),
        _ => Err(Refused::Busy),
    }
}

fn reason(change: Change) -> String {
    let found = change.diagnostics.first().map(|found| format!(": {}", found.message));
    change.reason.unwrap_or_default() + &found.unwrap_or_default()
}
