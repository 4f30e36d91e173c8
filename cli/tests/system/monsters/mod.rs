//! No text kills or stalls a process: a corpus of monsters goes to a real gateway with workers in its process, by
//! every way in. Each gets an answer, and afterwards the same process still answers `SELECT 1`.

mod bodies;
mod monster;
mod statements;

use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Process, start_listening};
use futures::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use self::monster::{Body, Expected, Monster};
use crate::common::{Setup, binary};

/// The longest that a monster may wait for its answer: over the time limits below.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a query may run before it is cancelled: some of them compute for days.
const RUNNING: Duration = Duration::from_secs(2);
/// The longest that `SELECT 1` may take beside or after a monster, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);
/// The most memory that the process may hold: the gateway's pool and the workers' have a GiB each, a statement whose
/// planning was given up goes on for a while, and the allocator keeps for its threads what they once used.
const MEMORY: u64 = 8 << 30;
/// Bytes of an answer that are read; more is let go.
const ENOUGH: usize = 4 << 20;
/// Limits of the process, beside the defaults: a test does not wait for minutes.
const LIMITS: &str = "[planning]\ntime_limit_ms = 6000\n[worker]\nmemory_bytes = 1073741824\n";

/// A gateway with workers.
struct Den {
    setup: Setup,
    process: Process,
    base: String,
    http: reqwest::Client,
    lives: usize,
}

/// What came back.
#[derive(Debug)]
struct Outcome {
    status: u16,
    /// The code of a problem, or the first bytes of the rows.
    said: String,
}

impl Den {
    fn start() -> Self {
        let setup = Setup::with(|state| {
            let folder = state.with_file_name("t");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("rows.csv"), table()).unwrap();
            format!(
                "[state]\nlocation = \"file://{}\"\n{LIMITS}\n[[tables]]\nname = \"t\"\nlocation = \"file://{}/\"\nformat = \"csv\"\n",
                state.display(),
                folder.display()
            )
        });
        let (process, base) = Self::run(&setup, 0);
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { setup, process, base, http, lives: 1 }
    }

    fn run(setup: &Setup, life: usize) -> (Process, String) {
        let log = setup.path().join(format!("run-{life}.log"));
        let config = setup.config.display().to_string();
        let arguments = ["run", "--config", &config, "--workers", "2"];
        let (process, address) = start_listening(binary(), &arguments, &log).unwrap();
        (process, format!("http://{address}"))
    }

    /// A new process, after one was killed.
    fn revive(&mut self) {
        self.process.kill();
        (self.process, self.base) = Self::run(&self.setup, self.lives);
        self.lives += 1;
    }

    async fn post(
        &self,
        path: &str,
        monster: &Monster,
        settings: &Value,
    ) -> Result<Outcome, String> {
        let (body, content_type) = monster.bytes(settings);
        let request = self.http.post(format!("{}{path}", self.base)).body(body);
        let request = request.header("content-type", content_type).header("prefer", "wait=2");
        let response = request.send().await.map_err(|error| format!("no answer: {error:?}"))?;
        outcome(response).await
    }

    /// What becomes of a query that is not over yet: if it computes for long, it is cancelled, and has to end.
    async fn end(&self, status: &Value) -> Result<Outcome, String> {
        let query = status["query_id"].as_str().ok_or_else(|| format!("no query: {status}"))?;
        if let Some(outcome) = self.ended(query, RUNNING).await? {
            return Ok(outcome);
        }
        let url = format!("{}/v1/queries/{query}/cancel", self.base);
        self.http.post(url).send().await.map_err(|error| error.to_string())?;
        match self.ended(query, PROMPT).await? {
            Some(outcome) => Ok(outcome),
            None => Err("the query does not end when it is cancelled".to_owned()),
        }
    }

    async fn ended(&self, query: &str, patience: Duration) -> Result<Option<Outcome>, String> {
        let began = Instant::now();
        while began.elapsed() < patience {
            let url = format!("{}/v1/queries/{query}?wait=1s", self.base);
            let response = self.http.get(url).send().await.map_err(|error| error.to_string())?;
            let status: Value = response.json().await.map_err(|error| error.to_string())?;
            if matches!(status["status"].as_str(), Some("SUCCEEDED" | "FAILED" | "CANCELLED")) {
                let said = status["error"]["code"].as_str().unwrap_or("rows").to_owned();
                return Ok(Some(Outcome { status: 200, said }));
            }
        }
        Ok(None)
    }

    /// Whether the process still answers.
    async fn lives(&mut self) -> Result<(), String> {
        let body = json!({ "sql": "SELECT 1 AS x" }).to_string();
        let request = self.http.post(format!("{}/v1/sql", self.base)).body(body);
        let request = request.header("content-type", "application/json").timeout(PROMPT);
        let answer = match request.send().await {
            Ok(response) => response.text().await,
            Err(error) => Err(error),
        };
        if !self.process.is_running() {
            return Err("the process died".to_owned());
        }
        match answer {
            Ok(text) if text.contains("\"x\":1") => Ok(()),
            Ok(text) => Err(format!("SELECT 1 said {text}")),
            Err(error) => Err(format!("SELECT 1 got no answer: {error:?}")),
        }
    }
}

