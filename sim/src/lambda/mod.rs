//! AWS Lambda on this machine, for tests: functions are processes of their own that are frozen between their calls.
//!
//! ```text
//!   client ── Invoke API ──> queue of asynchronous calls ──> sandboxes, up to the function's concurrency
//!                                                             └── Runtime API, one port each ──> process
//! ```
//! It exists because no emulator that can be installed here has the behaviours that a protocol must survive: 202 for
//! asynchronous calls, their retries, 429 above the concurrency, processes that are killed at their deadline or beyond their
//! memory, cold starts, and a process that is stopped (SIGSTOP) as soon as it asks for the next call. It knows of
//! one permission only (a function may be denied to everybody), and its cold starts are those of this machine.

mod function;
mod sandbox;
mod url;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use parking_lot::Mutex;

pub use crate::lambda::function::{Function, Outcome};
use crate::lambda::sandbox::Sandbox;

/// Largest payload of a synchronous and of an asynchronous call.
const MOST_SYNC: usize = 6 << 20;
const MOST_ASYNC: usize = 256 << 10;
/// Pauses between the tries of a throttled asynchronous call: they double.
const THROTTLED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What Lambda does with asynchronous calls. Its own values are minutes and hours.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How often a call is tried again that has failed.
    pub retries: u32,
    /// The pause before.
    pub retry_pause: Duration,
    /// A call that is older is dropped.
    pub most_age: Duration,
    /// Of so many asynchronous calls, one is lost, and one is made twice; 0: none.
    pub trouble_every: u64,
    /// A function gets at most so many new environments in the time after them.
    pub environments: usize,
    /// The time.
    pub environments_in: Duration,
    /// Calls at once of all functions, as the account's settings tell them. Each function has its own limit here.
    pub account_limit: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            retries: 2,
            retry_pause: Duration::from_secs(60),
            most_age: Duration::from_secs(6 * 3_600),
            trouble_every: 0,
            environments: 1_000,
            environments_in: Duration::from_secs(10),
            account_limit: 1_000,
        }
    }
}

/// A call that is over.
#[derive(Clone, Debug)]
pub struct Call {
    /// Function.
    pub function: String,
    /// Its alias, if it has one.
    pub alias: Option<String>,
    /// True if a sandbox was started for it.
    pub is_cold: bool,
    /// From the start of the process to its first request for a call.
    pub init: Duration,
    /// From the call to the answer.
    pub took: Duration,
    /// Milliseconds that are paid for: with the start, rounded up.
    pub billed_ms: u64,
    /// Memory of the function.
    pub memory_mb: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// All calls at once are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Throttled;

#[derive(Debug)]
struct Pool {
    function: Function,
    /// Sandboxes, frozen or at work.
    count: AtomicUsize,
    started: AtomicUsize,
    /// When the latest environments were made.
    made: Mutex<VecDeque<Instant>>,
    idle: Mutex<Vec<Sandbox>>,
    /// Processes of the sandboxes that are at work.
    at_work: Mutex<Vec<u32>>,
}

#[derive(Debug)]
struct Shared {
    /// A function with several versions has a pool for each.
    pools: Vec<Pool>,
    rules: Rules,
    calls: Mutex<Vec<Call>>,
    /// Asynchronous calls are taken, and nobody hears of them again.
    loses_all: AtomicBool,
    /// Asynchronous calls that were taken.
    queued: AtomicU64,
    /// Those that are not over.
    pending: AtomicUsize,
}

/// The emulator. Its processes are killed when it is dropped.
#[derive(Clone, Debug)]
pub struct Lambda {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Lambda {
    /// Listens on loopback.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(functions: Vec<Function>, rules: Rules) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let pool = |mut function: Function| {
            // Functions call functions.
            let endpoint = ("AWS_ENDPOINT_URL_LAMBDA".to_owned(), format!("http://{address}"));
            function.env.push(endpoint);
            Pool {
                function,
                count: AtomicUsize::new(0),
                started: AtomicUsize::new(0),
                made: Mutex::default(),
                idle: Mutex::default(),
                at_work: Mutex::default(),
            }
        };
        let pools = functions.into_iter().map(pool).collect();
        let shared = Arc::new(Shared {
            pools,
            rules,
            calls: Mutex::default(),
            loses_all: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .route("/2016-08-19/account-settings", get(account))
            .route("/2016-08-19/account-settings/", get(account))
            .layer(axum::extract::DefaultBodyLimit::max(MOST_SYNC + 1))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move {
            // It runs until the runtime ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, address })
    }

    /// Serves the URL of a function. Returns where clients reach it.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn url(&self, function: &str) -> std::io::Result<String> {
        let address = url::serve(Arc::clone(&self.shared), function.to_owned()).await?;
        Ok(format!("http://{address}"))
    }

    /// Where clients of the Invoke API reach it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls that are over, in the order in which they ended.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().clone()
    }

