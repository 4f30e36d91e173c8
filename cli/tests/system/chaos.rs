//! Chaos: TPC-H in a loop while processes are killed, frozen and thawed, and the store's server is killed as well.
//!
//! ```text
//!   2 clients ──key, again and again──> 2 gateways ┐
//!                                       2 workers  ├── SIGKILL, SIGSTOP … SIGCONT, every few hundred ms
//!                                       MinIO      ┘
//!   every answer is compared · at the end: collect, thaw the last zombies, collect, and count what is left
//! ```
//! What is killed when is drawn from a seed, which is printed; but real processes do not repeat. `sim/world` does.
//! `just chaos 1000` for a long run.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use dunlin_cli::fleet::{Process, start_gateway};
use dunlin_cli::tpch;
use dunlin_exact::Rng;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, signal, unique};
use crate::survival::SHORT_LEASE;

const SCALE: f64 = 0.05;
/// The longest that a query may take.
const PATIENCE: Duration = Duration::from_secs(180);
const GATEWAYS: usize = 2;
const WORKERS: usize = 2;
/// Answers that each client must have got.
const LEAST_ANSWERS: u64 = 5;
/// Nothing is kept once it may go.
const KEEP_NOTHING: &str =
    "[gateway.gc]\nenabled = false\ndata_ms = 0\nanswers_ms = 0\nrecords_ms = 0\nends_ms = 0\n";

