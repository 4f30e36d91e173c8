//! The baseline: one DataFusion process, in a process of its own, so that its memory and CPU are measured alone.
//!
//! ```text
//!   benchmark ── "9 16" (query, partitions) ──> single process
//!             <── its measurement, as JSON ────
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use dunlin_cli::fleet::usage_of;

use crate::asked::Asked;
use crate::suite::Suite;
use crate::{Measure, Options};

/// The single process, which is asked for a query and a number of partitions.
pub(crate) fn start(options: &Options) -> Result<Asked> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--single", "--scale", &options.scale.to_string()])
        .args(["--workers", &options.workers.to_string()])
        .args(["--suite", options.suite.name()])
        .arg("--folder")
        .arg(&options.folder);
    Asked::start(&mut command)
}

/// Is the single process: answers until its input ends.
pub(crate) fn serve(suite: Suite, data: &Path, threads: usize) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    // What a session has read of the tables stays for the next query.
    let mut sessions: HashMap<usize, SessionContext> = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (query, partitions) = line.split_once(' ').context("a query and its partitions")?;
        let (sql, partitions) = (suite.query(query.parse()?)?, partitions.parse()?);
        let session = match sessions.entry(partitions) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(runtime.block_on(session(suite, data, partitions))?),
        };
        let measure = runtime.block_on(run(session, &sql))?;
        println!("{}", serde_json::to_string(&measure)?);
    }
    Ok(())
}

async fn session(suite: Suite, data: &Path, partitions: usize) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let session = SessionContext::new_with_config(config);
    for table in suite.tables() {
        let path = format!("{}/", data.join(table).display());
        session.register_parquet(*table, path, ParquetReadOptions::default()).await?;
    }
    Ok(session)
}

async fn run(session: &SessionContext, sql: &str) -> Result<Measure> {
    let pid = std::process::id();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (cpu, _) = usage_of(pid);
    let start = Instant::now();
    let batches = session.sql(sql).await?.collect().await?;
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let seconds = start.elapsed().as_secs_f64();
    let (cpu_after, peak_bytes) = usage_of(pid);
    Ok(Measure { seconds, cpu_seconds: cpu_after - cpu, peak_bytes, rows })
}
