//! For `scripts/bench-front`: sends one statement to a gateway over 1, 16 and 64 connections, and the same requests to a
//! handler that does nothing, in turns. Prints microseconds and requests in a second as JSON.
//!
//! ```sh
//! cargo run --release -p dunlin-gateway --example front_load -- http://127.0.0.1:8090 5
//! ```

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use reqwest::Client;
use serde_json::{Value, json};

const STATEMENT: &str = "select 1";
const CONNECTIONS: [usize; 3] = [1, 16, 64];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let gateway = arguments.next().ok_or("give the address of a gateway")?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let bare = format!("http://{}", listener.local_addr()?);
    let answer = || async { axum::Json(json!([{ "Int64(1)": 1 }])) };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/v1/sql", post(answer))).await
    });
    let mut told = serde_json::Map::new();
    for connections in CONNECTIONS {
        let time = Duration::from_secs(seconds);
        // A first turn that does not count.
        load(&gateway, connections, Duration::from_millis(500)).await?;
        load(&bare, connections, Duration::from_millis(500)).await?;
        let (own, none) =
            (load(&gateway, connections, time).await?, load(&bare, connections, time).await?);
        told.insert(connections.to_string(), json!({ "gateway": own, "bare": none }));
    }
    println!("{}", Value::from(told));
    Ok(())
}

/// Requests over so many connections, one after the other on each.
async fn load(
    url: &str,
    connections: usize,
    time: Duration,
) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let url = format!("{url}/v1/sql");
        tasks.spawn(async move {
            // One connection each.
            let client = Client::builder().pool_max_idle_per_host(1).no_proxy().build()?;
            let mut took = Vec::new();
            while began.elapsed() < time {
                let sent = Instant::now();
                let answer = client.post(&url).body(STATEMENT).send().await?;
                answer.error_for_status()?.bytes().await?;
                took.push(sent.elapsed());
            }
            Ok::<_, reqwest::Error>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.extend(done??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).map_or(0, Duration::as_micros);
    let count = u32::try_from(took.len())?;
    Ok(json!({
        "requests": count,
        "per_second": (f64::from(count) / seconds).round(),
        "p50_us": u64::try_from(at(50))?,
        "p99_us": u64::try_from(at(99))?,
    }))
}
