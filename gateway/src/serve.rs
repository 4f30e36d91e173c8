//! A gateway at work: the core, its sweeper, and the faces before it.

use std::future::{Future, IntoFuture};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{Face, router};
use crate::options::{Gateway, GatewayOptions};
use crate::query::handles::Handles;
use crate::query::intake::Intake;
use crate::query::queries::Queries;
use crate::query::sweep;

/// Serves `gateway` on `listener` until `shutdown` resolves; then takes no new requests, tells the
/// waiting ones where they stand (their queries live on), lets answers in flight finish for at most
/// [`GatewayOptions::drain`], and returns.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    gateway: Gateway,
    options: GatewayOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let stop = CancellationToken::new();
    let env = gateway.env.clone();
    let handles = Arc::new(Handles::new(Arc::clone(&gateway.control), env.clone()));
    let sweeper = tokio::spawn(sweep::run(
        Arc::clone(&handles),
        gateway.local.clone(),
        options.sweep,
        stop.clone(),
    ));
    let face = Face {
        intake: Arc::new(Intake::new(gateway, &options)),
        queries: Arc::new(Queries::new(handles, options.watch, stop.clone())),
    };
    let asked = stop.clone();
    let server = axum::serve(listener, router(face))
        .with_graceful_shutdown(async move {
            shutdown.await;
            asked.cancel();
        })
        .into_future();
    let drained = {
        let stop = stop.clone();
        let drain = options.drain;
        async move {
            stop.cancelled().await;
            env.clock.sleep(drain).await;
        }
    };
    let outcome = tokio::select! {
        outcome = server => outcome,
        () = drained => {
            tracing::warn!("answers were still in flight when the gateway stopped");
            Ok(())
        }
    };
    stop.cancel();
    if let Err(error) = sweeper.await {
        tracing::warn!(%error, "the sweeper did not stop cleanly");
    }
    outcome
}