    /// Sandboxes of a function, frozen or at work.
    #[must_use]
    pub fn sandboxes(&self, function: &str) -> usize {
        self.shared.named(function).map(|pool| pool.count.load(Ordering::Relaxed)).sum()
    }

    /// From now on all asynchronous calls are lost, or none is but those of the rules.
    pub fn lose_calls(&self, all: bool) {
        self.shared.loses_all.store(all, Ordering::Relaxed);
    }

    /// Calls that are under way, or wait for it.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let at_work: usize = self.shared.pools.iter().map(|pool| pool.at_work.lock().len()).sum();
        at_work.max(self.shared.pending.load(Ordering::Relaxed))
    }

    /// Kills the process of a sandbox that is at work. False if there is none.
    #[must_use]
    pub fn kill_one(&self, function: &str) -> bool {
        let process =
            self.shared.named(function).find_map(|pool| pool.at_work.lock().first().copied());
        process.is_some_and(|process| sandbox::signal(process, sandbox::Signal::KILL))
    }

    /// Ends all frozen sandboxes, as Lambda does after some idle minutes.
    pub fn reclaim(&self) {
        for pool in &self.shared.pools {
            let idle = std::mem::take(&mut *pool.idle.lock());
            pool.count.fetch_sub(idle.len(), Ordering::Relaxed);
        }
    }
}

impl Pool {
    /// True if the function gets another environment now.
    fn may_make_another(&self, rules: &Rules) -> bool {
        let (now, mut made) = (Instant::now(), self.made.lock());
        while made.front().is_some_and(|first| now.duration_since(*first) >= rules.environments_in)
        {
            made.pop_front();
        }
        let may = made.len() < rules.environments;
        if may {
            made.push_back(now);
        }
        may
    }
}

impl Shared {
    /// The versions of a function.
    fn named(&self, name: &str) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.function.name == name)
    }

    /// The pool of the version that is called. A function without an alias has any; who names none gets the first.
    fn find(&self, name: &str, qualifier: Option<&str>) -> Option<usize> {
        self.pools.iter().position(|Pool { function, .. }| {
            let is_asked = match (&function.alias, qualifier) {
                (Some(alias), Some(asked)) => alias == asked,
                _ => true,
            };
            function.name == name && is_asked
        })
    }

    /// Runs a call in a sandbox that is free, or in a new one.
    async fn run(&self, pool: usize, payload: Bytes) -> Result<Outcome, Throttled> {
        let pool = &self.pools[pool];
        let function = &pool.function;
        let idle = pool.idle.lock().pop();
        let (mut sandbox, is_cold) = match idle {
            Some(sandbox) => (sandbox, false),
            None => {
                let taken = pool.count.fetch_add(1, Ordering::Relaxed);
                if taken >= function.concurrency || !pool.may_make_another(&self.rules) {
                    pool.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(Throttled);
                }
                let number = pool.started.fetch_add(1, Ordering::Relaxed);
                match Sandbox::start(function, number).await {
                    Ok(sandbox) => (sandbox, true),
                    Err(error) => {
                        pool.count.fetch_sub(1, Ordering::Relaxed);
                        return Ok(Outcome::Failed {
                            kind: "Runtime.InvalidEntrypoint".to_owned(),
                            message: error.to_string(),
                        });
                    }
                }
            }
        };
        let process = sandbox.process();
        pool.at_work.lock().push(process);
        let (outcome, took) = sandbox.call(function, payload).await;
        pool.at_work.lock().retain(|other| *other != process);
        let init = if is_cold { sandbox.init() } else { Duration::ZERO };
        let billed = (init + took).as_nanos().div_ceil(1_000_000);
        self.calls.lock().push(Call {
            function: function.name.clone(),
            alias: function.alias.clone(),
            is_cold,
            init,
            took,
            billed_ms: u64::try_from(billed).unwrap_or(u64::MAX),
            memory_mb: function.memory_mb,
            outcome: outcome.clone(),
        });
        if sandbox.is_alive() {
            pool.idle.lock().push(sandbox);
        } else {
            pool.count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    /// An asynchronous call, with its tries.
    async fn queued(self: Arc<Self>, pool: usize, payload: Bytes) {
        let begun = tokio::time::Instant::now();
        let (mut retries, mut pause) = (0, THROTTLED.0);
        while begun.elapsed() < self.rules.most_age {
            match self.run(pool, payload.clone()).await {
                Ok(Outcome::Done(_)) => return,
                Ok(Outcome::Failed { .. }) if retries == self.rules.retries => return,
                Ok(Outcome::Failed { .. }) => {
                    retries += 1;
                    tokio::time::sleep(self.rules.retry_pause).await;
                }
                Err(Throttled) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(THROTTLED.1);
                }
            }
        }
    }
}

