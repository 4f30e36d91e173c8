//! What the tests of Trino's protocol share: a client that follows `nextUri`.

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::site::*;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn next(&self) -> &str {
        self.body["nextUri"].as_str().unwrap_or_default()
    }

    /// The error's name and number.
    pub(super) fn error(&self) -> (&str, u64) {
        assert_eq!((self.status, &self.body["stats"]["state"]), (200, &Value::from("FAILED")));
        let error = &self.body["error"];
        (error["errorName"].as_str().unwrap(), error["errorCode"].as_u64().unwrap())
    }

    pub(super) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap()
    }
}

pub(super) async fn reply(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    Reply { status, headers, body }
}

/// A statement with the headers that every client sends.
pub(super) fn statement(gateway: &Running, sql: &str) -> RequestBuilder {
    gateway
        .client
        .post(format!("{}/v1/statement", gateway.url))
        .header("x-trino-user", "tester")
        .header("x-trino-client-capabilities", "PARAMETRIC_DATETIME")
        .body(sql.to_owned())
}

pub(super) async fn posted(gateway: &Running, sql: &str) -> Reply {
    reply(statement(gateway, sql)).await
}

/// Where a gateway has what another one told as `nextUri`.
pub(super) fn at(gateway: &Running, next: &str) -> String {
    let place = next.find("/v1/statement/").unwrap();
    format!("{}{}", gateway.url, &next[place..])
}

pub(super) async fn followed(gateway: &Running, next: &str) -> Reply {
    reply(gateway.client.get(at(gateway, next))).await
}

/// The first answer with rows, or the last one without.
pub(super) async fn told(request: impl Fn(&str) -> RequestBuilder, next: &str) -> Reply {
    let mut last = reply(request(next)).await;
    while last.body.get("data").is_none() && !last.next().is_empty() {
        last = reply(request(last.next())).await;
    }
    last
}

pub(super) async fn deleted(gateway: &Running, next: &str) -> Reply {
    reply(gateway.client.delete(at(gateway, next))).await
}

/// The last answer to a statement, and all rows.
pub(super) async fn ended(gateway: &Running, first: Reply) -> (Reply, Vec<Value>) {
    let (mut last, mut rows) = (first, Vec::new());
    loop {
        rows.extend(last.body["data"].as_array().into_iter().flatten().cloned());
        if last.next().is_empty() {
            return (last, rows);
        }
        last = followed(gateway, last.next()).await;
    }
}

/// The rows of a statement that succeeds.
pub(super) async fn rows(gateway: &Running, sql: &str) -> Vec<Value> {
    rows_of(gateway, statement(gateway, sql)).await
}

pub(super) async fn rows_of(gateway: &Running, request: RequestBuilder) -> Vec<Value> {
    let (last, rows) = ended(gateway, reply(request).await).await;
    assert_eq!(last.body["error"], Value::Null);
    assert_eq!(last.body["stats"]["state"], "FINISHED");
    rows
}

/// The name and number of the error of a statement that fails.
pub(super) async fn failed(gateway: &Running, sql: &str) -> (String, u64) {
    let (last, _) = ended(gateway, posted(gateway, sql).await).await;
    let (name, number) = last.error();
    (name.to_owned(), number)
}
