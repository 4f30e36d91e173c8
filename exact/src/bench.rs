//! One set of tables, and the forms in which a query over them can be answered.
//!
//! ```text
//!   single   one DataFusion process with its own settings: what the answer must be
//!   uncut    Dunlin's plan in one process               wrong = planner settings or normalisation
//!   decoded  cut, encoded, decoded, run stage by stage  wrong = the cut, the wire form or the exchange
//!   fleet    gateway and workers over HTTP              wrong = the protocol
//! ```
//!
//! The first form that is wrong shows where to look.

use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use dunlin_planner::config::Config;
use dunlin_planner::{PlanError, RouteMode};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fleet::{Fleet, State};
use crate::in_process::InProcess;
use crate::place::TableOf;
use crate::reference::Reference;

/// Longest time for any form. These queries are small, so a query that takes longer is a defect.
const PATIENCE: Duration = Duration::from_secs(60);
/// The result of a query.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// At least one batch, which may be empty, because it holds the columns.
    Rows(Vec<RecordBatch>),
    /// Dunlin's typed refusal.
    Refused {
        /// The operator that cannot be encoded.
        operator: String,
        /// The reason.
        reason: String,
    },
    /// Any other error, a panic or a hang.
    Failed(String),
}

/// Tables, and the forms that answer queries over them.
#[derive(Clone, Debug)]
pub struct Bench {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    reference: Reference,
    engine: InProcess,
    http: reqwest::Client,
    fleet: tokio::sync::OnceCell<Fleet>,
    _state: State,
}

impl Bench {
    /// A bench over some tables; `engine` is TOML such as [`crate::engines::ENGINE`].
    ///
    /// # Panics
    /// The configuration cannot be used.
    pub async fn open(tables: &[TableOf], engine: &str) -> Self {
        Self::with_entries(tables, engine, "").await
    }

    /// As [`Self::open`], with more `[[tables]]` entries, which the reference does not have.
    ///
    /// # Panics
    /// The configuration cannot be used.
    pub async fn with_entries(tables: &[TableOf], engine: &str, more: &str) -> Self {
        let entries: String = tables.iter().map(TableOf::toml).collect();
        let state = State::new().await.unwrap();
        let text = format!("{}{engine}{entries}{more}", state.toml);
        let config = Config::parse(&text).unwrap();
        let inner = Inner {
            engine: InProcess::open(&config),
            config,
            reference: Reference::over(tables),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            fleet: tokio::sync::OnceCell::new(),
            _state: state,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What one DataFusion process answers with its own settings.
    pub async fn single(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move {
            match inner.reference.rows(&sql, partitions).await {
                Ok(rows) => Outcome::Rows(rows),
                Err(error) => Outcome::Failed(error.strip_backtrace()),
            }
        })
        .await
    }

    /// Runs Dunlin's plan in this process, as the inline route does.
    pub async fn uncut(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move { outcome(inner.engine.uncut(&sql, partitions).await) }).await
    }

    /// Cuts, encodes, decodes and runs a query stage by stage in this process, with one task for each partition.
    pub async fn decoded(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        bounded(async move { outcome(inner.engine.decoded(&sql, partitions).await) }).await
    }

    /// Runs a query through a gateway and workers, which are started on first use.
    pub async fn fleet(&self, sql: &str, partitions: usize) -> Outcome {
        let (inner, sql) = (Arc::clone(&self.inner), sql.to_owned());
        // Only the query has a time limit, and not the start.
        inner.running().await;
        bounded(async move { inner.ask(&sql, partitions).await }).await
    }

    /// The staged plan of a query, or why there is none.
    pub async fn explain(&self, sql: &str, partitions: usize) -> String {
        let planned = self.inner.engine.try_plan(sql, partitions, RouteMode::Fleet).await;
        planned.map_or_else(|error| error.to_string(), |planned| planned.explain.distributed)
    }
}

impl Inner {
    async fn running(&self) -> &Fleet {
        let start = || async { Fleet::start(&self.config).await.unwrap() };
        self.fleet.get_or_init(start).await
    }

    async fn ask(&self, sql: &str, partitions: usize) -> Outcome {
        let settings = json!({ "route": "fleet", "target_partitions": partitions });
        let request = self
            .http
            .post(format!("{}/v1/sql", self.running().await.url()))
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

/// An error of the API. A refusal starts with the operator's name.
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

/// Runs on a task of its own, so that neither a panic nor a plan that never yields ends or blocks the test.
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