/// Reads an answer as far as it says what it is.
async fn outcome(response: Response) -> Result<Outcome, String> {
    let status = response.status();
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => body.extend_from_slice(&chunk),
            // How an answer says that it failed after its first rows.
            Err(_) if status == StatusCode::OK => break,
            Err(error) => return Err(format!("{status}, and then {error:?}")),
        }
        if body.len() > ENOUGH {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    if status.is_success() {
        let said = if status == StatusCode::ACCEPTED {
            text.into_owned()
        } else {
            text.chars().take(60).collect()
        };
        return Ok(Outcome { status: status.as_u16(), said });
    }
    let problem: Value = serde_json::from_str(&text).map_err(|_| {
        format!("{status} without a problem: {}", text.chars().take(200).collect::<String>())
    })?;
    let code =
        problem["code"].as_str().ok_or_else(|| format!("{status} without a code: {problem}"))?;
    let detail: String = problem["detail"].as_str().unwrap_or_default().chars().take(160).collect();
    Ok(Outcome { status: status.as_u16(), said: format!("{code}: {detail}") })
}

/// Twelve rows of ten columns.
fn table() -> String {
    let line = |row: i64| {
        (0..10).map(|column| (row * 7 + column).to_string()).collect::<Vec<_>>().join(",")
    };
    let names = (0..10).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = (0..12).map(line).collect();
    format!("{names}\n{}\n", lines.join("\n"))
}

/// The ways in: a path, and the settings.
fn ways(monster: &Monster) -> Vec<(&'static str, Value)> {
    match monster.body {
        Body::Raw(..) => vec![
            ("/v1/sql", Value::Null),
            ("/v1/queries", Value::Null),
            ("/v1/explain", Value::Null),
        ],
        Body::Sql(_) => vec![
            ("/v1/sql", json!({ "route": "inline" })),
            ("/v1/sql", json!({ "route": "fleet" })),
            ("/v1/queries", json!({})),
            ("/v1/explain", json!({ "route": "fleet" })),
        ],
    }
}

async fn face(
    den: &mut Den,
    monster: &Monster,
    path: &str,
    settings: &Value,
) -> Result<Outcome, String> {
    den.process.reset_peak();
    let answer = match den.post(path, monster, settings).await {
        Ok(Outcome { status: 202, said }) => {
            let status = serde_json::from_str(&said).unwrap_or_default();
            den.end(&status).await
        }
        other => other,
    };
    den.lives().await?;
    let peak = den.process.usage().1;
    if peak > MEMORY {
        return Err(format!("{} MiB of memory", peak >> 20));
    }
    let answer = answer?;
    if answer.said.starts_with("INTERNAL") {
        return Err(answer.said);
    }
    match monster.expected {
        Expected::TooComplex if !answer.said.starts_with("QUERY_TOO_COMPLEX") => {
            Err(format!("not refused as too complex: {}", answer.said))
        }
        _ => Ok(answer),
    }
}

/// The monsters that are asked for, each with its ways in: all of them (`DUNLIN_MONSTERS=all`), those whose name
/// contains a text, or what CI has time for: every second one, by one way, in turn.
fn chosen() -> Vec<(Monster, Vec<(&'static str, Value)>)> {
    let asked = std::env::var("DUNLIN_MONSTERS").unwrap_or_default();
    let all = statements::statements().into_iter().chain(bodies::bodies());
    let with_ways = |(number, monster): (usize, Monster)| {
        let mut ways = ways(&monster);
        if asked.is_empty() {
            ways = vec![ways.swap_remove(number / 2 % ways.len())];
            ways.truncate(1 - number % 2);
        }
        (monster, ways)
    };
    let wanted = |monster: &Monster| match asked.as_str() {
        "" => !monster.rare,
        "all" => true,
        text => monster.name.contains(text),
    };
    all.filter(wanted).enumerate().map(with_ways).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_kills_or_stalls_a_process() {
    let mut den = Den::start();
    let mut wrong = Vec::new();
    for (monster, ways) in chosen() {
        for (path, settings) in ways {
            let began = Instant::now();
            let outcome = face(&mut den, &monster, path, &settings).await;
            let route = settings["route"].as_str().unwrap_or("auto");
            let way = format!("{} ({path} {route})", monster.name);
            let (took, peak) = (began.elapsed().as_secs_f64(), den.process.usage().1 >> 20);
            println!("{took:6.2} s {peak:5} MiB {way}: {outcome:?}");
            if let Err(error) = outcome {
                wrong.push(format!("{way}: {error}"));
                den.revive();
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the monsters:\n{}", wrong.len(), wrong.join("\n"));
}
