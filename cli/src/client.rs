//! A small HTTP client of the query API, similar to one that a user would write.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::credentials::Credentials;

/// A client of one gateway.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// The content of the header `Dunlin-Summary`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// `inline` or `fleet`.
    pub route: String,
    /// Rows of the answer; none if it was still growing when its headers were sent.
    pub rows: Option<u64>,
    /// Stages.
    pub stages: u64,
    /// Tasks.
    pub tasks: u64,
    /// Attempts.
    pub attempts: u64,
    /// Bytes read from tables.
    pub bytes_scanned: u64,
    /// Bytes written to the exchange.
    pub shuffle_bytes: u64,
    /// Requests of workers, by class.
    pub requests: RequestCounts,
    /// Requests of the gateway, by class.
    pub requests_gateway: RequestCounts,
    /// Functions that ran tasks.
    pub functions: Calls,
    /// Dollars, if there is a price.
    pub cost_usd: Option<Dollars>,
    /// Milliseconds from the request's arrival to the first byte of the answer.
    pub wall_ms: u64,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Dollars {
    /// In all.
    pub total: f64,
}

/// Functions that ran tasks.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// Calls.
    pub calls: u64,
    /// Environments that were started for them.
    pub cold: u64,
}

/// Store requests by class.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestCounts {
    /// PUT.
    pub put: u64,
    /// GET.
    pub get: u64,
    /// LIST.
    pub list: u64,
    /// HEAD.
    pub head: u64,
    /// DELETE.
    pub delete: u64,
    /// How many of them were sent a second time.
    pub hedged: u64,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Query id.
    pub query: String,
    /// Rows as JSON objects.
    pub rows: Vec<Value>,
    /// What it cost.
    pub summary: Summary,
}

impl Client {
    /// A client of the gateway at `base`, e.g. `http://127.0.0.1:8090`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::over(reqwest::Client::new(), base)
    }

    /// A client that uses the given [`Credentials`].
    ///
    /// # Errors
    /// Credentials that cannot be read or used, or that must not be sent to `base`.
    pub fn with(base: &str, credentials: &Credentials) -> Result<Self> {
        Ok(Self::over(credentials.client(base)?, base))
    }

    fn over(http: reqwest::Client, base: &str) -> Self {
        Self { http, base: base.trim_end_matches('/').to_owned() }
    }

    /// Waits until the gateway is ready to take queries.
    ///
    /// # Errors
    /// The gateway is not ready within 60 s.
    pub async fn ready(&self) -> Result<()> {
        for _ in 0..600 {
            if let Ok(response) = self.http.get(format!("{}/v1/ready", self.base)).send().await
                && response.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} is not ready after 60 s", self.base)
    }

    /// Runs a statement to its end, and passes the status to `progress` from time to time.
    ///
    /// # Errors
    /// The gateway's problem, as text.
    pub async fn run(
        &self,
        sql: &str,
        settings: Value,
        mut progress: impl FnMut(&Value),
    ) -> Result<Answer> {
        let body = json!({ "sql": sql, "settings": settings, "wait_timeout": "0s" });
        let response =
            self.http.post(format!("{}/v1/queries", self.base)).json(&body).send().await?;
        let mut status = read_json(response).await?;
        let query = status["query_id"].as_str().context("an answer without query_id")?.to_owned();
        while !matches!(status["status"].as_str(), Some("SUCCEEDED" | "FAILED" | "CANCELLED")) {
            progress(&status);
            let url = format!("{}/v1/queries/{query}?wait=200ms", self.base);
            status = read_json(self.http.get(url).send().await?).await?;
        }
        if status["status"] != "SUCCEEDED" {
            bail!("query {query} ended {}: {}", status["status"], status["error"]);
        }
        let url = format!("{}/v1/queries/{query}/results", self.base);
        let response = self.http.get(url).send().await?;
        Ok(Answer { query, summary: summary(&response)?, rows: rows(response).await? })
    }

    /// The status of a query, as the gateway tells it.
    ///
    /// # Errors
    /// The gateway's problem, as text.
    pub async fn status(&self, query: &str) -> Result<Value> {
        read_json(self.http.get(format!("{}/v1/queries/{query}", self.base)).send().await?).await
    }

    /// Sends a statement to `POST /v1/sql` and waits for its rows.
    ///
    /// # Errors
    /// The gateway's problem, as text.
    pub async fn sql(&self, sql: &str, settings: Value) -> Result<Answer> {
        let body = json!({ "sql": sql, "settings": settings });
        let response = self
            .http
            .post(format!("{}/v1/sql", self.base))
            .header("prefer", "wait=600")
            .json(&body)
            .send()
            .await?;
        let query = response
            .headers()
            .get("dunlin-query-id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if response.status() != StatusCode::OK {
            bail!("{}: {}", response.status(), response.text().await?);
        }
        Ok(Answer { query, summary: summary(&response)?, rows: rows(response).await? })
    }
}

fn summary(response: &reqwest::Response) -> Result<Summary> {
    match response.headers().get("dunlin-summary") {
        Some(text) => Ok(serde_json::from_slice(text.as_bytes())?),
        None => Ok(Summary::default()),
    }
}

async fn rows(response: reqwest::Response) -> Result<Vec<Value>> {
    match read_json(response).await? {
        Value::Array(rows) => Ok(rows),
        other => bail!("an answer that is no array: {other}"),
    }
}

async fn read_json(response: reqwest::Response) -> Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}
