//! The accept loop of the Postgres protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::face::Face;
use super::startup;

/// Pause after an accept that failed because a resource (file descriptors) was missing.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop`. Then it takes no connection, ends those that are idle, waits for the statements in progress, and
/// returns. Dropping the future ends every connection.
pub(crate) async fn serve(face: Face, listener: TcpListener, stop: CancellationToken) {
    let face = Arc::new(face);
    let places = Arc::new(Semaphore::new(face.limits.connections));
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
                    face.env.clock.sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(%peer, "a connection was closed: there are too many");
            continue;
        };
        let (face, stop) = (Arc::clone(&face), stop.clone());
        connections.spawn(async move {
            connection(&face, stream, peer, stop).await;
            drop(place);
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

async fn connection(
    face: &Arc<Face>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    keep_alive(&stream);
    let started = tokio::select! {
        started = startup::start(face, stream, peer, stop.clone()) => started,
        // Nobody waits for an answer yet.
        () = stop.cancelled() => None,
    };
    if let Some(session) = started {
        tracing::debug!(%peer, by = %session.client.name, "a session has begun");
        session.run().await;
    }
}

/// A client whose machine is gone is noticed within minutes, although an idle session has no time limit.
fn keep_alive(stream: &TcpStream) {
    let times = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&times) {
        tracing::debug!(%error, "a connection is not kept alive");
    }
}

/// Errors that a client caused before its connection was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection met a defect");
    }
}
