//! The front of a gateway with real processes: a query is followed from one gateway to another, and a large answer is taken
//! in parts while gateways die, in little memory.

use std::time::Duration;

use bytes::Bytes;
use dunlin_cli::fleet::{Fleet, Process, start_gateway};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::query::ended_before;
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.01;
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads server-sent events until one of this kind: kind, id and data of each.
async fn events_until(
    response: &mut reqwest::Response,
    kind: &str,
) -> Vec<(String, String, Value)> {
    let mut text = String::new();
    let mut told = Vec::new();
    let read = async {
        while let Some(bytes) = response.chunk().await.unwrap() {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = field("event: ").map(|kind| {
                    let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
                    (kind.to_owned(), field("id: ").unwrap().to_owned(), data)
                });
                text = rest.to_owned();
                told.extend(found);
                if told.last().is_some_and(|(found, ..)| found == kind) {
                    return;
                }
            }
        }
        panic!("the events ended without {kind}: {told:?}");
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    told
}

fn gateway(setup: &Setup, name: &str) -> (Process, String) {
    let log = setup.path().join(format!("{name}.log"));
    let (process, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    (process, format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_follows_a_query_goes_on_at_another_gateway_when_the_first_is_killed() {
    let setup = Setup::folder(&data(SCALE), "");
    let mut fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
    let api = Api::new(&fleet.url());
    let sql = "select l_returnflag as zebra, count(*) as apple from lineitem group by 1 order by 1";
    let query = api.begin(sql, &json!({ "route": "fleet" })).await;
    let http = reqwest::Client::new();
    let path = format!("/v1/queries/{query}/events");
    let mut response = http.get(format!("{}{path}", fleet.url())).send().await.unwrap();
    let told = events_until(&mut response, "state").await;
    let (_, last, state) = told.last().unwrap().clone();
    assert_eq!(state["phase"], "queued");
    fleet.gateway.kill();
    assert!(response.chunk().await.is_err(), "the stream breaks off with its gateway");

    let (_second, url) = gateway(&setup, "second");
    fleet.add_worker(2).unwrap();
    let request = http.get(format!("{url}{path}")).header("last-event-id", &last);
    let mut response = request.send().await.unwrap();
    let told = events_until(&mut response, "end").await;
    assert!(told.iter().all(|(_, _, data)| data["phase"] != "queued"), "{told:?}");
    let (_, id, end) = told.last().unwrap();
    assert_eq!(end["status"], "SUCCEEDED", "{end}");
    let again = http.get(format!("{url}{path}")).header("last-event-id", id).send().await.unwrap();
    assert_eq!(again.status(), 204);
    let rows = http.get(format!("{url}/v1/queries/{query}/results")).send().await.unwrap();
    let text = rows.text().await.unwrap();
    assert!(text.starts_with("[{\"zebra\":\"A\",\"apple\":"), "{text}");
}

/// Rows of a large answer: more as text than a gateway may hold of it.
const ROWS: u64 = 20_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_taken_in_parts_from_gateways_that_die_and_in_little_memory() {
    let setup = Setup::folder(&data(SCALE), "");
    let mut fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let api = Api::new(&fleet.url());
    let sql = format!("select value as n from generate_series(1, {ROWS}) order by n");
    let query = api.begin(&sql, &json!({ "route": "fleet" })).await;
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
    // No worker is there any more when the answer is taken.
    fleet.workers.clear();
    let http = reqwest::Client::new();
    let own = format!("/v1/queries/{query}");
    let parts = http.get(format!("{}{own}/parts", fleet.url())).send().await.unwrap();
    let parts: Value = parts.json().await.unwrap();
    assert_eq!(parts["rows"], ROWS, "{parts}");
    let count = parts["parts"].as_array().unwrap().len();
    assert!(count >= 3, "{parts}");

    // One gateway sends all of it, and holds little of it.
    fleet.gateway.reset_peak();
    let (_, before) = fleet.gateway.usage();
    let url = format!("{}{own}/results?format=jsonl", fleet.url());
    let mut response = http.get(url).send().await.unwrap();
    let (mut bytes, mut lines) = (0, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len() as u64;
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    let (_, peak) = fleet.gateway.usage();
    assert_eq!(lines, ROWS);
    let held = peak.saturating_sub(before);
    println!("{bytes} bytes of text, {} in the store, {held} held", parts["bytes"]);
    assert!(held < 128 << 20, "{held} bytes held for an answer of {bytes}");

    // A gateway dies after the first part, and another one gives the others.
    let fetch = async |url: &str, part: usize| {
        let url = format!("{url}{own}/results?part={part}&format=csv");
        let text = http.get(url).send().await.unwrap().text().await.unwrap();
        text.lines().skip(1).map(|line| line.parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    let mut all = fetch(&fleet.url(), 0).await;
    fleet.gateway.kill();
    let (_second, second) = gateway(&setup, "second");
    let (_third, third) = gateway(&setup, "third");
    let others = (1..count).map(|part| {
        let url = if part % 2 == 0 { &second } else { &third };
        fetch(url, part)
    });
    for rows in futures::future::join_all(others).await {
        all.extend(rows);
    }
    assert_eq!(all.len() as u64, ROWS);
    assert!(all.iter().copied().eq(1..=ROWS), "rows are missing or out of order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_queries_of_a_bucket_are_found_from_now_backwards() {
    let Some(s3) = S3::from_env() else { return };
    let prefix = Path::from(unique("history"));
    let store = ObjectControlStore::new(std::sync::Arc::new(s3.store()), prefix, Env::system());
    let store = store.sorted(true);
    let now = Env::system().clock.wall_ms();
    // More than one page of a listing: a day ago, and in the last minutes.
    let old = (0..1_100).map(|n| now - 86_400_000 - n * 1_000);
    let times: Vec<u64> = (0..40).map(|n| now - n * 5_000).chain(old).collect();
    futures::stream::iter(times.clone())
        .map(|time| {
            let (store, key) = (&store, keys::end(&QueryId::at(time, &[3; 10])));
            async move { store.put(&key, Bytes::new()).await }
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let (mut found, mut before) = (Vec::new(), None);
    while found.len() < 300 {
        let page = ended_before(&store, before.as_ref(), 50).await.unwrap();
        assert_eq!(page.len(), 50);
        found.extend(page.iter().map(QueryId::unix_ms));
        before = page.last().cloned();
    }
    assert_eq!(found, times[..300]);
}

/// An Arrow answer has the bytes of its rows: texts that the engine reads in common buffers are not sent with every batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arrow_answer_has_the_bytes_of_its_rows() {
    let setup = Setup::folder(&data(SCALE), "");
    let (_gateway, url) = gateway(&setup, "gateway");
    let bytes = async |accept: &str| {
        let body = json!({ "sql": "select l_comment, l_shipinstruct, l_orderkey from lineitem", "settings": { "route": "inline" } });
        let request = reqwest::Client::new().post(format!("{url}/v1/sql")).json(&body);
        request.header("accept", accept).send().await.unwrap().bytes().await.unwrap().len()
    };
    let (arrow, csv) =
        (bytes("application/vnd.apache.arrow.stream").await, bytes("text/csv").await);
    assert!(arrow < 3 * csv, "{arrow} bytes of Arrow, and {csv} of CSV");
}
