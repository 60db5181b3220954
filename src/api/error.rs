//! Refusals, as clients see them.

use serde_json::json;
use warp::http::{Method, Response, StatusCode, header};
use warp::hyper::body::Bytes;
use warp::{Filter, Rejection};

/// An answer: whole, or one that goes on.
pub(super) type Reply = warp::reply::Response;

/// Why a request is refused; each has one status code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    BadRequest(String),
    #[error("a bearer token is needed")]
    NoToken,
    #[error("the token is not valid for this host")]
    WrongToken,
    #[error("the token is not valid: {0}")]
    BadToken(String),
    #[error("the signature or token of the webhook is missing or wrong")]
    Unproven,
    #[error("a host speaks only for itself")]
    ForeignHost,
    #[error("the token is valid, but names nobody that this fleet knows")]
    Nobody,
    #[error("this takes {0}")]
    Forbidden(String),
    #[error("requests from other origins are refused")]
    ForeignOrigin,
    #[error("the identity provider cannot be reached; try again later")]
    Unreachable,
    #[error("no such thing")]
    NotFound,
    #[error("this method is not allowed here, {0} is")]
    Method(&'static str),
    #[error("the body did not arrive within {0} s")]
    BodyTimeout(u64),
    #[error("sequence {got} is not higher than {seen}")]
    OldSequence { got: u64, seen: u64 },
    #[error("{0}")]
    Conflict(String),
    #[error("the request needs a `Content-Length`")]
    LengthRequired,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("more than {limit} {what}")]
    TooOften { what: &'static str, limit: u32, retry_after: u64 },
    #[error("titan is busy; try again later")]
    Busy,
    /// What is asked for comes before long.
    #[error("{0}")]
    NotYet(&'static str),
}

impl warp::reject::Reject for Refused {}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoToken | Self::WrongToken | Self::BadToken(_) | Self::Unproven => {
                StatusCode::UNAUTHORIZED
            }
            Self::ForeignHost | Self::Nobody | Self::Forbidden(_) | Self::ForeignOrigin => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::OldSequence { .. } | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::NotYet(_) | Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One word for it, as a label of metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad-request",
            Self::NoToken => "no-token",
            Self::WrongToken => "wrong-token",
            Self::Unproven => "unproven",
            Self::BadToken(_) => "bad-token",
            Self::Nobody => "nobody",
            Self::Forbidden(_) => "forbidden",
            Self::ForeignOrigin => "foreign-origin",
            Self::Unreachable => "unreachable",
            Self::ForeignHost => "foreign-host",
            Self::NotFound => "not-found",
            Self::Method(_) => "method",
            Self::BodyTimeout(_) => "body-timeout",
            Self::OldSequence { .. } => "old-sequence",
            Self::Conflict(_) => "conflict",
            Self::NotYet(_) => "not-yet",
            Self::LengthRequired => "length-required",
            Self::TooLarge { .. } => "too-large",
            Self::TooOften { .. } => "too-often",
            Self::Busy => "busy",
        }
    }

    /// The answer: a JSON object with `error`, and the headers that go with the status.
    pub(super) fn reply(&self) -> Reply {
        let mut body = json!({ "error": self.to_string() });
        let mut builder = Response::builder().status(self.status());
        match self {
            Self::NoToken | Self::WrongToken => {
                builder = builder.header(header::WWW_AUTHENTICATE, "Bearer");
            }
            Self::BadToken(_) => {
                let challenge = "Bearer error=\"invalid_token\"";
                builder = builder.header(header::WWW_AUTHENTICATE, challenge);
            }
            Self::OldSequence { seen, .. } => body["seen"] = json!(seen),
            Self::Method(allowed) => builder = builder.header(header::ALLOW, *allowed),
            Self::TooOften { retry_after, .. } => {
                builder = builder.header(header::RETRY_AFTER, *retry_after);
            }
            Self::Busy | Self::Unreachable => builder = builder.header(header::RETRY_AFTER, 1),
            Self::NotYet(_) => builder = builder.header(header::RETRY_AFTER, 5),
            // The rest of the body is not read: the connection cannot be used again.
            Self::TooLarge { .. } | Self::LengthRequired | Self::BodyTimeout(_) => {
                builder = builder.header(header::CONNECTION, "close");
            }
            _ => {}
        }
        finish(builder, json(&body).into())
    }
}

/// The methods of a path that can only be read.
pub(super) const READ: &str = "GET, HEAD";
/// The method of a path that only takes something.
pub(super) const TAKE: &str = "POST";
/// The methods of a path that can be read, and takes something.
pub(super) const BOTH: &str = "GET, HEAD, POST";

/// Lets `GET` and `HEAD` through; others learn what the path allows (RFC 9110, 15.5.6).
pub(super) fn get(allowed: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    only(|method| matches!(*method, Method::GET | Method::HEAD), allowed)
}

/// The same for `POST`.
pub(super) fn post(allowed: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    only(|method| *method == Method::POST, allowed)
}

fn only(
    fits: fn(&Method) -> bool,
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    let check = move |method: Method| {
        let refused = || warp::reject::custom(Refused::Method(allowed));
        std::future::ready(if fits(&method) { Ok(()) } else { Err(refused()) })
    };
    warp::method().and_then(check).untuple_one()
}

/// An answer of JSON.
pub(super) fn json_reply(status: StatusCode, body: &impl serde::Serialize) -> Reply {
    finish(Response::builder().status(status), json(body).into())
}

/// The same, which holds something until its client has taken all of it, or is gone.
pub(super) fn json_reply_holding<T: Send + 'static>(
    status: StatusCode,
    body: &impl serde::Serialize,
    held: T,
) -> Reply {
    let bytes = Bytes::from_owner(Holding { json: json(body), _held: held });
    finish(Response::builder().status(status), bytes)
}

/// Whoever has a part of the bytes has all of this.
struct Holding<T> {
    json: Vec<u8>,
    _held: T,
}

impl<T> AsRef<[u8]> for Holding<T> {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

fn json(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("answers hold nothing that JSON lacks")
}

fn finish(builder: warp::http::response::Builder, json: Bytes) -> Reply {
    let builder = builder.header(header::CONTENT_TYPE, "application/json");
    builder.body(json.into()).expect("fixed headers make a response")
}

/// Answers what no route took.
pub(super) async fn recover(rejection: Rejection) -> Result<Reply, std::convert::Infallible> {
    if let Some(refused) = rejection.find::<Refused>() {
        return Ok(refused.reply());
    }
    Ok(Refused::NotFound.reply())
}
