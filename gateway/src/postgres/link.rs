//! The bytes of a connection: whole messages in, buffered messages out, and whether the client is still there.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dunlin_manifest::env::Env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failure::{Failure, state};
use super::out::Out;
use crate::door::Wire;

/// Bytes that wait before they are sent.
const FLUSH: usize = 64 << 10;
/// Bytes that are read at a time, and ahead of what is worked on.
const READ: usize = 16 << 10;
const AHEAD: usize = 64 << 10;
/// Longest time for the end of a connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longest message that is read and thrown away, so that its client can be told why.
const MOST_DISCARDED: usize = 64 << 20;

/// Why a connection ends, or a statement.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client has left, or reads nothing.
    Gone,
    /// The client is told why.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<crate::query::error::CoreError> for Stop {
    fn from(error: crate::query::error::CoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// A connection.
pub(super) struct Link {
    wire: Box<dyn Wire>,
    inbound: BytesMut,
    pub(super) out: Out,
    env: Env,
    /// Longest time from the first byte of a message to its last.
    patience: Duration,
    /// Longest message.
    most: usize,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(wire: Box<dyn Wire>, env: Env, patience: Duration, most: usize) -> Self {
        let (inbound, out) = (BytesMut::new(), Out::default());
        Self { wire, inbound, out, env, patience, most }
    }

    /// What carries the connection, if the client has sent nothing that was not asked for yet.
    pub(super) fn into_wire(self) -> Option<Box<dyn Wire>> {
        self.inbound.is_empty().then_some(self.wire)
    }

    /// From now on, messages may be so long.
    pub(super) fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// The body of the first message, which has no tag.
    pub(super) async fn first(&mut self) -> Result<Bytes, Stop> {
        self.fill(4).await?;
        let length = self.length(0)?;
        if length > self.most {
            return Err(Failure::protocol("the first message is too long").into());
        }
        self.fill(length).await?;
        let mut message = self.inbound.split_to(length).freeze();
        Ok(message.split_off(4))
    }

    /// The next message: its tag and its body. Waits as long as the client says nothing, and not long for the rest of
    /// what it has begun. The body of a message that is too long is why it is refused.
    pub(super) async fn message(&mut self) -> Result<(u8, Result<Bytes, Failure>), Stop> {
        self.fill(1).await?;
        let (env, patience) = (self.env.clone(), self.patience);
        tokio::select! {
            message = self.rest() => message,
            () = env.clock.sleep(patience) => {
                Err(Failure::protocol("a message did not arrive in time").into())
            }
        }
    }

    async fn rest(&mut self) -> Result<(u8, Result<Bytes, Failure>), Stop> {
        self.fill(5).await?;
        let tag = self.inbound[0];
        let whole = self.length(1)?.saturating_add(1);
        if whole > self.most {
            let refused = self.discard(whole).await?;
            return if refused.fatal { Err(refused.into()) } else { Ok((tag, Err(refused))) };
        }
        self.fill(whole).await?;
        let mut message = self.inbound.split_to(whole).freeze();
        Ok((tag, Ok(message.split_off(5))))
    }

    /// Reads and throws away a message that is too long. Returns what its client is told.
    async fn discard(&mut self, whole: usize) -> Result<Failure, Stop> {
        let most = self.most;
        let text = format!("a message has {whole} bytes, at most {most} are allowed");
        if whole > MOST_DISCARDED {
            return Ok(Failure::fatal(state::PROTOCOL, text));
        }
        let mut left = whole;
        loop {
            let taken = left.min(self.inbound.len());
            drop(self.inbound.split_to(taken));
            left -= taken;
            if left == 0 {
                return Ok(Failure::error(state::TOO_LARGE, text)
                    .hint("Put long lists and large values into a table."));
            }
            self.fill(1).await?;
        }
    }

    /// A length that stands at a place, and counts itself.
    fn length(&self, at: usize) -> Result<usize, Failure> {
        let bytes: [u8; 4] = self.inbound[at..at + 4].try_into().unwrap_or_default();
        let length = usize::try_from(i32::from_be_bytes(bytes)).ok().filter(|length| *length >= 4);
        length.ok_or_else(|| Failure::protocol("a message has a length that it cannot have"))
    }

    /// Reads until so many bytes wait.
    async fn fill(&mut self, count: usize) -> Result<(), Stop> {
        while self.inbound.len() < count {
            self.inbound.reserve(READ);
            if self.wire.read_buf(&mut self.inbound).await? == 0 {
                return Err(Stop::Gone);
            }
        }
        Ok(())
    }

    /// Resolves when the client has left. Reads ahead a little of what it sends meanwhile.
    pub(super) async fn left(&mut self) {
        while self.inbound.len() < AHEAD {
            self.inbound.reserve(READ);
            match self.wire.read_buf(&mut self.inbound).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Sends what waits, if it is much.
    pub(super) async fn pace(&mut self) -> Result<(), Stop> {
        if self.out.bytes.len() >= FLUSH { self.flush().await } else { Ok(()) }
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        if !self.out.bytes.is_empty() {
            self.wire.write_all(&self.out.bytes).await?;
            self.out.bytes.clear();
            // One large value must not keep its memory for the rest of the connection.
            if self.out.bytes.capacity() > 16 * FLUSH {
                self.out.bytes = BytesMut::new();
            }
        }
        self.wire.flush().await?;
        Ok(())
    }

    /// Sends one byte that is no message.
    pub(super) async fn say(&mut self, byte: u8) -> Result<(), Stop> {
        self.wire.write_all(&[byte]).await?;
        self.wire.flush().await?;
        Ok(())
    }

    /// Closes the connection after all was sent. What the client still sends is read for a moment: otherwise the system
    /// takes back what the client has not read yet, and it does not learn why the connection ends.
    pub(super) async fn close(&mut self) {
        let env = self.env.clone();
        let farewell = async {
            self.wire.shutdown().await?;
            self.inbound.clear();
            while self.wire.read_buf(&mut self.inbound).await? > 0 {
                self.inbound.clear();
            }
            io::Result::Ok(())
        };
        tokio::select! {
            _ = farewell => {}
            () = env.clock.sleep(FAREWELL) => {}
        }
    }
}
