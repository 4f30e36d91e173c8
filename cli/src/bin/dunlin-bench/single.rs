//! The baseline: one DataFusion process, in a process of its own, so that its memory and CPU are measured alone.
//!
//! ```text
//!   benchmark ── "9 16" (query, partitions) ──> single process
//!             <── its measurement, as JSON ────
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use dunlin_cli::fleet::usage_of;
use dunlin_cli::tpch;

use crate::{Measure, Options};

/// The single process, seen from the benchmark. It ends when this is dropped.
pub(crate) struct Single {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Single {
    pub(crate) fn start(options: &Options) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--single", "--scale", &options.scale.to_string()])
            .args(["--workers", &options.workers.to_string()])
            .arg("--folder")
            .arg(&options.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let asks = child.stdin.take().context("its input is piped")?;
        let answers = child.stdout.take().context("its output is piped")?;
        Ok(Self { child, asks, answers: BufReader::new(answers) })
    }

    /// Runs a query once.
    pub(crate) fn measure(&mut self, query: usize, partitions: usize) -> Result<Measure> {
        writeln!(self.asks, "{query} {partitions}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line)
            .with_context(|| format!("the single process failed at Q{query}"))
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the single process: answers until its input ends.
pub(crate) fn serve(data: &Path, threads: usize) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    // What a session has read of the tables stays for the next query.
    let mut sessions: HashMap<usize, SessionContext> = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (query, partitions) = line.split_once(' ').context("a query and its partitions")?;
        let (sql, partitions) = (tpch::query(query.parse()?)?, partitions.parse()?);
        let session = match sessions.entry(partitions) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(runtime.block_on(session(data, partitions))?),
        };
        let measure = runtime.block_on(run(session, &sql))?;
        println!("{}", serde_json::to_string(&measure)?);
    }
    Ok(())
}

async fn session(data: &Path, partitions: usize) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let session = SessionContext::new_with_config(config);
    for table in tpch::TABLES {
        let path = format!("{}/", data.join(table).display());
        session.register_parquet(table, path, ParquetReadOptions::default()).await?;
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
