//! The benchmark: TPC-H, or another suite, on (a) one DataFusion process, (b) a fleet of one-slot workers with its state in a folder, and if
//! asked for (c) the same fleet with its state on an S3 server, near or far, (d) the gateway's inline route, and (e) DuckDB,
//! over the same files, in one run. It prints tables and JSON. Of the answers it checks only the number of rows.
//!
//! ```text
//!   for each pass:  for each query:  DuckDB ─> single (2, 8, 16 partitions) ─> inline ─> fleet on a folder ─> far fleets
//! ```
//! All processes live through the whole benchmark. So their caches are warm after the first pass, which does not count if
//! there are several, and what disturbs the machine for a while disturbs all sides. The median of the passes counts; of
//! the single process, the best of its numbers of partitions.

mod asked;
mod beside;
mod far;
mod single;
mod suite;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use dunlin_cli::client::{Client, RequestCounts, Summary};
use dunlin_cli::fleet::{Fleet, Process};
use dunlin_sim::far::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::suite::Suite;

#[derive(Clone, Debug, Parser)]
#[command(about = "One DataFusion process against a fleet of workers, and DuckDB")]
struct Options {
    /// What is asked.
    #[arg(long, value_enum, default_value_t)]
    suite: Suite,
    /// Scale factor of the data.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Workers of the fleet, and threads of the single process.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Queries, e.g. `1,9`; all if not given.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<usize>,
    /// Folder for data, state and results.
    #[arg(long, default_value = ".dunlin/bench")]
    folder: PathBuf,
    /// Partitions of wide stages on the fleet.
    #[arg(long)]
    partitions: Option<usize>,
    /// Runs of each query that count; the median is shown. With several, one more run comes before.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Partitions of the single process: of several, the best for each query counts. If not given, as many as workers.
    #[arg(long, value_delimiter = ',')]
    single_partitions: Vec<usize>,
    /// More lines for the fleet's configuration, e.g. `[engine]`.
    #[arg(long, default_value = "")]
    config: String,
    /// Leave out the single process.
    #[arg(long)]
    fleet_only: bool,
    /// Where to write the JSON; the folder's `result.json` if not given.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also measure with the state on an S3 server: `near`, `even` (27 ± 8 ms), `s3` or `express`, or several of them.
    /// Needs the server of `scripts/minio`.
    #[arg(long, value_delimiter = ',')]
    far: Vec<Profile>,
    /// Seed of the far store's delays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each small statement on the far store.
    #[arg(long, default_value_t = 11)]
    small_runs: usize,
    /// Also measure the gateway's inline route. It has as many threads as this machine has cores.
    #[arg(long)]
    inline: bool,
    /// Also measure DuckDB from its Python package: the python that has it, e.g. `.tools/venv-bench/bin/python`.
    #[arg(long)]
    duckdb: Option<PathBuf>,
    /// Leave out the fleet on a folder.
    #[arg(long)]
    far_only: bool,
    /// Internal: be the single process.
    #[arg(long, hide = true)]
    single: bool,
}

