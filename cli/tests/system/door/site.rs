//! A gateway with a front door, and the keys and certificates that fit it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Process, start_listening};
use serde_json::{Value, json};

use crate::common::{Setup, binary};

/// Longest wait for anything, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway over a folder.
#[derive(Debug)]
pub struct Site {
    pub setup: Setup,
    pub process: Process,
    pub address: SocketAddr,
    pub log: PathBuf,
}

impl Site {
    /// `dunlin run` with one worker over a folder without tables.
    pub fn start(toml: &str) -> Self {
        Self::start_as(setup(toml), "run", "info")
    }

    /// `dunlin run` or `dunlin gateway` with a log filter.
    pub fn start_as(setup: Setup, command: &str, filter: &str) -> Self {
        let (process, address, log) = run(&setup, command, filter);
        Self { setup, process, address, log }
    }

    /// Another process over the same state, with `toml` more in its configuration.
    pub fn restart_with(&mut self, toml: &str) {
        self.process.kill();
        let config = std::fs::read_to_string(&self.setup.config).unwrap();
        std::fs::write(&self.setup.config, format!("{config}\n{toml}")).unwrap();
        (self.process, self.address, self.log) = run(&self.setup, "run", "info");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connection that does nothing by itself.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

fn run(setup: &Setup, command: &str, filter: &str) -> (Process, SocketAddr, PathBuf) {
    let log = setup.path().join("log");
    let config = setup.config.display().to_string();
    let (filter, dunlin) = (format!("DUNLIN_LOG={filter}"), binary().display().to_string());
    let arguments = [filter.as_str(), &dunlin, command, "--config", &config];
    let (process, address) = start_listening(Path::new("/usr/bin/env"), &arguments, &log).unwrap();
    (process, address, log)
}

/// A configuration over a folder without tables, and `toml`.
pub fn setup(toml: &str) -> Setup {
    Setup::with(|state| format!("[state]\nlocation = \"file://{}\"\n\n{toml}\n", state.display()))
}

/// A key that `dunlin key new` printed.
#[derive(Debug)]
pub struct Key {
    pub text: String,
    pub sha256: String,
    /// The lines of the configuration.
    pub toml: String,
}

impl Key {
    pub fn new(name: &str, scopes: &str) -> Self {
        let made = dunlin(&["key", "new", "--name", name, "--scopes", scopes]);
        assert!(made.status.success(), "{made:?}");
        let printed = String::from_utf8(made.stdout).unwrap();
        let text = printed.lines().find(|line| line.starts_with("dunlin_")).unwrap().to_owned();
        let toml = printed[printed.find("[[gateway.keys]]").unwrap()..].to_owned();
        let sha256 = toml.lines().find_map(|line| line.strip_prefix("sha256 = ")).unwrap();
        let sha256 = sha256.trim_matches('"').to_owned();
        Self { text, sha256, toml }
    }
}

/// Runs the binary to its end.
pub fn dunlin(arguments: &[&str]) -> Output {
    dunlin_with(arguments, &[])
}

/// Runs the binary to its end with more environment.
pub fn dunlin_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_remove("DUNLIN_API_KEY")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Sends a request with a key and gives status and body.
pub async fn ask(
    request: reqwest::RequestBuilder,
    key: Option<&str>,
) -> (u16, Value, reqwest::header::HeaderMap) {
    let request = match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)), headers)
}

/// Submits a query that lasts until it has its answer, and gives its id.
pub fn submission(sql: &str) -> Value {
    json!({ "sql": sql, "wait_timeout": "30s" })
}

/// Waits until `found` finds something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
