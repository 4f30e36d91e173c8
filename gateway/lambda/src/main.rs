//! The gateway as an AWS Lambda function behind a function URL, which streams its answers: a thin binary around
//! the gateway's `Guest`. With it an idle installation costs storage alone.
//!
//! ```text
//!   function URL ──event──> request ──> the same router as of a gateway that listens ──> answer, streamed
//!                                        └── what was begun beside the answer (news, calls of worker functions) is awaited
//! ```
//! The process is frozen after each answer. A query needs no living gateway: workers finish it, and any gateway answers for
//! it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use lambda_http::request::RequestContext;
use lambda_http::{Error, Request, RequestExt, run_with_streaming_response, service_fn};

/// The operators of several threads allocate and free all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    // What the package's script asks.
    if std::env::args().nth(1).as_deref() == Some("--about") {
        println!("{}", dunlin_cli::serve::about()?);
        return Ok(());
    }
    let (guest, runtime) = dunlin_cli::serve::guest().map_err(|error| format!("{error:#}"))?;
    let guest = Arc::new(guest);
    tracing::info!(init_ms = begun.elapsed().as_millis(), "ready");
    runtime.block_on(run_with_streaming_response(service_fn(move |request: Request| {
        let guest = Arc::clone(&guest);
        async move {
            let peer = SocketAddr::new(sender(&request), 0);
            Ok::<_, Error>(guest.answer(request.map(Body::new), peer).await)
        }
    })))
}

/// The address of the client, as the function URL tells it.
fn sender(request: &Request) -> IpAddr {
    let told = match request.request_context() {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip,
        _ => None,
    };
    let told = told.and_then(|address| address.parse().ok());
    told.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
