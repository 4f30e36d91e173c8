//! The accept loop of a listener, for any protocol over TCP: from a listener to streams, so that no client delays another.
//!
//! ```text
//!   accept ──too many: close──> paced stream ──TLS, in time──> speak (the protocol)
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Env;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::limits::DoorLimits;
use super::pace::{Pace, Paced, Phase};
use crate::tls::Tls;

/// Pause after an accept that failed because a resource (file descriptors) was missing. Others free it when they end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Bytes in both directions.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// A connection on which a protocol may be spoken.
pub(crate) struct Accepted {
    /// Plain, or inside TLS.
    pub(crate) stream: Box<dyn Wire>,
    /// Told by the protocol what the connection does.
    pub(crate) pace: Arc<Pace>,
    pub(crate) peer: SocketAddr,
}

/// How the connections of a listener are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accept {
    pub(crate) limits: DoorLimits,
    pub(crate) tls: Option<Arc<Tls>>,
    /// What a TLS client is offered.
    pub(crate) protocol: &'static [u8],
    pub(crate) env: Env,
}

impl Accept {
    /// Accepts as [`accept`] does, and speaks on each stream.
    pub(crate) async fn run<F, S>(self, listener: TcpListener, stop: CancellationToken, speak: F)
    where
        F: Fn(Accepted, CancellationToken) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        let (most, env) = (self.limits.connections, self.env.clone());
        let connect = move |stream, peer, stop: CancellationToken| {
            let (accept, speak) = (self.clone(), speak.clone());
            async move {
                if let Some(accepted) = accept.open(stream, peer, &stop).await {
                    speak(accepted, stop).await;
                }
            }
        };
        accept(listener, most, &env, stop, connect).await;
    }

    /// The stream of a connection, after its TLS handshake.
    async fn open(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stop: &CancellationToken,
    ) -> Option<Accepted> {
        // Answers are written in whole buffers. Waiting for more data to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let pace = Pace::new();
        let clock = Arc::clone(&self.env.clock);
        let stream = Paced::new(stream, Arc::clone(&pace), clock, &self.limits);
        let Some(tls) = self.tls.as_ref().map(|tls| tls.acceptor(self.protocol)) else {
            return Some(Accepted { stream: Box::new(stream), pace, peer });
        };
        pace.set(Phase::Busy);
        let shaken = tokio::select! {
            shaken = tls.accept(stream) => shaken,
            () = stop.cancelled() => return None,
            () = self.env.clock.sleep(self.limits.tls_handshake) => {
                tracing::debug!(%peer, "the TLS handshake took too long");
                return None;
            }
        };
        match shaken {
            Ok(stream) => {
                pace.set(Phase::Opened);
                Some(Accepted { stream: Box::new(stream), pace, peer })
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "no TLS handshake");
                None
            }
        }
    }
}

/// Accepts until `stop`, at most so many at a time. Then it takes no connection, waits until all of them have ended, and
/// returns. Dropping the future ends every connection.
pub(crate) async fn accept<F, S>(
    listener: TcpListener,
    most: usize,
    env: &Env,
    stop: CancellationToken,
    connect: F,
) where
    F: Fn(TcpStream, SocketAddr, CancellationToken) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                log_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::error!(%error, "cannot accept connections");
                    env.clock.sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        // The connection is closed at once instead of waiting, so that its client sees the limit and can use
        // another gateway.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(%peer, "a connection was closed: there are too many");
            continue;
        };
        let connection = connect(stream, peer, stop.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection met a defect");
    }
}

/// Errors that a client caused before its connection was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
