//! Requests to one gateway.

use anyhow::Context;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::rows::Rows;
use super::status::Status;
use crate::client::Summary;
use crate::failure::Failure;

const ARROW: &str = "application/vnd.apache.arrow.stream";
/// An answer that is not stored is waited for; a query that is stored has an id, which is wanted at once.
const PREFER: &str = "wait=600, stored-wait=0";

/// One gateway.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    http: reqwest::Client,
    base: String,
    /// The gateway's name for people.
    name: String,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// One statement.
    pub(crate) sql: String,
    /// Values of `$1`, `$2`, …
    pub(crate) parameters: Vec<Value>,
    /// Settings of the query.
    pub(crate) settings: Map<String, Value>,
}

impl Request {
    /// A statement of the command's own, about names. The gateway answers it: no worker knows the names.
    pub(crate) fn of_names(sql: &str) -> Self {
        Self { sql: sql.to_owned(), settings: in_gateway(), ..Self::default() }
    }
}

/// The settings of a statement that the gateway answers itself.
pub(crate) fn in_gateway() -> Map<String, Value> {
    Map::from_iter([("route".to_owned(), Value::from("inline"))])
}

/// What becomes of a statement.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Its rows.
    Rows(Reply),
    /// A query that is written to the store, and runs.
    Stored(Status),
}

/// Rows, and what they took.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The id of the query.
    pub(crate) query: String,
    /// What it took.
    pub(crate) summary: Summary,
    /// The rows.
    pub(crate) rows: Rows,
}

impl Link {
    /// The gateway at `base`, which people know as `name`.
    pub(crate) fn new(http: reqwest::Client, base: &str, name: &str) -> Self {
        Self { http, base: base.trim_end_matches('/').to_owned(), name: name.to_owned() }
    }

    /// The gateway's name for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends a statement, and waits for rows or an id.
    pub(crate) async fn send(&self, request: &Request) -> Result<Taken, Failure> {
        let Request { sql, parameters, settings } = request;
        let body = json!({ "sql": sql, "parameters": parameters, "settings": settings });
        let post = self.http.post(format!("{}/v1/sql", self.base)).json(&body);
        let response = self.ask(post.header(ACCEPT, ARROW).header("prefer", PREFER)).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(Taken::Stored(self.json(response).await?));
        }
        Ok(Taken::Rows(reply(response).await?))
    }

    /// The status of a query, at once, or when it has ended or `wait` is over.
    pub(crate) async fn status(&self, query: &str, wait: &str) -> Result<Status, Failure> {
        let value = self.status_json(query, wait).await?;
        Ok(serde_json::from_value(value).context("the gateway's status cannot be read")?)
    }

    /// The same, as the gateway says it.
    pub(crate) async fn status_json(&self, query: &str, wait: &str) -> Result<Value, Failure> {
        let response = self.ask(self.get(&format!("/{query}?wait={wait}"))).await?;
        self.json(response).await
    }

    /// The rows of a query that has succeeded.
    pub(crate) async fn results(&self, query: &str) -> Result<Reply, Failure> {
        let get = self.get(&format!("/{query}/results")).header(ACCEPT, ARROW);
        reply(self.ask(get).await?).await
    }

    /// What a query took, as rows.
    pub(crate) async fn analysis(&self, query: &str, verbose: bool) -> Result<Reply, Failure> {
        let get = self.get(&format!("/{query}/analyze?verbose={verbose}")).header(ACCEPT, ARROW);
        reply(self.ask(get).await?).await
    }

    /// Ends a query.
    pub(crate) async fn cancel(&self, query: &str) -> Result<Status, Failure> {
        let post = self.http.post(format!("{}/v1/queries/{query}/cancel", self.base));
        let response = self.ask(post).await?;
        self.json(response).await
    }

    /// A page of the list of queries, newest first.
    pub(crate) async fn list(&self, limit: usize, cursor: Option<&str>) -> Result<Value, Failure> {
        let mut get = self.get("").query(&[("limit", limit.to_string())]);
        if let Some(cursor) = cursor {
            get = get.query(&[("cursor", cursor)]);
        }
        let response = self.ask(get).await?;
        self.json(response).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}/v1/queries{path}", self.base))
    }

    /// Sends a request. What is no success is a problem.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        Err(Problem::read(status, &body).into())
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        let read = serde_json::from_slice(&bytes);
        Ok(read.with_context(|| format!("what answers at {} is no gateway", self.name))?)
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::Away(format!("no gateway answers at {}: {cause}", self.name))
    }
}

async fn reply(response: Response) -> Result<Reply, Failure> {
    let headers = response.headers();
    let query = text(headers, "dunlin-query-id").unwrap_or_default().to_owned();
    let summary = text(headers, "dunlin-summary").map(serde_json::from_str).transpose();
    let summary = summary.context("the gateway's summary cannot be read")?.unwrap_or_default();
    Ok(Reply { query, summary, rows: Rows::open(response).await? })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
