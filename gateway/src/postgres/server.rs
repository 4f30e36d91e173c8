//! The connections of the Postgres protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::face::Face;
use super::startup;
use crate::door::accept;

/// Serves until `stop`. Then it takes no connection, ends those that are idle, waits for the statements in progress, and
/// returns. Dropping the future ends every connection.
pub(crate) async fn serve(face: Face, listener: TcpListener, stop: CancellationToken) {
    let (most, env) = (face.limits.connections, face.env.clone());
    let face = Arc::new(face);
    let connect = move |stream, peer, stop| {
        let face = Arc::clone(&face);
        async move { connection(&face, stream, peer, stop).await }
    };
    accept(listener, most, &env, stop, connect).await;
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
