//! Bodies, read within their limits: what is too large is refused before anything of it is read.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use warp::http::{HeaderMap, header};
use warp::{Buf, Stream};

use super::error::Refused;

/// The length that the body will have, if that is at most `limit` bytes.
pub(super) fn check_length(headers: &HeaderMap, limit: u64) -> Result<u64, Refused> {
    // Chunks tell no length in advance; without either header there is no body (RFC 9112, 6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refused::LengthRequired);
    }
    let length = match headers.get(header::CONTENT_LENGTH) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
        None => Some(0),
    };
    let length: u64 = length.ok_or_else(|| Refused::BadRequest("bad `Content-Length`".into()))?;
    if length > limit { Err(Refused::TooLarge { limit }) } else { Ok(length) }
}

/// The body, which has `length` bytes and must be there in `time`.
pub(super) async fn read_in<B: Buf>(
    time: Duration,
    body: impl Stream<Item = Result<B, warp::Error>>,
    length: u64,
) -> Result<Vec<u8>, Refused> {
    let late = |_| Refused::BodyTimeout(time.as_secs());
    timeout(time, read(body, length)).await.map_err(late)?
}

async fn read<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    length: u64,
) -> Result<Vec<u8>, Refused> {
    let mut body = pin!(body);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(part) = poll_fn(|context| body.as_mut().poll_next(context)).await {
        let mut part = part.map_err(|_| Refused::BadRequest("the body broke off".into()))?;
        if bytes.len() as u64 + part.remaining() as u64 > length {
            return Err(Refused::TooLarge { limit: length });
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            bytes.extend_from_slice(chunk);
            let count = chunk.len();
            part.advance(count);
        }
    }
    Ok(bytes)
}
