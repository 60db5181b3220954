//! A request comes in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use warp::http::{HeaderMap, StatusCode};
use warp::{Buf, Stream};

use super::book::{Book, Seen};
use super::{Change, State, follow};
use crate::api::Context;
use crate::api::body;
use crate::api::error::{Refused, Reply};
use crate::change::wish::{self, Wanted, Wish};
use crate::change::{Mode, Options, Request, own_branch};
use crate::git::{Signature, valid_branch_name};
use crate::model::{RequestId, RequestStatus, Timestamp};

/// How long an answer waits to hear what becomes of a request, unless it was asked to wait until then:
/// as a rule it is decided by then, and who sent it learns at once what is wrong with it.
const SOON: Duration = Duration::from_secs(1);

/// How long an answer waits for the forge to open a pull request.
const FORGE: Duration = Duration::from_secs(5);

pub(super) async fn post<B: Buf>(
    context: &Arc<Context>,
    headers: &HeaderMap,
    query: &str,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Reply, Refused> {
    let snapshot = context.snapshot();
    let limits = &snapshot.limits;
    let length = body::check_length(headers, limits.http_body.0)?;
    let wait = wait(query)?;
    if !snapshot.ready {
        return Err(Refused::Busy);
    }
    let caller = context.caller(headers).await?;
    let id = request_id(headers)?;
    let time = limits.http_body_time.duration();
    let bytes = body::read_in(time, body, length).await?;
    let wish = parse(&bytes)?;
    let branch = branch(&id, &wish)?;
    let wanted = wish.understand().map_err(|error| Refused::BadRequest(error.to_string()))?;
    for one in &wanted {
        caller.may(&snapshot.fleet, one)?;
    }
    let digest = digest(&wish, &caller.actor());
    let mut decided = match context.changes.book.enter(&id, &digest, &caller.actor()) {
        Seen::Before(decided) => {
            let change = decided.borrow().clone();
            context.changes.proposals.again(&context.changes.book, &change);
            decided
        }
        Seen::Other => return Err(Refused::Conflict(OTHER.into())),
        Seen::Never(decided) => {
            let request = Request { branch, ..request(&id, digest, &wish, wanted, &caller) };
            // Also when who asks hangs up meanwhile.
            let noted = Noted { book: &context.changes.book, id: &id };
            take_up(context, request, headers.contains_key(KEY)).await?;
            std::mem::forget(noted);
            decided
        }
    };
    answer(&mut decided, wait, time).await
}

/// A request that is noted, and forgotten again unless it is sent on its way.
struct Noted<'a> {
    book: &'a Book,
    id: &'a RequestId,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.book.forget(self.id);
    }
}

/// Sends a new request on its way, unless it was refused before. Under an id that is titan's own there
/// was none.
async fn take_up(context: &Arc<Context>, request: Request, given: bool) -> Result<(), Refused> {
    let before = if given { refused(context, &request.id).await? } else { None };
    match before {
        Some(before) if before.digest == request.digest => {
            context.changes.book.decide(before.into());
        }
        Some(_) => return Err(Refused::Conflict(OTHER.into())),
        None if context.changes.send(request) => {}
        None => {
            tracing::warn!("the queue of changes is full");
            return Err(Refused::Busy);
        }
    }
    Ok(())
}

/// What was written down under this id: some controller refused it, perhaps long ago.
async fn refused(context: &Arc<Context>, id: &RequestId) -> Result<Option<RequestStatus>, Refused> {
    let (git, id) = (context.needs.repository.repository.clone(), id.clone());
    let branch = context.snapshot().fleet.settings.branches.status.clone();
    let found = spawn_blocking(move || follow::refused(&git, git.branch(&branch)?, &id)).await;
    found.map_err(|_| Refused::Busy)?.map_err(|error| {
        tracing::warn!(%error, "the status branch cannot be read");
        Refused::Busy
    })
}

/// The header with the id of a request.
const KEY: &str = "idempotency-key";

const OTHER: &str = "another request with this `Idempotency-Key` was sent before";

