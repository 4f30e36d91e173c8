//! A running gateway: the core, its sweeper, and a server for each face, with one access control.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use dunlin_manifest::env::Env;
use dunlin_manifest::query::{GATE_PERIOD, close_gate, open_gate};
use dunlin_manifest::store::ObjectControlStore;
use futures::future::{OptionFuture, join};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::auth::Keyring;
use crate::door::{Admission, Door, DoorError, make_room};
use crate::flight::{Flight, FlightServer};
use crate::http::{About, Beside, Face, Guard, Peer, Server, router};
use crate::metrics::{Books, Metrics, Observed, Told};
use crate::options::{Current, Gateway, GatewayOptions, Live};
use crate::page;
use crate::postgres;
use crate::query::audit::Audit;
use crate::query::handles::Handles;
use crate::query::hub::Hub;
use crate::query::intake::Intake;
use crate::query::queries::Queries;
use crate::query::sweep::{self, Swept};
use crate::query::system::System;
use crate::query::workgroups::Workgroups;
use crate::query::writes::Writes;
use crate::trino::{self, Trino};

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

/// What runs beside the answers of a gateway, and the router that makes them.
struct Core {
    router: Router,
    /// What the Postgres protocol uses.
    postgres: postgres::Face,
    flight: Flight,
    current: Current,
    /// One count of requests in progress for all faces.
    admission: Arc<Admission>,
    hub: Arc<Hub>,
    sweeper: tokio::task::JoinHandle<()>,
    audit: Arc<Audit>,
}

/// What is in force: shared with whoever reloads it, or as the options say.
fn current(options: &GatewayOptions, gateway: &Gateway, keyring: Keyring) -> Current {
    options.current.clone().unwrap_or_else(|| {
        let planner = gateway.planner.clone();
        let (limits, most) = (options.limits, options.most);
        let settings = Arc::clone(&options.settings);
        Current::new(Live { planner, limits, most, settings, keyring })
    })
}

/// What takes statements and follows queries, for all faces.
struct Taking {
    intake: Arc<Intake>,
    queries: Arc<Queries>,
    audit: Arc<Audit>,
}

fn taking(
    gateway: Gateway,
    (options, stop): (&GatewayOptions, &CancellationToken),
    current: Current,
    (handles, writes): (Arc<Handles>, Arc<Writes>),
    told: Told,
) -> Taking {
    let (hub, links) = (Arc::clone(&gateway.hub), gateway.links.clone());
    let audit = Audit::new(
        Arc::clone(&handles),
        Arc::clone(&hub),
        stop.clone(),
        (options.audit, options.is_swept_by_schedule),
    );
    let queries = Arc::new(Queries::new(
        (Arc::clone(&handles), writes),
        Arc::clone(&hub),
        links,
        options,
        (Arc::clone(&told.metrics), Arc::clone(&audit)),
        stop.clone(),
    ));
    let workgroups = Arc::new(Workgroups::new(&handles, &hub, &options.tariff));
    let system = System::new(Arc::clone(&queries), hub, current.clone(), Arc::clone(&workgroups));
    let of_clients = (told, Arc::clone(&audit));
    let intake = Intake::new(gateway, current, handles, options, of_clients, (system, workgroups));
    Taking { intake: Arc::new(intake), queries, audit }
}

/// Starts everything but a listener.
fn open(
    mut gateway: Gateway,
    options: &GatewayOptions,
    keyring: Keyring,
    stop: &CancellationToken,
) -> Result<Core, ServeError> {
    let limits = options.door.limits;
    let current = current(options, &gateway, keyring);
    let env = gateway.env.clone();
    let fence = dunlin_plan::fence::current()?;
    let about = About::new(options, &fence, &env, gateway.planner.route_mode());
    let metrics = match &options.metrics {
        Some(metrics) => {
            gateway.control = Arc::new(gateway.control.through(|store| {
                Arc::new(Observed::new(store, Arc::clone(metrics), Arc::clone(&env.clock)))
            }));
            Arc::clone(metrics)
        }
        None => Metrics::new()?,
    };
    let handles = Arc::new(Handles::new(Arc::clone(&gateway.control), env.clone(), fence));
    let hub = Arc::clone(&gateway.hub);
    let writes = Arc::new(Writes::new(current.clone(), env.clone()));
    let swept = Swept {
        handles: Arc::clone(&handles),
        local: gateway.local.clone(),
        hub: Arc::clone(&hub),
        writes: Arc::clone(&writes),
    };
    let books = (options.metrics.is_some() || options.spans.is_some()).then(|| {
        let tariff = Arc::clone(&options.tariff);
        let handles = Arc::clone(&handles);
        Arc::new(Books::new(handles, Arc::clone(&metrics), tariff, options.spans.clone()))
    });
    let told = Told { metrics: Arc::clone(&metrics), books: books.clone() };
    let sweeper = tokio::spawn(sweep::run(swept, told.clone(), options.sweep, stop.clone()));
    let Taking { intake, queries, audit } =
        taking(gateway, (options, stop), current.clone(), (handles, writes), told);
    tokio::spawn(stop.clone().run_until_cancelled_owned(intake.watch_memory()));
    tell_when_asked(&metrics, &hub, &intake, stop);
    let admission = Admission::new(&limits);
    let postgres = postgres::Face::new(
        (Arc::clone(&intake), Arc::clone(&queries)),
        (current.clone(), Arc::clone(&admission)),
        limits,
        env.clone(),
        options.inline.time,
    );
    let flight = Flight {
        intake: Arc::clone(&intake),
        queries: Arc::clone(&queries),
        metrics: Arc::clone(&metrics),
    };
    let core = (Arc::clone(&intake), Arc::clone(&queries));
    let trino = Trino::new(core, current.clone(), options.door.tls.is_some());
    let face = Face {
        intake,
        queries,
        hub: Arc::clone(&hub),
        metrics,
        about: Arc::new(about),
        answer_buffer: limits.answer_buffer_bytes,
    };
    let clock = Arc::clone(&env.clock);
    let trino_and_audit = (trino::PATH, Arc::clone(&audit));
    let guard = Guard::new(current.clone(), Arc::clone(&admission), limits, clock, trino_and_audit);
    let beside = Beside {
        guarded: trino::routes(trino.clone()),
        open: trino::open_routes(trino),
        pages: page::routes(),
    };
    let router = router(face, guard, beside);
    Ok(Core { router, postgres, flight, current, admission, hub, sweeper, audit })
}

