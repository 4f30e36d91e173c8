//! One set of tables, and the ways to answer a query over them.
//!
//! ```text
//!   single   one DataFusion process with its own settings: what the answer must be
//!   uncut    Dunlin's plan in one process               wrong = planner settings or normalisation
//!   decoded  cut, encoded, decoded, run stage by stage  wrong = the cut, the wire form or the exchange
//!   fleet    gateway and workers over HTTP              wrong = the protocol
//! ```
//!
//! The first form that is wrong tells where to look.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::TableReference;
use datafusion::error::Result as DfResult;
use datafusion::physical_plan::collect;
use datafusion::prelude::{
    CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext,
};
use dunlin_cli::fleet::{Process, start_listening};
use dunlin_planner::PlanError;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::in_process::InProcess;
use super::reference::Table;
use super::{Setup, binary};

/// Longest time that any form may take: these queries are small, and a hang is a defect.
const PATIENCE: Duration = Duration::from_secs(60);
/// Worker processes' slots of the fleet form.
const WORKERS: &str = "2";

/// Where a table lies.
#[derive(Clone, Debug)]
pub struct TableOf {
    pub name: String,
    /// A folder or a file.
    pub location: PathBuf,
    /// `parquet`, `csv` or `json`.
    pub format: &'static str,
    /// More lines of the `[[tables]]` entry.
    pub extra: String,
}

impl TableOf {
    /// A Parquet table in a folder.
    pub fn parquet(name: &str, location: &Path) -> Self {
        Self::of(name, location, "parquet")
    }

    pub fn of(name: &str, location: &Path, format: &'static str) -> Self {
        Self { name: name.to_owned(), location: location.to_owned(), format, extra: String::new() }
    }

    /// The location as an address; folders end in `/`.
    fn address(&self) -> String {
        let slash = if self.location.is_dir() { "/" } else { "" };
        format!("{}{slash}", self.location.display())
    }

    fn toml(&self) -> String {
        format!(
            "[[tables]]\nname = \"{}\"\nlocation = \"file://{}\"\nformat = \"{}\"\n{}\n",
            self.name,
            self.address(),
            self.format,
            self.extra
        )
    }
}

/// What became of a query.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// At least one batch, which may be empty: it carries the columns.
    Rows(Vec<RecordBatch>),
    /// Dunlin's typed refusal.
    Refused { operator: String, reason: String },
    /// Any other error, a panic or a hang.
    Failed(String),
}

/// Tables, and what answers queries over them.
pub struct Bench {
    inner: Arc<Inner>,
}

struct Inner {
    tables: Vec<TableOf>,
    setup: Setup,
    engine: InProcess,
    singles: Mutex<BTreeMap<usize, SessionContext>>,
    http: reqwest::Client,
    fleet: tokio::sync::OnceCell<Running>,
}

/// `dunlin run` and where it listens.
struct Running {
    url: String,
    _process: Process,
}

impl Bench {
    /// `engine` is TOML such as [`super::ENGINE`].
    pub async fn open(tables: &[TableOf], engine: &str) -> Self {
        let entries: String = tables.iter().map(TableOf::toml).collect();
        let setup =
            Setup::with(|_| format!("[state]\nlocation = \"memory://\"\n\n{engine}{entries}"));
        let inner = Inner {
            tables: tables.to_vec(),
            engine: InProcess::open(&setup.config),
            setup,
            singles: Mutex::default(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            fleet: tokio::sync::OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What one DataFusion process answers with its own settings.
    pub async fn single(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move {
            let context = inner.context(partitions).await;
            match single(&context, &sql).await {
                Ok(rows) => Outcome::Rows(rows),
                Err(error) => Outcome::Failed(error.strip_backtrace()),
            }
        })
        .await
    }

    /// Dunlin's plan, run in this process as the inline route does.
    pub async fn uncut(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move { outcome(inner.engine.uncut(&sql, partitions).await) }).await
    }

    /// Cut, encoded, decoded and run stage after stage in this process, one task a partition.
    pub async fn decoded(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move { outcome(inner.engine.decoded(&sql, partitions).await) }).await
    }

    /// Through a gateway and workers, started on first use.
    pub async fn fleet(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        // Starting takes as long as it takes; only the query is timed.
        inner.running().await;
        bounded(async move { inner.ask(&sql, partitions).await }).await
    }

    /// The staged plan of a query, or why there is none.
    pub async fn explain(&self, sql: &str, partitions: usize) -> String {
        let planned =
            self.inner.engine.try_plan(sql, partitions, dunlin_planner::RouteMode::Fleet).await;
        planned.map_or_else(|error| error.to_string(), |planned| planned.explain.distributed)
    }
}

