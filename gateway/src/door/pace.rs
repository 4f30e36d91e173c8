//! A connection with time limits, so that it does not wait for slow clients.
//!
//! ```text
//!            first byte        head is whole          answer is out
//!   Opened ───────┐   Headers ──────────────> Busy ─────────────────> Idle
//!     └───────────┴───────^  (headers)         │                       │ (idle)
//!                                              └ writes: (stall)        └─ first byte ─> Headers
//! ```
//!
//! [`Paced`] wraps the TCP stream itself, below TLS, so that it measures what crosses the network. The service above
//! tells it through the shared [`Pace`] when a request has arrived and when its answer is sent.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dunlin_manifest::env::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::DoorLimits;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No byte of a request has arrived on this connection yet.
    Opened,
    /// The headers of a request are arriving.
    Headers,
    /// A request is being processed.
    Busy,
    /// The answer is sent, and no other request has arrived.
    Idle,
    /// The headers took too long.
    TooSlow,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Opened, Self::Headers, Self::Busy, Self::Idle, Self::TooSlow];
}

/// The state that a connection and the service on it share.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU8);

impl Pace {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(Phase::Opened as u8)))
    }

    pub(crate) fn phase(&self) -> Phase {
        let number = usize::from(self.0.load(Ordering::Acquire));
        Phase::ALL.get(number).copied().unwrap_or(Phase::Busy)
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}

/// A stream with time limits.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    clock: Arc<dyn Clock>,
    headers: Duration,
    idle: Duration,
    stall: Duration,
    /// Timer for reading, and the phase that it was set for.
    reading: Option<(Phase, BoxFuture<'static, ()>)>,
    /// Timer for writing: how long the client takes no bytes.
    writing: Option<BoxFuture<'static, ()>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(
        stream: S,
        pace: Arc<Pace>,
        clock: Arc<dyn Clock>,
        limits: &DoorLimits,
    ) -> Self {
        Self {
            stream,
            pace,
            clock,
            headers: limits.headers,
            idle: limits.idle,
            stall: limits.answer_stall,
            reading: None,
            writing: None,
        }
    }

    /// The stream has nothing to read. Checks whether this has lasted too long.
    fn poll_reading(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.pace.phase();
        // Bytes that arrive do not extend the time for the headers.
        let limit = match phase {
            Phase::Opened | Phase::Headers => self.headers,
            Phase::Idle => self.idle,
            Phase::Busy | Phase::TooSlow => {
                self.reading = None;
                return Poll::Pending;
            }
        };
        let same = |set: Phase| set == phase || (set == Phase::Opened && phase == Phase::Headers);
        if self.reading.as_ref().is_none_or(|(set, _)| !same(*set)) {
            self.reading = Some((phase, self.clock.sleep(limit)));
        }
        if let Some((_, sleep)) = &mut self.reading {
            ready!(sleep.poll_unpin(cx));
        }
        self.reading = None;
        if phase == Phase::Headers {
            self.pace.set(Phase::TooSlow);
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        // The same result as when the client closes the connection.
        Poll::Ready(Ok(()))
    }

    /// Returns the result of a write. Ends a write that makes no progress.
    fn poll_writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let sleep = self.writing.get_or_insert_with(|| self.clock.sleep(self.stall));
        ready!(sleep.poll_unpin(cx));
        self.writing = None;
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let came = buffer.filled().len() > before;
                if came && matches!(this.pace.phase(), Phase::Opened | Phase::Idle) {
                    if this.pace.phase() == Phase::Idle {
                        this.reading = None;
                    }
                    this.pace.set(Phase::Headers);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_reading(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_writing(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.poll_writing(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        if outcome.is_pending() { self.poll_writing(cx, outcome) } else { outcome }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.poll_writing(cx, outcome)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_manifest::env::Env;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(3_600);

    /// One end of a stream with a buffer of 16 bytes and time limits, and the other end.
    fn paced(limits: DoorLimits) -> (Arc<Pace>, Paced<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let pace = Pace::new();
        let clock = Env::system().clock;
        (Arc::clone(&pace), Paced::new(ours, pace, clock, &limits), theirs)
    }

    fn limits() -> DoorLimits {
        DoorLimits { headers: NEVER, idle: NEVER, answer_stall: NEVER, ..DoorLimits::default() }
    }

    #[tokio::test]
    async fn a_write_that_makes_no_progress_ends_and_a_slow_one_does_not() {
        let (_, mut ours, mut theirs) = paced(DoorLimits { answer_stall: SOON * 4, ..limits() });
        let reading = tokio::spawn(async move {
            let mut part = [0u8; 16];
            for _ in 0..8 {
                tokio::time::sleep(SOON).await;
                theirs.read_exact(&mut part).await.unwrap();
            }
            theirs
        });
        // Longer in all than the limit.
        ours.write_all(&[7; 128]).await.unwrap();
        let theirs = reading.await.unwrap();
        let error = ours.write_all(&[7; 128]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn headers_have_their_time_from_the_first_byte_on_and_more_bytes_give_no_more() {
        let (pace, mut ours, mut theirs) = paced(DoorLimits { headers: SOON, ..limits() });
        pace.set(Phase::Idle);
        let writing = tokio::spawn(async move {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SOON / 10).await;
            }
        });
        let mut bytes = Vec::new();
        let error = ours.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!((error.kind(), pace.phase()), (ErrorKind::TimedOut, Phase::TooSlow));
        assert!(!bytes.is_empty());
        drop(ours);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn who_says_nothing_is_let_go_and_a_request_in_hand_is_not() {
        for phase in [Phase::Opened, Phase::Idle] {
            let (pace, mut ours, _theirs) =
                paced(DoorLimits { headers: SOON, idle: SOON, ..limits() });
            pace.set(phase);
            assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
        }
        let (pace, mut ours, mut theirs) =
            paced(DoorLimits { headers: SOON, idle: SOON, ..limits() });
        pace.set(Phase::Busy);
        let read = tokio::time::timeout(SOON * 4, ours.read_u8()).await;
        assert!(read.is_err(), "still waits");
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
    }
}
