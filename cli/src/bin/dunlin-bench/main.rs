//! The benchmark: TPC-H on (a) one DataFusion process, (b) a fleet of one-slot workers with its state in a folder, and
//! (c), if asked for, the same fleet with its state on a far store, over the same files, in one run. It prints a table
//! and JSON, and checks nothing.

mod far;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use dunlin_cli::client::{Client, RequestCounts, Summary};
use dunlin_cli::fleet::{Fleet, Process, usage_of};
use dunlin_cli::tpch;
use dunlin_sim::far::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, Parser)]
#[command(about = "TPC-H: one DataFusion process against a fleet of workers")]
struct Options {
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Workers of the fleet, and threads of the single process.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Queries, e.g. `1,9`; all 22 if not given.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<usize>,
    /// Folder for data, state and results.
    #[arg(long, default_value = ".dunlin/bench")]
    folder: PathBuf,
    /// Partitions of wide stages on the fleet.
    #[arg(long)]
    partitions: Option<usize>,
    /// Runs of each query; the fastest counts.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// More lines for the fleet's configuration, e.g. `[engine]`.
    #[arg(long, default_value = "")]
    config: String,
    /// Leave out the single process.
    #[arg(long)]
    fleet_only: bool,
    /// Where to write the JSON; the folder's `result.json` if not given.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also measure with the state on a far store: `near`, `even` (27 ± 8 ms), `s3` or `express`. Needs the S3 server of
    /// `scripts/minio`.
    #[arg(long)]
    far: Option<Profile>,
    /// Seed of the far store's delays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each small statement on the far store.
    #[arg(long, default_value_t = 11)]
    small_runs: usize,
    /// Leave out the fleet on a folder.
    #[arg(long)]
    far_only: bool,
    /// Internal: run the single process and print its measurements.
    #[arg(long, hide = true)]
    single: bool,
}

impl Options {
    /// Settings of each statement on a fleet.
    fn settings(&self) -> Value {
        match self.partitions {
            Some(partitions) => json!({ "target_partitions": partitions }),
            None => json!({}),
        }
    }
}

