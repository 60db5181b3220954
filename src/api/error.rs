//! Refusals, as clients see them.

use serde_json::json;
use warp::Rejection;
use warp::http::{Response, StatusCode, header};

/// A whole answer.
pub(super) type Reply = Response<warp::hyper::body::Bytes>;

/// Why a request is refused; each has one status code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    BadRequest(String),
    #[error("a bearer token is needed")]
    NoToken,
    #[error("the token is not valid for this host")]
    WrongToken,
    #[error("a host speaks only for itself")]
    ForeignHost,
    #[error("no such thing")]
    NotFound,
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
    #[error("more than {limit} reports a minute")]
    TooOften { limit: u32, retry_after: u64 },
    #[error("titan is busy; try again later")]
    Busy,
}

impl warp::reject::Reject for Refused {}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::OldSequence { .. } | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::OldSequence { seen, .. } => body["seen"] = json!(seen),
            Self::TooOften { retry_after, .. } => {
                builder = builder.header(header::RETRY_AFTER, *retry_after);
            }
            Self::Busy => builder = builder.header(header::RETRY_AFTER, 1),
            // The rest of the body is not read: the connection cannot be used again.
            Self::TooLarge { .. } | Self::LengthRequired | Self::BodyTimeout(_) => {
                builder = builder.header(header::CONNECTION, "close");
            }
            _ => {}
        }
        finish(builder, &body)
    }
}

/// An answer of JSON.
pub(super) fn json_reply(status: StatusCode, body: &impl serde::Serialize) -> Reply {
    finish(Response::builder().status(status), body)
}

fn finish(builder: warp::http::response::Builder, body: &impl serde::Serialize) -> Reply {
    let bytes = serde_json::to_vec(body).expect("answers hold nothing that JSON lacks");
    let builder = builder.header(header::CONTENT_TYPE, "application/json");
    builder.body(bytes.into()).expect("fixed headers make a response")
}

/// Answers what no route took.
pub(super) async fn recover(rejection: Rejection) -> Result<Reply, std::convert::Infallible> {
    if let Some(refused) = rejection.find::<Refused>() {
        return Ok(refused.reply());
    }
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let body = json!({ "error": "this method is not allowed here" });
        return Ok(json_reply(StatusCode::METHOD_NOT_ALLOWED, &body));
    }
    Ok(Refused::NotFound.reply())
}