/// What is answered: what became of the request, as far as it may be waited for.
async fn answer(
    decided: &mut watch::Receiver<Change>,
    wait: Wait,
    time: Duration,
) -> Result<Reply, Refused> {
    let time = if wait == Wait::Committed { time } else { SOON };
    // Late, or at the end of this process: it is told as far as it has come.
    let told = timeout(time, decided.wait_for(|change| change.state != State::Accepted));
    if told.await.is_ok_and(|told| told.is_err()) {
        // It was not taken after all.
        return Err(Refused::Busy);
    }
    let _ = timeout(FORGE, decided.wait_for(|change| !change.opening)).await;
    let change = decided.borrow().clone();
    Ok(match wait {
        // Whoever asks to wait for something durable must not take this for it.
        Wait::Committed if change.state == State::Accepted => {
            change.reply(StatusCode::GATEWAY_TIMEOUT)
        }
        Wait::Committed => change.reply(StatusCode::OK),
        Wait::No => change.reply(StatusCode::ACCEPTED),
    })
}

/// How long the caller wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    No,
    /// Until it is in history and on disk.
    Committed,
}

fn wait(query: &str) -> Result<Wait, Refused> {
    match query {
        "" => Ok(Wait::No),
        "wait=committed" => Ok(Wait::Committed),
        _ => Err(Refused::BadRequest("the only parameter here is `wait=committed`".into())),
    }
}

fn request_id(headers: &HeaderMap) -> Result<RequestId, Refused> {
    let Some(given) = headers.get(KEY) else {
        return crate::change::new_id().ok_or(Refused::Busy);
    };
    let id = given.to_str().ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| {
        let error = crate::model::RequestIdError;
        Refused::BadRequest(format!("`Idempotency-Key`: {error}"))
    })
}

/// The branch of its own, if the change is to have one.
fn branch(id: &RequestId, wish: &Wish) -> Result<Option<String>, Refused> {
    let branch = (wish.mode == wish::Mode::PullRequest).then(|| own_branch(id));
    match branch {
        Some(branch) if !valid_branch_name(&branch) => Err(Refused::BadRequest(
            "`Idempotency-Key`: no branch can have this name; use letters, digits, `-` and `_`"
                .into(),
        )),
        branch => Ok(branch),
    }
}

fn parse(bytes: &[u8]) -> Result<Wish, Refused> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // What serde says of data names fields and types; what it says of syntax may repeat the input.
        let what = match error.classify() {
            serde_json::error::Category::Data => error.to_string().chars().take(200).collect(),
            _ => format!("it is not JSON, or too deep: line {line}, column {column}"),
        };
        Refused::BadRequest(format!("the body is not a change: {what}"))
    })
}

/// The same whatever the order of fields and the white space; another for each who asks, so that nobody
/// gets an answer to what somebody else asked.
fn digest(wish: &Wish, actor: &str) -> String {
    let value: Value = serde_json::to_value((actor, wish)).expect("because it came from JSON");
    let digest = Sha256::digest(value.to_string());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn request(
    id: &RequestId,
    digest: String,
    wish: &Wish,
    wanted: Vec<Wanted>,
    caller: &crate::api::Caller,
) -> Request {
    let seconds = Timestamp::now().as_second();
    let author = Signature { seconds, offset: 0, ..caller.signature() };
    let trailers = vec![
        ("Titan-Actor".to_owned(), caller.actor()),
        ("Titan-Via".to_owned(), "api".to_owned()),
    ];
    let message = wish.message(&wanted);
    let committer = author.clone();
    let options = Options { author, committer, message, trailers, mode: Mode::Commit };
    let subject = Some(caller.subject.clone());
    Request { id: id.clone(), digest, wanted, subject, options, branch: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_wishes_have_one_digest() {
        let wish = |text: &str| parse(text.as_bytes()).expect("a change");
        let of = |text: &str| digest(&wish(text), "anna");
        let one = r#"{"changes":[{"op":"delete","kind":"Host","name":"a"}]}"#;
        let two =
            r#" {"changes": [ {"name":"a", "kind":"Host", "op":"delete"} ], "mode":"commit"}"#;
        assert_eq!(of(one), of(two));
        assert_ne!(of(one), of(&one.replace("\"a\"", "\"b\"")));
        assert_ne!(of(one), digest(&wish(one), "ben"), "what others asked is not told");
    }
}
