//! HTTP/1.1 on the streams of a listener.
//!
//! ```text
//!   Accept ──> HTTP/1.1 on a paced stream ──> router
//! ```
//!
//! Everything that a slow client, or one that asks for much, could hold is limited here, in the accept loop ([`Accept`]) or
//! in the stream (`door/pace`): connections, handshakes, headers, idle connections, and answers that no
//! client reads.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use dunlin_manifest::env::Env;
use futures::future::select;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::carried::{Carried, FRAME_BYTES};
use super::guard::Peer;
use super::problem::ApiError;
use super::refusal::Refusal;
use crate::door::{Accept, Accepted, DoorLimits, Pace, Phase};
use crate::tls::Tls;

/// Longest time for the last answer to a client whose headers took too long.
const FAREWELL: Duration = Duration::from_secs(1);
/// Smallest size of hyper's buffers, which is hyper's own minimum.
const LEAST_BUFFER: usize = 8 << 10;

/// What a listener serves with.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) limits: DoorLimits,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) env: Env,
}

impl Server {
    /// Serves until `stop`. Then it takes no connection, waits until requests in progress are answered, and returns.
    /// Dropping the future ends every connection.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let accept = Accept {
            limits: self.limits,
            tls: self.tls.clone(),
            protocol: b"http/1.1",
            env: self.env.clone(),
        };
        let speak = move |accepted, stop| {
            let server = self.clone();
            async move { server.speak(accepted, stop).await }
        };
        accept.run(listener, stop, speak).await;
    }

    /// HTTP/1.1 on a stream, to its end.
    async fn speak(&self, Accepted { stream, pace, peer }: Accepted, stop: CancellationToken) {
        let limits = &self.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The paced stream has a shorter limit than this, and knows idle connections from slow headers. With this
            // limit set, hyper reads as soon as an answer is sent, which starts the stream's own timer.
            .header_read_timeout(limits.headers + limits.idle)
            .max_headers(limits.header_count)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(FRAME_BYTES).max(LEAST_BUFFER));
        let front = Front {
            router: TowerToHyperService::new(self.router.clone()),
            peer: Peer(peer),
            pace: Arc::clone(&pace),
        };
        let mut connection = builder.serve_connection(TokioIo::new(stream), front);
        let outcome = tokio::select! {
            outcome = &mut connection => outcome,
            () = stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "a connection ended");
        }
        if pace.phase() == Phase::TooSlow {
            let mut stream = connection.into_parts().io.into_inner();
            let farewell = std::pin::pin!(async {
                stream.write_all(&too_slow()).await?;
                stream.shutdown().await
            });
            let _ = select(farewell, self.env.clock.sleep(FAREWELL)).await;
        }
    }
}

/// The whole answer to headers that took too long. hyper has none.
fn too_slow() -> Vec<u8> {
    let body = serde_json::to_string(&ApiError::from(Refusal::TooSlow).problem());
    let body = body.unwrap_or_default();
    format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The router as a connection's service. It adds the address of the request and records when an answer is sent.
struct Front {
    router: TowerToHyperService<Router>,
    peer: Peer,
    pace: Arc<Pace>,
}

/// An answer is sent when this is dropped.
#[derive(Debug)]
struct Out(Arc<Pace>);

impl Drop for Out {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Carried<Out>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.pace.set(Phase::Busy);
        let out = Out(Arc::clone(&self.pace));
        request.extensions_mut().insert(self.peer);
        let answer = self.router.call(request.map(Body::new));
        Box::pin(async move { Ok(answer.await?.map(|body| Carried::new(body, out))) })
    }
}
