//! A gateway and a worker inside a program of one's own, over a state in memory: the program asks its own
//! gateway over HTTP, and the worker runs the tasks.
//!
//! ```sh
//! cargo run --example embedded_worker
//! ```
//!
//! Over a folder or a bucket the same worker also serves the queries of other processes' gateways.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use dunlin_gateway::{Gateway, GatewayOptions, Hub};
use dunlin_manifest::env::Env;
use dunlin_planner::Planner;
use dunlin_planner::config::Config;
use dunlin_worker::{Worker, WorkerOptions};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SQL: &str = "select n % 3 as remainder, count(*) as numbers, sum(n) as total from numbers group by 1 order by 1";

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write_numbers(&folder.path().join("numbers"))?;
    let config = Config::parse(&format!(
        "[state]\nlocation = \"memory://\"\n\n\
         [[tables]]\nname = \"numbers\"\nlocation = \"file://{}/numbers/\"\n",
        folder.path().display()
    ))?;
    let stores = config.open_stores(&tokio::runtime::Handle::current())?;
    let env = Env::system();
    let control = stores.control(env.clone());
    let stopping = CancellationToken::new();

    let options = WorkerOptions::local(2, config.worker.memory_bytes);
    let worker = Worker::new(control.clone(), stores.clone(), options, stopping.clone())?;
    println!("worker {} runs two tasks at once", worker.name());
    let working = tokio::spawn(async move { worker.run().await });

    let gateway = Gateway {
        links: None,
        planner: Planner::open(&config, &stores)?,
        control: Arc::new(control),
        hub: Arc::new(Hub::new(Arc::clone(&env.clock))),
        env,
        local: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/sql", listener.local_addr()?);
    let stop = stopping.clone().cancelled_owned();
    let serving =
        tokio::spawn(dunlin_gateway::serve(gateway, GatewayOptions::default(), listener, stop));

    ask(&url).await?;

    stopping.cancel();
    serving.await??;
    working.await?;
    Ok(())
}

/// Sends the query through the workers and prints its rows and what they took.
async fn ask(url: &str) -> Result<()> {
    let settings = json!({ "route": "fleet", "target_partitions": 2, "task_bytes": 0 });
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(url).json(&json!({ "sql": SQL, "settings": settings }));
    let response = request.header("prefer", "wait=60").send().await?.error_for_status()?;
    let summary = response.headers().get("dunlin-summary").context("an answer has a summary")?;
    let summary: Value = serde_json::from_slice(summary.as_bytes())?;
    let rows: Vec<Value> = response.json().await?;
    println!("{SQL}\n");
    for row in &rows {
        println!("{row}");
    }
    println!("\n{} stages, {} tasks", summary["stages"], summary["tasks"]);
    Ok(())
}

/// Two Parquet files of five hundred numbers each.
fn write_numbers(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for part in 0..2 {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(part * 500..(part + 1) * 500));
        let numbers = RecordBatch::try_from_iter([("n", column)])?;
        let file = File::create(folder.join(format!("part-{part}.parquet")))?;
        let mut writer = ArrowWriter::try_new(file, numbers.schema(), None)?;
        writer.write(&numbers)?;
        writer.close()?;
    }
    Ok(())
}
