//! The query API as a program uses it: Arrow in, JSON status.

use std::io::Cursor;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Talks to one gateway.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// Rows, and what they took.
#[derive(Debug)]
pub struct Answer {
    pub query: String,
    pub batches: Vec<RecordBatch>,
    pub summary: Value,
}

/// The answer to a submit.
#[derive(Debug)]
pub struct Submitted {
    pub status: StatusCode,
    pub replayed: bool,
    pub body: Value,
}

impl Submitted {
    pub fn query(&self) -> String {
        self.body["query_id"].as_str().unwrap_or_else(|| panic!("no query: {self:?}")).to_owned()
    }
}

impl Api {
    pub fn new(base: &str) -> Self {
        Self { http: reqwest::Client::new(), base: base.to_owned() }
    }

    /// A client that sends a key.
    pub fn with_key(base: &str, key: &str) -> Self {
        let bearer = reqwest::header::HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
        let headers = [(reqwest::header::AUTHORIZATION, bearer)].into_iter().collect();
        let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
        Self { http, base: base.to_owned() }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).json(body)
    }

    /// Runs a statement and gives its rows; any problem is a panic.
    pub async fn sql(&self, sql: &str, settings: &Value) -> Answer {
        let body = json!({ "sql": sql, "settings": settings });
        let request = self.post("/v1/sql", &body).header("prefer", "wait=120");
        answer(request.header("accept", ARROW).send().await.unwrap()).await
    }

    /// Submits a statement and does not wait.
    pub async fn submit(&self, sql: &str, settings: &Value, key: Option<&str>) -> Submitted {
        let body = json!({ "sql": sql, "settings": settings, "wait_timeout": "0s" });
        let mut request = self.post("/v1/queries", &body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.unwrap();
        Submitted {
            status: response.status(),
            replayed: response.headers().contains_key("idempotent-replayed"),
            body: response.json().await.unwrap(),
        }
    }

    /// Submits a statement that must be taken, and gives its id.
    pub async fn begin(&self, sql: &str, settings: &Value) -> String {
        let submitted = self.submit(sql, settings, None).await;
        assert!(submitted.status.is_success(), "{submitted:?}");
        submitted.query()
    }

    /// A request whose answer is JSON, whatever its status.
    pub async fn raw(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).header("prefer", "wait=120").send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// What is at a path, as JSON.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// The status of a query.
    pub async fn status(&self, query: &str, wait: &str) -> Value {
        let url = format!("{}/v1/queries/{query}?wait={wait}", self.base);
        let response = self.http.get(url).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    /// The status of a query once it has ended.
    pub async fn end(&self, query: &str, patience: Duration) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status(query, "1s").await;
            if matches!(status["status"].as_str(), Some("SUCCEEDED" | "FAILED" | "CANCELLED")) {
                return status;
            }
            assert!(start.elapsed() < patience, "not ended after {patience:?}: {status}");
        }
    }

    /// The rows of a query that must succeed within `patience`.
    pub async fn results(&self, query: &str, patience: Duration) -> Answer {
        let status = self.end(query, patience).await;
        assert_eq!(status["status"], "SUCCEEDED", "{status}");
        let url = format!("{}/v1/queries/{query}/results", self.base);
        answer(self.http.get(url).header("accept", ARROW).send().await.unwrap()).await
    }

    /// The same from a gateway whose store may be away: then why there are no rows yet.
    pub async fn try_results(&self, query: &str, patience: Duration) -> Result<Answer, String> {
        let url = format!("{}/v1/queries/{query}", self.base);
        let start = Instant::now();
        loop {
            let told = self.http.get(format!("{url}?wait=5s")).send().await.unwrap();
            let (status, body) = (told.status(), told.text().await.unwrap());
            let told: Value = serde_json::from_str(&body).unwrap_or_default();
            match told["status"].as_str() {
                Some("SUCCEEDED") => break,
                Some("FAILED" | "CANCELLED") => panic!("{body}"),
                _ if start.elapsed() > patience => return Err(format!("{status}: {body}")),
                _ => {}
            }
        }
        let asked = self.http.get(format!("{url}/results")).header("accept", ARROW);
        let response = asked.send().await.unwrap();
        match response.status() {
            StatusCode::OK => read(response).await,
            status => Err(format!("{status}: {}", response.text().await.unwrap_or_default())),
        }
    }

    /// What a query took, as text.
    pub async fn analysis(&self, query: &str) -> String {
        let url = format!("{}/v1/queries/{query}/analyze", self.base);
        let response = self.http.get(url).header("accept", "text/plain").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    }

    /// Cancels a query and gives its status.
    pub async fn cancel(&self, query: &str) -> Value {
        let response =
            self.post(&format!("/v1/queries/{query}/cancel"), &json!({})).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        response.json().await.unwrap()
    }

    /// How a statement would run.
    pub async fn explain(&self, sql: &str, settings: &Value) -> Value {
        let body = json!({ "sql": sql, "settings": settings });
        let response = self.post("/v1/explain", &body).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{status}: {body}");
        body
    }
}

async fn answer(response: Response) -> Answer {
    if response.status() != StatusCode::OK {
        let status = response.status();
        panic!("{status}: {}", response.text().await.unwrap());
    }
    read(response).await.unwrap()
}

/// Reads an answer to its end; an error if it breaks off.
async fn read(response: Response) -> Result<Answer, String> {
    let text = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (query, summary) = (text("dunlin-query-id"), text("dunlin-summary"));
    let bytes = response.bytes().await.map_err(|error| error.to_string())?;
    let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None);
    let reader = reader.map_err(|error| error.to_string())?;
    let schema = reader.schema();
    let batches: Result<Vec<RecordBatch>, _> = reader.collect();
    let mut batches = batches.map_err(|error| error.to_string())?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    let summary = serde_json::from_str(&summary).unwrap_or(Value::Null);
    Ok(Answer { query, batches, summary })
}

/// The number of the line `stage N: …; partitions=P; tasks=T` of a distributed plan that scans `table`:
/// partitions and tasks.
pub fn scan_stage(distributed: &str, table: &str) -> (u64, u64) {
    let lines: Vec<&str> = distributed.lines().collect();
    let starts: Vec<usize> =
        (0..lines.len()).filter(|&at| lines[at].starts_with("stage ")).collect();
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(lines.len());
        let scans = lines[start + 1..end]
            .iter()
            .any(|line| line.contains("DataSourceExec") && line.contains(&format!("/{table}/")));
        if scans {
            return (number(lines[start], "partitions="), number(lines[start], "tasks="));
        }
    }
    panic!("no stage scans {table}:\n{distributed}");
}

fn number(line: &str, name: &str) -> u64 {
    let rest = line.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