impl Options {
    /// Settings of each statement on a fleet.
    fn settings(&self, route: &str) -> Value {
        match self.partitions {
            Some(partitions) => json!({ "route": route, "target_partitions": partitions }),
            None => json!({ "route": route }),
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

impl Row {
    fn of(
        query: usize,
        fleet: Measure,
        single: Option<Measure>,
        summary: &Summary,
    ) -> Result<Self> {
        let RequestCounts { put, get, list, .. } = summary.requests;
        if let Some(single) = &single
            && single.rows != fleet.rows
        {
            bail!("Q{query}: {} rows single, {} rows fleet", single.rows, fleet.rows);
        }
        Ok(Self {
            query,
            ratio: single.as_ref().map(|single| fleet.seconds / single.seconds),
            single,
            fleet,
            stages: summary.stages,
            tasks: summary.tasks,
            attempts: summary.attempts,
            put,
            get,
            list,
            shuffle_bytes: summary.shuffle_bytes,
        })
    }
}

/// The operators of several threads allocate and free all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = std::path::absolute(&options.folder)?;
    let data = folder.join(format!("{}-{}", options.suite.name(), options.scale));
    if options.single {
        return single::serve(options.suite, &data, options.workers);
    }
    if !data.join("complete").exists() {
        eprintln!("making data of {} at scale {}", options.suite.name(), options.scale);
        options.suite.generate(&data, options.scale)?;
        std::fs::write(data.join("complete"), "")?;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&options, &folder, &data))
}

/// What was measured of one query, pass by pass.
#[derive(Default)]
struct Passes {
    /// By number of partitions.
    single: Vec<Vec<Measure>>,
    duckdb: Vec<Measure>,
    inline: Vec<(Measure, Summary)>,
    fleet: Vec<(Measure, Summary)>,
    /// By store.
    far: Vec<Vec<far::Far>>,
}

async fn measure(options: &Options, folder: &Path, data: &Path) -> Result<()> {
    let queries = match options.queries.as_slice() {
        [] => options.suite.queries(),
        given => given.to_vec(),
    };
    let partitions = match options.single_partitions.as_slice() {
        [] => vec![options.workers],
        given => given.to_vec(),
    };
    let mut single = match options.fleet_only {
        true => None,
        false => Some(single::start(options)?),
    };
    let mut duckdb = match &options.duckdb {
        None => None,
        Some(python) => Some(beside::duckdb(python, options.suite, data, options.workers)?),
    };
    let near = match options.far_only {
        true => None,
        false => Some(OnFolder::start(options, folder, data).await?),
    };
    let mut stores = Vec::new();
    let mut on_far: Vec<Vec<far::Far>> = Vec::new();
    for profile in &options.far {
        let store = far::Store::start(options, *profile, folder, data).await?;
        on_far.push(store.small(options.suite, options.small_runs).await?);
        stores.push(store);
    }
    let mut passes: Vec<Passes> = queries.iter().map(|_| Passes::default()).collect();
    let warm = usize::from(options.runs > 1);
    for pass in 0..options.runs + warm {
        for (number, of) in queries.iter().zip(&mut passes) {
            let sql = options.suite.query(*number)?;
            let mut now = Passes::default();
            if let Some(duckdb) = &mut duckdb {
                let of_duckdb = duckdb.measure(&serde_json::to_string(&sql)?);
                now.duckdb.push(of_duckdb.with_context(|| format!("DuckDB failed at Q{number}"))?);
            }
            if let Some(single) = &mut single {
                for partitions in &partitions {
                    let of_single = single.measure(&format!("{number} {partitions}"));
                    now.single.push(vec![
                        of_single
                            .with_context(|| format!("the single process failed at Q{number}"))?,
                    ]);
                }
            }
            if let Some(near) = &near {
                if options.inline {
                    now.inline.push(near.run(&sql, options, "inline").await?);
                }
                now.fleet.push(near.run(&sql, options, "fleet").await?);
            }
            for store in &stores {
                now.far.push(vec![store.run(&format!("Q{number}"), &sql).await?]);
            }
            eprintln!("pass {pass}, Q{number}: {now}");
            if pass >= warm {
                of.add(now);
            }
        }
    }
    report(options, folder, (queries, passes), on_far)
}

/// Prints what came out, and writes it as JSON.
fn report(
    options: &Options,
    folder: &Path,
    (queries, passes): (Vec<usize>, Vec<Passes>),
    mut on_far: Vec<Vec<far::Far>>,
) -> Result<()> {
    let mut rows = Vec::new();
    let mut engines = Vec::new();
    let mut baseline = Vec::new();
    for (number, of) in queries.iter().zip(passes) {
        let medians = of.single.into_iter().filter_map(|runs| median(runs, |run| run.seconds));
        let best = medians.min_by(|one, other| one.seconds.total_cmp(&other.seconds));
        baseline.extend(best.as_ref().map(|best| (format!("Q{number}"), best.seconds)));
        if let Some((fleet, summary)) = median(of.fleet, |(run, _)| run.seconds) {
            engines.push(beside::Engines {
                query: *number,
                duckdb: median(of.duckdb, |run| run.seconds),
                single: best.clone(),
                inline: median(of.inline, |(run, _)| run.seconds).map(|(run, _)| run),
                fleet: fleet.clone(),
            });
            rows.push(Row::of(*number, fleet, best, &summary)?);
        }
        for (all, runs) in on_far.iter_mut().zip(of.far) {
            all.extend(median(runs, |run| run.seconds));
        }
    }
    if !rows.is_empty() {
        print_table(&rows);
    }
    if options.inline || options.duckdb.is_some() {
        beside::print(&engines)?;
    }
    let on_folder: Vec<_> =
        rows.iter().map(|row| (format!("Q{}", row.query), row.fleet.seconds)).collect();
    for (profile, on_far) in options.far.iter().zip(&on_far) {
        println!("\n{profile:?}");
        far::print(on_far, &on_folder, &baseline);
    }
    let path = options.json.clone().unwrap_or_else(|| folder.join("result.json"));
    let report = json!({
        "scale": options.scale, "workers": options.workers, "queries": rows, "engines": engines, "far": on_far,
        "total_single": baseline.iter().map(|(_, seconds)| seconds).sum::<f64>(),
        "total_fleet": rows.iter().map(|row| row.fleet.seconds).sum::<f64>(),
    });
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The run with the median time.
fn median<T>(mut runs: Vec<T>, seconds: impl Fn(&T) -> f64) -> Option<T> {
    runs.sort_by(|one, other| seconds(one).total_cmp(&seconds(other)));
    let middle = runs.len() / 2;
    (middle < runs.len()).then(|| runs.swap_remove(middle))
}

impl Passes {
    fn add(&mut self, pass: Self) {
        fn add<T>(all: &mut Vec<Vec<T>>, pass: Vec<Vec<T>>) {
            all.resize_with(all.len().max(pass.len()), Vec::new);
            all.iter_mut().zip(pass).for_each(|(all, runs)| all.extend(runs));
        }
        add(&mut self.single, pass.single);
        self.duckdb.extend(pass.duckdb);
        self.inline.extend(pass.inline);
        self.fleet.extend(pass.fleet);
        add(&mut self.far, pass.far);
    }
}

impl std::fmt::Display for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let single = self.single.iter().flatten().map(|run| ("single", run.seconds));
        let duckdb = self.duckdb.iter().map(|run| ("duckdb", run.seconds));
        let inline = self.inline.iter().map(|(run, _)| ("inline", run.seconds));
        let fleet = self.fleet.iter().map(|(run, _)| ("fleet", run.seconds));
        let far = self.far.iter().flatten().map(|run| ("far", run.seconds));
        duckdb
            .chain(single)
            .chain(inline)
            .chain(fleet)
            .chain(far)
            .try_for_each(|(name, seconds)| write!(f, " {name} {seconds:.2}"))
    }
}

