//! An answer on its way to its client, which may take its time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use warp::http::Response;
use warp::hyper::body::{Body, Bytes, Frame, SizeHint};

use super::turns::Turn;

/// So much is handed over at a time: what comes after that waits for the client.
const PIECE: usize = 64 << 10;

/// The turn of an answer, as an extension of it: it ends when the client has taken the answer but for some
/// pieces, or is gone.
#[derive(Debug, Clone)]
pub(super) struct Held(#[expect(dead_code, reason = "it is only dropped")] Arc<Turn>);

impl From<Turn> for Held {
    fn from(turn: Turn) -> Self {
        Self(Arc::new(turn))
    }
}

/// A body that is handed over piece by piece.
#[derive(Debug)]
pub(super) struct Sending<B> {
    body: B,
    /// Of the last frame.
    rest: Bytes,
    _turn: Option<Held>,
}

/// Makes an answer keep its turn.
pub(super) fn send<B>(response: Response<B>) -> Response<Sending<B>> {
    let (mut head, body) = response.into_parts();
    let turn = head.extensions.remove::<Held>();
    Response::from_parts(head, Sending { body, rest: Bytes::new(), _turn: turn })
}

impl<B: Body<Data = Bytes> + Unpin> Body for Sending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let size = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
