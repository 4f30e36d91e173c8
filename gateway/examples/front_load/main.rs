//! For `scripts/bench-front`: asks a gateway by each of its protocols, and prints what was measured as JSON.
//!
//! ```sh
//! front_load small 5 http=127.0.0.1:8090 postgres=127.0.0.1:5432 flight=127.0.0.1:50051
//! front_load large 'select * from big' flight=127.0.0.1:50051
//! ```
//! `small` sends `select 1` over 1, 16 and 64 connections for some seconds each. Beside the protocols, in turns, it asks a
//! handler of axum that does nothing. Times are microseconds. `large` reads the answer of one statement, counts the bytes
//! as they arrive, and keeps none.

mod doors;

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use serde_json::{Map, Value, json};

use crate::doors::{Door, Error};

const STATEMENT: &str = "select 1";
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// A first turn that does not count.
const WARM: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (what, how) = (arguments.next(), arguments.next().ok_or("see the head of this file")?);
    let doors = arguments.map(|text| text.parse()).collect::<Result<Vec<Door>, _>>()?;
    let told = match what.as_deref() {
        Some("small") => small(doors, Duration::from_secs(how.parse()?)).await?,
        Some("large") => large(doors, &how).await?,
        _ => return Err("small or large".into()),
    };
    println!("{}", Value::from(told));
    Ok(())
}

async fn small(mut doors: Vec<Door>, time: Duration) -> Result<Map<String, Value>, Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    doors.push(Door::Bare(listener.local_addr()?.to_string()));
    let answer = || async { axum::Json(json!([{ "Int64(1)": 1 }])) };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/v1/sql", post(answer))).await
    });
    let mut told = Map::new();
    for connections in CONNECTIONS {
        let mut by_door = Map::new();
        for door in &doors {
            load(door, connections, WARM).await?;
            by_door.insert(door.name().to_owned(), load(door, connections, time).await?);
        }
        told.insert(connections.to_string(), by_door.into());
    }
    Ok(told)
}

/// Asks over so many connections, one after the other on each.
async fn load(door: &Door, connections: usize, time: Duration) -> Result<Value, Error> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(door.connect().await?);
    }
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        tasks.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < time {
                let sent = Instant::now();
                connection.ask(STATEMENT).await?;
                took.push(sent.elapsed());
            }
            Ok::<_, Error>(took)
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

async fn large(doors: Vec<Door>, statement: &str) -> Result<Map<String, Value>, Error> {
    let mut told = Map::new();
    for door in doors {
        let mut connection = door.connect().await?;
        let began = Instant::now();
        let bytes = connection.ask(statement).await?;
        let seconds = began.elapsed().as_secs_f64();
        told.insert(door.name().to_owned(), json!({ "bytes": bytes, "s": seconds }));
    }
    Ok(told)
}