/// A fleet with its state in a folder.
struct OnFolder {
    fleet: Fleet,
    client: Client,
    state: PathBuf,
}

impl OnFolder {
    async fn start(options: &Options, folder: &Path, data: &Path) -> Result<Self> {
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
                options.suite.toml(data)
            ),
        )?;
        let binary = std::env::current_exe()?.with_file_name("dunlin");
        let fleet = Fleet::start(&binary, &config, folder, options.workers, 1)?;
        let client = Client::new(&fleet.url());
        client.ready().await?;
        Ok(Self { fleet, client, state })
    }

    async fn run(&self, sql: &str, options: &Options, route: &str) -> Result<(Measure, Summary)> {
        let processes = || std::iter::once(&self.fleet.gateway).chain(&self.fleet.workers);
        processes().for_each(Process::reset_peak);
        let cpu: f64 = processes().map(|process| process.usage().0).sum();
        let start = Instant::now();
        let answer = self.client.sql(sql, options.settings(route)).await?;
        let seconds = start.elapsed().as_secs_f64();
        let after: f64 = processes().map(|process| process.usage().0).sum();
        let working = if route == "inline" {
            std::slice::from_ref(&self.fleet.gateway)
        } else {
            &self.fleet.workers
        };
        let peak_bytes = working.iter().map(|process| process.usage().1).max().unwrap_or_default();
        let rows = answer.rows.len() as u64;
        // Exchange data is deleted only by the garbage collector, which a later version adds.
        for kind in ["data", "res"] {
            let _ = std::fs::remove_dir_all(self.state.join(kind));
        }
        let measure = Measure { seconds, cpu_seconds: after - cpu, peak_bytes, rows };
        Ok((measure, answer.summary))
    }
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