/// The measurement of one query on one side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Measure {
    seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
    rows: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    query: usize,
    single: Option<Measure>,
    fleet: Measure,
    ratio: Option<f64>,
    stages: u64,
    tasks: u64,
    attempts: u64,
    put: u64,
    get: u64,
    list: u64,
    shuffle_bytes: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = std::path::absolute(&options.folder)?;
    let data = folder.join(format!("tpch-{}", options.scale));
    let queries: Vec<usize> =
        if options.queries.is_empty() { (1..=22).collect() } else { options.queries.clone() };
    if options.single {
        return single(&options, &data, &queries);
    }
    if !data.join("complete").exists() {
        eprintln!("making TPC-H data at scale {}", options.scale);
        tpch::generate(&data, options.scale, 8)?;
        std::fs::write(data.join("complete"), "")?;
    }
    let baseline = if options.fleet_only { Vec::new() } else { run_single(&options, &queries)? };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = match options.far_only {
        true => Vec::new(),
        false => runtime.block_on(fleet(&options, &folder, &data, &queries))?,
    };
    for row in &mut rows {
        row.single = baseline
            .iter()
            .find(|(query, _)| *query == row.query)
            .map(|(_, measure)| measure.clone());
        row.ratio = row.single.as_ref().map(|single| row.fleet.seconds / single.seconds);
        if let Some(single) = &row.single
            && single.rows != row.fleet.rows
        {
            bail!("Q{}: {} rows single, {} rows fleet", row.query, single.rows, row.fleet.rows);
        }
    }
    if !rows.is_empty() {
        print_table(&rows);
    }
    let mut on_far = Vec::new();
    if let Some(profile) = options.far {
        on_far = runtime.block_on(far::measure(&options, profile, &folder, &data, &queries))?;
        let named = |number: usize, seconds: f64| (format!("Q{number}"), seconds);
        let folder: Vec<_> = rows.iter().map(|row| named(row.query, row.fleet.seconds)).collect();
        let single: Vec<_> =
            baseline.iter().map(|(query, measure)| named(*query, measure.seconds)).collect();
        println!();
        far::print(&on_far, &folder, &single);
    }
    let path = options.json.clone().unwrap_or_else(|| folder.join("result.json"));
    let report = json!({
        "scale": options.scale, "workers": options.workers, "queries": rows, "far": on_far,
        "total_single": baseline.iter().map(|(_, measure)| measure.seconds).sum::<f64>(),
        "total_fleet": rows.iter().map(|row| row.fleet.seconds).sum::<f64>(),
    });
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs this program again as the single process, so that its memory and CPU are measured separately.
fn run_single(options: &Options, queries: &[usize]) -> Result<Vec<(usize, Measure)>> {
    let numbers: Vec<String> = queries.iter().map(ToString::to_string).collect();
    let output = Command::new(std::env::current_exe()?)
        .args(["--single", "--scale", &options.scale.to_string()])
        .args(["--workers", &options.workers.to_string(), "--runs", &options.runs.to_string()])
        .args(["--queries", &numbers.join(",")])
        .arg("--folder")
        .arg(&options.folder)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the single process failed");
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn single(options: &Options, data: &Path, queries: &[usize]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.workers)
        .enable_all()
        .build()?;
    let pid = std::process::id();
    let mut measured = Vec::new();
    for number in queries {
        let sql = tpch::query(*number)?;
        let mut best: Option<Measure> = None;
        for _ in 0..options.runs {
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            let (cpu, _) = usage_of(pid);
            let start = Instant::now();
            let rows = runtime.block_on(async {
                let config = SessionConfig::new().with_target_partitions(options.workers);
                let context = SessionContext::new_with_config(config);
                for table in tpch::TABLES {
                    let path = format!("{}/", data.join(table).display());
                    context.register_parquet(table, path, ParquetReadOptions::default()).await?;
                }
                let batches = context.sql(&sql).await?.collect().await?;
                anyhow::Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
            })?;
            let seconds = start.elapsed().as_secs_f64();
            let (cpu_after, peak_bytes) = usage_of(pid);
            let measure = Measure { seconds, cpu_seconds: cpu_after - cpu, peak_bytes, rows };
            if best.as_ref().is_none_or(|best| measure.seconds < best.seconds) {
                best = Some(measure);
            }
        }
        let best = best.unwrap_or_default();
        eprintln!("single Q{number}: {:.2} s", best.seconds);
        measured.push((*number, best));
    }
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn fleet(
    options: &Options,
    folder: &Path,
    data: &Path,
    queries: &[usize],
) -> Result<Vec<Row>> {
    let state = folder.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    let config = folder.join("dunlin.toml");
    std::fs::write(
        &config,
        format!(
            "[state]\nlocation = \"file://{}\"\n\n[routing]\nmode = \"fleet\"\n\n{}\n{}",
            state.display(),
            options.config.replace("\\n", "\n"),
            tpch::tables_toml(&format!("file://{}/", data.display()))
        ),
    )?;
    let binary = std::env::current_exe()?.with_file_name("dunlin");
    let fleet = Fleet::start(&binary, &config, folder, options.workers, 1)?;
    let client = Client::new(&fleet.url());
    client.ready().await?;
    let settings = options.settings();
    let processes = || std::iter::once(&fleet.gateway).chain(&fleet.workers);
    let mut rows = Vec::new();
    for number in queries {
        let sql = tpch::query(*number)?;
        let mut best: Option<(Measure, Summary)> = None;
        for _ in 0..options.runs {
            processes().for_each(Process::reset_peak);
            let cpu: f64 = processes().map(|process| process.usage().0).sum();
            let start = Instant::now();
            let answer = client.sql(&sql, settings.clone()).await?;
            let seconds = start.elapsed().as_secs_f64();
            let after: f64 = processes().map(|process| process.usage().0).sum();
            let peak_bytes =
                fleet.workers.iter().map(|worker| worker.usage().1).max().unwrap_or_default();
            let rows = answer.rows.len() as u64;
            let measure = Measure { seconds, cpu_seconds: after - cpu, peak_bytes, rows };
            if best.as_ref().is_none_or(|(best, _)| measure.seconds < best.seconds) {
                best = Some((measure, answer.summary));
            }
            // Exchange data is deleted only by the garbage collector, which a later version adds.
            for kind in ["data", "res"] {
                let _ = std::fs::remove_dir_all(state.join(kind));
            }
        }
        let (fleet, summary) = best.unwrap_or_default();
        let RequestCounts { put, get, list, .. } = summary.requests;
        eprintln!("fleet Q{number}: {:.2} s", fleet.seconds);
        rows.push(Row {
            query: *number,
            single: None,
            fleet,
            ratio: None,
            stages: summary.stages,
            tasks: summary.tasks,
            attempts: summary.attempts,
            put,
            get,
            list,
            shuffle_bytes: summary.shuffle_bytes,
        });
    }
    Ok(rows)
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn print_table(rows: &[Row]) {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "| query | single s | fleet s | ratio | single CPU s | fleet CPU s | single peak MB | worker peak MB | stages | tasks | PUT | GET | LIST | exchanged MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let (mut single_total, mut fleet_total) = (0.0, 0.0);
    for row in rows {
        let single = row.single.clone().unwrap_or_default();
        single_total += single.seconds;
        fleet_total += row.fleet.seconds;
        println!(
            "| Q{} | {:.2} | {:.2} | {} | {:.2} | {:.2} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {:.1} |",
            row.query,
            single.seconds,
            row.fleet.seconds,
            row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            single.cpu_seconds,
            row.fleet.cpu_seconds,
            mega(single.peak_bytes),
            mega(row.fleet.peak_bytes),
            row.stages,
            row.tasks,
            row.put,
            row.get,
            row.list,
            mega(row.shuffle_bytes)
        );
    }
    let ratio = if single_total > 0.0 { fleet_total / single_total } else { f64::NAN };
    println!("| total | {single_total:.2} | {fleet_total:.2} | {ratio:.2} | | | | | | | | | | |");
}
