//! A body that holds a value until the body is sent, for example a permit or the pace of a connection.
//!
//! It also cuts its content into small frames. A connection takes a frame when its client reads, so the end of the
//! body is near the time when the client has it, not the time when it was made.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Most bytes of a frame.
pub(crate) const FRAME_BYTES: usize = 64 << 10;

/// A body, and the value that is dropped with it.
#[derive(Debug)]
pub(crate) struct Carried<G> {
    body: Body,
    /// The rest of the frame that is being cut.
    rest: Bytes,
    _until_end: G,
}

impl<G> Carried<G> {
    pub(crate) fn new(body: Body, until_end: G) -> Self {
        Self { body, rest: Bytes::new(), _until_end: until_end }
    }

    fn cut(&mut self) -> Frame<Bytes> {
        let most = self.rest.len().min(FRAME_BYTES);
        Frame::data(self.rest.split_to(most))
    }
}

impl<G: Unpin> HttpBody for Carried<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.cut())));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    self.rest = bytes;
                    Poll::Ready(Some(Ok(self.cut())))
                }
                Err(trailers) => Poll::Ready(Some(Ok(trailers))),
            },
            other => Poll::Ready(other),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_long_body_comes_in_small_frames_and_keeps_its_length() {
        let bytes: Vec<u8> = (0..FRAME_BYTES * 2 + 5).map(|n| (n % 251) as u8).collect();
        let body = Carried::new(Body::from(bytes.clone()), ());
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut frames = Body::new(body).into_data_stream();
        let mut lengths = Vec::new();
        let mut got = Vec::new();
        while let Some(frame) = frames.next().await {
            let frame = frame.unwrap();
            lengths.push(frame.len());
            got.extend_from_slice(&frame);
        }
        assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, 5]);
        assert_eq!(got, bytes);
    }

    #[tokio::test]
    async fn what_is_held_ends_with_the_body() {
        let held = Arc::new(());
        let body = Carried::new(Body::from("abc"), Arc::clone(&held));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(Carried::new(Body::empty(), held).is_end_stream());
    }
}
