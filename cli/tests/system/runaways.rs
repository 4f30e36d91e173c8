//! Runaway queries beside everybody else: a real process whose every inline slot is taken by a query that
//! computes for hours goes on answering, and is free again when their clients leave.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::door::site::{PATIENCE, Site};

/// Slots of the gateway's inline queries, all of them taken.
const SLOTS: usize = 4;
const CONFIGURATION: &str = "[gateway.inline]\nslots = 4\nqueue = 0\n";
/// The estimated scan of each is 0 bytes; none pauses for longer than a join takes over its sides.
const RUNAWAYS: [&str; 2] = [
    "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b",
    "select count(*) from generate_series(1, 300000) a(x), generate_series(1, 10000000) b(y) where a.x + b.y < 0",
];
const MODEST: &str = "select count(*) as n from generate_series(1, 1000)";

fn sql(client: &Client, site: &Site, sql: &str) -> RequestBuilder {
    client.post(site.url("/v1/sql")).timeout(PATIENCE).body(sql.to_owned())
}

fn start(request: RequestBuilder) -> JoinHandle<reqwest::Result<reqwest::Response>> {
    tokio::spawn(request.header("prefer", "wait=600").timeout(Duration::from_secs(600)).send())
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Sends `request` a number of times; prints the median and the longest time.
async fn median(what: &str, request: impl Fn() -> RequestBuilder) {
    let mut times = Vec::new();
    for _ in 0..31 {
        let began = Instant::now();
        let response = request().send().await.unwrap();
        assert!(response.status().is_success(), "{what}: {response:?}");
        response.bytes().await.unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("{what} beside {SLOTS} runaways: median {:?}, longest {:?}", times[15], times[30]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runaways_take_their_slots_and_nothing_else() {
    let site = Site::start(CONFIGURATION);
    let client = Client::new();
    let run = |number: usize| start(sql(&client, &site, RUNAWAYS[number % RUNAWAYS.len()]));
    let mut runaways: Vec<_> = (0..SLOTS).map(run).collect();
    // All slots are taken once nobody else gets one; a probe may have sent one of them away.
    while status(sql(&client, &site, MODEST)).await != 503 {
        for (number, runaway) in runaways.iter_mut().enumerate() {
            if runaway.is_finished() {
                *runaway = run(number);
            }
        }
    }
    // A durable query of the inline route takes the place of a worker, and not of a guest.
    let endless =
        json!({"sql": RUNAWAYS[0], "settings": {"route": "inline"}, "wait_timeout": "0s"});
    let submit = || client.post(site.url("/v1/queries")).timeout(PATIENCE).json(&endless);
    let submitted: Value = submit().send().await.unwrap().json().await.unwrap();
    let query = format!("/v1/queries/{}", submitted["query_id"].as_str().unwrap());

    median("SELECT 1", || sql(&client, &site, "select 1 as one")).await;
    median("health", || client.get(site.url("/health"))).await;
    median("status", || client.get(site.url(&query))).await;
    let trivial = json!({"sql": "select 1", "settings": {"route": "inline"}, "wait_timeout": "0s"});
    median("submit", || client.post(site.url("/v1/queries")).json(&trivial)).await;
    let cancelled = client.post(site.url(&format!("{query}/cancel"))).send().await.unwrap();
    assert_eq!(cancelled.json::<Value>().await.unwrap()["status"], "CANCELLED");

    // Clients that leave take their queries with them.
    runaways.iter().for_each(JoinHandle::abort);
    let began = Instant::now();
    loop {
        let all: Vec<_> = (0..SLOTS).map(|_| start(sql(&client, &site, MODEST))).collect();
        let mut free = 0;
        for one in all {
            free += usize::from(one.await.unwrap().unwrap().status() == 200);
        }
        if free == SLOTS {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{free} slots are free");
    }
}
