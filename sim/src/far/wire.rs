//! A wire that tears: a TCP proxy in front of an S3 server, which cuts connections, answers late, and refuses.
//!
//! ```text
//!   client ──request──> slow? refused (503)? cut before the server has it?
//!                           └──> server ──answer──> cut before the client has it? cut in the middle?
//! ```
//! It knows nothing of HTTP but where a request begins, so it breaks what an HTTP proxy repairs: connections that are used
//! again, heads that come in pieces, answers that end early. What is broken is drawn from a seed, but connections come in
//! no order that repeats.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::clock::mixed;

/// How often what happens, in percent of the requests, or of the pieces of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tears {
    /// Requests that wait before they go on.
    pub slow: u64,
    /// The longest such wait.
    pub longest: Duration,
    /// Requests that are answered 503.
    pub refused: u64,
    /// Requests that the server never gets.
    pub cut_before: u64,
    /// Answers that the client never gets, or not whole.
    pub cut_after: u64,
}

/// How often what has happened.
#[derive(Debug, Default)]
pub struct Torn {
    /// Requests that came.
    pub requests: AtomicU64,
    /// See [`Tears`].
    pub slow: AtomicU64,
    /// See [`Tears`].
    pub refused: AtomicU64,
    /// See [`Tears`].
    pub cut_before: AtomicU64,
    /// See [`Tears`].
    pub cut_after: AtomicU64,
}

/// A running proxy; it ends with its runtime.
#[derive(Clone, Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    tears: Mutex<Tears>,
    torn: Torn,
    dice: Mutex<u64>,
}

/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;

const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

impl Wire {
    /// Listens on loopback for what goes to `upstream` (`http://host:port`).
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(upstream: &str, seed: u64, tears: Tears) -> std::io::Result<Self> {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (tears, dice) = (Mutex::new(tears), Mutex::new(seed));
        let shared = Arc::new(Shared { upstream, tears, torn: Torn::default(), dice });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                tokio::spawn(async move { shared.pass(client).await });
            }
        });
        Ok(Self { shared, address })
    }

    /// Where clients reach the server over the wire.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has happened so far.
    #[must_use]
    pub fn torn(&self) -> &Torn {
        &self.shared.torn
    }

    /// From now on nothing is torn.
    pub fn mend(&self) {
        *self.shared.tears.lock() = Tears::default();
    }
}

/// The connection is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Shared {
    fn below(&self, bound: u64) -> u64 {
        let mut dice = self.dice.lock();
        *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(*dice) % bound.max(1)
    }

    /// True in so many of a hundred cases, which are counted.
    fn is(&self, percent: impl Fn(&Tears) -> u64, count: &AtomicU64) -> bool {
        let percent = percent(&self.tears.lock());
        let is = self.below(100) < percent;
        count.fetch_add(u64::from(is), Ordering::Relaxed);
        is
    }

    async fn pass(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.upstream).await else { return };
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        // Both directions end together: what is dropped is closed.
        let to_client = tokio::sync::Mutex::new(to_client);
        tokio::select! {
            _ = self.up(from_client, to_server, &to_client) => {}
            _ = self.down(from_server, &to_client) => {}
        }
    }

    async fn up(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        back: &tokio::sync::Mutex<OwnedWriteHalf>,
    ) -> Result<(), Over> {
        let mut piece = vec![0; PIECE];
        loop {
            let bytes = next(&mut from, &mut piece).await?;
            if begins_request(bytes) {
                self.torn.requests.fetch_add(1, Ordering::Relaxed);
                if self.is(|tears| tears.slow, &self.torn.slow) {
                    let longest = self.tears.lock().longest.as_millis();
                    let wait = self.below(u64::try_from(longest).unwrap_or(u64::MAX));
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                if self.is(|tears| tears.cut_before, &self.torn.cut_before) {
                    return Err(Over);
                }
                if self.is(|tears| tears.refused, &self.torn.refused) {
                    let head = format!(
                        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SLOW_DOWN}",
                        SLOW_DOWN.len()
                    );
                    back.lock().await.write_all(head.as_bytes()).await?;
                    return Err(Over);
                }
            }
            to.write_all(bytes).await?;
        }
    }

    async fn down(
        &self,
        mut from: OwnedReadHalf,
        to: &tokio::sync::Mutex<OwnedWriteHalf>,
    ) -> Result<(), Over> {
        let mut piece = vec![0; PIECE];
        loop {
            let bytes = next(&mut from, &mut piece).await?;
            let mut until = bytes.len();
            let is_cut = self.is(|tears| tears.cut_after, &self.torn.cut_after);
            if is_cut {
                until = usize::try_from(self.below(bytes.len() as u64)).unwrap_or(0);
            }
            to.lock().await.write_all(&bytes[..until]).await?;
            if is_cut {
                return Err(Over);
            }
        }
    }
}

/// What comes next.
async fn next<'a>(from: &mut OwnedReadHalf, piece: &'a mut [u8]) -> Result<&'a [u8], Over> {
    match from.read(piece).await? {
        0 => Err(Over),
        read => Ok(&piece[..read]),
    }
}

/// True if a request begins here. A body that looks like one is torn, too, which is no harm.
fn begins_request(bytes: &[u8]) -> bool {
    [b"GET /".as_slice(), b"PUT /", b"HEAD /", b"POST /", b"DELETE /"]
        .iter()
        .any(|method| bytes.starts_with(method))
}
