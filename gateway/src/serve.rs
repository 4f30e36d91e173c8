//! A running gateway: the core, its sweeper, and the HTTP server with its access control.

use std::future::Future;
use std::sync::Arc;

use dunlin_manifest::env::Env;
use dunlin_manifest::query::{GATE_PERIOD, close_gate, open_gate};
use dunlin_manifest::store::ObjectControlStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::door::{Door, DoorError, make_room};
use crate::http::{Face, Guard, Server, router};
use crate::options::{Gateway, GatewayOptions};
use crate::query::handles::Handles;
use crate::query::intake::Intake;
use crate::query::queries::Queries;
use crate::query::sweep;

/// Why a gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener has no address.
    #[error("the listener cannot be used")]
    Listener(#[from] std::io::Error),
    /// The engine cannot be used.
    #[error("the engine cannot be used")]
    Engine(#[from] datafusion::error::DataFusionError),
    /// The access control of the listener cannot be set up.
    #[error(transparent)]
    Door(#[from] DoorError),
}

/// Serves `gateway` on `listener` until `shutdown` resolves. Then it takes no new requests, tells waiting clients the
/// status of their queries (the queries continue), lets answers in progress finish for at most
/// [`GatewayOptions::drain`], and returns.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    gateway: Gateway,
    options: GatewayOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let Door { keyring, tls, limits } = Door::new(&options.door, listener.local_addr()?)?;
    make_room(limits.connections);
    let stop = CancellationToken::new();
    let env = gateway.env.clone();
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).watch(env.clone(), stop.clone()));
    }
    let fence = dunlin_plan::fence::current()?;
    let handles = Arc::new(Handles::new(Arc::clone(&gateway.control), env.clone(), fence));
    let sweeper = tokio::spawn(sweep::run(
        Arc::clone(&handles),
        gateway.local.clone(),
        options.sweep,
        stop.clone(),
    ));
    let hub = Arc::clone(&gateway.hub);
    let gate = options.advertise.clone().map(|url| {
        tokio::spawn(keep_gate(Arc::clone(&gateway.control), env.clone(), url, stop.clone()))
    });
    let face = Face {
        intake: Arc::new(Intake::new(gateway, Arc::clone(&handles), &options)),
        queries: Arc::new(Queries::new(handles, &hub, options.watch, stop.clone())),
        hub,
        answer_buffer: limits.answer_buffer_bytes,
    };
    let guard = Guard::new(keyring, limits, Arc::clone(&env.clock));
    let asked = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        asked.cancel();
    });
    let server = Server { router: router(face, guard), limits, tls, env: env.clone() };
    let drained = async {
        stop.cancelled().await;
        env.clock.sleep(options.drain).await;
    };
    tokio::select! {
        () = server.run(listener, stop.clone()) => {}
        () = drained => tracing::warn!("answers were still in flight when the gateway stopped"),
    }
    if let Some(gate) = gate {
        let _ = gate.await;
    }
    if let Err(error) = sweeper.await {
        tracing::warn!(%error, "the sweeper did not stop cleanly");
    }
    Ok(())
}

/// Keeps the hint at this gateway's address fresh, and removes it at the end.
async fn keep_gate(store: Arc<ObjectControlStore>, env: Env, url: String, stop: CancellationToken) {
    let id = env.nonce();
    loop {
        open_gate(store.as_ref(), &id, &url).await;
        tokio::select! {
            () = env.clock.sleep(GATE_PERIOD) => {}
            () = stop.cancelled() => break,
        }
    }
    close_gate(store.as_ref(), &id).await;
}
