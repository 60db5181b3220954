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
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    show_in(time, body, length, |part| bytes.extend_from_slice(part)).await?;
    Ok(bytes)
}

/// Shows the body part by part and keeps nothing of it.
pub(super) async fn show_in<B: Buf>(
    time: Duration,
    body: impl Stream<Item = Result<B, warp::Error>>,
    length: u64,
    show: impl FnMut(&[u8]),
) -> Result<(), Refused> {
    let late = |_| Refused::BodyTimeout(time.as_secs());
    timeout(time, show_all(body, length, show)).await.map_err(late)?
}

async fn show_all<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    length: u64,
    mut show: impl FnMut(&[u8]),
) -> Result<(), Refused> {
    let (mut body, mut left) = (pin!(body), length);
    while let Some(part) = poll_fn(|context| body.as_mut().poll_next(context)).await {
        let mut part = part.map_err(|_| Refused::BadRequest("the body broke off".into()))?;
        let size = part.remaining() as u64;
        left = left.checked_sub(size).ok_or(Refused::TooLarge { limit: length })?;
        while part.has_remaining() {
            let chunk = part.chunk();
            show(chunk);
            let count = chunk.len();
            part.advance(count);
        }
    }
    Ok(())
}
