//! gRPC on the streams of a listener: HTTP/2, the guard, and the services.
//!
//! ```text
//!   Accept ──> HTTP/2 on a paced stream ──> guard ──> FlightService        health passes no guard
//! ```
//! What a slow client, or one that asks for much, could hold is bounded here and in the accept loop: connections,
//! handshakes, calls at a time, sizes of headers and messages, the time in which a message arrives, idle connections, and
//! clients that do not read.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use dunlin_manifest::env::Env;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceExt;

use super::body::{Bounded, Held};
use super::error::CODE;
use super::guard::{Guard, HANDSHAKE};
use super::health::Health;
use super::life::{Life, Over};
use super::parts::Flight;
use crate::door::{Accept, Accepted, Admission, DoorLimits, Pace, Permit, Phase};
use crate::metrics::Metrics;
use crate::options::Current;
use crate::tls::Tls;

/// Calls of one connection at a time. More wait in the client.
const CALLS: u32 = 256;
/// A client that has vanished is noticed: it is asked so often, and has so long to answer.
const ASKED: Duration = Duration::from_secs(30);
const ANSWERS: Duration = Duration::from_secs(20);
/// Most bytes that a connection holds of each answer until its client has room.
const HELD: usize = 256 << 10;
/// Longest message that a client may send.
const MOST_OF_A_MESSAGE: usize = 4 << 20;
/// Calls whose key is not asked for.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// The calls that are counted by name.
const PATHS: [&str; 12] = [
    HANDSHAKE,
    "/arrow.flight.protocol.FlightService/ListFlights",
    "/arrow.flight.protocol.FlightService/GetFlightInfo",
    "/arrow.flight.protocol.FlightService/PollFlightInfo",
    "/arrow.flight.protocol.FlightService/GetSchema",
    "/arrow.flight.protocol.FlightService/DoGet",
    "/arrow.flight.protocol.FlightService/DoPut",
    "/arrow.flight.protocol.FlightService/DoAction",
    "/arrow.flight.protocol.FlightService/ListActions",
    "/arrow.flight.protocol.FlightService/DoExchange",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
/// What stands for all others. A client could invent any number of them.
const NO_CALL: &str = "grpc: none";

/// What a listener serves with.
#[derive(Clone, Debug)]
pub(crate) struct FlightServer {
    routes: Routes,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    limits: DoorLimits,
    tls: Option<Arc<Tls>>,
    env: Env,
}

impl FlightServer {
    /// A server of `flight`, which counts its calls with the requests of the other faces.
    pub(crate) fn new(
        flight: Flight,
        current: Current,
        admission: Arc<Admission>,
        (limits, tls): (DoorLimits, Option<Arc<Tls>>),
    ) -> Self {
        let metrics = Arc::clone(&flight.metrics);
        let env = flight.queries.env().clone();
        let health = HealthServer::new(Health::new(Arc::clone(&flight.queries)));
        let audit = Arc::clone(flight.intake.audit());
        let service = FlightServiceServer::new(flight).max_decoding_message_size(MOST_OF_A_MESSAGE);
        let routes = Routes::new(service).add_service(health).prepare();
        let clock = Arc::clone(&env.clock);
        let guard = Arc::new(Guard::new(current, admission, clock, audit));
        Self { routes, guard, metrics, limits, tls, env }
    }

    /// Serves until `stop`. Then it takes no connection, waits until calls in progress are answered, and returns.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let accept = Accept {
            limits: self.limits,
            tls: self.tls.clone(),
            protocol: b"h2",
            env: self.env.clone(),
        };
        let speak = move |accepted, stop| {
            let server = self.clone();
            async move { server.speak(accepted, stop).await }
        };
        accept.run(listener, stop, speak).await;
    }

    /// HTTP/2 on a stream, to its end.
    async fn speak(&self, Accepted { stream, pace, peer }: Accepted, stop: CancellationToken) {
        let DoorLimits { idle, answer_stall, .. } = self.limits;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS)
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(HELD)
            .keep_alive_interval(Some(ASKED))
            .keep_alive_timeout(ANSWERS);
        let life = Life::new(self.env.clone());
        let front = Front { server: self.clone(), peer, pace, life: Arc::clone(&life) };
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), front));
        let outcome = tokio::select! {
            outcome = &mut connection => outcome,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = &mut connection => outcome,
                    over = self.stalled(&life) => return self.end(peer, over),
                }
            }
            over = life.over(idle, answer_stall) => {
                if over == Over::Stalled {
                    return self.end(peer, over);
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = &mut connection => outcome,
                    // It may still hold the end of an answer that nobody reads.
                    () = self.env.clock.sleep(answer_stall) => return self.end(peer, over),
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }

    /// Resolves when the client of a connection does not read.
    async fn stalled(&self, life: &Life) -> Over {
        const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
        life.over(NEVER, self.limits.answer_stall).await
    }

    fn end(&self, peer: SocketAddr, over: Over) {
        tracing::debug!(%peer, ?over, "a connection was ended");
    }

    /// Answers one call.
    async fn answer(
        self,
        mut request: Request<Incoming>,
        (peer, life): (SocketAddr, Arc<Life>),
    ) -> Response<Body> {
        let call = life.call();
        let began = self.env.clock.monotonic();
        let path = request.uri().path().to_owned();
        let permit: Option<Permit> = if path.starts_with(HEALTH) {
            None
        } else {
            match self.guard.enter(&mut request, peer).await {
                Ok(permit) => Some(permit),
                Err(error) => return self.seen(&path, began, Status::from(error).into_http()),
            }
        };
        let time = self.env.clock.sleep(self.limits.body);
        let request = request.map(|body| Body::new(Bounded::new(body, time)));
        let response = match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let held = response.map(|body| Body::new(Held::new(body, call, permit)));
        self.seen(&path, began, held)
    }

    /// Tells of a call once its answer begins. How a longer answer ends is in its trailers.
    fn seen(&self, path: &str, began: Duration, response: Response<Body>) -> Response<Body> {
        let status = Status::from_header_map(response.headers());
        let code = status.map_or(Code::Ok, |status| status.code());
        let took = self.env.clock.monotonic().saturating_sub(began);
        let route = PATHS.iter().find(|known| **known == path).map_or(NO_CALL, |known| known);
        self.metrics.answered(route, &Method::POST, as_http(code), took);
        if let Some(code) = response.headers().get(CODE).and_then(|code| code.to_str().ok()) {
            self.metrics.refused(code);
        }
        response
    }
}

/// The status that stands for a code where all faces are counted.
fn as_http(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::Cancelled => 410,
        Code::FailedPrecondition | Code::Unimplemented => 422,
        Code::ResourceExhausted => 429,
        Code::InvalidArgument | Code::OutOfRange => 400,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// The server as a connection's service.
struct Front {
    server: FlightServer,
    peer: SocketAddr,
    pace: Arc<Pace>,
    life: Arc<Life>,
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // From here on the connection's own life tells what it does.
        self.pace.set(Phase::Busy);
        let server = self.server.clone();
        let of = (self.peer, Arc::clone(&self.life));
        Box::pin(async move { Ok(server.answer(request, of).await) })
    }
}
