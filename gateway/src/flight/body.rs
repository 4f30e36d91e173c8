//! The bodies of a call: what a client sends is bounded in bytes and time, and what it is sent tells its connection when the
//! client does not read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::error::FlightError;
use super::life::Call;

/// Most bytes of all messages of one call. A statement and its parameters fit.
pub(super) const MOST_SENT: u64 = 8 << 20;

/// What a client sends.
pub(super) struct Bounded<B> {
    body: B,
    left: u64,
    time: BoxFuture<'static, ()>,
}

impl<B> Bounded<B> {
    /// The body, which has until `time` to arrive.
    pub(super) fn new(body: B, time: BoxFuture<'static, ()>) -> Self {
        Self { body, left: MOST_SENT, time }
    }
}

impl<B> HttpBody for Bounded<B>
where
    B: HttpBody<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.time.poll_unpin(cx));
            let slow =
                FlightError::Slow("the request did not arrive in time; send it without pauses");
            return Poll::Ready(Some(Err(slow.into())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                match this.left.checked_sub(bytes) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => {
                        let text = format!("the messages of a call have at most {MOST_SENT} bytes");
                        Some(Err(FlightError::TooLarge(text).into()))
                    }
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a request broke off");
                Some(Err(FlightError::invalid("the request cannot be read to its end").into()))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client is sent, and what is held until it is.
pub(super) struct Held<G> {
    body: Body,
    call: Arc<Call>,
    _until_end: G,
}

impl<G> Held<G> {
    pub(super) fn new(body: Body, call: Arc<Call>, until_end: G) -> Self {
        Self { body, call, _until_end: until_end }
    }
}

impl<G: Unpin> HttpBody for Held<G> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // The connection takes the next frame when the client has room for it.
        self.call.works();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.call.gave();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