/// Processes that are to be killed: those that `just chaos` asks for, or as many as CI has time for.
fn kills(usual: u64) -> u64 {
    std::env::var("DUNLIN_CHAOS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A server of its own, which is killed and started again on the same folder.
struct Minio {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Minio {
    const KEY: &'static str = "chaos";
    const SECRET: &'static str = "chaos-chaos";

    fn start(folder: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = folder.to_owned();
        Self { child: Self::run(&folder, port), folder, port }
    }

    fn run(folder: &Path, port: u16) -> Child {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/minio");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.with_extension("log"))
            .unwrap();
        Command::new(server)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg(folder)
            .env("MINIO_ROOT_USER", Self::KEY)
            .env("MINIO_ROOT_PASSWORD", Self::SECRET)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn again(&mut self) {
        self.child = Self::run(&self.folder, self.port);
    }

    async fn is_ready(&self) {
        let url = format!("http://127.0.0.1:{}/minio/health/ready", self.port);
        let start = Instant::now();
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(start.elapsed() < PATIENCE, "MinIO does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn as_s3(&self) -> S3 {
        S3::of(&format!("http://127.0.0.1:{}", self.port), "chaos", Self::KEY, Self::SECRET)
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What clients see of it.
struct Town {
    urls: RwLock<Vec<String>>,
    dice: Mutex<Rng>,
    is_over: AtomicBool,
    answers: AtomicU64,
    reference: Arc<Reference>,
}

impl Town {
    fn below(&self, bound: u64) -> u64 {
        self.dice.lock().below(usize::try_from(bound).unwrap().max(1)) as u64
    }

    fn url(&self) -> String {
        let urls = self.urls.read();
        urls[usize::try_from(self.below(urls.len() as u64)).unwrap()].clone()
    }
}

/// The processes, and who does them harm.
struct Mob {
    setup: Setup,
    town: Arc<Town>,
    gateways: Vec<Process>,
    workers: Vec<Process>,
    /// Frozen workers, with the time when they are thawed; none: at the end.
    frozen: Vec<(Process, Option<Instant>)>,
    minio: Option<Minio>,
    started: u64,
    done: BTreeMap<&'static str, u64>,
}

impl Mob {
    fn new(setup: Setup, minio: Option<Minio>, data: &Path) -> Self {
        let seed = u64::from(std::process::id()) ^ (started_at() << 16);
        println!("chaos: seed {seed}");
        let town = Town {
            urls: RwLock::default(),
            dice: Mutex::new(Rng::new(seed)),
            is_over: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            reference: Reference::over(data),
        };
        let mut mob = Self {
            setup,
            town: Arc::new(town),
            gateways: Vec::new(),
            workers: Vec::new(),
            frozen: Vec::new(),
            minio,
            started: 0,
            done: BTreeMap::new(),
        };
        (0..GATEWAYS).for_each(|_| mob.add_gateway());
        (0..WORKERS).for_each(|_| mob.add_worker());
        mob
    }

    fn log(&mut self, of: &str) -> PathBuf {
        self.started += 1;
        self.setup.path().join(format!("{of}-{}.log", self.started))
    }

    fn add_gateway(&mut self) {
        let log = self.log("gateway");
        // A gateway does not start without its store, and whoever runs it starts it again.
        let start = Instant::now();
        let (process, address) = loop {
            match start_gateway(binary(), &self.setup.config, &log) {
                Ok(started) => break started,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error:#}"),
            }
        };
        self.town.urls.write().push(format!("http://{address}"));
        self.gateways.push(process);
    }

    fn add_worker(&mut self) {
        let log = self.log("worker");
        let config = self.setup.config.display().to_string();
        let arguments = ["worker", "--config", &config, "--slots", "1"];
        self.workers.push(Process::start(binary(), &arguments, &log).unwrap());
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn killed(&self) -> u64 {
        self.done
            .iter()
            .filter(|(what, _)| what.starts_with("killed"))
            .map(|(_, count)| count)
            .sum()
    }

    fn any(&self, of: usize) -> usize {
        usize::try_from(self.town.below(of as u64)).unwrap()
    }

    async fn harm(&mut self) {
        match self.town.below(20) {
            0..=9 => {
                let chosen = self.any(self.workers.len());
                self.workers.remove(chosen).kill();
                self.count("killed workers");
            }
            10..=13 => {
                let chosen = self.any(self.gateways.len());
                self.town.urls.write().remove(chosen);
                self.gateways.remove(chosen).kill();
                self.count("killed gateways");
                self.add_gateway();
            }
            14 | 15 if self.minio.is_some() => {
                let pause = Duration::from_millis(self.town.below(3_000));
                let minio = self.minio.as_mut().unwrap();
                minio.kill();
                tokio::time::sleep(pause).await;
                minio.again();
                self.count("killed stores");
            }
            _ => {
                let chosen = self.any(self.workers.len());
                let worker = self.workers.remove(chosen);
                signal(&worker, "-STOP");
                let is_long = self.town.below(8) == 0 && self.frozen.len() < 4;
                let until = Instant::now() + Duration::from_millis(self.town.below(4_000));
                self.frozen.push((worker, (!is_long).then_some(until)));
                self.count("frozen workers");
            }
        }
        self.thaw(|until| until.is_some_and(|until| until <= Instant::now()));
        while self.workers.len() > WORKERS + 1 {
            self.workers.remove(0).kill();
            self.count("killed workers");
        }
        while self.workers.len() < WORKERS {
            self.add_worker();
        }
    }

    /// Lets those go on for whom it is time.
    fn thaw(&mut self, is_time: impl Fn(Option<Instant>) -> bool) {
        for (worker, until) in std::mem::take(&mut self.frozen) {
            if is_time(until) {
                signal(&worker, "-CONT");
                self.workers.push(worker);
            } else {
                self.frozen.push((worker, until));
            }
        }
    }

    fn gc(&self) -> Value {
        let config = self.setup.config.display().to_string();
        let told =
            Command::new(binary()).args(["gc", "--config", &config, "--json"]).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        serde_json::from_slice(&told.stdout).unwrap()
    }
}

/// Milliseconds since 1970, for a seed that no other run had.
fn started_at() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// One client: a query after the other, each under a key, until its rows are there and are right.
async fn client(town: Arc<Town>) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    while !town.is_over.load(Ordering::Relaxed) {
        let number = usize::try_from(town.below(22)).unwrap() + 1;
        let (sql, key, start) = (tpch::query(number).unwrap(), unique("chaos"), Instant::now());
        let body = json!({
            "sql": sql,
            "settings": { "route": "fleet", "target_partitions": 4, "task_bytes": 0 },
            "wait_timeout": "0s",
        });
        let rows = loop {
            let asked = ask(&http, &town, &body, &key).await;
            match asked {
                Ok(rows) => break rows,
                Err(Trouble::Later(why)) => {
                    assert!(start.elapsed() < PATIENCE, "Q{number} under {key}: {why}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(Trouble::Failed(why)) => panic!("Q{number} under {key}: {why}"),
            }
        };
        town.reference.check_tpch("in chaos", number, &rows);
        town.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why there are no rows.
enum Trouble {
    /// A process or the store is away; it is asked again.
    Later(String),
    /// The query has ended without an answer.
    Failed(String),
}

/// Sends the same request again: it finds the same query, on any gateway.
async fn ask(
    http: &reqwest::Client,
    town: &Town,
    body: &Value,
    key: &str,
) -> Result<Vec<RecordBatch>, Trouble> {
    let later = |error: reqwest::Error| Trouble::Later(format!("{error:?}"));
    let submit = http.post(format!("{}/v1/queries", town.url())).json(body);
    let response = submit.header("idempotency-key", key).send().await.map_err(later)?;
    let (status, text) = (response.status(), response.text().await.map_err(later)?);
    if status.is_client_error() && status.as_u16() != 429 {
        return Err(Trouble::Failed(text));
    }
    let told: Value = serde_json::from_str(&text).map_err(|_| Trouble::Later(text.clone()))?;
    let Some(query) = told["query_id"].as_str().filter(|_| status.is_success()) else {
        return Err(Trouble::Later(text));
    };
    let url = format!("{}/v1/queries/{query}", town.url());
    let told = http.get(format!("{url}?wait=5s")).send().await.map_err(later)?;
    let status: Value = told.json().await.map_err(later)?;
    match status["status"].as_str() {
        Some("SUCCEEDED") => {}
        Some("FAILED" | "CANCELLED") => return Err(Trouble::Failed(status.to_string())),
        _ => return Err(Trouble::Later(status.to_string())),
    }
    let arrow = "application/vnd.apache.arrow.stream";
    let asked = http.get(format!("{url}/results")).header("accept", arrow);
    let response = asked.send().await.map_err(later)?;
    let (status, bytes) = (response.status(), response.bytes().await.map_err(later)?);
    if !status.is_success() {
        return Err(Trouble::Later(String::from_utf8_lossy(&bytes).into_owned()));
    }
    // An answer that breaks off is no Arrow stream with an end.
    let broken = |error: arrow::error::ArrowError| Trouble::Later(error.to_string());
    let reader =
        arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
    let mut rows = vec![RecordBatch::new_empty(reader.schema())];
    for batch in reader {
        rows.push(batch.map_err(broken)?);
    }
    Ok(rows)
}

async fn chaos(setup: Setup, minio: Option<Minio>, data: &Path, kills: u64) {
    let mut mob = Mob::new(setup, minio, data);
    let town = Arc::clone(&mob.town);
    let (clients, began) =
        ((0..2).map(|_| tokio::spawn(client(Arc::clone(&town)))), Instant::now());
    let mut clients: Vec<_> = clients.collect();
    let least_stores = u64::from(mob.minio.is_some());
    while mob.killed() < kills
        || mob.done.get("killed stores").copied().unwrap_or(0) < least_stores
        || town.answers.load(Ordering::Relaxed) < 2 * LEAST_ANSWERS
    {
        let pause = Duration::from_millis(100 + town.below(500));
        tokio::time::sleep(pause).await;
        mob.harm().await;
        if let Some(ended) = clients.iter().position(tokio::task::JoinHandle::is_finished) {
            clients.remove(ended).await.unwrap();
        }
    }
    town.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    let answers = town.answers.load(Ordering::Relaxed);
    println!("chaos: {answers} answers in {took:.0} s, all exact; {:?}", mob.done);
    // Whoever still sleeps is woken after everything was deleted, and writes nothing that counts.
    let first = mob.gc();
    mob.thaw(|_| true);
    let sql = json!({ "sql": "select count(*) from nation", "settings": { "route": "fleet" } });
    let url = format!("{}/v1/sql", town.url());
    let answer = reqwest::Client::new().post(url).json(&sql).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    mob.workers.clear();
    mob.gateways.clear();
    let second = mob.gc();
    let third = mob.gc();
    println!("chaos: collected {}\nthen {}\nthen {}", short(&first), short(&second), short(&third));
    // Those who woke after everything was deleted may have left an attempt each, and a seal. They wait for an hour, as
    // orphans.
    for (kind, left) in third["kinds"].as_object().unwrap() {
        let count = |fate: &str| left[fate]["objects"].as_u64().unwrap();
        let most = if ["hints", "idempotency keys"].contains(&kind.as_str()) { 0 } else { 64 };
        assert_eq!(count("living"), 0, "{kind} of no query: {third}");
        assert!(count("waiting") <= most, "{kind} are left: {third}");
    }
}

/// What a pass has deleted and found.
fn short(told: &Value) -> String {
    let kinds = told["kinds"].as_object().unwrap();
    let each = kinds.iter().map(|(kind, found)| {
        let count = |fate: &str| found[fate]["objects"].as_u64().unwrap_or(0);
        format!("{kind} {}/{}/{}", count("deleted"), count("orphans"), count("waiting"))
    });
    each.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_and_frozen_processes_over_a_folder_cost_no_row() {
    let data = data(SCALE);
    let setup = Setup::folder(&data, &format!("{SHORT_LEASE}{KEEP_NOTHING}"));
    chaos(setup, None, &data, kills(50)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_processes_and_servers_over_s3_cost_no_row() {
    if S3::from_env().is_none() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir_all(folder.path().join("minio/chaos")).unwrap();
    let minio = Minio::start(&folder.path().join("minio"));
    minio.is_ready().await;
    let (s3, data) = (minio.as_s3(), data(SCALE));
    s3.upload(&data, "tables").await;
    let more = format!("{SHORT_LEASE}{KEEP_NOTHING}");
    let setup = Setup::with(|_| s3.config("state", "tables", &s3.endpoint, &more));
    chaos(setup, Some(minio), &data, kills(20)).await;
}