impl Inner {
    /// The reference at a number of partitions; its tables are registered once.
    async fn context(&self, partitions: usize) -> SessionContext {
        if let Some(known) = self.singles.lock().unwrap().get(&partitions) {
            return known.clone();
        }
        let config = SessionConfig::new().with_target_partitions(partitions);
        let context = SessionContext::new_with_config(config);
        for table in &self.tables {
            register(&context, table).await.unwrap();
        }
        self.singles.lock().unwrap().entry(partitions).or_insert(context).clone()
    }

    async fn running(&self) -> &Running {
        let start = || async {
            let config = self.setup.config.display().to_string();
            let arguments = ["run", "--config", &config, "--workers", WORKERS];
            let log = self.setup.path().join("run.log");
            let (process, address) = start_listening(binary(), &arguments, &log).unwrap();
            Running { url: format!("http://{address}/v1/sql"), _process: process }
        };
        self.fleet.get_or_init(start).await
    }

    async fn ask(&self, sql: &str, partitions: usize) -> Outcome {
        let settings =
            json!({ "route": "fleet", "target_partitions": partitions, "task_bytes": 0 });
        let request = self
            .http
            .post(&self.running().await.url)
            .json(&json!({ "sql": sql, "settings": settings }))
            .header("prefer", format!("wait={}", 2 * PATIENCE.as_secs()))
            .header("accept", "application/vnd.apache.arrow.stream");
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Failed(format!("no answer: {error}")),
        };
        let status = response.status();
        let summary = response.headers().get("dunlin-summary");
        let summary =
            summary.and_then(|value| serde_json::from_slice::<Value>(value.as_bytes()).ok());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Outcome::Failed(format!("the answer broke off: {error}")),
        };
        if status != StatusCode::OK {
            return problem(status, &body);
        }
        if let Some(summary) = summary.filter(|summary| summary["route"] != "fleet") {
            return Outcome::Failed(format!("ran on the route {}", summary["route"]));
        }
        let reader = match arrow_ipc::reader::StreamReader::try_new(Cursor::new(body), None) {
            Ok(reader) => reader,
            Err(error) => return Outcome::Failed(format!("the answer is no Arrow: {error}")),
        };
        let mut rows = vec![RecordBatch::new_empty(reader.schema())];
        for batch in reader {
            match batch {
                Ok(batch) => rows.push(batch),
                Err(error) => return Outcome::Failed(format!("the answer broke off: {error}")),
            }
        }
        Outcome::Rows(rows)
    }
}

/// An error of the API: refusals open with the operator's name.
fn problem(status: StatusCode, body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = body["detail"].as_str().unwrap_or("no detail");
    if body["code"] == "UNSUPPORTED"
        && let Some((operator, reason)) = detail.split_once(" is not supported: ")
    {
        return Outcome::Refused { operator: operator.to_owned(), reason: reason.to_owned() };
    }
    let code = body["code"].as_str().unwrap_or("no code");
    Outcome::Failed(format!("{} {code}: {detail}", status.as_u16()))
}

fn outcome(result: anyhow::Result<Vec<RecordBatch>>) -> Outcome {
    let error = match result {
        Ok(rows) => return Outcome::Rows(rows),
        Err(error) => error,
    };
    match error.downcast_ref::<PlanError>() {
        Some(PlanError::Unsupported { operator, reason }) => {
            Outcome::Refused { operator: operator.clone(), reason: reason.clone() }
        }
        _ => Outcome::Failed(error.to_string()),
    }
}

/// On a task of its own, so that neither a panic nor a plan that never yields takes the test along.
async fn bounded(form: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let mut task = tokio::spawn(form);
    match tokio::time::timeout(PATIENCE, &mut task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Outcome::Failed(format!("panicked: {panic}")),
        Err(_) => {
            task.abort();
            Outcome::Failed("timed out".to_owned())
        }
    }
}

async fn register(context: &SessionContext, table: &TableOf) -> DfResult<()> {
    let name = TableReference::bare(table.name.to_lowercase());
    let address = table.address();
    match table.format {
        "csv" => {
            // As Dunlin reads CSV: a quoted value may hold a newline.
            let options = CsvReadOptions::new().newlines_in_values(true);
            context.register_csv(name, address, options).await
        }
        "json" => context.register_json(name, address, JsonReadOptions::default()).await,
        _ => context.register_parquet(name, address, ParquetReadOptions::default()).await,
    }
}

async fn single(context: &SessionContext, sql: &str) -> DfResult<Vec<RecordBatch>> {
    // The columns are the physical plan's: a frame's are those from before the types were coerced.
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let mut rows = vec![RecordBatch::new_empty(plan.schema())];
    rows.extend(collect(plan, context.task_ctx()).await?);
    Ok(rows)
}

/// `None` if `got` holds the rows of `want`, each as often (and, if `ordered`, in the same order); else a few
/// words: columns differ, row counts, first differing row.
pub fn difference(want: &[RecordBatch], got: &[RecordBatch], ordered: bool) -> Option<String> {
    Table::new(want).difference(&Table::new(got), ordered)
}
