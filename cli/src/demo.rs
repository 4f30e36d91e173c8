//! A first demonstration: data, a gateway, two workers, and TPC-H through the exchange.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::fleet::Fleet;
use crate::tpch;

/// `dunlin demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 0.1)]
    pub scale: f64,
    /// Queries to run, e.g. `1,3,18`; all 22 if not given.
    #[arg(long, value_delimiter = ',')]
    pub queries: Vec<usize>,
    /// Worker processes.
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Folder for data, state and logs.
    #[arg(long, default_value = ".dunlin/demo")]
    pub folder: PathBuf,
    /// Rows of each answer to print.
    #[arg(long, default_value_t = 5)]
    pub rows: usize,
}

/// Files of each table: more files than workers, so that every stage has tasks for all workers.
const FILES: usize = 8;

/// Runs the demo.
///
/// # Errors
/// A folder that cannot be written, a process that does not start, or a query that fails.
pub fn run(options: &Options) -> Result<()> {
    let folder = std::path::absolute(&options.folder)?;
    let data = folder.join(format!("tpch-{}", options.scale));
    if data.join("complete").exists() {
        println!("TPC-H data at scale {} is there already", options.scale);
    } else {
        let start = Instant::now();
        let bytes = tpch::generate(&data, options.scale, FILES)?;
        std::fs::write(data.join("complete"), "")?;
        println!(
            "made TPC-H data at scale {}: {} MB of Parquet in {:.1} s",
            options.scale,
            bytes / 1_000_000,
            start.elapsed().as_secs_f64()
        );
    }
    let state = folder.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    let config = folder.join("dunlin.toml");
    let text = format!(
        "[state]\nlocation = \"file://{}\"\n\n[routing]\nmode = \"fleet\"\n\n{}",
        state.display(),
        tpch::tables_toml(&format!("file://{}/", data.display()))
    );
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let binary = std::env::current_exe()?;
    let fleet = Fleet::start(&binary, &config, &folder, options.workers, 1)?;
    println!(
        "gateway (pid {}) at {}, {} workers (pids {}) over {}\n",
        fleet.gateway.id(),
        fleet.url(),
        fleet.workers.len(),
        fleet.workers.iter().map(|worker| worker.id().to_string()).collect::<Vec<_>>().join(", "),
        state.display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(queries(options, &fleet))?;
    println!(
        "\nTry it yourself:\n  {} run --config {}\n  curl -s 127.0.0.1:8090/v1/sql -d 'select count(*) from lineitem'",
        from_here(&binary)?.display(),
        from_here(&config)?.display()
    );
    Ok(())
}

/// The shortest path from the current folder.
fn from_here(path: &Path) -> Result<&Path> {
    Ok(path.strip_prefix(std::env::current_dir()?).unwrap_or(path))
}

async fn queries(options: &Options, fleet: &Fleet) -> Result<()> {
    let client = Client::new(&fleet.url());
    client.ready().await?;
    let all: Vec<usize> = (1..=22).collect();
    let chosen = if options.queries.is_empty() { &all } else { &options.queries };
    let start = Instant::now();
    for number in chosen {
        let sql = tpch::query(*number)?;
        let label = format!("Q{number}");
        let answer = client
            .run(&sql, json!({}), |status| progress(&label, status))
            .await
            .with_context(|| label.clone())?;
        report(&label, &answer, options.rows);
    }
    println!(
        "\n{} queries in {:.1} s, every row through the exchange",
        chosen.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// One line with the status, which is overwritten while the query runs.
fn progress(label: &str, status: &Value) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let at = &status["progress"];
    print!(
        "\r{label}: {} · stage {}/{} · task {}/{}   ",
        status["status"].as_str().unwrap_or("…"),
        at["stages_done"],
        at["stages"],
        at["tasks_done"],
        at["tasks"]
    );
    let _ = std::io::stdout().flush();
}

fn report(label: &str, answer: &Answer, rows: usize) {
    let summary = &answer.summary;
    let requests = &summary.requests;
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[K");
    }
    println!(
        "{label}: {} rows · {} ms · {} stages · {} tasks ({} attempts) · scanned {:.1} MB · exchanged {:.1} MB · {} PUT {} GET {} LIST",
        answer.rows.len(),
        summary.wall_ms,
        summary.stages,
        summary.tasks,
        summary.attempts,
        megabytes(summary.bytes_scanned),
        megabytes(summary.shuffle_bytes),
        requests.put,
        requests.get,
        requests.list
    );
    for row in answer.rows.iter().take(rows) {
        let cells: Vec<String> =
            row.as_object().map(|row| row.values().map(cell).collect()).unwrap_or_default();
        println!("    {}", cells.join(" | "));
    }
    if answer.rows.len() > rows {
        println!("    … {} more", answer.rows.len() - rows);
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