/// Tells Prometheus, whenever it asks, how this gateway is.
fn tell_when_asked(
    metrics: &Metrics,
    hub: &Arc<Hub>,
    intake: &Arc<Intake>,
    stop: &CancellationToken,
) {
    let (watching, planning, stopping) = (Arc::clone(hub), Arc::downgrade(intake), stop.clone());
    metrics.ready.set(1);
    metrics.on_scrape(move |metrics| {
        metrics.workers_listening.set(level(watching.listeners()));
        if let Some(intake) = planning.upgrade() {
            intake.live().planner.pools().for_each(|pool| metrics.pool(pool));
            let (running, queued) = intake.planning();
            metrics.planning_running.set(level(running));
            metrics.planning_queued.set(level(queued));
        }
        if stopping.is_cancelled() {
            metrics.ready.set(0);
        }
    });
}

fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Where a gateway listens, for each face that it has.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP.
    pub http: TcpListener,
    /// The Postgres protocol, if it is wanted.
    pub postgres: Option<TcpListener>,
    /// Flight SQL, if it is wanted.
    pub flight_sql: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(http: TcpListener) -> Self {
        Self { http, postgres: None, flight_sql: None }
    }
}

/// Serves `gateway` on its listeners until `shutdown` resolves. Then it takes no new requests, tells waiting clients the
/// status of their queries (the queries continue), lets answers in progress finish for at most
/// [`GatewayOptions::drain`], and returns.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    gateway: Gateway,
    options: GatewayOptions,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let Listeners { http, postgres, flight_sql } = listeners.into();
    let Door { keyring, tls, limits } = Door::new(&options.door, http.local_addr()?)?;
    let others = [&postgres, &flight_sql].into_iter().flatten();
    for listener in others.clone() {
        options.door.check(listener.local_addr()?)?;
    }
    make_room(limits.connections.saturating_mul(1 + others.count()));
    let stop = CancellationToken::new();
    let env = gateway.env.clone();
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).watch(env.clone(), stop.clone()));
    }
    let gate = options.advertise.clone().map(|url| {
        tokio::spawn(keep_gate(Arc::clone(&gateway.control), env.clone(), url, stop.clone()))
    });
    let core = open(gateway, &options, keyring, &stop)?;
    let asked = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        asked.cancel();
    });
    let Core { router, postgres: face, flight, current, admission, sweeper, audit, .. } = core;
    let postgres = postgres
        .map(|listener| postgres::serve(face.with_tls(tls.clone()), listener, stop.clone()));
    let flight = flight_sql.map(|listener| {
        let server = FlightServer::new(flight, current, admission, (limits, tls.clone()));
        server.run(listener, stop.clone())
    });
    let server = Server { router, limits, tls, env: env.clone() };
    let others = join(OptionFuture::from(flight), OptionFuture::from(postgres));
    let serving = join(server.run(http, stop.clone()), others);
    let drained = async {
        stop.cancelled().await;
        env.clock.sleep(options.drain).await;
    };
    tokio::select! {
        _ = serving => {}
        () = drained => tracing::warn!("answers were still in flight when the gateway stopped"),
    }
    if let Some(gate) = gate {
        let _ = gate.await;
    }
    if let Err(error) = sweeper.await {
        tracing::warn!(%error, "the sweeper did not stop cleanly");
    }
    audit.flush().await;
    Ok(())
}

/// A gateway without a listener, for a process that is given requests and is frozen after each answer: a function.
#[derive(Debug)]
pub struct Guest {
    router: Router,
    hub: Arc<Hub>,
    _stop: DropGuard,
}

impl Guest {
    /// Starts everything but a listener. Its door has no TLS, which whoever gives the requests speaks.
    ///
    /// # Errors
    /// See [`ServeError`]; without keys, [`DoorError::Exposed`] unless the options allow it.
    pub fn new(gateway: Gateway, options: &GatewayOptions) -> Result<Self, ServeError> {
        let keyring = Door::behind(&options.door)?;
        let stop = CancellationToken::new();
        let core = open(gateway, options, keyring, &stop)?;
        Ok(Self { router: core.router, hub: core.hub, _stop: stop.drop_guard() })
    }

    /// Answers a request that came from `peer`. What was begun beside the answer is done when this returns; the rows may
    /// still be read.
    pub async fn answer(&self, mut request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        request.extensions_mut().insert(Peer(peer));
        let answer = self.router.clone().oneshot(request).await;
        self.hub.settled().await;
        match answer {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
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