/// The account's settings, as far as they are asked for.
async fn account(State(shared): State<Arc<Shared>>) -> Response {
    let limit = shared.rules.account_limit;
    let body = format!(
        "{{\"AccountLimit\":{{\"ConcurrentExecutions\":{limit},\"UnreservedConcurrentExecutions\":{limit}}}}}"
    );
    answer(StatusCode::OK, body.into(), false)
}

async fn invoke(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    let qualifier = query.get("Qualifier");
    let Some(pool) = shared.find(&name, qualifier.map(String::as_str)) else {
        let message = format!("Function not found: {name}, {qualifier:?}");
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    if shared.pools[pool].function.is_denied {
        let message = format!(
            "User is not authorized to perform: lambda:InvokeFunction on resource: {name} because no identity-based policy allows it"
        );
        return refusal(StatusCode::FORBIDDEN, "AccessDeniedException", &message);
    }
    let kind = headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok());
    let most = if kind == Some("Event") { MOST_ASYNC } else { MOST_SYNC };
    if payload.len() > most {
        let message = format!("{} byte payload is too large", payload.len());
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    }
    match kind {
        Some("DryRun") => answer(StatusCode::NO_CONTENT, Bytes::new(), false),
        Some("Event") => {
            let number = shared.queued.fetch_add(1, Ordering::Relaxed) + 1;
            let copies = match shared.rules.trouble_every {
                _ if shared.loses_all.load(Ordering::Relaxed) => 0,
                0 => 1,
                every if number.is_multiple_of(every) => 0,
                every if number % every == 1 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                shared.pending.fetch_add(1, Ordering::Relaxed);
                let queued = Arc::clone(&shared).queued(pool, payload.clone());
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    queued.await;
                    shared.pending.fetch_sub(1, Ordering::Relaxed);
                });
            }
            answer(StatusCode::ACCEPTED, Bytes::new(), false)
        }
        _ => match shared.run(pool, payload).await {
            Ok(Outcome::Done(body)) => answer(StatusCode::OK, body, false),
            Ok(Outcome::Failed { kind, message }) => {
                let body = format!("{{\"errorType\":{kind:?},\"errorMessage\":{message:?}}}");
                answer(StatusCode::OK, body.into(), true)
            }
            Err(Throttled) => {
                refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
            }
        },
    }
}

fn answer(status: StatusCode, body: Bytes, is_error: bool) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if is_error {
        let value = axum::http::HeaderValue::from_static("Unhandled");
        response.headers_mut().insert("x-amz-function-error", value);
    }
    response
}

fn refusal(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let mut response = answer(status, format!("{{\"Message\":{message:?}}}").into(), false);
    let value = axum::http::HeaderValue::from_static(kind);
    response.headers_mut().insert("x-amzn-errortype", value);
    response
}
