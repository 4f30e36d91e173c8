//! A sandbox: one process of a function, with a Runtime API of its own. It is stopped from the moment at which it asks for
//! the next call until there is one.
//!
//! ```text
//!   start ─> GET next ─> stopped ─ call ─> continued ─> POST response ─> GET next ─> stopped
//!                                             └── exit, deadline, memory ─> killed
//! ```

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use parking_lot::Mutex;
pub(super) use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::lambda::function::{Function, Outcome};

/// A process that has not asked for a call by then has failed to start.
const MOST_INIT: Duration = Duration::from_secs(10);
/// The largest answer, which is one that is streamed.
const MOST_ANSWER: usize = 200 << 20;
/// How often the memory of a process at work is looked at.
const MEMORY_EVERY: Duration = Duration::from_millis(20);

/// A process of a function.
#[derive(Debug)]
pub(super) struct Sandbox {
    child: Child,
    process: u32,
    runtime: Arc<Runtime>,
    calls: mpsc::Sender<Event>,
    init: Duration,
    is_alive: bool,
    serving: tokio::task::JoinHandle<()>,
    number: u64,
}

/// What the process is given.
#[derive(Debug)]
struct Event {
    id: String,
    deadline_ms: u128,
    payload: Bytes,
}

type Answer = oneshot::Sender<Outcome>;

/// The Runtime API of one sandbox.
#[derive(Debug)]
struct Runtime {
    /// How many times the process has asked for a call.
    asked: watch::Sender<u64>,
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    /// The call under way.
    call: Mutex<Option<(String, Answer)>>,
    /// Why the process cannot start.
    init_error: Mutex<Option<String>>,
}

impl Sandbox {
    /// Starts a process, and waits until it asks for a call or is gone.
    pub(super) async fn start(function: &Function, number: usize) -> std::io::Result<Self> {
        let (calls, events) = mpsc::channel(1);
        let runtime = Arc::new(Runtime {
            asked: watch::Sender::new(0),
            events: tokio::sync::Mutex::new(events),
            call: Mutex::default(),
            init_error: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(axum::extract::DefaultBodyLimit::max(MOST_ANSWER))
            .with_state(Arc::clone(&runtime));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let version = function.alias.as_ref().map(|alias| format!("-{alias}")).unwrap_or_default();
        let name = format!("{}{version}-{number}", function.name);
        let tmp = function.folder.join(format!("{name}.tmp"));
        std::fs::create_dir_all(&tmp)?;
        let log = std::fs::File::create(function.folder.join(format!("{name}.log")))?;
        let begun = Instant::now();
        let child = Command::new(&function.binary)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", &name)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "emulated")
            .env("AWS_SECRET_ACCESS_KEY", "emulated")
            .env("TMPDIR", tmp)
            .envs(function.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let process = child.id().ok_or_else(|| std::io::Error::other("the process is gone"))?;
        let mut sandbox = Self {
            child,
            process,
            runtime,
            calls,
            init: Duration::ZERO,
            is_alive: true,
            serving,
            number: 0,
        };
        let ready = sandbox.asks(1, MOST_INIT).await;
        sandbox.init = begun.elapsed();
        if ready {
            signal(process, Signal::STOP);
            return Ok(sandbox);
        }
        let reason = sandbox.runtime.init_error.lock().take();
        let reason = reason.unwrap_or_else(|| "it has not asked for a call".to_owned());
        Err(std::io::Error::other(reason))
    }

    pub(super) fn process(&self) -> u32 {
        self.process
    }

    pub(super) fn init(&self) -> Duration {
        self.init
    }

    pub(super) fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// True once the process has asked for its `count`-th call; false if it ends, or does not ask in time.
    async fn asks(&mut self, count: u64, within: Duration) -> bool {
        let mut asked = self.runtime.asked.subscribe();
        tokio::select! {
            found = asked.wait_for(|asked| *asked >= count) => found.is_ok(),
            _ = self.child.wait() => false,
            () = tokio::time::sleep(within) => false,
        }
    }

    /// Gives the process a call. Returns how it ended, and how long it took.
    pub(super) async fn call(
        &mut self,
        function: &Function,
        payload: Bytes,
    ) -> (Outcome, Duration) {
        self.number += 1;
        let id = format!("{:08}-{:08}", self.process, self.number);
        let (answer, answered) = oneshot::channel();
        *self.runtime.call.lock() = Some((id.clone(), answer));
        let begun = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline_ms = (now + function.timeout).as_millis();
        signal(self.process, Signal::CONT);
        let given = self.calls.send(Event { id, deadline_ms, payload }).await;
        let failed =
            |kind: &str, message: String| Outcome::Failed { kind: kind.to_owned(), message };
        let outcome = tokio::select! {
            biased;
            Ok(outcome) = answered, if given.is_ok() => outcome,
            status = self.child.wait() => {
                failed("Runtime.ExitError", format!("the process ended: {status:?}"))
            }
            () = over_memory(self.process, function.memory_mb) => {
                failed("Runtime.OutOfMemory", format!("more than {} MB", function.memory_mb))
            }
            () = tokio::time::sleep(function.timeout) => {
                failed("Sandbox.Timedout", format!("timed out after {:?}", function.timeout))
            }
        };
        let took = begun.elapsed();
        let left = function.timeout.saturating_sub(took);
        let was_killed = match &outcome {
            Outcome::Done(_) => false,
            Outcome::Failed { kind, .. } => kind != "Function.Error",
        };
        // The call is over when the process asks for the next one.
        self.is_alive = !was_killed && self.asks(self.number + 1, left).await;
        if self.is_alive {
            signal(self.process, Signal::STOP);
        } else {
            let _ = self.child.start_kill();
        }
        (outcome, took)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// True if the signal was sent.
pub(super) fn signal(process: u32, signal: Signal) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    process.is_some_and(|process| rustix::process::kill_process(process, signal).is_ok())
}

/// Resolves when the process has more memory resident.
async fn over_memory(process: u32, most_mb: u64) {
    loop {
        tokio::time::sleep(MEMORY_EVERY).await;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        if kib.is_some_and(|kib| kib / 1024 > most_mb) {
            return;
        }
    }
}

async fn next(State(runtime): State<Arc<Runtime>>) -> Response {
    runtime.asked.send_modify(|asked| *asked += 1);
    let Some(event) = runtime.events.lock().await.recv().await else {
        return plain(StatusCode::GONE);
    };
    let response = Response::builder()
        .header("lambda-runtime-aws-request-id", event.id)
        .header("lambda-runtime-deadline-ms", event.deadline_ms.to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f",
        )
        .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000");
    response.body(Body::from(event.payload)).unwrap_or_else(|_| plain(StatusCode::BAD_REQUEST))
}

async fn response(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    runtime.answer(&id, Outcome::Done(body))
}

async fn error(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let message = String::from_utf8_lossy(&body).into_owned();
    runtime.answer(&id, Outcome::Failed { kind: "Function.Error".to_owned(), message })
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: Bytes) -> Response {
    *runtime.init_error.lock() = Some(String::from_utf8_lossy(&body).into_owned());
    plain(StatusCode::ACCEPTED)
}

impl Runtime {
    fn answer(&self, id: &str, outcome: Outcome) -> Response {
        match self.call.lock().take_if(|(call, _)| call == id) {
            Some((_, answer)) => {
                // Nobody waits if it was killed in this moment.
                let _ = answer.send(outcome);
                plain(StatusCode::ACCEPTED)
            }
            None => plain(StatusCode::BAD_REQUEST),
        }
    }
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
